"""Exact search: every question against every row of the pool, a block at a time: memory stays flat."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from medtune.config import Input
from medtune.curate.shards import Shard, read_shard
from medtune.errors import UserError
from medtune.places import AnyRecord

Floats = NDArray[np.float32]
TEXT_ROWS, VECTOR_ROWS = 2048, 4096
"""Rows of a block. It does not depend on the number of workers: what is summed in a block is summed alike."""
SAMPLE_ROWS = 4096
"""Rows, evenly spread over the pool, whose similarities stand for those of all pairs."""
BINS, LOWEST, HIGHEST = 3000, -1.0, 2.0
"""Of the histogram of all pairs; a share of BM25 can exceed 1."""
UNIT_SLACK = 0.02
"""How far a squared length may be from 1: what half precision makes of 4,096 numbers is a tenth of it."""
NOWHERE = np.float32(-np.inf)


class Measure(Protocol):
    """How near texts are to the questions."""

    def score(self, records: Sequence[AnyRecord]) -> Floats:
        """(questions, records)."""
        ...


class Nearest(NamedTuple):
    """The nearest rows of each question, nearest first, equal ones in the order of the pool."""

    rows: NDArray[np.int64]
    """(questions, k); -1 where there are no more."""
    similarities: Floats
    """(questions, k); -inf where there are no more."""
    too_near: NDArray[np.int64]
    """(questions,): rows above the upper bound."""
    histogram: NDArray[np.int64]
    """(BINS,): similarities of a sample of all pairs."""


class RowScores(NamedTuple):
    """One number for each row of a shard."""

    scores: Floats
    """(rows,); -inf for what may not be chosen."""
    histogram: NDArray[np.int64]


class Block(NamedTuple):
    """Similarities of neighbouring rows."""

    first: int
    scores: Floats
    """(questions, rows)."""


def blocks_of_texts(files: Sequence[Input], shard: Shard, measure: Measure) -> Iterator[Block]:
    """The similarities of a shard by its texts."""
    rows, first = read_shard(files, shard), shard.first
    while block := [row.record for row in islice(rows, TEXT_ROWS)]:
        yield Block(first, measure.score(block))
        first += len(block)


def blocks_of_vectors(vectors: np.memmap, questions: Floats, shard: Shard, *, name: str) -> Iterator[Block]:
    """The cosines of a shard, from unit vectors of shape (rows, dim) on disk and (questions, dim).

    A row that is no unit vector, such as one of zeros or NaN, is a fault of `name`.
    """
    room = np.empty((min(VECTOR_ROWS, shard.rows), vectors.shape[1]), dtype=np.float32)
    for first in range(shard.first, shard.first + shard.rows, VECTOR_ROWS):
        block = read_rows(vectors, first, min(first + VECTOR_ROWS, shard.first + shard.rows), room=room)
        squares = np.einsum("ij,ij->i", block, block)
        is_unit = np.abs(squares - 1) < UNIT_SLACK
        if not is_unit.all():
            row = int(np.argmin(is_unit))
            raise UserError(
                f"{name}: row {first + row + 1} is no vector of length 1 (squared it is {squares[row]:.4g}); "
                "embed again"
            )
        yield Block(first, questions @ block.T)


def read_rows(vectors: np.memmap, first: int, last: int, *, room: Floats | None = None) -> Floats:
    """(last - first, dim): rows from disk. What is read through the map itself would stay in memory.

    `room`: where they are put; room used again is room that need not be cleared, which takes as long.
    """
    dim = vectors.shape[1]
    offset = vectors.offset + first * dim * vectors.itemsize
    assert vectors.filename
    rows = np.fromfile(vectors.filename, dtype=vectors.dtype, count=(last - first) * dim, offset=offset)
    block = np.empty((last - first, dim), dtype=np.float32) if room is None else room[: last - first]
    torch.from_numpy(block).copy_(torch.from_numpy(rows).view(-1, dim))  # NumPy takes four times as long
    return block


def find_nearest(
    blocks: Iterator[Block],
    is_free: NDArray[np.bool_],
    *,
    num_questions: int,
    top_k: int,
    too_near: float,
) -> Nearest:
    """The `top_k` nearest free rows of each question that are not above `too_near`.

    `is_free`: which rows of the whole pool may be chosen.
    """
    best = Nearest(
        np.full((num_questions, 0), -1, dtype=np.int64),
        np.full((num_questions, 0), NOWHERE, dtype=np.float32),
        np.zeros(num_questions, dtype=np.int64),
        np.zeros(BINS, dtype=np.int64),
    )
    every = spread_sample(len(is_free))
    for first, scores in blocks:
        histogram = count_sample(scores, first, every)
        taken = ~is_free[first : first + scores.shape[1]]
        if taken.any():
            scores[:, taken] = NOWHERE
        num_near = np.zeros(num_questions, dtype=np.int64)
        if scores.max(initial=NOWHERE) > too_near:
            near = scores > too_near
            num_near = near.sum(axis=1)
            scores[near] = NOWHERE
        fresh = _best_of(scores, first, top_k, floor=best.similarities[:, top_k - 1 :])
        found = Nearest(*fresh, num_near, histogram)
        best = merge(best, found, top_k=top_k)
    return best


def merge(one: Nearest, other: Nearest, *, top_k: int) -> Nearest:
    """The nearest of two parts of the pool, the first of which comes first in it."""
    rows = np.concatenate([one.rows, other.rows], axis=1)
    similarities = np.concatenate([one.similarities, other.similarities], axis=1)
    # Stable: each part is in order, so that of equal ones the earlier row stays before.
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :top_k]
    return Nearest(
        np.take_along_axis(rows, order, axis=1),
        np.take_along_axis(similarities, order, axis=1),
        one.too_near + other.too_near,
        one.histogram + other.histogram,
    )


def _best_of(scores: Floats, first: int, top_k: int, *, floor: Floats) -> tuple[NDArray[np.int64], Floats]:
    """(rows, similarities) of the best of a block, each of shape (questions, at most top_k).

    `floor`, (questions, 1) or (questions, 0): what a row must exceed to be wanted at all.
    """
    num_questions, num_rows = scores.shape
    if floor.size and floor.min() > NOWHERE:
        wanted = scores > floor
    else:
        last = max(0, num_rows - top_k)
        wanted = scores >= np.partition(scores, last, axis=1)[:, last : last + 1]
        wanted &= scores > NOWHERE
    question, column = np.divmod(np.flatnonzero(wanted), num_rows)
    values = scores[question, column]
    order = np.lexsort((-values, question))  # stable: of equal ones the earlier column stays before
    question, column, values = question[order], column[order], values[order]
    counts = np.bincount(question, minlength=num_questions)
    rank = np.arange(len(question)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = min(top_k, int(counts.max(initial=0)))
    rows = np.full((num_questions, width), -1, dtype=np.int64)
    similarities = np.full((num_questions, width), NOWHERE, dtype=np.float32)
    kept = rank < width
    rows[question[kept], rank[kept]] = column[kept] + first
    similarities[question[kept], rank[kept]] = values[kept]
    return rows, similarities


def average_best(
    blocks: Iterator[Block], is_free: NDArray[np.bool_], *, num_best: int, too_near: float
) -> RowScores:
    """For each row the mean of its `num_best` highest similarities; questions it is too near to do not count.

    A row near to fewer questions than that has the mean of those.
    """
    parts: list[Floats] = []
    histogram = np.zeros(BINS, dtype=np.int64)
    every = spread_sample(len(is_free))
    for first, scores in blocks:
        histogram += count_sample(scores, first, every)
        scores[scores > too_near] = NOWHERE
        number = min(num_best, scores.shape[0])
        best = np.partition(scores, scores.shape[0] - number, axis=0)[scores.shape[0] - number :]
        is_there = best > NOWHERE
        total = np.where(is_there, best, 0).sum(axis=0)
        means = np.where(is_there.any(axis=0), total / np.maximum(is_there.sum(axis=0), 1), NOWHERE)
        means[~is_free[first : first + scores.shape[1]]] = NOWHERE
        parts.append(means.astype(np.float32))
    return RowScores(np.concatenate(parts), histogram)


# ---- how near all pairs are ----


def spread_sample(num_rows: int) -> int:
    """Every how many rows one is looked at."""
    return max(1, num_rows // SAMPLE_ROWS)


def count_sample(scores: Floats, first: int, every: int) -> NDArray[np.int64]:
    """(BINS,): a histogram of the block's sampled rows."""
    sample = scores[:, -first % every :: every]
    bins = ((sample - LOWEST) * (BINS / (HIGHEST - LOWEST))).astype(np.int64)
    return np.bincount(bins.clip(0, BINS - 1).ravel(), minlength=BINS)


def bin_edges(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """(bins + 1,): where the bins of a histogram begin and end."""
    return np.linspace(LOWEST, HIGHEST, len(histogram) + 1)


def quantile_of(histogram: NDArray[np.int64], share: float) -> float:
    """The similarity that this share of the pairs stay below, to the width of a bin."""
    reached = np.cumsum(histogram) >= share * histogram.sum()
    return float(bin_edges(histogram)[np.argmax(reached) + 1])
