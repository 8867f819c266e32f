"""Exact search: what a brute force in float64 finds, whatever the shards."""

from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from medtune.curate import search
from medtune.curate.search import (
    Block,
    Nearest,
    average_best,
    blocks_of_vectors,
    find_nearest,
    merge,
    quantile_of,
)
from medtune.curate.shards import Shard
from medtune.errors import UserError


def unit_rows(rows: int, dim: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "VECTOR_ROWS", 64)


def put_vectors(folder: Path, vectors: np.ndarray) -> np.memmap:
    np.save(folder / "v.npy", vectors)
    return np.load(folder / "v.npy", mmap_mode="r")


def nearest_by_shards(
    vectors: np.memmap,
    asked: np.ndarray,
    *,
    top_k: int,
    sizes: list[int],
    too_near: float = np.inf,
    free=None,
) -> Nearest:
    is_free = np.ones(len(vectors), dtype=bool) if free is None else free
    firsts = np.cumsum([0, *sizes[:-1]])
    parts = [
        find_nearest(
            blocks_of_vectors(vectors, asked, Shard(0, int(first), 1, 0, size), name="v"),
            is_free, num_questions=len(asked), top_k=top_k, too_near=too_near,
        )
        for first, size in zip(firsts, sizes, strict=True)
    ]  # fmt: skip
    return reduce(lambda one, other: merge(one, other, top_k=top_k), parts)


def brute_force(vectors: np.ndarray, asked: np.ndarray, allowed: np.ndarray, top_k: int) -> list[list[int]]:
    """Rows by cosine in float64, the earlier of equal ones first."""
    cosines = asked.astype(np.float64) @ vectors.astype(np.float64).T
    found = []
    for row in cosines:
        order = sorted(
            (number for number in range(len(vectors)) if allowed[number]), key=lambda n: (-row[n], n)
        )
        found.append(order[:top_k])
    return found


@pytest.mark.parametrize("sizes", [[1000], [64, 300, 636], [1, 999], [500, 500]])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_nearest_are_those_of_a_brute_force(
    tmp_path: Path, small_blocks: None, sizes: list[int], dtype: type
) -> None:
    vectors = put_vectors(tmp_path, unit_rows(1000, 24, seed=1).astype(dtype))
    asked = unit_rows(37, 24, seed=2)
    found = nearest_by_shards(vectors, asked, top_k=9, sizes=sizes)
    wanted = brute_force(vectors, asked, np.ones(1000, dtype=bool), 9)
    assert found.rows.tolist() == wanted
    cosines = np.take_along_axis(asked.astype(np.float64) @ vectors.astype(np.float64).T, found.rows, axis=1)
    assert found.similarities == pytest.approx(cosines, abs=1e-6)


def test_rows_that_may_not_be_chosen_and_near_copies_take_no_places(
    tmp_path: Path, small_blocks: None
) -> None:
    vectors, asked = put_vectors(tmp_path, unit_rows(300, 8, seed=3)), unit_rows(11, 8, seed=4)
    free = np.random.default_rng(5).random(300) > 0.3
    found = nearest_by_shards(vectors, asked, top_k=6, sizes=[100, 200], too_near=0.7, free=free)
    cosines = asked.astype(np.float64) @ vectors.astype(np.float64).T
    for number in range(11):
        allowed = free & (cosines[number] <= 0.7)
        assert found.rows[number].tolist() == brute_force(vectors, asked[[number]], allowed, 6)[0]
        assert found.too_near[number] == (free & (cosines[number] > 0.7)).sum()


def test_equal_vectors_come_in_the_order_of_the_pool(tmp_path: Path, small_blocks: None) -> None:
    one = unit_rows(1, 16, seed=6)
    vectors = put_vectors(tmp_path, np.repeat(one, 200, axis=0))
    for sizes in ([200], [70, 130], [1, 1, 198]):
        found = nearest_by_shards(vectors, one, top_k=5, sizes=sizes)
        assert found.rows.tolist() == [[0, 1, 2, 3, 4]]


def test_more_wanted_than_there_are_gives_all(tmp_path: Path, small_blocks: None) -> None:
    vectors, asked = put_vectors(tmp_path, unit_rows(7, 5, seed=7)), unit_rows(1, 5, seed=8)
    found = nearest_by_shards(vectors, asked, top_k=50, sizes=[3, 4])
    assert found.rows[0][found.rows[0] >= 0].tolist() == brute_force(vectors, asked, np.ones(7, bool), 50)[0]
    nothing = nearest_by_shards(vectors, asked, top_k=3, sizes=[7], free=np.zeros(7, dtype=bool))
    assert not (nothing.rows >= 0).any()


@pytest.mark.parametrize("broken", [np.nan, 0.0, 3.0, np.inf])
def test_a_row_that_is_no_unit_vector_is_named(tmp_path: Path, small_blocks: None, broken: float) -> None:
    rows = unit_rows(200, 6, seed=9)
    rows[133] *= broken
    vectors = put_vectors(tmp_path, rows.astype(np.float16))
    with pytest.raises(UserError, match="v: row 134 is no vector of length 1"):
        nearest_by_shards(vectors, unit_rows(2, 6, seed=1), top_k=3, sizes=[200])


def blocks_of(scores: np.ndarray, size: int) -> Iterator[Block]:
    for first in range(0, scores.shape[1], size):
        yield Block(first, scores[:, first : first + size].copy())


def test_the_mean_of_the_best_leaves_near_copies_out() -> None:
    scores = np.random.default_rng(10).random((20, 130), dtype=np.float32)
    free = np.ones(130, dtype=bool)
    free[17] = False
    found = average_best(blocks_of(scores, 50), free, num_best=5, too_near=0.9).scores
    for row in range(130):
        allowed = sorted(
            (value for value in scores[:, row].tolist() if value <= np.float32(0.9)), reverse=True
        )
        wanted = float(np.mean(allowed[:5])) if row != 17 else -np.inf
        assert found[row] == pytest.approx(wanted, abs=1e-6)
    few = average_best(blocks_of(scores[:3], 50), free, num_best=5, too_near=2).scores
    assert few[0] == pytest.approx(scores[:3, 0].mean(), abs=1e-6)


def test_a_quantile_of_all_pairs_is_found_to_a_thousandth() -> None:
    scores = np.random.default_rng(11).uniform(-0.2, 0.9, (40, 3000)).astype(np.float32)
    found = find_nearest(
        blocks_of(scores, 512), np.ones(3000, bool), num_questions=40, top_k=1, too_near=np.inf
    )
    assert found.histogram.sum() == scores.size
    for share in (0.5, 0.99, 0.999):
        assert quantile_of(found.histogram, share) == pytest.approx(np.quantile(scores, share), abs=1.5e-3)
