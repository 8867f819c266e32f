"""Numbers that tell by themselves whose they are: phones, cards, plates; and addresses of the net."""

import re
from collections.abc import Iterator
from datetime import date

from medtune.scorers.personal_words import BLANKS, DIGIT_VALUES, NUMERALS, Span, any_of, characters, listed

DIGIT = rf"[\d{NUMERALS}]"
GAP = r"[ \u3000\-\u2010-\u2015\uff0d\u00b7.]"
LONG_NUMBER = re.compile(
    rf"{DIGIT}(?:[ \u3000\-\u2010-\u2015\uff0d\u00b7.()\uff08\uff09]{{0,3}}{DIGIT}){{6}}"
)
MOBILE = re.compile(
    rf"(?<![\d.*])(?:(?:[+\uff0b]|00)?86{GAP}?|[(\uff08][+\uff0b]?86[)\uff09]{GAP}?)?"
    r"(1[3-9]\d{9}|[\uff11][\uff13-\uff19][\uff10-\uff19]{9}"
    r"|1[3-9]\d[ \-\u2010-\u2015\uff0d\u00b7.\u3000]{1,3}\d{4}[ \-\u2010-\u2015\uff0d\u00b7.\u3000]{1,3}\d{4}"
    rf"|1[3-9]\d{GAP}\d{{3}}{GAP}\d{{5}}|1[3-9]\d\d{GAP}\d{{3}}{GAP}\d{{4}}|1[3-9]\d{GAP}\d{{8}}|1[3-9]\d{{5}}{GAP}\d{{4}}"
    rf"|1[3-9]\d{GAP}\d\d{GAP}\d{{3}}{GAP}\d{{3}}|1[3-9]\d{GAP}\d{{3}}{GAP}\d{{2}}{GAP}\d{{3}}"
    rf"|1{GAP}[3-9](?:{GAP}\d){{9}})(?![\d*]|\.\d|\s?(?:[A-Za-z]+/|{any_of(listed('amounts'))}))"
)
SPELLED = re.compile(rf"(?<!{DIGIT}){DIGIT}(?:{GAP}?{DIGIT}){{10}}")
LANDLINE = re.compile(
    rf"(?<![\d.*\-])(?:(?:[+\uff0b]|00)86{GAP}?)?"
    r"((?:[(\uff08]0?(?:10|2\d|[3-9]\d\d)[)\uff09][ \-]?"
    r"|0(?:10|2\d|[3-9]\d\d)[ \-\u2010-\u2015\uff0d]{1,3})(?:\d{3,4}[ \-]?\d{4}|\d{4}[ \-]\d{3})"
    rf"(?:[ \uff0c,]?(?:{any_of(listed('extensions'))}|[\-\u2010-\u2015\uff0d])[ ]?\d{{1,6}})?)(?![\d*]|\.\d)"
)
JOINED_LANDLINE = re.compile(r"(?<![\d.*])(0(?:10|2\d)\d{8}|0[3-9]\d\d\d{7,8})(?![\d*]|\.\d)")
IDENTITY = re.compile(
    r"(?<![\dA-Za-z])[1-9]\d(?:[ \u3000\-]?\d){15}[ \u3000\-]?[\dXx\uff38\uff58](?![\dA-Za-z*])"
)
OLD_IDENTITY = re.compile(r"(?<![\dA-Za-z])[1-9]\d{14}(?![\dA-Za-z*])")
CARD = re.compile(r"(?<![\dA-Za-z.])\d(?:[ \u3000\-]?\d){15,18}(?![\dA-Za-z*]|\.\d)")
# First two digits of a citizen's number: the provinces of GB/T 2260.
REGIONS = frozenset(
    str(code)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for code in range(first, last + 1)
)
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
BANK_PREFIXES = tuple(
    ["62", "60", "4", "51", "52", "53", "54", "55", "34", "35", "36", "37", "95", "68", "69", "88"]
)

SKIP = (
    rf"(?:{any_of(listed('label_fill'))})?{BLANKS}{{0,4}}(?:{any_of(listed('label_fill'))})?{BLANKS}{{0,3}}"
)
AFTER_LABEL = re.compile(SKIP)


def ends_with(words: str) -> re.Pattern[str]:
    """A pattern for text that ends with one of the words of a list and what may follow a label."""
    between = rf"[^\d\s\u3002\uff0c\uff1b;\uff1f?!\uff01]{{0,5}}{BLANKS}{{0,4}}(?:86|\+86)?[ \-]?"
    return re.compile(rf"(?:{any_of(listed(words))}){between}\Z")


NOT_PERSONAL, IDENTITY_LABEL = ends_with("not_personal_numbers"), ends_with("id_labels")
BANK_LABEL, BANK_SURE, PHONE_LABEL = (
    ends_with("bank_labels"),
    ends_with("bank_sure_labels"),
    ends_with("phone_labels"),
)
PUBLIC = re.compile(rf"(?:{any_of(listed('public_words'))})[^\n\u3002\uff0c\uff1b;,]{{0,12}}\Z")


def before(text: str, start: int, size: int = 20) -> str:
    """The text before a place."""
    return text[max(0, start - size) : start]


def plain_digits(value: str) -> str:
    """The digits of a value as ASCII, with a closing X."""
    folded = value.translate(DIGIT_VALUES)
    digits = "".join(str(int(char)) for char in folded if char.isdecimal())
    return digits + ("X" if folded[-1] in "Xx\uff38\uff58" else "")


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there was such a day in the last two centuries."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return 1850 <= year <= 2100


