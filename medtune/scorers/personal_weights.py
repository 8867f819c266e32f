"""What the characters of a name weigh by themselves: surnames, given names, and those that no name has."""

from medtune.lexicon import read_table
from medtune.scorers.personal_words import (
    FOREIGN,
    FREQUENT,
    FREQUENT_WORDS,
    GIVEN,
    MOST_FREQUENT,
    NEVER,
    PREPOSITIONS,
    RARE,
    SURNAME,
    WORDY,
    characters,
    words_of,
)

CUES = read_table("name_cues")


def cue_words(name: str) -> tuple[str, ...]:
    """The words under a name of the table of cues."""
    return words_of(CUES[name])


FREQUENT_SURNAME = 1.5
SURNAME_WEIGHT = (
    {char: 0.5 for char in RARE}
    | {char: 0.0 for char in SURNAME}
    | {char: 1.0 for char in FREQUENT_WORDS}
    | {char: FREQUENT_SURNAME for char in FREQUENT}
    | {char: 2.0 for char in MOST_FREQUENT}
    | {char: -1.0 for char in PREPOSITIONS & SURNAME}
    | {char: -2.5 for char in (SURNAME | RARE) & frozenset(cue_words("function_surnames"))}
)
GIVEN_WEIGHT = (
    {char: 1.0 for char in GIVEN}
    | {char: 0.5 for char in FOREIGN}
    | {char: 0.0 for char in WORDY}
    | {char: 0.5 for char in cue_words("half_wordy")}
)
FREQUENT_HAN = frozenset("".join(words_of(read_table("common_han")["simplified"])))
UNUSUAL = -1.5
"""The weight of a character that is frequent in texts and not in given names."""
CHAR_WEIGHT = {char: UNUSUAL for char in FREQUENT_HAN} | GIVEN_WEIGHT
SHORT_COURTESIES = frozenset(characters("short_courtesies"))


def raw_weight(surname: str, given: str) -> float:
    """What the characters of a name weigh by themselves."""
    weight = 2.0 if len(surname) == 2 else SURNAME_WEIGHT.get(surname, 0.0)
    for char in given:
        weight += CHAR_WEIGHT.get(char, 0.0)
    return weight


def is_plain(surname: str, given: str) -> bool:
    """Whether surname and given name are seldom anything else."""
    return SURNAME_WEIGHT.get(surname, 2.0) >= 1.0 and all(
        GIVEN_WEIGHT.get(char, 0.0) >= 1.0 for char in given
    )


def is_given(given: str) -> bool:
    """Whether no character of it is never part of a given name, and it is no appellation."""
    return NEVER.isdisjoint(given) and given not in SHORT_COURTESIES
