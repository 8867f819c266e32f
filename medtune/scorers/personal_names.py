"""Names of persons: after labels, before and after titles, with sex and age, in greetings and signatures."""

import re
from collections.abc import Iterator

from medtune.scorers.personal_cues import (
    CITATION,
    PLACE,
    titled_start,
)
from medtune.scorers.personal_shapes import (
    MIDDLE_DOT,
    bounded_end,
    dotted_end,
    has_cue,
    is_covered,
    is_end,
    is_hard_end,
    is_hard_start,
    is_neighbour,
    labelled_end,
    name_end,
    name_start,
)
from medtune.scorers.personal_words import (
    BLANKS,
    CALLED_BY,
    COMMON,
    FOREIGN,
    FREQUENT,
    GIVEN,
    HAN,
    NEIGHBOURS,
    PREPOSITIONS,
    SURNAME,
    WORDY,
    Span,
    any_of,
    listed,
)

SEPARATORS = re.compile(f"[ /,\uff0c]?(?:{any_of(listed('name_separators'))}|[/,\uff0c ])[ ]?")
DOTS = frozenset(MIDDLE_DOT)
AFTER_LABEL = re.compile(rf"[)\uff09]?{BLANKS}{{0,6}}")
PERSON_GAP = frozenset(" \t\n\u3000:\uff1a,\uff0c\u3001!\uff01")
MAY_BEGIN = SURNAME | frozenset(word[0] for word in listed("called"))
CALLED = re.compile(any_of(listed("called")))
SIGNED = re.compile(
    rf"(?:\n[ \t\u3000]*|[\u2014-]{{2}} ?)([{HAN}]{{2,4}})"
    r"[ \t\u3000]*(?=\n[ \t\u3000]*\d{4}|\s*\Z|[ \t]+\d{4}[-./\u5e74])"
)


def more_names(text: str, end: int) -> Iterator[Span]:
    """The names listed after a name."""
    while (gap := SEPARATORS.match(text, end)) and (following := name_end(text, gap.end())):
        yield Span(gap.end(), following, "NAME")
        end = following


COLONS = ":\uff1a"
SURE_LABELS = frozenset(listed("sure_colon_labels"))
"""Labels before a colon after which a word is a name, whatever it looks like."""


def after_label(text: str, start: int, end: int) -> Iterator[Span]:
    """Names after a label that announces nothing else, such as a signature's."""
    gap = AFTER_LABEL.match(text, end)
    assert gap
    place = gap.end()
    called = CALLED.match(text, place)
    place = called.end() if called else place
    if text[end - 1] in COLONS:
        is_sure = text[start : end - 1] in SURE_LABELS
        name = labelled_end(text, place) if is_sure else name_end(text, place) or bounded_end(text, place)
    else:
        name = labelled_end(text, place) if place > end else name_end(text, place)
    if name:
        yield Span(place, name, "NAME")
        yield from more_names(text, name)


def after_gap(text: str, end: int) -> int:
    """The place after a cue and up to three blanks or marks."""
    place = end
    while place < end + 3 and text[place : place + 1] in PERSON_GAP:
        place += 1
    return place


def after_person(text: str, start: int, end: int) -> Iterator[Span]:
    """Names after words for persons, such as a patient, a relative, a title, a greeting."""
    place = after_gap(text, end)
    if text[place : place + 1] not in MAY_BEGIN:
        return
    called = CALLED.match(text, place)
    if called:
        yield from after_call(text, start, called.end())
        return
    name = name_end(text, place)
    if name and (place == end or is_end(text, name)):
        yield Span(place, name, "NAME")
        yield from more_names(text, name)


def after_call(text: str, start: int, end: int) -> Iterator[Span]:
    """Names after words such as `is called`: foreign ones and rare ones too."""
    place = after_gap(text, end)
    name = dotted_end(text, place) or name_end(text, place) or bounded_end(text, place)
    if name and is_end(text, name):
        yield Span(place, name, "NAME")
        yield from more_names(text, name)


def after_surname_word(text: str, start: int, end: int) -> Iterator[Span]:
    """The surname after the word surname, where a sentence or a noun follows."""
    if not is_covered(text, end, 2) and (is_hard_end(text, end + 1) or text[end + 1] == POSSESSIVE):
        yield Span(end, end + 1, "NAME")


def before_title(text: str, start: int, end: int) -> Iterator[Span]:
    """The name before a title or an appellation."""
    place = name_start(text, start)
    if place >= 0 and start - place == 2 and text[place] in PREPOSITIONS and text[start - 1] in SURNAME:
        place = start - 1
    if place < 0:
        place = titled_start(text, start)
    if place >= 0:
        yield Span(place, start, "NAME")


def before_short_title(text: str, start: int, end: int) -> Iterator[Span]:
    """The surname before a one-character appellation, where nothing but a surname can stand."""
    place = start - 1
    if place < 0 or text[place] not in FREQUENT or text[place] in PREPOSITIONS:
        return
    if has_cue(text, place) and is_end(text, end) and not is_covered(text, place, 1):
        yield Span(place, start, "NAME")


def before_follower(text: str, start: int, end: int) -> Iterator[Span]:
    """The full name before words such as `'s report`."""
    place = name_start(text, start, is_full=True)
    if place >= 0:
        yield Span(place, start, "NAME")


POSSESSIVE = listed("possessive")[0]
NOTES = re.compile(r"[\s,\uff0c\u3001(\uff08\d]{0,10}\Z")


def before_sex(text: str, start: int, end: int) -> Iterator[Span]:
    """The full name before sex or age, as the first line of a case has it."""
    head = text[max(0, start - 14) : start]
    note = NOTES.search(head)
    assert note
    stop = start - (len(head) - note.start())
    place = name_start(text, stop, is_full=True)
    if place >= 0 and is_hard_start(text, place):
        yield Span(place, stop, "NAME")


STRONG_GIVEN = "".join(sorted(GIVEN - WORDY - FOREIGN))
FREE = re.compile(f"[{''.join(sorted(FREQUENT))}][{STRONG_GIVEN}]{{2}}")


def is_between_words(text: str, start: int, end: int) -> bool:
    """Whether words or borders adjoin both sides of a name that looks like no other word itself."""
    if text[start : start + 2] in NEIGHBOURS or text[start + 1 : end] in COMMON or PLACE.match(text, end):
        return False
    is_left = has_cue(text, start) or text[max(0, start - 2) : start] in NEIGHBOURS
    if not is_left or text[max(0, start - 1) : start + 1] in NEIGHBOURS:
        return False
    if is_end(text, end):
        return True
    return is_neighbour(text, end) and text[end - 1 : end + 1] not in NEIGHBOURS


def free_names(text: str) -> Iterator[Span]:
    """Names of three characters that nothing announces but their own shape and how they are bounded."""
    for found in FREE.finditer(text):
        start, end = found.span()
        if text[start - 1 : start] in DOTS or text[end : end + 1] in DOTS:
            continue
        if not (has_cue(text, start) and is_end(text, end)) and not is_between_words(text, start, end):
            continue
        if CALLED_BY.longest(text, start + 1) or CALLED_BY.longest(text, end - 1) > 1:
            continue
        if not is_covered(text, start, 2):
            if CITATION.search(text):
                return
            yield Span(start, end, "NAME")


def signatures(text: str) -> Iterator[Span]:
    """Names that fill a line at the end of a letter, or before its date."""
    for found in SIGNED.finditer(text):
        end = name_end(text, found.start(1))
        if end == found.end(1):
            yield Span(found.start(1), end, "NAME")
