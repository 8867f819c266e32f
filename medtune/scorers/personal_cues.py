"""What stands before and after a name of a person, and the words that it may be instead, as weights."""

import re
from typing import NamedTuple

from medtune.scorers.personal_shapes import is_neighbour
from medtune.scorers.personal_weights import GIVEN_WEIGHT, SURNAME_WEIGHT, cue_words
from medtune.scorers.personal_words import (
    CALLED_BY,
    COMMON,
    COURTESIES,
    EVERYDAY,
    FOLLOWERS,
    GIVEN,
    HAN,
    HANS,
    LOOKALIKES,
    NAME_LABELS,
    NOT_BEFORE_TITLES,
    PUBLIC_FIGURES,
    TITLES,
    Starts,
    any_of,
    characters,
)

LABEL, ROLE, ROLE_END, LEAD, WEAK_LEAD, DEPARTMENT = 5.5, 4.5, 3.0, 2.5, 1.0, 2.5
LEFT_WEIGHT = (
    {char: DEPARTMENT for char in cue_words("departments")}
    | {char: ROLE_END for char in cue_words("clinics")}
    | {word: LEAD for word in cue_words("leads")}
    | {word: WEAK_LEAD for word in cue_words("weak_leads")}
    | {word: ROLE_END for word in cue_words("role_ends")}
    | {word: ROLE for word in (*cue_words("roles"), *cue_words("sure_leads"))}
    | {word: LABEL for word in NAME_LABELS}
)
LEFT_SIZES: dict[str, tuple[int, ...]] = {
    last: tuple(sorted({len(word) for word in LEFT_WEIGHT if word[-1] == last}, reverse=True))
    for last in sorted({word[-1] for word in LEFT_WEIGHT})
}
FIELDS = frozenset((*cue_words("name_fields"), *cue_words("roles"), *cue_words("sure_leads")))
FIELD_ENDS = frozenset(cue_words("field_ends"))
CLINICS = frozenset(cue_words("clinics"))
DEPARTMENTS = frozenset(cue_words("departments"))
BED = cue_words("bed")[0]

CITATION = re.compile("|".join(re.escape(word) for word in cue_words("citations")))
KNOWN_PAIRS = COMMON | frozenset(word for word in EVERYDAY.words | LOOKALIKES.words if len(word) == 2)
GAPS = "\\s,.;:\uff1a\uff08(|/\u2014" + "".join(cue_words("gaps")) + "\\-"
SEXES, AGES = any_of(cue_words("sexes")), any_of(cue_words("age"))
SURE = (
    rf"[{GAPS}]{{0,3}}(?:(?:{SEXES})(?![{HAN}])"
    rf"|(?:\d{{1,3}}|[{characters('bed_counting')}]{{1,3}}\u534a?)(?:{AGES})"
    rf"|[{HAN}]{{1,5}}{cue_words('people_word')[0]}(?![{HAN}]))"
)
SURE_RIGHT = re.compile(SURE)
RIGHT = re.compile(
    rf"(?P<case>[{GAPS}]{{1,3}}(?:{SEXES})[{GAPS}]{{1,2}}\d{{1,3}}\s?(?:{AGES}))"
    rf"|(?P<sure>{SURE})"
    rf"|(?P<value>[(\uff08](?:{any_of(cue_words('bracket_notes'))})"
    rf"|[{GAPS}]{{1,3}}(?:\d{{5}}|\d{{4}}[-./]?\d|\+86|\[_)|[{GAPS}]{{0,3}}(?:{any_of(cue_words('values'))})|\d{{6}})"
    rf"|(?P<title>[ \t\u3000]?(?:{any_of([*TITLES, *COURTESIES])})"
    rf"|[ \t\u3000,\uff0c]?(?:{any_of(cue_words('greetings'))}))"
    rf"|(?P<place>{any_of(cue_words('institutions'))})"
)
PLACE = re.compile(any_of(cue_words("institutions")))
RIGHT_BEGINS = frozenset(
    word[0]
    for word in (
        *(
            word
            for name in ("sexes", "age", "values", "greetings", "institutions", "gaps")
            for word in cue_words(name)
        ),
        *TITLES,
        *COURTESIES,
        *characters("bed_counting"),
    )
)
PEOPLE = cue_words("people_word")[0]
RIGHT_WEIGHT = {"case": 5.5, "sure": 4.0, "value": 3.0, "title": 3.0, "place": -9.0}
IN_RIGHT = frozenset({"case", "sure", "value", "title"})
ACTIONS = Starts((*cue_words("actions"), *FOLLOWERS.words))
ACTION_CHARS = frozenset(word for word in ACTIONS.words if len(word) == 1)
ENDS_NO_NAME = ACTION_CHARS - GIVEN
BODY = frozenset(cue_words("body"))
BEFORE_COLON = re.compile(
    rf"([{HAN}]{{1,6}})[\])\uff09\u3011]?[ \t\u3000]{{0,6}}([:\uff1a\u2236|]?)\s{{0,4}}\Z"
)


