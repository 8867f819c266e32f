"""What the search for personal data looks for: its word lists, and patterns built from them."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from medtune.lexicon import read_table, read_words
from medtune.scorers.personal_dictionary import common_pairs, everyday_words, neighbour_words

TABLE = read_table("personal")


class Span(NamedTuple):
    """A place in a text that holds a personal value, and what kind it is."""

    start: int
    end: int
    type: str


def words_of(value: object) -> tuple[str, ...]:
    """The words of a table entry: a text, or a list of texts, parted by spaces; each word once, in order."""
    texts = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(word for text in texts for word in str(text).split()))


def listed(name: str) -> tuple[str, ...]:
    """The words under a name of the table."""
    return words_of(TABLE[name])


def characters(name: str) -> str:
    """The characters under a name of the table, blanks left out."""
    return "".join(listed(name))


def any_of(words: Iterable[str]) -> str:
    """A pattern that matches the longest of the words: one branch for each first character."""
    ordered = sorted(set(words), key=lambda word: (word[0], -len(word), word))
    branches: list[str] = []
    for first, group in groupby(ordered, key=lambda word: word[0]):
        rests = [re.escape(word[1:]) for word in group]
        branches.append(re.escape(first) + (f"(?:{'|'.join(rests)})" if len(rests) > 1 else rests[0]))
    return "|".join(branches)


class Starts:
    """Words that are asked for by where they stand: whether one of them covers a place of a text."""

    def __init__(self, words: Iterable[str]) -> None:
        """Keep the words, and by first character how long they are, longest first."""
        self.words = frozenset(words)
        sizes: dict[str, set[int]] = {}
        for word in self.words:
            sizes.setdefault(word[0], set()).add(len(word))
        self.sizes = {first: tuple(sorted(kept, reverse=True)) for first, kept in sizes.items()}

    def covers(self, text: str, place: int) -> bool:
        """Whether a word that began up to three characters before the place reaches over it."""
        return any(self.longest(text, start) > place - start for start in range(max(0, place - 3), place))

    def longest(self, text: str, place: int) -> int:
        """The length of the longest word that begins at the place, 0 when none does."""
        for size in self.sizes.get(text[place : place + 1], ()):
            word = text[place : place + size]
            if word in self.words:
                return len(word)
        return 0


SURNAMES: Mapping[str, object] = read_table("surnames")
FREQUENT = frozenset(words_of(SURNAMES["frequent"]))
FREQUENT_WORDS = frozenset(words_of(SURNAMES["frequent_words"]))
MOST_FREQUENT = "".join(words_of(SURNAMES["frequent"])[:100])
COMPOUND = frozenset(words_of(SURNAMES["compound"]))
SURNAME = FREQUENT | frozenset(words_of(SURNAMES["also_words"]))
GIVEN = frozenset("".join(words_of(read_table("given_names")["given"])))
NEVER = frozenset("".join(words_of(read_table("given_names")["never"])))
WORDY = frozenset("".join(words_of(read_table("given_names")["wordy"])))
FOREIGN = frozenset("".join(words_of(read_table("given_names")["foreign"])))
PREPOSITIONS = frozenset(listed("prepositions"))
NOT_BEFORE_TITLES = PREPOSITIONS | frozenset(listed("before_titles_too"))
LEFT_CUES = frozenset(characters("left_cues"))


def lines_of(name: str) -> tuple[str, ...]:
    """The words of a lexicon that has several a line."""
    return tuple(word for line in sorted(read_words(name)) for word in line.split())


PROVINCES, CITIES = listed("province_names"), listed("city_names")
OTHER_WORDS, KNOWN_PEOPLE = lines_of("name_lookalikes"), lines_of("historical_names")
LOOKALIKES = Starts([*OTHER_WORDS, *PROVINCES, *CITIES])
PUBLIC_FIGURES = Starts(KNOWN_PEOPLE)
FOLLOWERS = Starts(listed("followers"))
RARE = frozenset(words_of(SURNAMES["rare"]))
"""Surnames that count beside a cue only."""
EVERYDAY = Starts(
    everyday_words(
        SURNAME | RARE, never=NEVER, compound=COMPOUND, known=frozenset((*OTHER_WORDS, *KNOWN_PEOPLE))
    )
)
"""Words that begin like a name, which a sure cue may outweigh."""
COMMON = common_pairs(NEVER)
"""Words of two characters that are seldom given names."""
NEIGHBOURS = neighbour_words()
"""Words of two or three characters that stand beside names as beside anything else."""

TITLES, COURTESIES = listed("titles"), listed("courtesies")
NAME_LABELS, PERSON_WORDS = listed("name_labels"), listed("person_words")
IN_NAMES = frozenset(map(chr, range(0x4E00, 0xA000))) - NEVER | SURNAME
CALLED_BY = Starts([*TITLES, *COURTESIES])
HAN = "\u4e00-\u9fff\u3400-\u4dbf\u3007"
HANS = frozenset(map(chr, (*range(0x4E00, 0xA000), *range(0x3400, 0x4DC0), 0x3007)))
"""The characters of this range: a look into a set is faster than a pattern."""
NUMERALS = characters("numeral_digits")
DIGIT_VALUES = str.maketrans(NUMERALS, "".join(listed("numeral_values")))
BLANKS = r"[\s:\uff1a=]"
