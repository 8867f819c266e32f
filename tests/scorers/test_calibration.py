"""Calibration figures against hand-made cases, scikit-learn and simulation."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from medtune.scorers.calibration import (
    brier,
    calibration_error,
    estimate_calibration,
    probabilities,
    reliability_bins,
    risk_coverage_area,
    surprise,
)


def draw(n: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and answers that are right `shift` less often than these say."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.4, 1.0, n)
    return confidence, (rng.random(n) < confidence - shift).astype(np.float64)


def test_probabilities_are_shares() -> None:
    shares = probabilities({"A": -1000.0, "B": -1000.0 + np.log(3)})
    assert shares == pytest.approx({"A": 0.25, "B": 0.75})


def test_bins_are_of_equal_size_and_the_error_is_that_of_the_bins() -> None:
    confidence, right = draw(818, 0.1, seed=1)
    bins = reliability_bins(confidence, right)
    assert [one.n for one in bins] == [55] * 8 + [54] * 7
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)
    by_hand = sum(one.n / 818 * abs(one.right / one.n - one.confidence) for one in bins)
    assert calibration_error(confidence, right) == pytest.approx(by_hand, abs=1e-12)


def test_few_items_make_few_bins() -> None:
    assert calibration_error(np.array([0.9, 0.6]), np.array([1.0, 0.0])) == pytest.approx((0.1 + 0.6) / 2)


def test_interval_covers_a_known_miscalibration() -> None:
    covered = 0
    for seed in range(100):
        confidence, right = draw(818, 0.1, seed)
        found = estimate_calibration(confidence, right, rng=np.random.default_rng(seed), num_resamples=60)
        covered += abs(found.error - 0.1) <= 1.96 * found.deviation
    assert covered >= 90


def test_interval_of_a_calibrated_model_covers_what_chance_makes() -> None:
    covered, by_chance = 0, []
    for seed in range(100):
        confidence, right = draw(818, 0.0, seed)
        found = estimate_calibration(confidence, right, rng=np.random.default_rng(seed), num_resamples=60)
        covered += abs(found.error - found.by_chance) <= 1.96 * found.deviation
        by_chance.append(found.by_chance)
    assert covered >= 90
    assert 0.03 < np.mean(by_chance) < 0.06, "a calibrated model does not show 0"


def test_brier_and_surprise_equal_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    rows = [probabilities(dict(zip("ABCD", rng.normal(size=4), strict=True))) for _ in range(50)]
    golds = list(rng.choice(list("ABCD"), size=50))
    matrix = [[row[key] for key in "ABCD"] for row in rows]
    ours = np.mean([brier(row, gold) for row, gold in zip(rows, golds, strict=True)])
    assert ours == pytest.approx(brier_score_loss(golds, matrix, labels=list("ABCD"), scale_by_half=False))
    told = np.mean([surprise(row, gold) for row, gold in zip(rows, golds, strict=True)])
    assert told == pytest.approx(log_loss(golds, matrix, labels=list("ABCD")))


def test_area_under_risk_and_coverage() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    assert risk_coverage_area(confidence, np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(
        (0 + 0 + 1 / 3 + 0.5) / 4
    )
    assert risk_coverage_area(confidence, np.ones(4)) == 0
    alike = np.full(4, 0.5)
    assert risk_coverage_area(alike, np.array([1.0, 0, 1, 0])) == pytest.approx(0.5)
    assert risk_coverage_area(alike, np.array([0.0, 1, 0, 1])) == pytest.approx(0.5)