class Beside(NamedTuple):
    """What one side of a candidate says: its weight, and whether nothing Chinese adjoins there."""

    weight: float
    is_free: bool


NOWHERE = Beside(-9.0, False)
LINE_START, FREE_LEFT, BED_LEFT = Beside(2.0, True), Beside(1.0, True), Beside(LEAD, True)
VALUE_LEFT = Beside(2.0, True)
AFTER_VALUE = re.compile(r"(?:\d{6}|_\])[,\uff0c ;\uff1b/|]{1,2}\Z")
AFTER_WORD = {word: Beside(weight, False) for word, weight in LEFT_WEIGHT.items()}
MARKS = frozenset("\uff0c,\u3002\u3001\uff01\uff1f!?\uff1b;")
"""What parts sentences and words: behind them anything may begin."""
DASHES = "\u2014\u2014"


BRACKETS = "(\uff08"


def word_before(text: str, start: int) -> Beside:
    """What the word before the place says: nothing good when it is no cue."""
    for size in LEFT_SIZES.get(text[start - 1 : start], ()):
        beside = AFTER_WORD.get(text[max(0, start - size) : start])
        if beside is not None:
            return beside
    return NOWHERE


def left_of(text: str, start: int) -> Beside:
    """What stands before a place."""
    if start == 0:
        return LINE_START
    last = text[start - 1]
    if last in HANS:
        return word_before(text, start)
    if last in MARKS and text[start - 2 : start - 1] in HANS and text[start - 2] != BED:
        return FREE_LEFT
    if last == "\n":
        return LINE_START
    if last.isalnum() or last == "_":
        return NOWHERE
    if last in "@\uff20":
        return Beside(6.0, True)
    if last == "\u3010":
        return Beside(3.0, True)
    if last in ":\uff1a\u2236 \t\u3000|\uff5c\n\u2014-":
        before = BEFORE_COLON.search(text, max(0, start - 14), start)
        if before:
            return Beside(field_weight(before[1], bool(before[2])), True)
    if last in BRACKETS and word_before(text, start - 1).weight >= ROLE_END:
        return VALUE_LEFT
    if AFTER_VALUE.search(text, max(0, start - 8), start):
        return VALUE_LEFT
    if text[start - 2 : start - 1] == BED or text[max(0, start - 2) : start] == DASHES:
        return BED_LEFT
    return FREE_LEFT


def field_weight(label: str, has_colon: bool) -> float:
    """The weight of a heading before a colon or a blank."""
    if label[-1] in FIELD_ENDS or any(label[-size:] in FIELDS for size in (4, 3, 2)):
        return 4.5 if has_colon else 3.5
    if label[-1] in CLINICS:
        return ROLE_END
    if label[-1] in DEPARTMENTS:
        return DEPARTMENT
    return 2.5 if has_colon else 1.0


