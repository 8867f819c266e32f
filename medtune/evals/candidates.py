"""The training records nearest to each exam item in other words: to be read by a person, proof of nothing."""

from collections.abc import Iterable, Iterator, Sequence, Set
from heapq import heappush, heappushpop
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer

from medtune.errors import UserError
from medtune.evals.audit_report import Candidate, Candidates, clip
from medtune.places import AnyRecord, Place, text_of
from medtune.records import Question
from medtune.scorers.contamination import ALIKE, lay_over
from medtune.scorers.nearness import (
    draw_sample,
    fit_wording,
    measure_nearness,
    nearest_passage,
    passages_of,
    vectors_of,
)
from medtune.scorers.overlap import bare

CUT_QUANTILE = 0.9
"""At 0.99 the list is short and misses most paraphrases: docs/decisions/012."""
MIN_MEASURED = 20
"""Items that the cut is taken from; fewer say nothing about their tenth part."""
MAX_MEASURED = 1000
"""Items that are measured, drawn from a larger exam."""
SAMPLE_PASSAGES = 20_000
"""Of the training data, for the weights of characters."""
BLOCK_RECORDS = 256
SEED = 0

Known = Set[tuple[str, str, int]]
"""Item, file and line that were found already."""


class Gauge(NamedTuple):
    """What tells how near a record comes to an item, and from where on it is near."""

    wording: TfidfVectorizer
    questions: csr_array
    """(items, features)"""
    cut: float
    num_measured: int
    """Items that the cut was taken from."""


def make_gauge(items: Sequence[Question], places: Iterable[Place]) -> Gauge:
    """The gauge of an exam.

    The cut is the 90th percentile of how near an item's nearest neighbour in the exam comes to it: another
    question of its subject in other words. What is nearer is nearer than different questions commonly are.
    """
    chance = Random(SEED)
    passages = (passage for place in places for passage in passages_of(asked_in(place.record)))
    asked = [asked_in(item) for item in items]
    wording = fit_wording([*asked, *draw_sample(passages, SAMPLE_PASSAGES, chance)])
    questions = vectors_of(wording, asked)
    drawn = sorted(chance.sample(range(len(items)), k=min(MAX_MEASURED, len(items))))
    measured = list(measure_neighbours(items, wording, questions, drawn=drawn))
    if len(measured) < MIN_MEASURED:
        raise UserError(
            f"candidates: {len(measured)} items of the exams have another of their subject to be measured "
            f"against, and {MIN_MEASURED} are wanted to tell what is near; leave candidates out"
        )
    return Gauge(wording, questions, float(np.quantile(measured, CUT_QUANTILE)), len(measured))


def measure_neighbours(
    items: Sequence[Question], wording: TfidfVectorizer, questions: csr_array, *, drawn: Sequence[int]
) -> Iterator[float]:
    """How near each drawn item's nearest neighbour comes: of its subject and not in the same words."""
    subjects = [item.subject for item in items]
    asked = [asked_in(item) for item in items]
    whole = [bare(text) for text in asked]
    for subject in dict.fromkeys(subjects[number] for number in drawn):
        rows = [number for number in drawn if subjects[number] == subject]
        columns = [number for number, own in enumerate(subjects) if own == subject]
        nearness = measure_nearness(wording, questions[rows], [asked[number] for number in columns])
        for row, near in zip(rows, nearness, strict=True):
            others = (
                float(near[place])
                for place in np.argsort(-near, kind="stable")
                # Nearly the same words are twins and items of one case: the search in order sees those.
                if columns[place] != row and lay_over(whole[row], whole[columns[place]]).share < ALIKE
            )
            yield from islice(others, 1)


def find_candidates(
    gauge: Gauge, items: Sequence[Question], places: Iterable[Place], *, most: int, known: Known
) -> Candidates:
    """For each item at most so many records above the cut that are not known yet, nearest first."""
    kept: list[list[tuple[float, int, Place]]] = [[] for _ in items]
    numbered = enumerate(places)
    while block := list(islice(numbered, BLOCK_RECORDS)):
        texts = [asked_in(place.record) for _, place in block]
        nearness = measure_nearness(gauge.wording, gauge.questions, texts)
        for item, column in np.argwhere(nearness > gauge.cut):
            number, place = block[column]
            if (items[item].id, place.file, place.line) not in known:
                entry = (float(nearness[item, column]), -number, place)  # of equals the first in the files
                (heappush if len(kept[item]) < most else heappushpop)(kept[item], entry)
    near = [
        Candidate(item, place.file, place.line, place.record.id, round(similarity, 4), shown)
        for number, item in enumerate(items)
        for similarity, _, place in sorted(kept[number], reverse=True)
        for shown in [show(gauge, number, place.record)]
    ]
    return Candidates(near, cut=gauge.cut, share=CUT_QUANTILE, num_measured=gauge.num_measured)


def asked_in(record: AnyRecord) -> str:
    """What may ask a question in a record: a question without its options, of all else everything."""
    return (record.case or "") + record.stem if isinstance(record, Question) else text_of(record)


def show(gauge: Gauge, item: int, record: AnyRecord) -> str:
    """What is shown of a record: from the passage on that is nearest to the item."""
    asked, text = asked_in(record), text_of(record)
    start = text.find(nearest_passage(gauge.wording, gauge.questions[[item]], asked))
    # Not found: a case and its stem are one question in `asked` and two lines in `text`.
    return clip(text[max(0, start) :])
