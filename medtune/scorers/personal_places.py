"""Where a person lives: addresses down to the house or the village."""

import re
from collections.abc import Callable, Iterator

from medtune.scorers.personal_words import BLANKS, CITIES, HAN, PROVINCES, Span, any_of, characters, listed

NUM = rf"(?:[\dA-Za-z]{{1,5}}|[{characters('counting')}]{{1,4}})"
CHARS = rf"[{HAN}\dA-Za-z\-\u2014~#()\uff08\uff09\u00b7 ]"
CLAUSE = re.compile(f"{CHARS}{{1,80}}")
CHARS_BACK = 36
MAX_GAP = 8
MAX_UNITS = 40
BUILDING = any_of(listed("building_units"))
UNIT = re.compile(
    rf"(?P<number>{NUM}(?:{BUILDING})|\d{{1,5}}[A-Z]?(?:[\-\u2014#]\d{{1,5}}){{1,3}}(?:{BUILDING})?"
    rf"|(?<=[{characters('after_unit_digits')}])(?:\d{{3,5}}|\d{{1,3}}[A-Z])(?!\d)"
    rf"|(?<={characters('house_number')}){characters('of_number')}(?:\d{{1,2}}|[{characters('counting')}]{{1,2}}))"
    rf"|(?P<estate>(?:{any_of(listed('estates'))})(?!{any_of(listed('after_village'))}))|(?P<street>{any_of(listed('streets'))}|(?:{any_of(listed('village_groups'))})(?![{HAN}]))"
    rf"|(?P<region>{any_of(listed('regions'))})|(?P<district>{any_of(listed('districts'))})"
)
UNIT_REACH = MAX_GAP + 10
UNIT_WORDS = ("building_units", "estates", "streets", "village_groups", "regions", "districts", "of_number")
UNIT_SIGN = re.compile(f"[0-9{''.join(sorted({word[-1] for name in UNIT_WORDS for word in listed(name)}))}]")
# Units stand behind a name: a few may follow each other without one, as in a garden estate.
MAX_BARE = 2
SURE_NAMES = frozenset(listed("sure_names"))
VILLAGES = frozenset(listed("villages"))
BREAKS = re.compile(f"(?!{any_of(listed('no_breaks'))})(?:{any_of(listed('address_breaks'))})| {{2,}}")
LEAD_IN = re.compile(any_of(listed("lead_ins")))
# A road may be named after a school or a hospital, and people live in the homes of a firm.
PUBLIC_WORD = rf"(?:{any_of(listed('public_places'))})(?!{any_of(listed('after_public'))})"
PUBLIC_INSIDE = re.compile(PUBLIC_WORD)
PUBLIC_AFTER = re.compile(rf"[\dA-Za-z{HAN}(\uff08 ]{{0,12}}?{PUBLIC_WORD}")
PUBLIC_BEFORE = re.compile(
    rf"(?:{any_of([*listed('public_places'), *listed('ours')])})"
    rf"(?:(?!{any_of(listed('of_a_person'))})[^\u3002\uff1b;\n?\uff1f!\uff01]){{0,14}}\Z"
)
TAIL = re.compile(rf"[{HAN}]{{1,8}}(?=[,\uff0c\u3002\uff1b;\n)\uff09]|\Z)")
FILL = rf"(?:{any_of(listed('home_fill'))})?"
AFTER_LABEL = re.compile(rf"(?:{any_of(listed('label_fill'))})?{BLANKS}{{0,5}}{FILL}{BLANKS}{{0,2}}")
AFTER_HOME = re.compile(rf"{BLANKS}{{0,2}}{FILL}{BLANKS}{{0,2}}")
NOT_HEAD = re.compile(rf"[^{HAN}\dA-Za-z]")
REGION_NAME = re.compile(any_of([*listed("autonomous"), *PROVINCES, *CITIES]))
REGION_BEFORE = {
    size: frozenset(name for name in (*listed("autonomous"), *PROVINCES, *CITIES) if len(name) == size)
    for size in range(2, 7)
}
Search = Callable[[str, int, int], Iterator[Span]]
NOTHING = "NOTHING"
"""What was read in vain, so that it is not read again."""


def read_address(text: str, start: int) -> tuple[int, dict[str, int]]:
    """Where the chain of address units from the place ends, and how many of each kind it has."""
    clause = CLAUSE.match(text, start)
    counts: dict[str, int] = {}
    end = start
    if not clause:
        return end, counts
    num_bare = 0
    for _ in range(MAX_UNITS):
        reach = min(clause.end(), end + UNIT_REACH)
        unit = UNIT.search(text, end, reach) if counts or UNIT_SIGN.search(text, end, reach) else None
        if not unit:
            break
        kind, first = unit.lastgroup or "", unit.start()
        if first > end:
            if first - end > MAX_GAP or BREAKS.search(text, end, first):
                break
        elif kind == "number" and not counts:
            break
        num_bare = num_bare + 1 if first == end and kind != "number" else 0
        if num_bare > MAX_BARE:
            break
        if (
            counts.get("number")
            and (kind == "region" or unit.end() - end > 2)
            and (kind == "region" or REGION_NAME.search(text, end, unit.end()))
        ):
            break
        if kind == "estate" and unit[0] in VILLAGES:
            kind = "village"
        counts[kind] = counts.get(kind, 0) + 1
        if first - end >= 2 and unit[0] in SURE_NAMES:
            counts["named"] = counts.get("named", 0) + 1
        end = unit.end()
    return end, counts


