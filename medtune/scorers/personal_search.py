"""Which search begins at which word or sign: the first look at a text, which tells most texts at low cost.

Words are told by their first two characters, signs by one and its neighbours; then the search of the cue
looks around it. Searches stand beside what they look for: `personal_names`, `personal_numbers`,
`personal_places`, `personal_beds`, `personal_labelled`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from medtune.scorers import personal_beds as beds
from medtune.scorers import personal_labelled as labelled
from medtune.scorers import personal_names as names
from medtune.scorers import personal_numbers as numbers
from medtune.scorers import personal_places as places
from medtune.scorers.personal_words import (
    COURTESIES,
    GIVEN,
    HAN,
    IN_NAMES,
    MOST_FREQUENT,
    NAME_LABELS,
    PERSON_WORDS,
    SURNAME,
    TITLES,
    Span,
    characters,
    listed,
)

Search = Callable[[str, int, int], Iterator[Span]]
"""Looks around a cue that stands from start to end of a text."""

HAN_LABEL = re.compile(f"[{HAN}]{{2,4}}")


def spaced(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels, and short ones also with blanks between their characters as forms print them."""
    labels = tuple(labels)
    short = [label for label in labels if HAN_LABEL.fullmatch(label)]
    return (*labels, *(blank.join(label) for label in short for blank in " \u3000"))


SEARCHES: dict[Search, tuple[str, ...]] = {
    labelled.after_record_label: spaced(listed("record_labels")),
    labelled.after_chat_label: spaced(listed("chat_labels")),
    numbers.after_phone_label: spaced(listed("phone_labels")),
    labelled.around_birth: (*spaced(listed("birth_labels")), *listed("birth_after")),
    numbers.around_at: (*listed("email_at"), " at ", " AT "),
    beds.after_bed_label: spaced(listed("bed_labels")),
    places.after_address_label: spaced(listed("address_labels")),
    places.after_home_word: listed("home_words"),
    places.around_unit: listed("unit_cues"),
    places.after_region: listed("autonomous_units"),
    names.after_label: (
        *NAME_LABELS,
        *(label + colon for label in listed("colon_labels") for colon in ":\uff1a"),
    ),
    names.before_title: (*TITLES, *COURTESIES),
    names.after_person: PERSON_WORDS,
    names.after_call: tuple(word for word in listed("call_words") if len(word) > 1),
    names.before_follower: listed("after_names"),
    names.before_sex: listed("relations"),
}
"""Each search with its cues of two characters and more."""

NOTHING = places.NOTHING
DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
POSSESSIVE = listed("possessive")[0]


class Sign(NamedTuple):
    """Characters that start a search when a neighbour stands left or right of them; none named: any."""

    search: Search
    chars: str
    lefts: str = ""
    rights: str = ""


SIGNS = (
    Sign(numbers.around_at, characters("at_signs"), DIGITS + LETTERS + "_"),
    Sign(beds.around_bed, characters("bed"), DIGITS + "ABCDEFGH" + characters("bed_left") + " "),
    Sign(places.around_unit, characters("short_units"), "", DIGITS + characters("bed_left")),
    Sign(places.around_unit, characters("house_units"), DIGITS + characters("bed_left")),
    Sign(places.around_unit, characters("village_units")),
    Sign(places.after_region, characters("region_units")),
    Sign(labelled.before_born, characters("born"), DIGITS + labelled.BEFORE_BORN),
    Sign(names.before_sex, characters("sexes"), ",\uff0c\u3001 \u3000(\uff08\t|/;\uff1b"),
    Sign(names.before_short_title, characters("short_courtesies"), MOST_FREQUENT),
    Sign(names.after_call, characters("called_short"), "", MOST_FREQUENT),
    Sign(names.after_person, characters("bed"), DIGITS + characters("bed_left"), "".join(sorted(SURNAME))),
    Sign(names.after_surname_word, characters("surname_word"), "", "".join(sorted(SURNAME))),
)


MAY_FOLLOW: dict[Search, frozenset[str]] = {
    names.after_person: SURNAME
    | frozenset(" \t\u3000\n:\uff1a,\uff0c\u3001!\uff01")
    | frozenset(characters("called")),
}
MAY_PRECEDE: dict[Search, frozenset[str]] = {names.before_title: IN_NAMES, names.before_follower: GIVEN}
"""The characters without which a search beside a frequent cue need not begin."""


