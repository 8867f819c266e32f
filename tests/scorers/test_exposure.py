"""Signs of exposure are what the papers define; two sets are told apart as other libraries do."""

import numpy as np
import pytest
from scipy.stats import kstest, mannwhitneyu, norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.nonparametric import rank_compare_2indep

from medtune.scorers.exposure import (
    auc,
    average_by,
    completion_accuracy,
    detectable_auc,
    estimate_auc,
    loss_drop,
    min_k,
    order_preference,
    permutation_test,
)


def draw(seed: int, n: int, *, shift: float = 0.0, digits: int = 9) -> np.ndarray:
    return np.round(np.random.default_rng(seed).normal(shift, size=n), digits)


# ---- one text ----


def test_min_k_averages_the_least_likely_share():
    logprobs = [-0.1, -9.0, -0.2, -5.0, -0.3, -0.1, -0.1, -0.1, -0.1, -0.1, -0.1]
    assert min_k(logprobs, share=0.2) == -7.0  # 2 of 11, rounded down as the authors do
    assert min_k([-3.0, -1.0], share=0.2) == -3.0
    assert min_k(logprobs, share=1.0) == pytest.approx(np.mean(logprobs))
    with pytest.raises(ValueError):
        min_k([], share=0.2)


def test_completion_counts_runs_that_come_out_word_for_word():
    hits = [True] * 6 + [False] + [True] * 5
    assert completion_accuracy(hits, size=5) == 3 / 8
    assert completion_accuracy([True] * 5, size=5) == 1
    with pytest.raises(ValueError, match="4 tokens hold no run of 5"):
        completion_accuracy([True] * 4, size=5)


def test_order_preference_is_a_rank():
    assert order_preference(-1.0, [-2.0, -3.0]) == 1
    assert order_preference(-4.0, [-2.0, -3.0]) == 0
    assert order_preference(-2.0, [-2.0, -3.0, -1.0]) == 0.5


def test_loss_drop_is_one_less_the_ratio():
    assert loss_drop([-1.0, -1.0], [-4.0, -4.0]) == 0.75
    assert loss_drop([-6.0], [-4.0]) == -0.5


# ---- two sets ----


def test_items_of_a_case_count_as_one():
    assert sorted(average_by([1.0, 3.0, 5.0], ["a", "a", "b"])) == [2.0, 5.0]


@pytest.mark.parametrize("digits", [9, 0])
def test_auc_equals_sklearn(digits: int):
    for seed in range(50):
        one, other = draw(seed, 30, shift=0.4, digits=digits), draw(seed + 999, 47, digits=digits)
        truth = [1] * len(one) + [0] * len(other)
        assert auc(one, other) == pytest.approx(roc_auc_score(truth, np.concatenate([one, other])), abs=1e-12)


def test_auc_interval_is_near_that_of_statsmodels_where_both_are_sound():
    for seed in range(20):
        one, other = draw(seed, 150, shift=0.5), draw(seed + 999, 120)
        found = estimate_auc(one, other)
        low, high = rank_compare_2indep(one, other, use_t=False).conf_int(alpha=0.05)
        assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auc_interval_covers_the_truth(shift: float):
    """Normal values a shift apart have an AUC of Φ(shift / √2)."""

    truth, covered = norm.cdf(shift / np.sqrt(2)), 0
    for seed in range(400):
        found = estimate_auc(draw(seed, 25, shift=shift), draw(seed + 10_000, 40))
        assert 0 <= found.low <= found.value <= found.high <= 1
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 400 <= 0.99


def test_auc_interval_has_a_width_at_the_ends():
    one, other = np.arange(20.0), np.arange(20.0) + 100
    none, all = estimate_auc(one, other), estimate_auc(other, one)
    assert (none.value, none.low, all.value, all.high) == (0, 0, 1, 1)
    assert 0.05 < none.high < 0.3 and all.low == pytest.approx(1 - none.high)


def test_permutation_p_is_that_of_the_exact_test():
    rng = np.random.default_rng(5)
    for seed in range(10):
        one, other = draw(seed, 8, shift=0.6), draw(seed + 999, 9)
        shift = permutation_test(one, other, rng=rng, num_permutations=20_000)
        for p, side in zip(shift, ("greater", "less"), strict=True):
            exact = mannwhitneyu(one, other, alternative=side, method="exact").pvalue
            assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_permutation_p_counts_the_observed_division_and_repeats_by_seed():
    one, other = np.arange(30.0) + 100, np.arange(30.0)
    shifts = [
        permutation_test(one, other, rng=np.random.default_rng(3), num_permutations=999) for _ in range(2)
    ]
    assert shifts[0] == shifts[1] == (1 / 1000, 1.0)
    same = permutation_test(np.zeros(20), np.zeros(20), rng=np.random.default_rng(3), num_permutations=999)
    assert same == (1.0, 1.0)


def test_p_is_uniform_where_the_sets_do_not_differ():
    rng = np.random.default_rng(11)
    found = [
        permutation_test(rng.normal(size=40), rng.normal(size=30), rng=rng, num_permutations=999).p_above
        for _ in range(500)
    ]
    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.07
    assert kstest(found, "uniform").pvalue > 0.01


def test_detectable_auc_is_found_with_80_percent_power():
    n, m, rng = 60, 40, np.random.default_rng(13)
    least = detectable_auc(n, m, alpha=0.05)

    shift = float(norm.ppf(least) * np.sqrt(2))
    found = [
        mannwhitneyu(rng.normal(shift, size=n), rng.normal(size=m), alternative="greater").pvalue < 0.05
        for _ in range(1000)
    ]
    assert 0.75 <= np.mean(found) <= 0.85
    assert detectable_auc(600, 400, alpha=0.05) < least < detectable_auc(20, 20, alpha=0.05)