def is_identity(number: str) -> bool:
    """Whether 18 characters are a citizen's number: region, birth date and checksum of GB 11643 are right."""
    if number[:2] not in REGIONS or not is_date(int(number[6:10]), int(number[10:12]), int(number[12:14])):
        return False
    rest = sum(int(digit) * weight for digit, weight in zip(number[:17], WEIGHTS, strict=True)) % 11
    return "10X98765432"[rest] == number[17]


def is_luhn(number: str) -> bool:
    """Whether the last digit is the check digit of Luhn (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def cards(text: str) -> Iterator[Span]:
    """Citizens' numbers and bank cards."""
    for found in IDENTITY.finditer(text):
        number = plain_digits(found[0])
        head = before(text, found.start())
        if NOT_PERSONAL.search(head):
            continue
        is_labelled = IDENTITY_LABEL.search(head) and not BANK_SURE.search(head)
        if is_labelled or is_identity(number):
            yield Span(found.start(), found.end(), "ID_CARD")
    for found in OLD_IDENTITY.finditer(text):
        if IDENTITY_LABEL.search(before(text, found.start())):
            yield Span(found.start(), found.end(), "ID_CARD")
    for found in CARD.finditer(text):
        number = plain_digits(found[0])
        head = before(text, found.start(), 24)
        if NOT_PERSONAL.search(head):
            continue
        is_right = is_luhn(number) and (number.startswith(BANK_PREFIXES) or BANK_LABEL.search(head))
        if is_right or BANK_SURE.search(head):
            yield Span(found.start(), found.end(), "BANK_CARD")


IN_CODE = re.compile(
    r"(?<![A-Za-z])(?!(?:tel|phone|mobile|mob|t|m|p|vx?|wx?|q+)[.]?\Z)[A-Za-z]{1,20}\Z|_\Z", re.IGNORECASE
)


def phones(text: str) -> Iterator[Span]:
    """Mobile phones in any writing, and landlines that are not those of an institution."""
    for found in MOBILE.finditer(text):
        if not NOT_PERSONAL.search(before(text, found.start())) and not IN_CODE.search(
            before(text, found.start(1))
        ):
            yield Span(found.start(1), found.end(1), "PHONE")
    for found in SPELLED.finditer(text):
        number = plain_digits(found[0])
        if (
            not found[0].isascii()
            and re.match("1[3-9]", number)
            and not NOT_PERSONAL.search(before(text, found.start()))
        ):
            yield Span(found.start(), found.end(), "PHONE")
    for found in LANDLINE.finditer(text):
        head = before(text, found.start())
        if not NOT_PERSONAL.search(head) and not PUBLIC.search(head):
            yield Span(found.start(1), found.end(1), "PHONE")
    for found in JOINED_LANDLINE.finditer(text):
        head = before(text, found.start())
        if PHONE_LABEL.search(head) and not NOT_PERSONAL.search(head) and not PUBLIC.search(head):
            yield Span(found.start(1), found.end(1), "PHONE")


def long_numbers(text: str) -> Iterator[Span]:
    """Everything that its digits alone tell; for texts in which `LONG_NUMBER` is found."""
    yield from cards(text)
    yield from phones(text)


LOCAL_PHONE = re.compile(
    rf"(?:[2-8]\d{{2,3}}[ \-]?\d{{4}}(?:(?:{any_of(listed('extensions'))}|-)\d{{1,6}})?)(?![\d*.A-Za-z])"
)


def after_phone_label(text: str, start: int, end: int) -> Iterator[Span]:
    """A landline without area code, which only a label tells."""
    gap = AFTER_LABEL.match(text, end)
    found = LOCAL_PHONE.match(text, gap.end() if gap else end)
    if found and not PUBLIC.search(before(text, start) + text[start:end]):
        yield Span(found.start(), found.end(), "PHONE")


LOCAL_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
DOT = f"(?:[.]| ?(?:{any_of(listed('email_dot'))}) ?)"
DOMAIN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9\-]{{0,62}}(?:{DOT}[A-Za-z0-9\-]{{1,63}}){{1,4}}")


TOP_LEVEL = re.compile(r"(?:com|cn|net|org|edu|gov|hk|tw)$")


def around_at(text: str, start: int, end: int) -> Iterator[Span]:
    """The e-mail address around an at sign or what is written for one."""
    head = (
        text[max(0, start - 65) : start].rstrip(" ") if end - start > 1 else text[max(0, start - 65) : start]
    )
    local = head[len(head.rstrip(LOCAL_CHARS)) :].lstrip(".-+%")
    place = end + (1 if text[end : end + 1] == " " and end - start > 1 else 0)
    domain = DOMAIN.match(text, place)
    if local and domain and (end - start == 1 or TOP_LEVEL.search(domain[0].lower())):
        first = max(0, start - 65) + len(head) - len(local)
        yield Span(first, domain.end() - (len(domain[0]) - len(domain[0].rstrip("-"))), "EMAIL")


PLATE = re.compile(
    rf"[{characters('plate_provinces')}][A-HJ-NP-Za-hj-np-z\uff21-\uff3a][ \u00b7\u2022.\-\u3000]?"
    r"(?:[A-HJ-NP-Z0-9a-hj-np-z]{5}[0-9DFdf]|[A-HJ-NP-Z0-9a-hj-np-z\uff10-\uff19]{4}"
    rf"[A-HJ-NP-Z0-9a-hj-np-z\uff10-\uff19{characters('plate_tail')}])(?![A-Za-z0-9])"
)


def plate_at(text: str, start: int, end: int) -> Iterator[Span]:
    """The mainland number plate that begins at the place, of seven characters or eight."""
    found = PLATE.match(text, start)
    if found and sum(char.isdecimal() for char in found[0]) >= 2:
        yield Span(start, found.end(), "PLATE")
