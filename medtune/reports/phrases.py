"""The sentences of the reports in Chinese and English, and how they are filled."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from medtune.records import Phrase

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
ROOMS = ("reports", "data", "curate", "evals", "evals/answers")
"""Where files `phrases*.yaml` lie: the common sentences, then those of each room that reports."""


@cache
def read_phrases() -> dict[str, dict[Language, str]]:
    """Every template by key and language, of all rooms: a saved report reads without knowing who wrote it."""
    phrases: dict[str, dict[Language, str]] = {}
    for room in ROOMS:
        own = read_phrases_of(room)
        twice = sorted(phrases.keys() & own.keys())
        assert not twice, f"{room}/phrases.yaml has keys of another room: {', '.join(twice)}"
        phrases |= own
    return phrases


def read_phrases_of(room: str) -> dict[str, dict[Language, str]]:
    """The templates of one room."""
    phrases: dict[str, dict[Language, str]] = {}
    for path in sorted((Path(__file__).parents[1] / room).glob("phrases*.yaml")):
        own: dict[str, dict[Language, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert phrases.keys().isdisjoint(own), f"{path.name} has keys of another file"
        phrases |= own
    return phrases


def phrase(key: str, /, **values: str | int | float | Phrase) -> Phrase:
    """A sentence to be filled later; a key that is not in the table is our own fault and fails here."""
    assert key in read_phrases(), f"{key} is not in phrases.yaml"
    return Phrase(key=key, values=values)


def find_phrase(key: str) -> Phrase | None:
    """The sentence of that key, for names that come from outside; None where the table does not know it."""
    return Phrase(key=key, values={}) if key in read_phrases() else None


def say_p(p: float) -> Phrase:
    """`p = 0.032` or `p < 0.001`."""
    return phrase("p_small") if p < 0.001 else phrase("p_is", p=p)


def fill(sentence: Phrase, language: Language) -> str:
    """The sentence in one language, inner phrases first."""
    values = {
        name: fill(value, language) if isinstance(value, Phrase) else value
        for name, value in sentence.values.items()
    }
    return read_phrases()[sentence.key][language].format(**values)
