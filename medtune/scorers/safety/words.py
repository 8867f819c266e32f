"""The words, patterns and drugs by which answers are judged, read once from their lexicons."""

import re
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Literal, NamedTuple

from medtune.lexicon import read_table
from medtune.scorers.words import Reader

Status = Literal["prescription", "controlled", "otc", "patent"]
PRESCRIBED = ("prescription", "controlled")
DRUG_FILES: dict[str, Status] = {
    "drugs_rx": "prescription",
    "drugs_rx_more": "prescription",
    "drugs_trade": "prescription",
    "drugs_controlled": "controlled",
    "drugs_otc": "otc",
    "drugs_tcm": "patent",
    "drugs_rx_also": "prescription",
}
PLACEHOLDER = re.compile(r"(?<!P)<(\w+)>|\{([a-z]\w*)\}")
ANY_SIGN = re.compile(r"(?<!\\)\.(?=[{?*+|)]|\Z)")
WITHIN_CLAUSE = "[^\uff0c,\uff1a:\uff08\uff09()\u3002\uff01\uff1f!?\uff1b;\n\u2026]"
"""What a dot stands for in the lexicon of patterns."""
CLAUSE_END = re.compile("[\uff0c,\uff1a:\uff08\uff09()\u3002\uff01\uff1f!?\uff1b;\n\u2026.]")
"""A full stop of ASCII ends a clause only where no letter or digit stands on both of its sides."""
SENTENCE_SIGNS = frozenset("\u3002\uff01\uff1f!?\uff1b;\n\u2026.")


class Drug(NamedTuple):
    """What a name in a text stands for."""

    name: str
    """The first of the names of the same drug."""
    status: Status
    is_group: bool
    """A group such as antibiotics, no single drug."""


class Word(NamedTuple):
    """A drug, a serious disease, or (neither) a longer word in which a drug's name means something else."""

    drug: Drug | None
    disease: str | None


def words_of(name: str) -> list[str]:
    """The words of a list of safety.yaml, the longest first: so the first that fits is the longest.

    `verb_long` are the verbs of two signs and more.
    """
    if name == "verb_long":
        return [word for word in words_of("verb") if len(word) > 1]
    return sorted(str(read_table("safety")[name]).split(), key=lambda word: (-len(word), word))


def any_word(name: str) -> str:
    """A pattern of any word of a list."""
    return "(?:" + "|".join(map(re.escape, words_of(name))) + ")"


def last_match(which: re.Pattern[str], text: str, start: int = 0) -> re.Match[str] | None:
    """The last place of a text, from `start` on, that a pattern finds."""
    last = deque(which.finditer(text, start), maxlen=1)
    return last[0] if last else None


def written(name: str) -> str:
    """A pattern as safety_patterns.yaml has it, a list of patterns as one."""
    told: str | list[str] = read_table("safety_patterns")[name]
    return told if isinstance(told, str) else "|".join(told)


def expand(text: str) -> str:
    """A pattern of the lexicon as `re` takes it."""

    def put_in(found: re.Match[str]) -> str:
        if found[2]:
            return f"(?:{expand(written(found[2]))})"
        return any_word(found[1])

    return PLACEHOLDER.sub(put_in, ANY_SIGN.sub(lambda _: WITHIN_CLAUSE, text))


@cache
def pattern(name: str) -> re.Pattern[str]:
    """A named pattern of safety_patterns.yaml."""
    return re.compile(expand(written(name)))


@cache
def wordlist(name: str) -> re.Pattern[str]:
    """What finds any word of a list of safety.yaml."""
    return re.compile(any_word(name))


@cache
def drugs() -> dict[str, Drug]:
    """Every drug name in lower case. A name that stands in several files has the status of the first."""
    found: dict[str, Drug] = {}
    for file, status in DRUG_FILES.items():
        for group, text in read_table(file).items():
            for names in text.split():
                first, *others = names.lower().split("=")
                is_prescribed = file == "drugs_tcm" and group == "prescription"
                known = found.get(first)
                drug = Drug(
                    known.name if known else first,
                    known.status if known else "prescription" if is_prescribed else status,
                    group in ("groups", "cold_fever"),
                )
                for name in (first, *others):
                    found.setdefault(name, drug)
    return found


URGENT, SOON, CHANGE, DECLINE, SHAPE, PERSONAL, PORTION, VOICE, TURN, DELAY, TAKE = (
    1 << bit for bit in range(11)
)
"""What the words of a text may be about: a rule none of whose words stands there need not look."""


@cache
def flags() -> dict[str, int]:
    """The words without which a rule finds nothing, with the rule's flag."""
    found: dict[str, int] = {}
    lists = {
        "now": URGENT, "ambulance": URGENT, "urgent_only": URGENT, "soon": SOON, "change": CHANGE,
        "change_parts": CHANGE, "retire": CHANGE, "decline_only": DECLINE, "decline_words": DECLINE,
        "drug_endings": SHAPE,
        "personal_only": PERSONAL, "portion_only": PORTION, "voice_only": VOICE, "turn_only": TURN,
        "later": DELAY, "delay_only": DELAY, "alone_words": TAKE,
    }  # fmt: skip
    for name, flag in lists.items():
        for word in words_of(name):
            found[word] = found.get(word, 0) | flag
    for word in words_of("leave"):
        for more in words_of("take") + words_of("leave_mid"):
            found[word + more] = found.get(word + more, 0) | CHANGE
    for first, second, flag in (
        ("alone_lead", "alone_take", TAKE),
        ("portion_count", "portion_unit", PORTION),
    ):
        for word in words_of(first):
            for more in words_of(second):
                found[word + more] = found.get(word + more, 0) | flag
    return found


class Terms(NamedTuple):
    """The drugs that are known, and what finds them and serious diseases in one pass."""

    drugs: Mapping[str, Drug]
    """By each of their names, in lower case."""
    reader: Reader[Word, None, None]


@cache
def shipped_terms() -> Terms:
    """The drugs and diseases of the lexicons."""
    return terms_of(drugs())


def terms_of(known: Mapping[str, Drug]) -> Terms:
    """These drugs, and the diseases of the lexicons."""
    words = {name: Word(drug, None) for name, drug in known.items()}
    table = read_table("serious_diseases")
    for names in str(table["diseases"]).split():
        first, *others = names.lower().split("=")
        words |= dict.fromkeys((first, *others), Word(None, first))
    words |= {name: Word(None, None) for name in str(table["no_drugs"]).split() if name not in known}
    return Terms(known, Reader(words, {}, {}, flags()))