BEFORE_WORD = Beside(0.5, False)
"""A word adjoins that tells nothing but where the name ends."""


def may_tell(text: str, end: int) -> bool:
    """Whether what follows the place may be more than a word of running text, told at low cost."""
    following = text[end : end + 1]
    return following not in HANS or following in RIGHT_BEGINS or PEOPLE in text[end + 1 : end + 6]


def right_of(text: str, end: int, is_line: bool) -> Beside:
    """What stands after a place; `is_line`: the candidate begins its line or stands in a bracket."""
    if end >= len(text):
        return Beside(1.0, True)
    found = RIGHT.match(text, end) if may_tell(text, end) else None
    if found:
        kind = str(found.lastgroup)
        return Beside(RIGHT_WEIGHT[kind], kind in IN_RIGHT)
    following = text[end]
    if following not in HANS:
        if is_line and following in ":\uff1a\u3011":
            return Beside(2.5, True)
        if following.isalnum() or following in "_%\u00b7":
            return Beside(-1.0, False)
        return Beside(1.0, True)
    action = ACTIONS.longest(text, end) if following in ACTIONS.sizes else 0
    if action:
        return Beside(1.5 if action > 1 else 0.5, False)
    if following in BODY or LOOKALIKES.longest(text, end) > 1 or EVERYDAY.longest(text, end) > 1:
        return Beside(0.0, False)
    return BEFORE_WORD if is_neighbour(text, end) else Beside(-2.0, False)


def word_weight(text: str, start: int, size: int, end: int) -> float:
    """What is lost because the place looks like other words."""
    length = end - start
    if text[end - 1] in ENDS_NO_NAME:
        return -4.0
    if ACTIONS.longest(text, start) > 1:
        return -9.0
    if PUBLIC_FIGURES.longest(text, start) >= length:
        return -9.0
    if size == 2:
        return 0.0
    weight = -2.0 if text[start + 1 : end] in COMMON else 0.0
    known, common = LOOKALIKES.longest(text, start), EVERYDAY.longest(text, start)
    if max(known, common) > length:
        return -9.0
    if known:
        weight -= 4.5 if known == length else 2.5
    elif common:
        weight -= 2.5 if common == length else 1.0
    return weight


def crossing_weight(text: str, first: int, end: int) -> float:
    """What is lost because a known word begins inside the given name and ends behind it."""
    for place in range(first, end):
        rest = end - place
        if ACTIONS.longest(text, place) > rest or CALLED_BY.longest(text, place) >= rest:
            return -9.0
        if LOOKALIKES.longest(text, place) > rest or EVERYDAY.longest(text, place) > rest:
            return -2.5
    last = text[end - 1]
    if text[end - 1 : end + 1] in COMMON:
        return -2.5
    if end - first > 1 and is_neighbour(text, end - 1):
        return -1.5
    return -1.5 if end - first > 1 and last in ACTION_CHARS and GIVEN_WEIGHT.get(last, 0.0) < 1 else 0.0


def titled_start(text: str, start: int) -> int:
    """Where the surname before a title stands, when something leads to it; -1 when none does."""
    place = start - 1
    if place < 0 or text[place] not in SURNAME_WEIGHT:
        return -1
    left = left_of(text, place)
    weight = SURNAME_WEIGHT[text[place]]
    # A rare surname is hardly anything else, whatever stands before it.
    is_led = left.weight >= WEAK_LEAD or (weight > 0 and not EVERYDAY.covers(text, place))
    if not is_led or weight < 0 or text[place - 1 : start] in COMMON:
        return -1
    is_spaced = text[max(0, place - 1) : place].isspace()
    if text[place] in NOT_BEFORE_TITLES and not is_spaced and left.weight < ROLE:
        return -1
    if LOOKALIKES.longest(text, place) or (left.weight < ROLE and LOOKALIKES.covers(text, place)):
        return -1
    return place
