"""Text in, places of personal data out: what `medtune.data.deidentify` replaces.

`personal_search` begins at words and signs that announce a value; `personal_names` knows what a name looks
like beside a label or a title; `personal_evidence` weighs names that nothing announces (`personal_weights`:
their characters, `personal_cues`: their surroundings, `personal_peoples`: those of other peoples). Lists of
words stand in `medtune/lexicon`, read by `personal_words` and, everyday words, by `personal_dictionary`.
"""

import re
from collections.abc import Iterable

from medtune.scorers import personal_evidence as evidence
from medtune.scorers import personal_labelled as labelled
from medtune.scorers import personal_names as names
from medtune.scorers import personal_numbers as numbers
from medtune.scorers.medical_terms import overlaps_term
from medtune.scorers.personal_search import cued
from medtune.scorers.personal_words import LOOKALIKES, Span, any_of

__all__ = ["Span", "find_names", "find_personal_data"]

# Full-width digits, letters and the signs of numbers and addresses, read as their ASCII forms.
WIDE_CHARS = (
    0xFF0B,
    0xFF0D,
    0xFF0E,
    *range(0xFF10, 0xFF1A),
    *range(0xFF20, 0xFF3B),
    0xFF3F,
    *range(0xFF41, 0xFF5B),
)
WIDE = re.compile(f"[{''.join(map(chr, WIDE_CHARS))}\u2236]")
NARROW = {0x2236: 0x3A, **{char: char - 0xFEE0 for char in WIDE_CHARS}}
KINDS = "EMAIL RECORD_NO WECHAT_QQ ID_CARD BANK_CARD DATE_OF_BIRTH PHONE PLATE HOSPITAL_BED ADDRESS NAME"
RANK = {kind: rank for rank, kind in enumerate(KINDS.split())}
MAX_ROUNDS = 5
FEW_NAMES = 8


def candidates(text: str) -> list[Span]:
    """Every place that some search takes for personal; places may overlap."""
    spans = cued(text)
    spans += names.free_names(text)
    spans += evidence.weighed_names(text)
    if numbers.LONG_NUMBER.search(text):
        spans += numbers.long_numbers(text)
    if "\n" in text or "\u2014\u2014" in text or "--" in text:
        spans += names.signatures(text)
    return spans


def find_names(text: str, known: Iterable[str]) -> list[Span]:
    """Where full names that are known from elsewhere stand in the text."""
    wanted = sorted({name for name in known if len(name) > 1 and not LOOKALIKES.longest(name, 0)})
    if not wanted:
        return []
    # A few names are looked for one by one: to build a pattern takes longer than to read a short text.
    if len(wanted) <= FEW_NAMES:
        found = [(place, name) for name in wanted for place in places_of(text, name)]
    else:
        found = [(match.start(), match[0]) for match in re.finditer(any_of(wanted), text)]
    spans: list[Span] = []
    done = 0
    for place, name in sorted(found, key=lambda item: (item[0], -len(item[1]))):
        end = place + len(name)
        if place >= done and not (len(name) == 2 and is_in_word(text, place)):
            spans.append(Span(place, end, "NAME"))
            done = end
    return spans


def places_of(text: str, name: str) -> list[int]:
    """Where the name stands in the text."""
    places: list[int] = []
    place = text.find(name)
    while place >= 0:
        places.append(place)
        place = text.find(name, place + len(name))
    return places


def is_in_word(text: str, place: int) -> bool:
    """Whether the two characters at the place are part of another word."""
    return LOOKALIKES.covers(text, place) or LOOKALIKES.longest(text, place) > 2


def settle(text: str, spans: Iterable[Span]) -> list[Span]:
    """The spans in order and disjoint: of two that overlap, the more telling kind stays, then the longer."""
    taken = bytearray(len(text))
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (RANK[span.type], span.start - span.end, span.start)):
        if span.type == "NAME" and overlaps_term(text, span.start, span.end):
            continue
        if taken.find(1, span.start, span.end) < 0:
            taken[span.start : span.end] = b"\x01" * (span.end - span.start)
            kept.append(span)
    return sorted(kept)


def hide(text: str, spans: Iterable[Span]) -> str:
    """The text with brackets of the same length in place of the spans, which are in order."""
    pieces: list[str] = []
    done = 0
    for span in spans:
        size = span.end - span.start
        pieces += [text[done : span.start], "]" if size == 1 else f"[{'_' * (size - 2)}]"]
        done = span.end
    return "".join([*pieces, text[done:]])


def find_personal_data(text: str) -> list[Span]:
    """The personal values of a text, in order, disjoint: start, end and type, the value only."""
    spans: list[Span] = []
    rest = text.translate(NARROW) if WIDE.search(text) else text
    # What stands beside a value may be told only when the value is gone; so masked text holds nothing more.
    for _ in range(MAX_ROUNDS):
        read = candidates(rest) or (list(labelled.bare_dates(rest)) if spans else [])
        if not read:
            break
        found = settle(rest, read)
        spans += found
        rest = hide(rest, found)
        names_found = [text[span.start : span.end] for span in found if span.type == "NAME"]
        again = find_names(rest, [name for name in names_found if len(name) > 1])
        spans += again
        rest = hide(rest, again)
    return sorted(spans)
