"""The dose of a drug and how often it is taken, where an answer tells them."""

from functools import lru_cache
from typing import NamedTuple

from medtune.scorers.safety.clauses import WINDOW, Clauses, is_denied
from medtune.scorers.safety.words import pattern, wordlist

MAX_CLAUSES = 4
"""Clauses after a drug in which its dose is looked for."""
MAX_LINES = 5
"""Lines after one that holds but a drug in which its dose is looked for, as on a card or in a table."""
NEAR = 8
"""Characters between a drug and its dose where food or a measure is named later."""
LEAD = 3
"""Characters between what opens a sentence or a line about a portion and the portion."""
PORTION_CHARS = 16
"""So long is a portion that opens a sentence."""


class Portion(NamedTuple):
    """Where a dose and a frequency stand."""

    dose: tuple[int, int] | None
    frequency: tuple[int, int] | None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.dose or self.frequency)

    def begin(self) -> int:
        """Where the first of the two begins."""
        return min(span[0] for span in self if span)


NONE = Portion(None, None)


@lru_cache(maxsize=1)
def has_portion(text: str) -> bool:
    """Whether there is any dose or frequency in the text: it is asked for each drug of an answer."""
    return bool(pattern("dose").search(text) or pattern("frequency").search(text))


def find_portion(clauses: Clauses, start: int, end: int, *, next_drug: int) -> Portion:
    """The dose and the frequency told of the drug that stands from `start` to `end`.

    They stand before it in its clause, after it in its sentence, at the head of the next sentence or in the
    lines of its card. Water, food and what is measured have none, and a clause about them ends the search.
    """
    if not has_portion(clauses.text):
        return NONE
    number = clauses.number_at(start)
    begin = max(clauses.starts[number], start - WINDOW // 2)
    dose, frequency = _search(clauses, begin, start)
    if dose and not pattern("dose_before").search(clauses.text[dose[1] : start]):
        dose = None
    last = min(next_drug, clauses.sentence_ends[number])
    for step in range(MAX_CLAUSES):
        place = number + step
        if place >= len(clauses.starts) or clauses.starts[place] >= last or (dose and frequency):
            break
        first = max(clauses.starts[place], end)
        stop = min(clauses.ends[place], last, first + WINDOW)
        if pattern("other_portion").search(clauses.text, first, stop):
            if step:
                break
            is_first = pattern("other_portion").search(clauses.text, first, first + NEAR)
            stop = first if is_first else first + NEAR
        more = _search(clauses, first, stop)
        if more.dose and more.dose[1] == next_drug < len(clauses.text):
            # An amount right before another drug is of that one.
            more = Portion(None, more.frequency)
        if step and is_denied(clauses.text[first : more.begin() if more else first]):
            break
        dose, frequency = dose or more.dose, frequency or more.frequency
    found = Portion(dose, frequency)
    found = found or _find_later(clauses, end, clauses.sentence_ends[number], next_drug=next_drug)
    return found or _find_before(clauses, number)


def _find_before(clauses: Clauses, number: int) -> Portion:
    """The portion in the clauses before the drug's in its sentence that tell nothing else."""
    dose = frequency = None
    for place in (number - 1, number - 2):
        if place < 0 or clauses.sentence_starts[place] != clauses.sentence_starts[number]:
            break
        start, end = clauses.starts[place], clauses.ends[place]
        found = _search(clauses, start, min(end, start + WINDOW))
        if not found or end - start - sum(last - first for first, last in filter(None, found)) > LEAD:
            break
        dose, frequency = dose or found.dose, frequency or found.frequency
    return Portion(dose, frequency)


def _find_later(clauses: Clauses, end: int, place: int, *, next_drug: int) -> Portion:
    """The portion in the sentence after `place`, where that of a drug ends, or in the lines of its card."""
    text = clauses.text
    if next_drug <= place or place >= len(text):
        return NONE
    is_card = pattern("card_end").fullmatch(text, end, place) is not None
    for _ in range(MAX_LINES if is_card else 1):
        gap = pattern("gap").match(text, place, min(place + WINDOW, next_drug))
        if not gap or gap.end() >= next_drug or "#" in gap[0]:
            break
        first = gap.end()
        number = clauses.number_at(first)
        place = clauses.sentence_ends[number]
        label = pattern("portion_label").match(text, first, min(first + WINDOW, next_drug))
        if label and pattern("label_not").search(label[0]):
            break
        lead = label or pattern("portion_lead").match(text, first, min(first + WINDOW, next_drug))
        begin = lead.end() if lead else first
        stop = min(place if label else clauses.ends[clauses.number_at(begin)], next_drug, begin + WINDOW)
        found = _search(clauses, begin, stop if label else min(stop, begin + PORTION_CHARS))
        is_near = bool(found) and (label is not None or found.begin() - begin <= LEAD)
        is_other = found and not label and pattern("other_portion").search(text, begin, stop)
        if is_near and not is_other and not is_denied(text[begin : found.begin()]):
            if found.dose or not pattern("bare_frequency").fullmatch(text, *(found.frequency or (0, 0))):
                return found
        elif not (is_card and pattern("card_line").match(text, first)):
            break
    return NONE


def _search(clauses: Clauses, start: int, stop: int) -> Portion:
    dose = frequency = None
    for found in pattern("dose").finditer(clauses.text, start, stop):
        if (
            not wordlist("lab").match(clauses.text, max(found.end() - 2, 0))
            and not pattern("no_dose").search(clauses.text, max(start, found.start() - 6), found.start())
            and not pattern("dose_denied").match(clauses.text, found.end())
        ):
            dose = found.span()
            break
    for found in pattern("frequency").finditer(clauses.text, start, stop):
        if not pattern("no_frequency").search(clauses.text, max(start, found.start() - 4), found.start()):
            frequency = found.span()
            break
    return Portion(dose, frequency)
