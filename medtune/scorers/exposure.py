"""Signs that a model has seen a text, and whether two sets of texts differ in them: pure functions.

A sign is larger where the model is more like one that has seen the text. One text alone says nothing: what is
common is likely, seen or not. Only texts of the same kind that cannot have been seen tell how large is large.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from medtune.records import Estimate
from medtune.scorers.stats import CONFIDENCE

Floats = NDArray[np.float64]

EDGE = 1e-9
MAX_CELLS = 4_000_000
"""Ranks that are permuted at once: 32 MB."""


class Shift(NamedTuple):
    """Whether one set's values lie above another's: p of a one-sided permutation test, each way."""

    p_above: float
    p_below: float


# ---- one text ----


def min_k(logprobs: Sequence[float], *, share: float) -> float:
    """Min-K% of Shi et al. (arXiv 2310.16789): the mean log-probability of the least likely tokens."""
    if not logprobs:
        raise ValueError("a text without tokens has no least likely ones")
    return float(np.sort(np.asarray(logprobs))[: max(1, int(len(logprobs) * share))].mean())


def completion_accuracy(is_greedy: Sequence[bool], *, size: int) -> float:
    """The share of runs of `size` tokens that greedy writing completes, begun before any token of the text.

    N-gram accuracy of Xu et al. (arXiv 2404.18824) at every starting point instead of five. Nothing need be
    written for it: a run comes out word for word when each of its tokens is the likeliest after true ones.
    """
    if len(is_greedy) < size:
        raise ValueError(f"{len(is_greedy)} tokens hold no run of {size}")
    runs = np.lib.stride_tricks.sliding_window_view(np.asarray(is_greedy, dtype=bool), size)
    return float(runs.all(axis=1).mean())


def order_preference(published: float, shuffled: Sequence[float]) -> float:
    """The share of other orders that are less likely than the published one, equal ones by half.

    After Oren et al. (arXiv 2310.17623), who order the items of a set; here the options of an item.
    """
    others = np.asarray(shuffled)
    return float(((others < published) + 0.5 * (others == published)).mean())


def loss_drop(tuned: Sequence[float], base: Sequence[float]) -> float:
    """The share of a text's loss that tuning took away, 1 - tuned/base; below 0 where it grew."""
    return 1 - float(np.sum(tuned)) / min(float(np.sum(base)), -1e-12)


# ---- two sets of texts ----


def average_by(values: Sequence[float], clusters: Sequence[str]) -> Floats:
    """The mean of each cluster: items of one case have much text in common and count as one."""
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(index, weights=values) / np.bincount(index)


def auc(exam: Floats, reference: Floats) -> float:
    """The chance that a value of `exam` (n,) lies above one of `reference` (m,), equal ones by half."""
    ranks = rankdata(np.concatenate([exam, reference]))
    n, m = len(exam), len(reference)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def estimate_auc(exam: Floats, reference: Floats) -> Estimate:
    """The AUC with a 95 % score interval, which has a width at 0 and 1 too.

    Newcombe, Stat. Med. 2006, 25:559, method 5: the limits lie where the AUC seen is 1.96 of their own
    standard errors away.
    """
    found, n, m = auc(exam, reference), len(exam), len(reference)
    z = float(norm.isf((1 - CONFIDENCE) / 2))

    def excess(limit: float) -> float:
        return (found - limit) ** 2 - z * z * _variance(limit, n, m)

    # An AUC of 0 or 1 has no spread, so that it solves the equation itself; the limit is the other root.
    low = 0.0 if found == 0 else _root(excess, 0.0, min(found, 1 - EDGE))
    high = 1.0 if found == 1 else _root(excess, max(found, EDGE), 1.0)
    return Estimate(value=found, low=low, high=high, n=n)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high))  # pyright: ignore[reportArgumentType]  # it gives a float


def _variance(area: float, n: int, m: int) -> float:
    """Of an AUC, after Hanley and McNeil (Radiology 1982), each size taken as the mean as Newcombe does."""
    middle = (n + m) / 2 - 1
    return area * (1 - area) * (1 + middle * ((1 - area) / (2 - area) + area / (1 + area))) / (n * m)


def permutation_test(
    exam: Floats, reference: Floats, *, rng: np.random.Generator, num_permutations: int
) -> Shift:
    """Whether exam values lie above (below) reference values more than they do by chance.

    p = (1 + b) / (1 + m), b of m random divisions of all values having as high (low) an AUC: it is never 0,
    and right for any m (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 2010).
    """
    ranks = rankdata(np.concatenate([exam, reference]))  # halves at most: their sums are exact
    n, seen = len(exam), ranks[: len(exam)].sum()
    above = below = 0
    size = max(1, MAX_CELLS // len(ranks))
    for start in range(0, num_permutations, size):
        count = min(size, num_permutations - start)
        sums = rng.permuted(np.broadcast_to(ranks, (count, len(ranks))), axis=1)[:, :n].sum(axis=1)
        above += int((sums >= seen).sum())
        below += int((sums <= seen).sum())
    return Shift((1 + above) / (1 + num_permutations), (1 + below) / (1 + num_permutations))


def detectable_auc(n: int, m: int, *, alpha: float) -> float:
    """The least true AUC that this many items find with 80 % power, one-sided at `alpha` (normal)."""
    by_chance = float(norm.isf(alpha)) * float(np.sqrt((n + m + 1) / (12 * n * m)))
    beta = float(norm.isf(0.2))

    def lack(area: float) -> float:
        return area - 0.5 - by_chance - beta * float(np.sqrt(_variance(area, n, m)))

    return _root(lack, 0.5, 1.0) if lack(1.0) > 0 else 1.0
