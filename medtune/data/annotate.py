"""Records with specialty, risk, complexity and style filled in where they were not known."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Literal, NamedTuple, TypeVar

from medtune.lexicon import read_table
from medtune.records import Dialogue, Document, Message, Meta, Preference, Question
from medtune.scorers.risk import Risk, judge_risk
from medtune.scorers.risk_rules import Level, Meaning, read_rules
from medtune.scorers.specialty import MAX_CHARS, Word, decide_specialty, read_words
from medtune.scorers.words import Hit, Reader, Reading, any_sign, encode

MAX_CLAUSE = 90
"""So many bytes before a disease are searched for what denies it."""

DIGIT = re.compile("[0-9]")

Style = Literal["standard", "colloquial"]
AnyRecord = TypeVar("AnyRecord", bound=Document | Dialogue | Preference | Question)


class Annotation(NamedTuple):
    """What is told of a text, and by which words."""

    specialty: str | None
    risk: Level
    complexity: int
    style: Style
    evidence: dict[str, tuple[str, ...]]
    """By field: the words, and for risk the name of the rule first."""


class Cue(NamedTuple):
    """What a word tells of the wording of a question: how spoken it is, and which context it gives."""

    text: str
    spoken: float = 0
    context: str = ""


class Wording(NamedTuple):
    """`style.yaml`, ready to be used."""

    cues: dict[str, Cue]
    age: re.Pattern[str]
    age_needs: re.Pattern[str]
    duration: re.Pattern[str]
    duration_needs: re.Pattern[str]
    clause: re.Pattern[str]
    hedge: re.Pattern[str]
    """What makes a disease of the same clause denied, feared or another's; for the encoded text."""
    classes: frozenset[str]
    """Names of whole classes of drugs, which do not count beside a drug."""
    no_disease: frozenset[str]
    style: dict[str, float]
    complexity: dict[str, int]


Found = Reading[Word, Meaning, Cue]


def annotate(record: AnyRecord) -> AnyRecord:
    """The record with what its metadata lacks. Values that stand there are kept, whatever their spelling.

    Risk, complexity and style are of what a user says; a document has no user and gets a specialty only.
    """
    meta = record.meta
    specialty, risk, complexity, style = meta.specialty, meta.risk, meta.complexity, meta.style
    if None not in (specialty, risk, complexity, style):
        return record
    question, answer, num_turns = _read(record)
    text = question[:MAX_CHARS]
    reading = _reader().read(text)
    if specialty is None:
        specialty = decide_specialty(text, reading.terms, answer=answer).label
    if not isinstance(record, Document):
        danger = judge_risk(text, reading)
        risk = risk or danger.level
        if not isinstance(record, Question):
            if complexity is None:
                complexity = _complexity(text, reading, danger, num_turns=num_turns)[0]
            style = style or _style(text, reading.cues)
    told = _told(meta.source, meta.license, meta.deidentified, specialty, risk, complexity, style)
    return record.model_copy(update={"meta": told})


@lru_cache(maxsize=1 << 12)
def _told(
    source: str,
    license: str,
    deidentified: bool,
    specialty: str | None,
    risk: Level | None,
    complexity: int | None,
    style: Style | None,
) -> Meta:
    """Metadata is never changed, and most rows share theirs with many others."""
    return Meta(
        source=source,
        license=license,
        specialty=specialty,
        risk=risk,
        complexity=complexity,
        style=style,
        deidentified=deidentified,
    )


def explain(text: str, answer: str = "", *, num_turns: int = 1) -> Annotation:
    """What a question would be annotated with, and why."""
    text = text[:MAX_CHARS]
    reading = _reader().read(text)
    specialty, risk = decide_specialty(text, reading.terms, answer=answer), judge_risk(text, reading)
    complexity, contents = _complexity(text, reading, risk, num_turns=num_turns)
    style = _style(text, reading.cues)
    spoken = tuple(dict.fromkeys(cue.text for *_, cue in reading.cues if cue.spoken))
    evidence = {
        "specialty": specialty.evidence,
        "risk": (risk.rule, *risk.evidence) if risk.rule else (),
        "complexity": contents,
        "style": spoken,
    }
    return Annotation(specialty.label, risk.level, complexity, style, evidence)


def _read(record: Document | Dialogue | Preference | Question) -> tuple[str, str, int]:
    """What a record asks, what it answers, and the number of the user's turns."""
    match record:
        case Dialogue():
            return _turns(record.messages, record.reference or "")
        case Preference():
            return _turns(record.prompt, record.chosen)
        case Question():
            return f"{record.case or ''}\n{record.stem}", "\n".join(record.options.values()), 1
        case Document():
            return record.text, "", 1


