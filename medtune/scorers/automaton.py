"""Many words found in a text in one pass."""

from collections.abc import Mapping
from typing import TypeVar

import ahocorasick

Value = TypeVar("Value")


def flat(text: str) -> str:
    """The text as one sign a byte of UTF-8.

    An automaton looks through the branches of a node one by one: thousands at its root when a branch is a
    Chinese character, about a hundred when it is a byte. That makes it four times as fast.
    """
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def build_automaton(words: Mapping[str, Value]) -> ahocorasick.Automaton:
    """What finds the words in flat texts; each match gives its last place and the word's value."""
    automaton = ahocorasick.Automaton()
    for word, value in words.items():
        automaton.add_word(flat(word), value)
    automaton.make_automaton()
    return automaton
