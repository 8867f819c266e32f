"""How often the 95 % intervals of `compare` hold the truth when training seeds matter: a simulation.

python benchmarks/seed_coverage.py [RUNS]: two equal methods answer the same items; items, seeds and single
answers are drawn anew in each of RUNS repeats (1000).
"""

import sys

import numpy as np
from scipy.stats import norm

from medtune.scorers.stats import Floats, bootstrap_difference, generalize_difference

ITEM, ARM_ITEM, ANSWER = 1.0, 0.3, 1.2
"""Standard deviations behind an answer, on the scale of the normal: item, item with arm, single answer."""
MEAN = 0.3
SEEDS = (0.0, 0.1, 0.3)
"""Standard deviations of a training seed on that scale."""


def answer(rng: np.random.Generator, *, n: int, num_seeds: int, deviation: float) -> Floats:
    """0 or 1, shape (2 arms, seeds, n)."""
    item = rng.normal(MEAN, ITEM, n) + rng.normal(0, ARM_ITEM, (2, 1, n))
    noise = rng.normal(0, deviation, (2, num_seeds, 1)) + rng.normal(0, ANSWER, (2, num_seeds, n))
    return (item + noise > 0).astype(np.float64)


def spread_of(deviation: float) -> float:
    """The standard deviation of accuracy between seeds, in points."""
    rest = float(np.sqrt(ITEM**2 + ARM_ITEM**2 + ANSWER**2))
    grid = norm.ppf((np.arange(2000) + 0.5) / 2000)
    return 100 * float(norm.cdf((MEAN + deviation * grid) / rest).std())


def main(runs: int) -> None:
    """Nothing; a row for each setting."""
    print(f"{'items':>6}{'seeds':>6}{'SD':>6}{'both':>8}{'items':>8}{'wider':>8}")
    for n in (136, 818):
        clusters = [str(number) for number in range(n)]
        for deviation in SEEDS:
            for num_seeds in (2, 3, 5):
                rng = np.random.default_rng([n, num_seeds, round(100 * deviation)])
                held, widths = np.zeros(2), np.zeros(2)
                for _ in range(runs):
                    arms = answer(rng, n=n, num_seeds=num_seeds, deviation=deviation)
                    found = (
                        generalize_difference(arms[0], arms[1], clusters).estimate,
                        bootstrap_difference(arms[0], arms[1], clusters, rng=rng, num_resamples=500),
                    )
                    held += [one.low <= 0 <= one.high for one in found]
                    widths += [one.high - one.low for one in found]
                both, items = held / runs
                told = f"{n:>6}{num_seeds:>6}{spread_of(deviation):>6.1f}{both:>8.3f}{items:>8.3f}"
                print(told + f"{widths[0] / widths[1]:>8.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