def _turns(messages: Sequence[Message], answer: str) -> tuple[str, str, int]:
    users = [turn.content for turn in messages if turn.role == "user"]
    answers = [turn.content for turn in messages if turn.role == "assistant"]
    return "\n".join(users), "\n".join([*answers, answer]), len(users)


def _complexity(question: str, reading: Found, risk: Risk, *, num_turns: int) -> tuple[int, tuple[str, ...]]:
    """1, 2 or 3 by how much a question holds, and what was counted. The rule stands in `style.yaml`."""
    wording = _wording()
    rule = wording.complexity
    if num_turns >= rule["several"]:
        return 3, ("turns",)
    problems: dict[str, int] = {}
    diseases: dict[str, int] = {}
    drugs: dict[str, None] = {}
    for start, _, word in reading.terms:
        kind = word.kind
        if kind == "symptom":
            problems.setdefault(word.text, start)
        elif kind == "disease":
            problems.setdefault(word.text, start)
            if word.heaviest >= rule["disease"] and word.text not in wording.no_disease:
                diseases.setdefault(word.text, start)
        elif kind == "drug" and word.text not in wording.classes:
            drugs[word.text] = None
    contexts: dict[str, None] = {}
    labs: dict[str, None] = {}
    for _, _, cue in reading.cues:
        if cue.context == "lab":
            labs[cue.text] = None
        elif cue.context:
            contexts[cue.context] = None
    several = tuple(_distinct(diseases, reading.code)) if len(diseases) > 1 else ()
    if risk.is_knowledge:
        if "together" in contexts and (len(several) > 1 or len(drugs) > 1):
            return 3, (*several, *drugs)
        return 1, ()
    if len(several) > 1:
        return 3, several
    if len(drugs) > 1:
        return 3, tuple(drugs)
    if len(labs) > 1 or (labs and (diseases or drugs) and DIGIT.search(question)):
        return 3, (*labs, *diseases, *drugs)
    contexts.pop("together", None)
    counted = [*problems, *drugs, *labs, *contexts]
    if len(counted) < rule["many"]:
        if wording.age_needs.search(question) and wording.age.search(question):
            counted.append("age")
        if wording.duration_needs.search(question) and wording.duration.search(question):
            counted.append("duration")
    is_report = len(counted) >= rule["many"] or len(wording.clause.findall(question)) >= rule["clauses"]
    return 2 if is_report else 1, tuple(counted)


def _distinct(diseases: dict[str, int], code: str) -> list[str]:
    """The diseases that the patient has: no denied or feared ones, and one of those named alike."""
    hedge = _wording().hedge
    kept: list[str] = []
    for disease, start in diseases.items():
        if not hedge.search(code, max(start - MAX_CLAUSE, 0), start) and not any(
            other in disease or disease in other for other in kept
        ):
            kept.append(disease)
    return kept


def _style(question: str, cues: Sequence[Hit[Cue]]) -> Style:
    """Whether a question is worded as people talk."""
    rule = _wording().style
    needed = rule["min_weight"] + max(len(question) - rule["free_chars"], 0) / rule["chars"]
    weight = sum([cue.spoken for _, _, cue in cues])
    return "colloquial" if weight >= needed else "standard"


@cache
def _reader() -> Reader[Word, Meaning, Cue]:
    """Everything that is looked for in a question, in one pass."""
    rules = read_rules()
    return Reader(read_words(), rules.meanings, _wording().cues, rules.flags)


@cache
def _wording() -> Wording:
    """The lexicon of wording, read and compiled once."""
    style, content = read_table("style")["style"], read_table("style")["complexity"]
    cues: dict[str, Cue] = {}
    for degree in ("none", "slight", "weak", "strong"):
        for word in style[degree].split():
            cues[word] = Cue(word, style["rule"][degree])
    for context, words in content["contexts"].items():
        for word in words.lower().split():
            cues[word] = cues.get(word, Cue(word))._replace(context=context)
    hedges = "|".join(re.escape(encode(word)) for word in content["hedges"].split())
    ends = "|".join(re.escape(encode(sign)) for sign in content["clause"])
    return Wording(
        cues,
        re.compile(content["age"]),
        any_sign(content["age_needs"]),
        re.compile(content["duration"]),
        any_sign(content["duration_needs"]),
        re.compile(f"[{re.escape(content['clause'])}]"),
        re.compile(f"(?:{hedges})(?:(?!{ends}).)*\\Z", re.DOTALL),
        frozenset(content["classes"].split()),
        frozenset(content["no_disease"].split()),
        style["rule"],
        content["rule"],
    )
