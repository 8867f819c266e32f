"""The order in which near records are taken: turns, similarity, relevance, and no two that say the same."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from medtune.curate.order import (
    Hit,
    by_relevance,
    by_score,
    by_similarity,
    in_turns,
    leave_out_alike,
    list_hits,
    sample_by_weight,
)
from medtune.curate.search import BINS, Nearest

HITS = [
    [Hit(0, 1, 5, 0.9), Hit(0, 2, 6, 0.8), Hit(0, 3, 7, 0.7)],
    [Hit(1, 1, 8, 0.2), Hit(1, 2, 5, 0.1)],
    [],
]


def test_questions_take_turns_and_a_row_comes_once() -> None:
    assert list(in_turns(HITS)) == [5, 8, 6, 7]


def test_by_similarity_the_nearest_to_any_question_comes_first() -> None:
    assert list(by_similarity(HITS)) == [5, 6, 7, 8]


def test_hits_are_those_that_are_near_enough_with_their_ranks() -> None:
    nearest = Nearest(
        np.array([[4, 2, -1]]), np.array([[0.9, 0.3, -np.inf]], dtype=np.float32), np.zeros(1), np.zeros(BINS)
    )
    assert [(hit.rank, hit.row) for hit in list_hits(nearest, at_least=0.0)[0]] == [(1, 4), (2, 2)]
    assert [hit.row for hit in list_hits(nearest, at_least=0.31)[0]] == [4]


def test_scores_order_rows_and_what_may_not_be_chosen_never_comes() -> None:
    scores = np.array([0.1, -np.inf, 0.5, 0.5], dtype=np.float32)
    assert list(by_score(scores)) == [2, 3, 0]
    assert list(by_score(scores, at_least=0.2)) == [2, 3]
    assert not np.isfinite(sample_by_weight(scores, seed=1)[1])


def test_a_draw_by_weight_repeats_and_favours_the_heavy() -> None:
    weights = np.log(np.array([8.0, 1.0, 1.0], dtype=np.float32))
    firsts = [int(np.argmax(sample_by_weight(weights, seed))) for seed in range(500)]
    assert firsts.count(0) / 500 == pytest.approx(0.8, abs=0.05)
    assert np.array_equal(sample_by_weight(weights, 3), sample_by_weight(weights, 3))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_relevance_puts_a_second_view_before_a_repetition(is_sparse: bool) -> None:
    dense = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    vectors: Any = csr_array(dense) if is_sparse else dense
    hits = [Hit(0, 1, 10, 0.9), Hit(0, 2, 11, 0.89), Hit(0, 3, 12, 0.6)]
    assert [hit.row for hit in by_relevance(hits, vectors, 0.5)] == [10, 12, 11]
    assert [hit.row for hit in by_relevance(hits, vectors, 1.0)] == [10, 11, 12]


@pytest.mark.parametrize("is_sparse", [False, True])
def test_no_two_that_are_taken_are_more_alike_than_allowed(is_sparse: bool) -> None:
    drawn = np.random.default_rng(1).standard_normal((900, 4))
    vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    order = np.random.default_rng(2).permutation(900).tolist()
    read: list[int] = []

    def vectors_of(rows: list[int]) -> Any:
        read.extend(rows)
        return csr_array(vectors[rows]) if is_sparse else vectors[rows]

    kept = list(leave_out_alike(order, vectors_of, 0.8))
    wanted: list[int] = []
    for row in order:
        if all(vectors[row] @ vectors[before] <= 0.8 for before in wanted):
            wanted.append(row)
    assert kept == wanted
    read.clear()
    next(leave_out_alike(order, vectors_of, 0.8))
    assert len(read) < 300, "only what is looked at is read"
