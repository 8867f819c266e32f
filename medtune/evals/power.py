"""`medtune power`: which differences between two models an exam of a given size can show at all."""

from collections.abc import Iterator, Sequence

from medtune.config import load
from medtune.evals.config import PowerConfig
from medtune.scorers.stats import (
    minimum_detectable_difference,
    minimum_unpaired_difference,
    needed_items,
    wilson,
)

USUAL = (0.05, 0.1, 0.2, 0.3)
"""Shares of items that two runs of similar models answer differently: from a small change to another base."""


def power_lines(overrides: Sequence[str]) -> Iterator[str]:
    """What can be told apart with `n` items, or how many items tell a `difference` apart."""
    config = load(PowerConfig, None, overrides)
    shares = USUAL if config.d is None else (config.d,)
    if config.n is None:
        assert config.difference is not None
        yield f"to find a difference of {100 * config.difference:g} points in 80 of 100 comparisons"
        yield "(same items, McNemar's test, 5 % two-sided)"
        for share in shares:
            items = needed_items(config.difference, share)
            told = f"{items:,} items" if items else "no number of items: it cannot differ by so much"
            yield f"  {share:>6.1%} of the items answered differently   {told}"
        return
    one = wilson(round(config.accuracy * config.n), config.n)
    yield f"n = {config.n} items, accuracy near {config.accuracy:.0%}"
    yield f"one model: 95 % interval of its accuracy  {one.low:.1%} to {one.high:.1%}"
    unpaired = minimum_unpaired_difference(config.n, config.accuracy)
    yield f"two models on different items: {_points(unpaired)} can be found"
    yield "two models on the same items (McNemar's test, 5 % two-sided, 80 % power):"
    for share in shares:
        least = minimum_detectable_difference(config.n, share)
        yield f"  {share:>6.1%} of the items answered differently   {_points(least)} can be found"
    yield "A smaller difference may be real, but this exam would miss it more often than one time in five."


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
