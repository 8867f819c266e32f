"""How sure a model was of its answers, and whether it was right to be: from the letters' likelihoods."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medtune.evals.exam_tables import Marked, name_way
from medtune.records import Cell, Estimate, Table, Way
from medtune.reports.phrases import phrase
from medtune.scorers.calibration import (
    brier,
    estimate_calibration,
    probabilities,
    reliability_bins,
    risk_coverage_area,
    surprise,
)
from medtune.scorers.stats import bootstrap_mean, wilson

FRAGILE_NATS = 0.05
"""Two likeliest answers that lie closer than this may change places with the batch or the number format."""
NUM_RESAMPLES = 1000
MEASURES = ("ece", "brier", "nll", "aurc", "label_mass")
SEED = 42


class Sure(NamedTuple):
    """Answers with what the model thought of them. Arrays are (n,)."""

    confidence: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Probability of the answer given, among the item's candidates."""
    right: np.ndarray[tuple[int], np.dtype[np.float64]]
    brier: np.ndarray[tuple[int], np.dtype[np.float64]]
    surprise: np.ndarray[tuple[int], np.dtype[np.float64]]
    mass: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Probability of all candidates together, of whatever the model might have said."""
    clusters: list[str]


def weigh(marked: Sequence[Marked]) -> Sure:
    """The answers of single-answer items with their likelihoods."""
    shares = [probabilities(mark.score.logprobs or {}) for mark in marked]
    golds = [mark.item.gold for mark in marked]
    return Sure(
        confidence=np.array([max(own.values()) for own in shares]),
        right=np.array([mark.score.value for mark in marked]),
        brier=np.array([brier(own, gold) for own, gold in zip(shares, golds, strict=True)]),
        surprise=np.array([surprise(own, gold) for own, gold in zip(shares, golds, strict=True)]),
        mass=np.array([np.exp(list((mark.score.logprobs or {}).values())).sum() for mark in marked]),
        clusters=[mark.item.cluster for mark in marked],
    )


def can_weigh(marked: Sequence[Marked]) -> list[Marked]:
    """The single-answer items with likelihoods; sets of letters are no probabilities of one answer."""
    return [mark for mark in marked if mark.score.logprobs and not mark.item.is_multiple]


def measure_confidence(marked: Sequence[Marked]) -> dict[str, Estimate]:
    """ECE, Brier, negative log-likelihood, AURC and label mass of the letters."""
    single = can_weigh(marked)
    if not single:
        return {}
    sure, rng = weigh(single), np.random.default_rng(SEED)
    found = estimate_calibration(sure.confidence, sure.right, rng=rng, num_resamples=NUM_RESAMPLES)
    half = 1.96 * found.deviation
    n = len(single)
    area = risk_coverage_area(sure.confidence, sure.right)
    areas = [
        risk_coverage_area(sure.confidence[rows], sure.right[rows])
        for rows in (rng.integers(n, size=n) for _ in range(NUM_RESAMPLES))
    ]
    low, high = np.quantile(areas, [0.025, 0.975])
    means = {
        name: bootstrap_mean(values, sure.clusters, rng=rng, num_resamples=NUM_RESAMPLES)
        for name, values in (("brier", sure.brier), ("nll", sure.surprise), ("label_mass", sure.mass))
    }
    return {
        "letter.ece": Estimate(
            value=found.error, low=max(0.0, found.error - half), high=found.error + half, n=n
        ),
        "letter.ece_by_chance": Estimate(
            value=found.by_chance, low=found.by_chance, high=found.by_chance, n=n
        ),
        **{f"letter.{name}": value for name, value in means.items()},
        "letter.aurc": Estimate(value=area, low=float(low), high=float(high), n=n),
    }


def tabulate_confidence(marked: Sequence[Marked], metrics: Mapping[str, Estimate]) -> list[Table]:
    """The figures of calibration as `measure_confidence` gives them, and accuracy by confidence."""
    single = can_weigh(marked)
    if not single:
        return []
    rows: list[tuple[Cell, ...]] = [
        (phrase(f"row_{name}"), metrics[f"letter.{name}"], phrase(f"meaning_{name}")) for name in MEASURES
    ]
    notes = [phrase("note_ece", by_chance=metrics["letter.ece_by_chance"].value, n=len(single))]
    if len(single) < len(marked):
        notes.append(phrase("note_multiple_left_out", count=len(marked) - len(single)))
    sure = weigh(single)
    bins = reliability_bins(sure.confidence, sure.right)
    return [
        Table(
            name="letter_calibration",
            title=phrase("title_calibration"),
            columns=(phrase("column_measure"), phrase("column_figure"), phrase("column_meaning")),
            rows=tuple(rows),
            notes=tuple(notes),
            section=name_way("letter"),
        ),
        Table(
            name="letter_reliability",
            title=phrase("title_reliability"),
            columns=(phrase("column_confidence"), phrase("column_accuracy"), phrase("column_items")),
            rows=tuple((one.confidence, wilson(one.right, one.n), one.n) for one in bins),
            notes=(phrase("note_reliability"),),
            chart="reliability",
            section=name_way("letter"),
            is_detail=True,
        ),
    ]


def count_fragile(marked: Sequence[Marked]) -> int:
    """How many items have two likeliest answers closer than FRAGILE_NATS."""
    values = [sorted((mark.score.logprobs or {}).values(), reverse=True) for mark in marked]
    return sum(len(own) > 1 and own[0] - own[1] < FRAGILE_NATS for own in values)


def tabulate_margins(way: Way, marked: Sequence[Marked]) -> list[Table]:
    """How many answers hang by a hair."""
    if not any(mark.score.logprobs for mark in marked):
        return []
    return [
        Table(
            name=f"{way}_margins",
            title=phrase("title_margins"),
            columns=(phrase("column_measure"), phrase("column_share")),
            rows=((phrase("row_fragile", nats=FRAGILE_NATS), wilson(count_fragile(marked), len(marked))),),
            notes=(phrase("note_fragile"),),
            section=name_way(way),
            is_detail=True,
        )
    ]
