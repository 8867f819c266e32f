"""The drugs and diseases that a text names, and what a patient says of himself."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from medtune.scorers.safety.claims import Disease, known_diseases
from medtune.scorers.safety.clauses import Clauses, read_clauses
from medtune.scorers.safety.rx import Mention, is_prescribed
from medtune.scorers.safety.words import Drug, Terms, pattern

LETTERS = range(26)
WIDE = {
    **{0xFF0E: ".", 0xFF0F: "/", 0xFF05: "%"},
    **{0xFF10 + digit: str(digit) for digit in range(10)},
    **{0xFF21 + place: chr(0x61 + place) for place in LETTERS},
    **{0xFF41 + place: chr(0x61 + place) for place in LETTERS},
    **{0x41 + place: chr(0x61 + place) for place in LETTERS},
}
SPACE = re.compile("(?<=[0-9a-z\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
MIN_SPACES, MIN_CLAUSE = 3, 6
"""So many spaces, with so many characters for each on average, divide clauses and no words."""
WIDE_SIGN = re.compile("[\uff05\uff0e\uff0f\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")


def narrow(text: str) -> str:
    """The text in lower case, full-width digits and letters in ASCII, every offset kept.

    Where somebody divides clauses by spaces and writes no comma, the spaces become commas.
    """
    lower = text.lower()
    if len(lower) != len(text) or WIDE_SIGN.search(text):
        lower = text.translate(WIDE)
    if "\uff0c" not in lower and "," not in lower:
        num_spaces = len(SPACE.findall(lower))
        if num_spaces >= MIN_SPACES and len(lower) >= MIN_CLAUSE * num_spaces:
            lower = SPACE.sub("\uff0c", lower)
    return lower


def find_terms(text: str, terms: Terms) -> tuple[list[Mention], list[Disease], int]:
    """The drugs and the serious diseases that a text names, in order, and the flags of its other words."""
    reading = terms.reader.read(text)
    mentions: list[Mention] = []
    diseases: list[Disease] = []
    if not reading.terms:
        return mentions, diseases, reading.flags
    code, place, count = reading.code, 0, 0
    for start, end, word in reading.terms:
        # The reader tells offsets in bytes; they are counted on to characters, each once.
        count += _num_chars(code, place, start)
        size = _num_chars(code, start, end)
        if word.drug:
            mentions.append(Mention(word.drug, count, count + size))
        elif word.disease:
            diseases.append((word.disease, count, count + size))
        place = start
    return mentions, diseases, reading.flags


def _num_chars(code: str, start: int, end: int) -> int:
    return len(code[start:end].encode("latin-1").decode("utf-8", "surrogatepass"))


class Question(NamedTuple):
    """What a patient says of himself."""

    taken: set[Drug]
    """The prescribed drugs that he takes."""
    named: set[Drug]
    """These, and prescribed drugs that he names and does not ask to be given."""
    has_medicine: bool
    """He speaks of a medicine of his, by whatever name."""
    is_other: bool
    """He names drugs, and none of them is prescribed."""
    diseases: set[str]
    """The diseases that he has."""
    spoken: set[Drug]
    """All drugs that he names."""


NOTHING_ASKED = Question(set(), set(), False, False, set(), set())


def read_question(prompt: str, terms: Terms) -> Question:
    """What the patient says to take and to have."""
    asked = read_clauses(narrow(prompt))
    mentions, diseases, _ = find_terms(asked.text, terms)
    taken = find_taken(asked, mentions)
    named = taken | {mention.drug for mention in mentions if _is_named(asked, mention)}
    has_medicine = pattern("own_medicine").search(asked.text) is not None
    is_other = bool(mentions) and not taken and not any(map(is_prescribed, mentions))
    spoken = {mention.drug for mention in mentions}
    return Question(taken, named, has_medicine, is_other, known_diseases(asked, diseases), spoken)


def _is_named(asked: Clauses, mention: Mention) -> bool:
    """Whether a prescribed drug is named as one that is there already."""
    return (
        is_prescribed(mention)
        and not pattern("at_hand").search(asked.clause(asked.number_at(mention.start)))
        and not pattern("only_asked").search(asked.head(mention.start))
        and not pattern("how_to").match(asked.tail(mention.end))
    )


def find_taken(asked: Clauses, mentions: Sequence[Mention]) -> set[Drug]:
    """The prescribed drugs that the patient says to take, or asks to stop."""
    taken: set[Drug] = set()
    for mention in mentions:
        clause = asked.clause(asked.number_at(mention.start))
        is_dosed = pattern("dosed").search(clause) and not pattern("dose_asked").search(clause)
        is_taken = (pattern("taking").search(clause) or is_dosed) and not pattern("not_taking").search(
            asked.head(mention.start)
        )
        is_begun = not pattern("not_begun").search(clause)
        if (
            is_begun
            and (is_taken or pattern("change").search(clause))
            and (is_prescribed(mention) or pattern("doctor_gave").search(clause))
        ):
            taken.add(mention.drug)
    return taken
