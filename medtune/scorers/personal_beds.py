"""Where a patient lies: the bed with its ward and department."""

import re
from collections.abc import Iterable, Iterator

from medtune.scorers.personal_words import BLANKS, Span, any_of, characters, listed

COUNTING = characters("counting")
DEPARTMENTS = listed("departments")
STEMS = (*(name[:-1] for name in DEPARTMENTS if len(name) > 2), *DEPARTMENTS, *listed("department_stems"))
SIDE = rf"[{characters('sides')}]"
NUM = rf"(?:[\dA-Za-z]{{1,5}}|[{COUNTING}]{{1,4}})"
SMALL = rf"(?:\d{{1,2}}|[{COUNTING}]{{1,2}})"
NUMBERED = characters("numbered")
BED = characters("bed")
CHARS_BACK = 32


def backwards(words: Iterable[str]) -> str:
    """A pattern for words that are read from their ends."""
    return any_of(word[::-1] for word in words)


# Beds are read from the word bed to the left: number, wards, department. Departments are numbered too.
STEM = f"(?:{backwards(STEMS)})"
DEPARTMENT = f"(?:{NUMBERED}{SMALL}{STEM}|{backwards(DEPARTMENTS)})"
WARD = (
    f"(?:(?:{backwards(listed('wards'))}){NUM}(?:{SIDE}|{STEM})?|(?:{backwards(listed('side_wards'))})(?:{SIDE}|{STEM})"
    rf"|(?<=\d){SIDE}|{backwards(listed('named_wards'))})"
)
EXTRA = rf"(?:\+|{backwards(listed('extra_bed'))})?"
LETTERED = (
    rf"(?:[A-Za-z]?(?:\d{{1,3}}-)?\d{{1,4}}(?![.*])(?:[A-Za-z]{{0,3}})|[{characters('bed_counting')}]{{1,4}})"
)
NOTE = r"(?:[)\uff09][A-Za-z]{2,5}[(\uff08])?"
BED_UNIT = any_of(listed("bed_unit"))
BEFORE_BED = re.compile(
    f"[ ]?(?:{BED_UNIT})?[ ]?({LETTERED}{EXTRA}(?:[ \\-]?{WARD}){{0,4}}(?:[ \\-]?{NOTE}{DEPARTMENT})?)"
)
WARDS_FORWARD = (
    rf"(?:(?:{any_of(DEPARTMENTS)}|(?:{any_of(STEMS)}){SMALL}{NUMBERED})[ ]?)?"
    rf"(?:(?:(?:{any_of(listed('named_wards'))})"
    rf"|(?:{SIDE}|{any_of(STEMS)})?{NUM}(?:{any_of(listed('wards'))}))[ \-]?){{0,4}}"
)
BED_NUMBER = (
    rf"(?:\+|(?:{any_of(listed('extra_bed'))}))?"
    rf"(?:[A-Za-z]{{0,3}}\d{{1,4}}(?:-\d{{1,3}})?[A-Za-z]?|[{characters('bed_counting')}]{{1,4}})"
)
NO_BED = re.compile(any_of(listed("bed_after")))
COUNTED = re.compile(rf"(?:{any_of(listed('bed_before'))})[^\d(\uff08,\uff0c\u3001;\uff1b:\uff1a\u3002]?\Z")
BED_VALUE = re.compile(
    rf"{WARDS_FORWARD}{BED_NUMBER}(?:{BED_UNIT})?(?:{BED})?(?![\d.*]|\s?[{characters('bed_counters')}])"
)
AFTER_BED_LABEL = re.compile(
    rf"(?:{any_of(listed('label_fill'))})?{BLANKS}{{1,4}}|(?:{any_of(listed('label_fill'))})|(?<={BED_UNIT})(?=\d)"
)


def around_bed(text: str, start: int, end: int) -> Iterator[Span]:
    """Ward and bed before the word bed."""
    if start == 0 or NO_BED.match(text, end):
        return
    found = BEFORE_BED.match(text[max(0, start - CHARS_BACK) : start][::-1])
    if found:
        first = start - found.end()
        if not COUNTED.search(text, max(0, first - 3), first):
            yield Span(first, end, "HOSPITAL_BED")


def after_bed_label(text: str, start: int, end: int) -> Iterator[Span]:
    """Ward and bed after a label."""
    gap = AFTER_BED_LABEL.match(text, end)
    found = BED_VALUE.match(text, gap.end()) if gap else None
    if found:
        yield Span(found.start(), found.end(), "HOSPITAL_BED")
