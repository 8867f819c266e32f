"""Whether probabilities mean what they say: pure functions on numpy arrays, random generators passed in."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_BINS = 15
TINY = 1e-12
"""The least that a probability is taken as, so that one certain mistake makes no mean infinite."""


class Bin(NamedTuple):
    """Neighbouring answers by confidence."""

    confidence: float
    """Mean probability of the answers given."""
    right: int
    n: int


class Calibration(NamedTuple):
    """Expected calibration error, what chance alone would show of it, and its standard error."""

    error: float
    by_chance: float
    """Mean error of a perfectly calibrated model with these confidences and as many items: it is not 0."""
    deviation: float


def probabilities(logprobs: Mapping[str, float]) -> dict[str, float]:
    """The candidates' shares of the probability of all of them (softmax)."""
    highest = max(logprobs.values())
    weights = {key: float(np.exp(value - highest)) for key, value in logprobs.items()}
    total = sum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


def reliability_bins(confidence: Floats, right: Floats, *, num_bins: int = NUM_BINS) -> list[Bin]:
    """Up to `num_bins` bins of equal size by confidence (n,); `right` (n,) holds 0 or 1."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(num_bins, len(order)))
    return [Bin(float(confidence[part].mean()), int(right[part].sum()), len(part)) for part in parts]


def calibration_error(confidence: Floats, right: Floats, *, num_bins: int = NUM_BINS) -> float:
    """ECE: the mean distance of accuracy from confidence over bins of equal size.

    Naeini, Cooper and Hauskrecht, AAAI 2015; equal sizes after Nguyen and O'Connor, EMNLP 2015.
    """
    order = np.argsort(confidence, kind="stable")
    gaps = (right - confidence)[order]
    size, extra = divmod(len(order), min(num_bins, len(order)))
    # The borders of np.array_split: the first bins are one longer.
    starts = [place * size + min(place, extra) for place in range(min(num_bins, len(order)))]
    return float(np.abs(np.add.reduceat(gaps, starts)).sum() / len(order))


def estimate_calibration(
    confidence: Floats, right: Floats, *, rng: np.random.Generator, num_resamples: int = 1000
) -> Calibration:
    """ECE with the spread of it over resampled items, and the ECE that chance alone makes.

    The error of a resample is too high, as it counts the noise twice; only its spread is used.
    """
    n = len(confidence)
    redrawn = [
        calibration_error(confidence[rows], right[rows])
        for rows in (rng.integers(n, size=n) for _ in range(num_resamples))
    ]
    lucky = [
        calibration_error(confidence, (rng.random(n) < confidence).astype(np.float64))
        for _ in range(num_resamples)
    ]
    return Calibration(
        calibration_error(confidence, right), float(np.mean(lucky)), float(np.std(redrawn, ddof=1))
    )


def brier(shares: Mapping[str, float], gold: str) -> float:
    """The squared distance of the probabilities from the truth, 0 to 2 (Brier, Mon. Weather Rev. 1950)."""
    return sum((share - (key == gold)) ** 2 for key, share in shares.items())


def surprise(shares: Mapping[str, float], gold: str) -> float:
    """The negative log of the right answer's probability, in nats."""
    return -float(np.log(max(shares.get(gold, 0.0), TINY)))


def risk_coverage_area(confidence: Floats, right: Floats) -> float:
    """AURC: the error rate among the surest answers, averaged over how many are given (Geifman, ICLR 2019).

    Answers of equal confidence count with their mean error, so that their order does not matter.
    """
    levels, place = np.unique(-confidence, return_inverse=True)
    sizes = np.bincount(place, minlength=len(levels))
    wrong = np.bincount(place, weights=1 - right, minlength=len(levels)) / sizes
    errors = np.cumsum(np.repeat(wrong, sizes))
    return float(np.mean(errors / np.arange(1, len(errors) + 1)))
