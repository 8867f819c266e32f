"""Values that only the words beside them tell: numbers of records, accounts of chat services, birth dates."""

import re
from collections.abc import Iterator

from medtune.scorers.personal_numbers import DIGIT, SKIP, before
from medtune.scorers.personal_words import BLANKS, HAN, Span, any_of, characters, listed

NOTE = r"(?:[(\uff08][^()\uff08\uff09\n\d]{1,6}[)\uff09])?"
AFTER_LABEL = re.compile(NOTE + SKIP)
# A question about a value, and its answer: on the next line, after the speaker, or after the question mark.
ANSWER = (
    rf"(?:[^\n\d:\uff1a\[\]]{{0,14}}\n\s*[{HAN}]{{1,4}}[:\uff1a]\s*|[^\n\d?\uff1f:\uff1a\[\]]{{0,14}}[?\uff1f]\s*)"
    rf"(?:[{HAN}]{{1,4}}[,\uff0c:\uff1a\u3002]?\s*)?"
)
IN_ANSWER = re.compile(ANSWER)
IN_BRACKET = re.compile(
    rf"[(\uff08](?:{any_of(listed('label_fill'))}|{any_of(listed('number_words'))}){BLANKS}*"
)


RECORD_VALUE = (
    r"(?:[A-Za-z]{1,5}[\-_]?)?\d[\dA-Za-z]*(?:[\-_]\d[\dA-Za-z]*){0,4}"
    r"(?: \d{4}(?!\d)){0,4}(?:(?<= \d{4}) \d{1,3}(?=[\s,.;)\u3000\uff0c\u3002\uff1b\u3001\uff09]|\Z))?(?!\*)"
)
RECORD = re.compile(RECORD_VALUE)
RECORDS_AGAIN = re.compile(rf"(?:[\u3001/]|\s?[{characters('and_words')}]\s?)({RECORD_VALUE})")
BEFORE_RECORD = re.compile(
    rf"(?<![A-Za-z\d\-_])({RECORD_VALUE})[\s,\uff0c]?(?:{any_of(listed('this_words'))})\Z"
)
NOT_RECORD = re.compile(rf"(?:{any_of(listed('not_personal_numbers'))}){BLANKS}{{0,4}}\Z")
MIN_RECORD, MAX_RECORD = 4, 32


def is_record(value: str) -> bool:
    """Whether a value is long enough for the number of a record, and has digits enough."""
    return MIN_RECORD <= len(value) <= MAX_RECORD and sum(char.isdecimal() for char in value) >= 3


def after_record_label(text: str, start: int, end: int) -> Iterator[Span]:
    """The number of a chart, a visit, an examination or an insurance card; or the one before its label."""
    for gap in (AFTER_LABEL.match(text, end), IN_BRACKET.match(text, end), IN_ANSWER.match(text, end)):
        if not gap or NOT_RECORD.search(before(text, gap.end())):
            continue
        found = RECORD.match(text, gap.end())
        if found and is_record(found[0]):
            yield Span(found.start(), found.end(), "RECORD_NO")
            size = len(found[0])
            while (found := RECORDS_AGAIN.match(text, found.end())) and len(found[1]) == size:
                yield Span(found.start(1), found.end(1), "RECORD_NO")
            return
    found = BEFORE_RECORD.search(text, max(0, start - MAX_RECORD - 6), start)
    if found and is_record(found[1]):
        yield Span(found.start(1), found.end(1), "RECORD_NO")


CHAT_ID = re.compile(
    rf"[A-Za-z][A-Za-z0-9_\-]{{4,19}}(?![A-Za-z0-9_@.]|-)|\d{{5,12}}(?![\d@*.A-Za-z])|{DIGIT}{{5,12}}"
)
MIXED = re.compile(rf"(?:{any_of(listed('phone_mixed'))})[^\u3002\uff0c,;\uff1b\n]{{0,4}}\Z")
# Between label and account: `mine is`, or words such as `the old one`, in brackets or not.
MINE = re.compile(
    rf"[{HAN},\uff0c?\uff1f\u3002!\uff01~ \n]{{0,10}}?"
    rf"(?:{any_of(listed('mine_words'))})(?:{any_of(listed('is_words'))}){BLANKS}*"
)
WHICH = re.compile(
    rf"[(\uff08]?(?:{any_of(listed('which_words'))}){{1,2}}(?:{any_of(listed('is_words'))})?{BLANKS}*"
)
ADD = re.compile(rf"(?:{any_of(listed('add_words'))})\Z")
DIGITS_ONLY = frozenset(listed("digits_only_labels"))


def after_chat_label(text: str, start: int, end: int) -> Iterator[Span]:
    """The account after the name of a chat service, in any of its disguises."""
    label = text[start:end]
    if label.isascii():
        is_inside = start and text[start - 1].isascii() and text[start - 1].isalnum()
        following = text[end : end + 1]
        is_begun = following.isascii() and (following.isalpha() or following == "_")
        if is_inside or (is_begun and not ADD.search(before(text, start))):
            return
    for gap in (
        AFTER_LABEL.match(text, end),
        MINE.match(text, end),
        WHICH.match(text, end),
        IN_ANSWER.match(text, end),
    ):
        found = CHAT_ID.match(text, gap.end()) if gap else None
        if not found:
            continue
        value = found[0]
        is_phone = len(value) == 11 and MIXED.search(before(text, start, 10) + text[start : found.start()])
        is_word = value.isalpha() and value.isascii() and found.start() - end < 1
        if not is_phone and not is_word and not (label in DIGITS_ONLY and not value.isdecimal()):
            yield Span(found.start(), found.end(), "WECHAT_QQ")
        return


