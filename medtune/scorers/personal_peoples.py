"""Names of other peoples, in parts with dots or made of known pieces, and names spread over blanks."""

import re
from collections.abc import Iterator

from medtune.scorers.personal_cues import (
    ACTIONS,
    LEAD,
    LEFT_SIZES,
    left_of,
    right_of,
)
from medtune.scorers.personal_weights import (
    SURNAME_WEIGHT,
    cue_words,
)
from medtune.scorers.personal_words import (
    CALLED_BY,
    HAN,
    HANS,
    LOOKALIKES,
    NEVER,
    PUBLIC_FIGURES,
    Span,
    any_of,
)

DOTS = "\u00b7\u2022\u2027\u30fb"
DOT_1, DOT_2, DOT_3, DOT_4 = DOTS
DOTTED_RUN = re.compile(f"[{HAN}]{{1,12}}(?:[{DOTS}][{HAN}]{{1,12}}){{1,3}}")
SYLLABLES = frozenset("".join(cue_words("syllables")))
MIN_SYLLABLES = 0.75
"""The share of a dotted name's characters that write foreign sounds."""

PIECES = (*cue_words("tibetan"), *cue_words("mongolian"), *cue_words("turkic"))
PIECE = re.compile(any_of(PIECES))
PIECES_BEGIN = re.compile(
    f"[{''.join(sorted({piece[0] for piece in PIECES}))}]"
    f"(?=[{''.join(sorted({piece[1] for piece in PIECES}))}])"
    f"(?:(?<=[{''.join(LEFT_SIZES)}].)|(?<![{HAN}\\d_a-zA-Z].))"
)
ENOUGH = 5.0
NO_GIVEN = "".join(sorted(NEVER))
CLAN = cue_words("clan")[0]

SURNAMES = "".join(sorted(SURNAME_WEIGHT))
NO_SEX = "".join(cue_words("sexes"))
SPACES = "[ \t\u3000]"
SPACED_LABEL = f"{SPACES}*".join(cue_words("spaced_label"))
SPACED = re.compile(
    rf"{SPACED_LABEL}{SPACES}*[:\uff1a\u2236]?{SPACES}*"
    rf"([{SURNAMES}](?:{SPACES}{{1,2}}(?![{NO_SEX}])[{HAN}]){{1,2}})(?![{HAN}])"
)
SPACED_FIRST = cue_words("spaced_label")[0]


def dotted_names(text: str) -> Iterator[Span]:
    """Names of several parts with dots between them, whose characters write foreign sounds."""
    for found in DOTTED_RUN.finditer(text):
        start, end = found.span()
        first = next(place for place in range(start, end) if text[place] in DOTS)
        last = max(place for place in range(start, end) if text[place] in DOTS)
        # The latest cue before the first dot parts the name from what leads to it.
        for place in range(first - 1, start, -1):
            if text[place - 1] not in SYLLABLES and left_of(text, place).weight >= LEAD:
                start = place
                break
        for place in range(last + 2, end):
            is_next = text[place] not in SYLLABLES and ACTIONS.longest(text, place) > 0
            if is_next or CALLED_BY.longest(text, place) > 0:
                end = place
                break
        chars = [char for char in text[start:end] if char not in DOTS]
        share = sum(char in SYLLABLES for char in chars) / len(chars)
        is_public = any(PUBLIC_FIGURES.longest(text, place) for place in range(start, end))
        if share >= MIN_SYLLABLES and not is_public and right_of(text, end, False).weight > -3:
            yield Span(start, end, "NAME")


def pieced_names(text: str) -> Iterator[Span]:
    """Names made of the pieces of Tibetan, Mongolian and Turkic names."""
    done = 0
    for found in PIECES_BEGIN.finditer(text):
        start = end = found.start()
        if start < done:
            continue
        shape = 0.0
        while piece := PIECE.match(text, end):
            end = piece.end()
            shape += 2.5 if len(piece[0]) > 2 else 1.5
        if (
            end == start
            or text[end : end + 1] in tuple(DOTS)
            or LOOKALIKES.longest(text, start) >= end - start
        ):
            continue
        if left_of(text, start).weight + shape + right_of(text, end, False).weight >= ENOUGH:
            yield Span(start, end, "NAME")
            done = end


CLAN_NAME = re.compile(rf"[{SURNAMES}]{CLAN}(?![{NO_GIVEN}])[{HAN}](?![{NO_GIVEN}])[{HAN}](?![{HAN}])")


def clan_names(text: str) -> Iterator[Span]:
    """Names of a surname, the word for clan and a given name, where something leads to them."""
    for found in CLAN_NAME.finditer(text):
        if left_of(text, found.start()).weight >= LEAD and not LOOKALIKES.longest(text, found.start()):
            yield Span(found.start(), found.end(), "NAME")


def spaced_names(text: str) -> Iterator[Span]:
    """Names whose characters stand apart, after a label that does so too or not."""
    for found in SPACED.finditer(text):
        if text[found.end(1) - 1] in HANS:
            yield Span(found.start(1), found.end(1), "NAME")


def foreign_names(text: str) -> Iterator[Span]:
    """Names of these four kinds."""
    # A look for one rare sign tells most texts at no cost.
    if DOT_1 in text or DOT_2 in text or DOT_3 in text or DOT_4 in text:
        yield from dotted_names(text)
    yield from pieced_names(text)
    if CLAN in text:
        yield from clan_names(text)
    if SPACED_FIRST in text:
        yield from spaced_names(text)
