"""The order in which near records are taken, and which of them say what was said already."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from medtune.curate.search import Nearest

Matrix = NDArray[np.float32] | csr_array
"""(rows, features): rows of unit length."""
ALIKE_ROWS = 256
"""Rows that are held against the taken ones at once."""


class Hit(NamedTuple):
    """A row that a question brought."""

    question: int
    rank: int
    """1 for the question's nearest; 0 where it was not asked who is nearest to it."""
    row: int
    similarity: float


def list_hits(nearest: Nearest, *, at_least: float) -> list[list[Hit]]:
    """The hits of each question that are near enough, nearest first."""
    return [
        [
            Hit(question, rank, int(row), float(similarity))
            for rank, (row, similarity) in enumerate(zip(rows, similarities, strict=True), 1)
            if row >= 0 and similarity >= at_least
        ]
        for question, (rows, similarities) in enumerate(zip(nearest.rows, nearest.similarities, strict=True))
    ]


def in_turns(hits: Sequence[Sequence[Hit]]) -> Iterator[int]:
    """Each row once: first every question's first, then every question's second, and so on."""
    longest = max(map(len, hits), default=0)
    turns = (own[turn].row for turn in range(longest) for own in hits if turn < len(own))
    return iter(dict.fromkeys(turns))


def by_similarity(hits: Sequence[Sequence[Hit]]) -> Iterator[int]:
    """Each row once, the one nearest to any question first; equal ones in the order of the pool."""
    ordered = sorted((hit for own in hits for hit in own), key=lambda hit: (-hit.similarity, hit.row))
    return iter(dict.fromkeys(hit.row for hit in ordered))


def by_score(scores: NDArray[np.float32], *, at_least: float = -np.inf) -> Iterator[int]:
    """The rows by their scores, highest first; what may not be chosen has -inf."""
    order = np.argsort(-scores, kind="stable")
    return (int(row) for row in order if scores[row] >= at_least and np.isfinite(scores[row]))


def sample_by_weight(weights: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The log weights with Gumbel noise: their order is a draw without replacement (Kool et al. 2019)."""
    return weights + np.random.default_rng(seed).gumbel(size=len(weights)).astype(np.float32)


def by_relevance(hits: Sequence[Hit], vectors: Matrix, relevance: float) -> list[Hit]:
    """One question's hits by maximal marginal relevance (Carbonell and Goldstein 1998).

    `vectors`: a row for each hit, in their order.
    """
    alike = _cosines(vectors, vectors)
    near = np.array([hit.similarity for hit in hits])
    worst = np.zeros(len(hits))
    left = np.ones(len(hits), dtype=bool)
    order: list[Hit] = []
    while left.any():
        merit = np.where(left, relevance * near - (1 - relevance) * worst, -np.inf)
        best = int(np.argmax(merit))
        left[best] = False
        worst = np.maximum(worst, alike[best])
        order.append(hits[best])
    return order


def leave_out_alike(
    order: Iterable[int], vectors_of: Callable[[list[int]], Matrix], max_alike: float
) -> Iterator[int]:
    """The rows that are not more alike than `max_alike` to one before them; as lazy as its reader."""
    rows = iter(order)
    taken: list[Matrix] = []
    while block := list(islice(rows, ALIKE_ROWS)):
        vectors = vectors_of(block)
        alike = np.full(len(block), -1, dtype=np.float32)
        for before in taken:
            alike = np.maximum(alike, _cosines(vectors, before).max(axis=1))
        within = _cosines(vectors, vectors)
        kept: list[int] = []
        for number in np.flatnonzero(alike <= max_alike).tolist():
            if not kept or within[number, kept].max() <= max_alike:
                kept.append(number)
        taken.append(vectors[kept])
        yield from (block[number] for number in kept)


def _cosines(one: Matrix, other: Matrix) -> NDArray[np.float32]:
    product = one @ other.T
    return product.toarray() if isinstance(product, csr_array) else product
