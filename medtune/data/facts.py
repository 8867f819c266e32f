"""What the statistics want to know of one record."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import orjson

from medtune.records import Dialogue, Document, Preference, Question

Trait = Literal["specialty", "risk", "complexity", "style", "language", "license"]
TRAITS: tuple[Trait, ...] = ("specialty", "risk", "complexity", "style", "language", "license")
"""What is tallied of each record, always in this order."""
UNKNOWN = "unknown"
"""The value of a trait that a record does not state."""
TEXTS = {
    "dialogue": ("question", "answer"),
    "document": ("question", "text"),
    "preference": ("prompt", "answer"),
    "question": ("stem", "options"),
}
"""By kind of record, what its two lists of lengths are of: user turns and assistant turns, nothing and the
text, the prompt's user turns and both answers, the stem with its case and all options together."""
Traits = tuple[str | int | None, ...]
"""Values of TRAITS, None where a record does not state one."""


class Facts(NamedTuple):
    """What the statistics want of one record; small, so that it travels between processes in its place."""

    kind: str
    traits: Traits
    asked: Sequence[int]
    """Lengths in characters."""
    told: Sequence[int]
    """Lengths in characters."""


def facts_of(record: Document | Dialogue | Preference | Question) -> Facts:
    """The record's facts."""
    specialty = record.meta.specialty
    match record:
        case Dialogue(messages=messages):
            asked = [turn.content for turn in messages if turn.role == "user"]
            told = [turn.content for turn in messages if turn.role == "assistant"]
        case Document(text=text):
            asked, told = [], [text]
        case Preference(prompt=prompt):
            asked = [turn.content for turn in prompt if turn.role == "user"]
            told = [record.chosen, record.rejected]
        case Question():
            asked, told = [f"{record.case or ''}{record.stem}"], ["".join(record.options.values())]
            specialty = specialty or record.subject
    meta, language = record.meta, tell_language("".join((*asked, *told)))
    return Facts(
        record.kind,
        (specialty, meta.risk, meta.complexity, meta.style, language, meta.license or None),
        tuple(map(len, asked)),
        tuple(map(len, told)),
    )


def write_facts(facts: Facts) -> bytes:
    """The facts as JSON."""
    return orjson.dumps(list(facts))


def read_facts(lines: Sequence[bytes]) -> list[Facts]:
    """The facts of many records, from what `write_facts` made of each."""
    told = orjson.loads(b"[%b]" % b",".join(lines))
    return [Facts(kind, tuple(traits), asked, told) for kind, traits, asked, told in told]


def tell_language(text: str) -> Literal["zh", "mixed", "other"]:
    """`zh` when at least half of the signs are Chinese, `mixed` from a tenth on.

    A Chinese sign takes three bytes in UTF-8 and a Latin letter one, so that no sign need be looked at.
    """
    if text.isascii():
        return "other"
    share = (len(text.encode("utf-8", "surrogatepass")) - len(text)) / 2 / len(text)
    return "zh" if share >= 0.5 else "mixed" if share >= 0.1 else "other"
