"""Where diseases, drugs, tests and other medical terms stand in a text."""

import re
from collections.abc import Iterator
from functools import cache

import ahocorasick

from medtune.lexicon import read_table
from medtune.scorers.automaton import build_automaton, flat

MIN_CHARS = 3
"""Shorter terms stand inside too many other words."""
TERM = re.compile(r"[^\s=,;]+")


@cache
def read_terms() -> ahocorasick.Automaton:
    """What finds the terms of the lexicons of complaints and of specialties."""
    words: dict[str, int] = {}
    tables = [read_table("complaints"), read_table("specialties")["departments"]]
    for text in (text for table in tables for text in _texts_in(table)):
        for term in TERM.findall(text):
            if len(term) >= MIN_CHARS and not term.isascii():
                words[term.lower()] = len(flat(term.lower()))
    return build_automaton(words)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, str):
        yield value


def overlaps_term(text: str, start: int, end: int) -> bool:
    """Whether a medical term shares characters with the text from `start` to `end`."""
    around = text[max(0, start - 12) : end + 12].lower()
    code = flat(around)
    first = len(flat(around[: start - max(0, start - 12)]))
    last = first + len(flat(text[start:end].lower()))
    return any(place + 1 > first and place + 1 - size < last for place, size in read_terms().iter(code))
