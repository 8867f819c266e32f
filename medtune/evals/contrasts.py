"""The statistics of a comparison: arms of one or more runs, on the same items."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from medtune.evals.exam import Item, compare_with_chance
from medtune.records import Estimate, Way
from medtune.scorers.stats import (
    Difference,
    Floats,
    bootstrap_difference,
    bootstrap_mean,
    generalize_difference,
    holm,
    mcnemar,
    minimum_detectable_difference,
    sign_flip_test,
    wilson,
)

ALPHA = 0.05
MIN_SEEDS = 3
"""From so many runs in each arm on, a finding is to hold for other seeds of training too."""

Finding = Literal["better", "worse", "same", "split", "open"]
Purpose = Literal["transfer", "forgetting"]


class Trial(NamedTuple):
    """What is compared: items in a fixed order and, by way and arm, which run has which of them right."""

    items: list[Item]
    right: dict[Way, dict[str, Floats]]
    """0 or 1, shape (runs, n)."""
    contrasts: tuple[tuple[str, str], ...]
    way: Way
    num_resamples: int
    seed: int


class Further(NamedTuple):
    """Another exam that the same runs answered."""

    name: str
    purpose: Purpose
    trial: Trial
    """Of one way; its contrasts are those that the purpose asks for."""


class Pair(NamedTuple):
    """One run of the first arm against one run of the second."""

    number: int
    fixed: int
    """Items that the first has right and the second wrong."""
    broken: int
    p: float


class Contrast(NamedTuple):
    """One arm against another, seeds averaged."""

    better: str
    worse: str
    difference: Estimate
    """Its interval says how it would vary with other items, the models being these."""
    p: float
    """That of the items, by sign flips."""
    general: Difference | None
    """The same difference for other items and other seeds; None where an arm has one run."""
    num_seeds: int
    """Runs of the arm that has fewer."""
    adjusted: float
    """p of what decides, for the number of contrasts in its family."""
    adjusted_items: float
    """p of the items, for the same number."""
    pairs: tuple[Pair, ...]
    num_unpaired: int
    """Runs beyond the shorter arm's number: they enter the means and have no partner."""
    discordant: float
    """Share of the items that two paired runs mark differently, on average."""

    def find_detectable(self, *, num_tests: int = 1) -> float:
        """The smallest true difference that this many items would show with 80 % power.

        `num_tests`: for the strictest of so many tests.
        """
        n = self.difference.n
        return minimum_detectable_difference(n, max(self.discordant, 1 / n), level=ALPHA / num_tests)

    @property
    def num_agreeing(self) -> int:
        """Seed pairs whose difference has the sign of the mean."""
        sign = np.sign(self.difference.value)
        return sum(bool(np.sign(pair.fixed - pair.broken) == sign != 0) for pair in self.pairs)

    @property
    def is_general(self) -> bool:
        """Whether the finding speaks of other seeds of training too, not of these very models only."""
        return self.general is not None and self.num_seeds >= MIN_SEEDS

    @property
    def decisive(self) -> Difference:
        """What the finding rests on."""
        if self.general is None or not self.is_general:
            return Difference(self.difference, self.p)
        # What holds for all seeds holds for these, so their exact test must agree.
        return self.general._replace(p=max(self.p, self.general.p))

    @property
    def finding(self) -> Finding:
        """What the contrast shows.

        `split`: significant for these models, but the runs point both ways; `open`: significant for these
        models, but not for other seeds.
        """
        if self.adjusted >= ALPHA:
            return "open" if self.is_general and self.adjusted_items < ALPHA else "same"
        if not self.is_general and self.num_agreeing < len(self.pairs):
            return "split"
        return "better" if self.difference.value > 0 else "worse"


class ChanceCount(NamedTuple):
    """How many runs of an arm lie clearly above and below guessing."""

    above: int
    below: int
    num_runs: int


def estimate_arm(
    right: Floats, clusters: Sequence[str], *, rng: np.random.Generator, num_resamples: int
) -> Estimate:
    """Mean accuracy of runs (runs, n): Wilson for one run of unrelated items, else cluster bootstrap."""
    if len(right) == 1 and len(set(clusters)) == len(clusters):
        return wilson(int(right.sum()), len(clusters))
    mean = bootstrap_mean(right.mean(axis=0), clusters, rng=rng, num_resamples=num_resamples)
    return mean.model_copy(update={"count": int(right.sum())}) if len(right) == 1 else mean


def match_runs(num_better: int, num_worse: int) -> list[tuple[int, int]]:
    """Which run of one arm is held against which of the other, by their places."""
    is_single = 1 in (num_better, num_worse)
    many = max(num_better, num_worse) if is_single else min(num_better, num_worse)
    return [(index if num_better > 1 else 0, index if num_worse > 1 else 0) for index in range(many)]


def pair_runs(better: Floats, worse: Floats) -> tuple[Pair, ...]:
    """Run i against run i; the only run of an arm is paired with each of the other's."""
    pairs: list[Pair] = []
    for index, (first, second) in enumerate(match_runs(len(better), len(worse))):
        one, two = better[first], worse[second]
        fixed, broken = int(((one == 1) & (two == 0)).sum()), int(((one == 0) & (two == 1)).sum())
        pairs.append(Pair(index + 1, fixed, broken, mcnemar(fixed, broken)))
    return tuple(pairs)


def contrast_arms(
    arms: dict[str, Floats],
    contrasts: Sequence[tuple[str, str]],
    clusters: Sequence[str],
    *,
    seed: Sequence[int],
    num_resamples: int,
) -> list[Contrast]:
    """Every contrast with its p adjusted for their number. Each draws from its own stream of `seed`."""
    found: list[Contrast] = []
    for number, (better, worse) in enumerate(contrasts):
        rng = np.random.default_rng([*seed, number])
        one, two = arms[better], arms[worse]
        pairs, num_seeds = pair_runs(one, two), min(len(one), len(two))
        contrast = Contrast(
            better=better,
            worse=worse,
            difference=bootstrap_difference(one, two, clusters, rng=rng, num_resamples=num_resamples),
            p=sign_flip_test(
                one.mean(axis=0) - two.mean(axis=0), clusters, rng=rng, num_resamples=num_resamples
            ),
            general=generalize_difference(one, two, clusters)
            if num_seeds > 1 and len(set(clusters)) > 1
            else None,
            num_seeds=num_seeds,
            adjusted=1.0,
            adjusted_items=1.0,
            pairs=pairs,
            num_unpaired=max(len(one), len(two)) - len(pairs),
            discordant=sum(pair.fixed + pair.broken for pair in pairs) / (len(pairs) * len(clusters)),
        )
        found.append(contrast)
    return adjust(found)


def adjust(found: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts, their p adjusted as one family, whatever they were adjusted for before."""
    decided, items = holm([one.decisive.p for one in found]), holm([one.p for one in found])
    return [
        contrast._replace(adjusted=p, adjusted_items=p_items)
        for contrast, p, p_items in zip(found, decided, items, strict=True)
    ]


def count_against_chance(right: Floats, items: Sequence[Item]) -> ChanceCount:
    """How many runs (runs, n) differ from guessing by the exact binomial test, adjusted for their number."""
    tests = [compare_with_chance(int(run.sum()), items) for run in right]
    sides = [
        "same" if p >= ALPHA else "above" if run.mean() > test.chance else "below"
        for run, test, p in zip(right, tests, holm([test.p for test in tests]), strict=True)
    ]
    return ChanceCount(sides.count("above"), sides.count("below"), len(sides))