Searches = tuple[tuple[Search, frozenset[str] | None, frozenset[str] | None], ...]
"""Searches, each with the characters that may stand before and after its cue; none: any."""


class Cue(NamedTuple):
    """What a pair of characters may begin: a word, and the searches that it starts."""

    word: str
    searches: Searches


def guarded(searches: Iterable[Search]) -> Searches:
    """Searches with what must stand before and after their cue."""
    return tuple((search, MAY_PRECEDE.get(search), MAY_FOLLOW.get(search)) for search in searches)


def cues_by_pair() -> dict[str, dict[str, tuple[Cue, ...]]]:
    """The cues under their first two characters and third, longer words first; under "" those of two."""
    searches: dict[str, list[Search]] = {}
    for search, words in SEARCHES.items():
        for word in words:
            searches.setdefault(word, []).append(search)
    for word in listed("possessed"):
        searches.setdefault(POSSESSIVE + word, []).append(names.before_follower)
    table: dict[str, dict[str, list[Cue]]] = {}
    for word in sorted(searches, key=lambda word: (-len(word), word)):
        table.setdefault(word[:2], {}).setdefault(word[2:3], []).append(Cue(word, guarded(searches[word])))
    for province in characters("plate_provinces"):
        for letter in LETTERS:
            table.setdefault(province + letter, {}).setdefault("", []).append(
                Cue(province, guarded([numbers.plate_at]))
            )
    return {
        pair: {third: (*cues, *(by_third.get("", ()) if third else ())) for third, cues in by_third.items()}
        for pair, by_third in table.items()
    }


BY_PAIR = cues_by_pair()
PAIR = re.compile(
    f"[{re.escape(''.join(sorted({pair[0] for pair in BY_PAIR})))}]"
    f"(?=[{re.escape(''.join(sorted({pair[1] for pair in BY_PAIR})))}])"
)


def searches_by_sign() -> dict[str, Searches]:
    """The searches of each single character, with what must stand before and after it."""
    table: dict[str, list[tuple[Search, frozenset[str] | None, frozenset[str] | None]]] = {}
    for sign in SIGNS:
        lefts, rights = frozenset(sign.lefts) or None, frozenset(sign.rights) or None
        for char in sign.chars:
            table.setdefault(char, []).append((sign.search, lefts, rights))
    return {char: tuple(searches) for char, searches in table.items()}


BY_SIGN = searches_by_sign()
SIGN = re.compile(f"[{re.escape(''.join(sorted(BY_SIGN)))}]")


def spans_of(search: Search, text: str, start: int, *, end: int, seen: places.Seen) -> list[Span]:
    """What a search finds around a cue, where none has read before."""
    if seen.marks and seen.is_read(search, start):
        return []
    if search is places.around_unit:
        spans = list(places.around_unit(text, start, end, floor=seen.end))
    else:
        spans = list(search(text, start, end))
    for span in spans:
        if span.type in ("ADDRESS", NOTHING):
            seen.note(span)
    return [span for span in spans if span.type != NOTHING]


def cued(text: str) -> list[Span]:
    """What the searches find around their cues: words first, then signs."""
    spans: list[Span] = []
    read_to = 0
    seen = places.Seen(len(text))
    for pair in PAIR.finditer(text):
        place = pair.start()
        by_third = BY_PAIR.get(text[place : place + 2])
        if by_third is None or place < read_to:
            continue
        before = text[place - 1 : place]
        for word, searches in by_third.get(text[place + 2 : place + 3]) or by_third.get("", ()):
            if len(word) > 2 and not text.startswith(word, place):
                continue
            end = place + len(word)
            after = text[end : end + 1]
            num_before = len(spans)
            for search, left, right in searches:
                if (left is None or before in left) and (right is None or after in right):
                    spans += spans_of(search, text, place, end=end, seen=seen)
            # Of several words that begin at a place the longest that leads to a value stands for all.
            if len(spans) > num_before:
                read_to = place + 1 if word[0] == POSSESSIVE else end
                break
    for sign in SIGN.finditer(text):
        place, end = sign.span()
        before, after = text[place - 1 : place], text[end : end + 1]
        for search, left, right in BY_SIGN[sign[0]]:
            if (left is None or before in left) and (right is None or after in right):
                spans += spans_of(search, text, place, end=end, seen=seen)
    return spans
