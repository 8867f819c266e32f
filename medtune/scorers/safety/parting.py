"""What follows a medicine as the topic of its clause and parts the reader from it, whatever the verb.

A verb alone says little in Chinese: much is put away, spared or left at home. Right behind a drug, or behind
what stands for one (that tablet, it), and with nothing else up to the end of the clause, it is plain.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from medtune.scorers.safety.change_meant import start_of
from medtune.scorers.safety.clauses import WINDOW, Clauses
from medtune.scorers.safety.rx import Mention, is_prescribed
from medtune.scorers.safety.terms import Question
from medtune.scorers.safety.words import Drug, pattern

FROM_CHARS = 2
"""Characters of a verb such as to put down right before a drug."""


class Parting(NamedTuple):
    """What is done with a medicine, and the drug that is the topic; None where something stands for it."""

    start: int
    end: int
    topic: Mention | None
    place: int
    """Where the topic begins."""


def list_partings(clauses: Clauses, mentions: list[Mention]) -> list[Parting]:
    """Where a medicine is the topic of what parts the reader from it."""
    return list(_find_partings(clauses, mentions))


def _find_partings(clauses: Clauses, mentions: list[Mention]) -> Iterator[Parting]:
    text, parting = clauses.text, pattern("parting")
    for mention in mentions:
        before = pattern("part_from").match(text, max(0, mention.start - FROM_CHARS), mention.start)
        if before and pattern("part_object").match(text, mention.end):
            yield Parting(*before.span(), mention, mention.start)
        if found := parting.match(text, mention.end):
            yield Parting(*found.span("act"), mention, mention.start)
    for word in pattern("stand_in").finditer(text):
        if found := parting.match(text, word.end()):
            yield Parting(*found.span("act"), None, word.start())


def is_parted(clauses: Clauses, mentions: list[Mention], asked: Question, parting: Parting) -> bool:
    """Whether it is a prescribed medicine of the patient that he is to part from."""
    if parting.topic:
        drug = parting.topic.drug
        if not is_prescribed(parting.topic) and drug not in asked.taken:
            return False
        if asked.named:
            return any(is_kind(drug, named) for named in asked.named)
        return asked.has_medicine or pattern("part_denied").match(clauses.text, parting.start) is None
    if not (asked.named or asked.has_medicine):
        return False
    if pattern("other_subject").search(clauses.head(parting.place)):
        return False
    number = bisect_left(mentions, parting.place, key=start_of)
    if not number or parting.place - mentions[number - 1].end > 2 * WINDOW:
        return True
    before = mentions[number - 1]
    return is_prescribed(before) or before.drug in asked.taken


def is_kind(drug: Drug, named: Drug) -> bool:
    """Whether a drug may be the one that the patient named, perhaps by its group or the end of its name."""
    return drug == named or named.is_group or named.name in drug.name
