"""Many words found in a text in one pass."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

import ahocorasick

Value = TypeVar("Value")


def flat(text: str) -> str:
    """The text as one sign a byte of UTF-8.

    An automaton looks through the branches of a node one by one: thousands at its root when a branch is a
    Chinese character, about a hundred when it is a byte. That makes it four times as fast.
    """
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def by_branch(codes: Iterable[str]) -> list[str]:
    """Flat words in the order in which an automaton should learn them: the branch with most words first.

    A node looks through its branches in the order in which they were learnt. That of the first character's
    bytes is what matters: it saves a sixth of the time.
    """
    words, ends = list(codes), (1, 2, 3)
    heads = Counter([code[:3] for code in words])
    sizes = Counter[str]()
    for head, count in heads.items():
        sizes.update({head[:end]: count for end in ends})
    ranks = {head: [-sizes[head[:end]] for end in ends] for head in heads}
    return sorted(words, key=lambda code: (ranks[code[:3]], code))


def build_automaton(words: Mapping[str, Value]) -> ahocorasick.Automaton:
    """What finds the words in flat texts; each match gives its last place and the word's value."""
    automaton = ahocorasick.Automaton()
    values = {flat(word): value for word, value in words.items()}
    for code in by_branch(values):
        automaton.add_word(code, values[code])
    automaton.make_automaton()
    return automaton
