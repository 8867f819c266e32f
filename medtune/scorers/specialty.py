"""The hospital department that a question belongs to, with the words that say so, or None."""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from medtune.lexicon import read_table
from medtune.scorers.words import Finder, Hit, any_sign

MAX_CHARS = 2_000
"""Of a longer text only the beginning is read: what it is about stands there."""


class Word(NamedTuple):
    """What a word tells: its kind (disease, symptom …) and its weight by department."""

    text: str
    kind: str
    weights: tuple[tuple[str, float], ...]
    heaviest: float


class Specialty(NamedTuple):
    """A department or None, and the words that were weighed, the heaviest first."""

    label: str | None
    evidence: tuple[str, ...]


class Patient(NamedTuple):
    """A kind of patient that decides the department; `pattern` finds ages or weeks where a `needs` stands."""

    name: str
    department: str
    keeps: frozenset[str]
    pattern: re.Pattern[str]
    needs: re.Pattern[str]
    unless: re.Pattern[str] | None
    doubt: float
    gain: float
    others: float


CHILD, PREGNANT, CONTEXT = "child", "pregnant", "context"


def find_specialty(question: str, answer: str = "") -> Specialty:
    """The department of a question. The answer is weighed in only when the question alone does not tell."""
    return decide_specialty(question, find_terms(question), answer=answer)


def find_terms(text: str) -> list[Hit[Word]]:
    """The medical words of a text, in order."""
    return _finder().find(text[:MAX_CHARS])


def decide_specialty(question: str, terms: Sequence[Hit[Word]], *, answer: str = "") -> Specialty:
    """The department, from a question whose words are found already."""
    rule = _rule()
    scores, evidence = _weigh(terms, rule["first"], rule["strong"])
    _turn_to_patient(scores, question, rule)
    label = _lead(scores, rule)
    if label is None and answer:
        for department, score in _weigh(find_terms(answer), 1, rule["strong"])[0].items():
            if department not in (CHILD, PREGNANT):
                scores[department] = scores.get(department, 0) + rule["answer"] * score
        label = _lead(scores, rule)
    return Specialty(label, tuple(sorted(evidence, key=evidence.__getitem__, reverse=True)))


def _weigh(
    terms: Sequence[Hit[Word]], first: float, strong: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Scores by department and the weight of each word. A word counts once, the first strong one more."""
    scores: dict[str, float] = {}
    evidence: dict[str, float] = {}
    is_first = True
    for _, _, word in terms:
        if word.text in evidence:
            continue
        evidence[word.text] = word.heaviest
        factor = 1
        if is_first and word.heaviest >= strong and word.kind != CONTEXT:
            is_first, factor = False, first
        for department, weight in word.weights:
            scores[department] = scores.get(department, 0) + weight * factor
    return scores, evidence


def _turn_to_patient(scores: dict[str, float], question: str, rule: dict[str, float]) -> None:
    """Move the scores towards paediatrics or obstetrics when the patient is a child or pregnant."""
    for who in _patients():
        certainty = min(scores.pop(who.name, 0) / rule["sure"], 1)
        if certainty and who.unless and who.unless.search(question):
            certainty *= who.doubt
        if certainty < 1 and who.needs.search(question) and who.pattern.search(question):
            certainty = 1
        if not certainty:
            continue
        factor = 1 - certainty * (1 - who.others)
        for department in scores:
            if department not in who.keeps:
                scores[department] *= factor
        scores[who.department] = scores.get(who.department, 0) + certainty * who.gain


def _lead(scores: dict[str, float], rule: dict[str, float]) -> str | None:
    """The department ahead of all others by enough."""
    best = second = 0.0
    label = None
    for department, score in scores.items():
        if score > best:
            best, second, label = score, best, department
        elif score > second:
            second = score
    return label if best >= rule["min_score"] and best >= rule["min_lead"] * second else None


@cache
def _patients() -> tuple[Patient, ...]:
    table = read_table("specialties")
    rule = table["rule"]
    return tuple(
        Patient(
            who,
            table[who]["department"],
            frozenset([*table[who]["keeps"], table[who]["department"]]),
            re.compile(table[who]["pattern"]),
            any_sign(table[who]["needs"]),
            re.compile(table[who]["unless"]) if table[who]["unless"] else None,
            table[who]["doubt"],
            rule[who],
            rule[f"{who}_others"],
        )
        for who in (CHILD, PREGNANT)
    )


@cache
def _rule() -> dict[str, float]:
    return read_table("specialties")["rule"]


@cache
def _finder() -> Finder[Word]:
    return Finder(read_words())


@cache
def read_words() -> dict[str, Word]:
    """All words of all departments and kinds of patient."""
    table = read_table("specialties")
    usual = table["weights"]
    kinds: dict[str, str] = {}
    weights: dict[str, dict[str, float]] = {}

    def add(entry: str, kind: str, department: str, weight: float) -> None:
        word, _, own = entry.partition("=")
        kinds.setdefault(word, kind)
        weights.setdefault(word, {})[department] = float(own or weight)

    for department, about in table["departments"].items():
        for kind, weight in usual.items():
            for entry in about.get(kind, "").split():
                add(entry, kind, department, weight)
    for who in (CHILD, PREGNANT):
        for entry in table[who]["words"].split():
            add(entry, CONTEXT, who, table["rule"]["sure"])
    return {
        word: Word(word, kinds[word], tuple(found.items()), max(found.values()))
        for word, found in weights.items()
    }