def is_precise(counts: dict[str, int]) -> bool:
    """Whether an address leads to a house or to a village, not to a town only."""
    named = sum(counts.get(kind, 0) for kind in ("estate", "street", "village"))
    areas = counts.get("region", 0) + counts.get("district", 0)
    return bool(
        (named and counts.get("number"))
        or (counts.get("village") and areas >= 2)
        or counts.get("number", 0) >= 3
    )


def is_public(text: str, start: int, end: int) -> bool:
    """Whether the place is that of a hospital, a school, a firm."""
    if PUBLIC_INSIDE.search(text, start, end) or PUBLIC_BEFORE.search(text, max(0, start - 24), start):
        return True
    return bool(PUBLIC_AFTER.match(text, end))


def from_region(text: str, start: int, end: int) -> int:
    """The place where the address begins: after a bracket before its first region."""
    bracket = max(text.rfind(mark, start, end) for mark in "(\uff08")
    region = REGION_NAME.search(text, start, end) if bracket >= 0 else None
    return bracket + 1 if region and region.start() == bracket + 1 else start


def after_address_label(text: str, start: int, end: int) -> Iterator[Span]:
    """The address after its label; a district or a street is enough there."""
    gap = AFTER_LABEL.match(text, end)
    place = gap.end() if gap else end
    stop, counts = read_address(text, place)
    fine = (
        sum(count for kind, count in counts.items() if kind != "region")
        if place > end
        else counts.get("named", 0)
    )
    if not (fine or is_precise(counts)) or PUBLIC_BEFORE.search(text, max(0, start - 16), start):
        return
    place = from_region(text, place, stop)
    if place > end and (tail := TAIL.match(text, stop)) and not BREAKS.search(tail[0]):
        stop = tail.end()
    if not PUBLIC_INSIDE.search(text, place, stop):
        yield Span(place, stop, "ADDRESS")


def after_home_word(text: str, start: int, end: int) -> Iterator[Span]:
    """The address after words such as `lives in`: a village, an estate or a street at least."""
    gap = AFTER_HOME.match(text, end)
    place = gap.end() if gap else end
    stop, counts = read_address(text, place)
    if (counts.get("named") or is_precise(counts) or counts.get("district", 0) >= 2) and not is_public(
        text, place, stop
    ):
        yield Span(place, stop, "ADDRESS")


def after_region(text: str, start: int, end: int) -> Iterator[Span]:
    """The address that begins with the province or the city whose unit stands from start to end."""
    for size in range(6, 1, -1):
        place = start - size
        if place >= 0 and text[place:start] in REGION_BEFORE[size]:
            for more in (3, 2):
                if place >= more and text[place - more : place] in PROVINCES:
                    place -= more
                    break
            yield from address_at(text, place, end)
            return


def address_at(text: str, place: int, end: int) -> Iterator[Span]:
    """The address that begins at the place and reaches over the end."""
    stop, counts = read_address(text, place)
    if stop >= end:
        is_one = is_precise(counts) and not is_public(text, place, stop)
        yield Span(place, stop, "ADDRESS" if is_one else NOTHING)


def around_unit(text: str, start: int, end: int, *, floor: int = 0) -> Iterator[Span]:
    """The address around an estate, a street or a building, from the region or the words before it.

    `floor`: where the address before it ended.
    """
    if text.endswith(text[start:end], 0, start):
        return
    head = NOT_HEAD.split(text[max(0, start - CHARS_BACK, floor if floor <= start else 0) : start])[-1]
    first = start - len(head)
    places = [region.start() for region in REGION_NAME.finditer(head)]
    cuts = [lead.end() for lead in LEAD_IN.finditer(head[: places[0]] if places else head)]
    for place in places or [cuts[-1] if cuts else 0]:
        found = list(address_at(text, first + place, end))
        if found:
            yield from found
            return


BY_UNITS = frozenset({around_unit, after_region})
BY_WORDS = frozenset({after_address_label, after_home_word})


class Seen:
    """What searches for addresses have read: a chain of units is read once, not at each of its units."""

    def __init__(self, size: int) -> None:
        """Nothing is read yet of a text of so many characters."""
        self.marks = bytearray()
        self.size = size
        self.end = 0

    def is_read(self, search: Search, place: int) -> bool:
        """Whether the search finds nothing new at the place; labels may follow what was read in vain."""
        mark = self.marks[place] if self.marks else 0
        return mark > 0 and (search in BY_UNITS or (mark > 1 and search in BY_WORDS))

    def note(self, span: Span) -> None:
        """Keep in mind that an address, or nothing, was read here."""
        if not self.marks:
            self.marks = bytearray(self.size)
        if span.type != NOTHING:
            self.end = span.end
        self.marks[span.start : span.end] = (b"\x01" if span.type == NOTHING else b"\x02") * (
            span.end - span.start
        )