YEAR = (
    rf"(?:(?:1[89]|20)\d\d|\d\d(?=\s?{characters('year')})|[{characters('year_numerals')}]{{4}}"
    rf"|[{characters('year_numerals')}]{{2}}(?=\s?{characters('year')})|{characters('republic')}\d\d?(?=\s?{characters('year')}))"
)
NUMBER = rf"(?:\d{{1,2}}|[{characters('day_numerals')}]{{1,3}})"
SPLIT = r"\s?[./\-\u2010-\u2015\uff0f]\s?"
Y, M, D = characters("year"), characters("month"), characters("day")
BEFORE_BORN = D + M + characters("day_numerals")
ERA = rf"(?:{any_of(listed('era'))})?"
BIRTH = (
    rf"(?:{YEAR}\s?{Y}\s?[(\uff08]?{ERA}[)\uff09]?\s?{NUMBER}\s?{M}(?:\s?{NUMBER}\s?[{D}]?)?|{YEAR}{SPLIT}\d{{1,2}}{SPLIT}\d{{1,2}}(?!\d)[{D}]?"
    rf"|(?:1[89]|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)|(?:1[89]|20)\d\d[./\-](?:0?[1-9]|1[0-2])(?![\d./\-])"
    r"|(?:1[89]|20)\d\d \d{1,2} \d{1,2}(?!\d)|\d{1,2}[/](?:\d{1,2})[/](?:19|20)\d\d(?!\d))"
)
BIRTH_AFTER = re.compile(rf"{NOTE}(?:{SKIP}){ERA}{BLANKS}{{0,2}}({BIRTH})")
BIRTH_ANSWER = re.compile(rf"{ANSWER}{ERA}({BIRTH})")
# After a full label a few words may stand before the date, as in `the birthday filled in was`.
FULL_LABEL = re.compile(rf"(?:{any_of(listed('full_birth_labels'))})\Z")
BIRTH_LOOSE = re.compile(rf"[{HAN}]{{0,8}}[:\uff1a]?\s?{ERA}({BIRTH})")
BIRTH_BEFORE = re.compile(rf"(?<!\d)({BIRTH})\s?(?:{any_of(listed('birth_gap'))})?\Z")
NOT_BORN = frozenset(characters("not_born"))
BORN_END = re.compile(rf"(?![{HAN}])|[{characters('after_born')}]")


def around_birth(text: str, start: int, end: int) -> Iterator[Span]:
    """The date of birth after its label, or before words such as `was born`."""
    if text[start - 1 : start] in NOT_BORN and text[end - 1] == characters("born_in"):
        return
    found = BIRTH_AFTER.match(text, end) or BIRTH_ANSWER.match(text, end)
    if not found and FULL_LABEL.search(text, start, end):
        found = BIRTH_LOOSE.match(text, end)
    if found:
        yield Span(found.start(1), found.end(1), "DATE_OF_BIRTH")
    else:
        yield from before_birth(text, start + (1 if text[start] in D + M else 0))


def before_birth(text: str, start: int) -> Iterator[Span]:
    """The date that ends before the place."""
    found = BIRTH_BEFORE.search(text, max(0, start - 28), start)
    if found:
        yield Span(found.start(1), found.end(1), "DATE_OF_BIRTH")


def before_born(text: str, start: int, end: int) -> Iterator[Span]:
    """The date before a lone `born`: no longer word such as `biochemistry` begins with it."""
    if BORN_END.match(text, end):
        yield from before_birth(text, start)


BREAK = r"[\s,;|/\uff0c\uff1b\u3001\u3000\u3002()\uff08\uff09]"
FULL_DATE = (
    rf"(?:(?:19|20)\d\d(?:\s?{Y}\s?\d{{1,2}}\s?{M}(?:\s?\d{{1,2}}\s?[{D}])?|{SPLIT}\d{{1,2}}{SPLIT}\d{{1,2}}"
    r"|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d))"
)
SEX = rf"[{characters('sexes')}]{characters('of_sex')}?"
PERSON_FIELD = rf"\]|{SEX}|(?P<age>\d{{1,3}})\s?[{characters('units_of_time')}Yy]"
BED_NO = characters("bed_unit")
BARE_DATE = re.compile(
    rf"(?:(?:{PERSON_FIELD}){BREAK}{{1,3}}(?P<after>{FULL_DATE})(?={BREAK}|\Z)"
    rf"(?!{BREAK}{{0,3}}(?:{any_of(listed('event_words'))})(?!{BED_NO}))"
    rf"|(?:^|[:\uff1a\n])[{HAN}]{{2,4}}{BREAK}{{1,3}}(?P<alone>{FULL_DATE})"
    rf"(?={BREAK}{{1,3}}(?:[^\s,;\uff0c\uff1b\u3002]{{0,8}}\[_|{SEX}{BREAK})))"
)
LAST_CENTURY = "19"
PRESENT = range(2012, 2027)
MIN_AGE = 8


def bare_dates(text: str) -> Iterator[Span]:
    """Dates that are a field of their own beside fields about a person, too early for an event of today."""
    for found in BARE_DATE.finditer(text):
        kind = "after" if found["after"] else "alone"
        age = int(found["age"] or 0)
        # Year and age add up to the present; what happened lately to somebody of that age does not.
        is_of_age = age >= MIN_AGE and int(found[kind][:4]) + age in PRESENT
        if found[kind].startswith(LAST_CENTURY) or is_of_age:
            yield Span(found.start(kind), found.end(kind), "DATE_OF_BIRTH")
