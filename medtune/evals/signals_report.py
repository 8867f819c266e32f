"""The report on whether a model reads an exam as if it had seen it, from the signs of the items only."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from medtune.records import Cell, Estimate, Phrase, Report, Row, Table
from medtune.reports.phrases import phrase, say_p
from medtune.scorers.exposure import (
    Floats,
    Shift,
    average_by,
    detectable_auc,
    estimate_auc,
    permutation_test,
)
from medtune.scorers.stats import holm

Side = Literal["exam", "reference"]
Signal = Literal["min_k", "completion", "order", "loss_drop"]
Finding = Literal["exposure", "none", "reversed", "flat"]
SIGNALS: tuple[Signal, ...] = ("min_k", "completion", "order", "loss_drop")
ALPHA = 0.05
MIN_UNITS = 20
"""Fewer items, those of one case counted as one, tell nothing: an AUC below 0.78 would mostly be missed."""


class Sign(Row):
    """How much the model is like one that has seen an item, by one signal: more when the value is larger."""

    id: str
    side: Side
    cluster: str
    signal: Signal
    value: float
    num_tokens: int
    """Tokens of the item that were read."""


class Result(NamedTuple):
    """What one signal says of an exam."""

    signal: Signal
    auc: Estimate
    shift: Shift
    adjusted: float
    """p that the exam lies above the reference, for the number of signals."""
    adjusted_below: float
    means: tuple[float, float]
    """Of exam and reference."""
    is_flat: bool
    """Whether every item of both sets has the same value."""

    @property
    def finding(self) -> Finding:
        """What the signal shows: `reversed` when the model is more at home in the reference, `flat` when all
        items have the same value.
        """
        if self.is_flat:
            return "flat"
        if self.adjusted < ALPHA:
            return "exposure"
        return "reversed" if self.adjusted_below < ALPHA else "none"


def report_on(
    signs: Sequence[Sign],
    *,
    name: str,
    num_permutations: int,
    seed: int,
    warnings: Sequence[Phrase] = (),
    provenance: Mapping[str, str] | None = None,
) -> Report:
    """Every signal with its test; the verdict says how many are consistent with exposure."""
    found: list[Signal] = [signal for signal in SIGNALS if any(sign.signal == signal for sign in signs)]
    results = compare_sets(signs, found, num_permutations=num_permutations, seed=seed)
    n, m = len(values_of(signs, found[0], "exam")), len(values_of(signs, found[0], "reference"))
    num_exposed = sum(result.finding == "exposure" for result in results)
    key = "verdict_signals_exposure" if num_exposed else "verdict_signals_none"
    least = detectable_auc(n, m, alpha=ALPHA / len(results))
    return Report(
        task="signals",
        n=n,
        title=phrase("title_signals", name=name, n=n, m=m),
        verdict=(phrase(key, count=num_exposed, total=len(results), n=n, m=m),),
        details=(
            *(explain(result) for result in results),
            phrase("signals_detectable", n=n, m=m, value=least),
            phrase("signals_limits"),
        ),
        metrics={f"{result.signal}.auc": result.auc for result in results},
        tables=(tabulate_results(results, num_permutations), tabulate_means(results)),
        warnings=(*warnings, *warn_of_kind(signs, results, num_permutations=num_permutations, seed=seed)),
        provenance=dict(provenance or {}),
    )


# ---- statistics ----


def compare_sets(
    signs: Sequence[Sign], found: Sequence[Signal], *, num_permutations: int, seed: int
) -> list[Result]:
    """Exam against reference by each signal, p adjusted for their number. Each draws from its own stream."""
    results: list[Result] = []
    for signal in found:
        exam, reference = values_of(signs, signal, "exam"), values_of(signs, signal, "reference")
        rng = np.random.default_rng([seed, SIGNALS.index(signal)])
        shift = permutation_test(exam, reference, rng=rng, num_permutations=num_permutations)
        means = (float(exam.mean()), float(reference.mean()))
        is_flat = bool(np.ptp(np.concatenate([exam, reference])) == 0)
        results.append(Result(signal, estimate_auc(exam, reference), shift, 1.0, 1.0, means, is_flat))
    above = holm([result.shift.p_above for result in results])
    below = holm([result.shift.p_below for result in results])
    return [
        result._replace(adjusted=one, adjusted_below=other)
        for result, one, other in zip(results, above, below, strict=True)
    ]


def values_of(signs: Sequence[Sign], signal: Signal, side: Side) -> Floats:
    """The values of a signal in one set, those of a case averaged."""
    own = [sign for sign in signs if sign.signal == signal and sign.side == side]
    return average_by([sign.value for sign in own], [sign.cluster for sign in own])


# ---- words ----


def explain(result: Result) -> Phrase:
    """What one signal shows, with its figures."""
    return phrase(
        "signal_says",
        signal=phrase(f"signal_{result.signal}"),
        finding=phrase(f"exposure_{result.finding}"),
        value=result.auc.value,
        low=result.auc.low,
        high=result.auc.high,
        p=say_p(result.adjusted),
    )


def warn_of_kind(
    signs: Sequence[Sign], results: Sequence[Result], *, num_permutations: int, seed: int
) -> list[Phrase]:
    """Warnings that the two sets are not of one kind: other lengths, or a reference that looks more seen."""
    lengths = {side: lengths_of(signs, side) for side in ("exam", "reference")}
    rng = np.random.default_rng([seed, len(SIGNALS)])
    shift = permutation_test(
        lengths["exam"], lengths["reference"], rng=rng, num_permutations=num_permutations
    )
    p = min(1.0, 2 * min(shift))
    warnings = [
        phrase("warn_signals_reversed", signal=phrase(f"signal_{result.signal}"))
        for result in results
        if result.finding == "reversed"
    ]
    if p < ALPHA:
        exam, reference = (float(np.median(lengths[side])) for side in ("exam", "reference"))
        warnings.append(phrase("warn_signals_lengths", exam=exam, reference=reference, p=say_p(p)))
    return warnings


def lengths_of(signs: Sequence[Sign], side: Side) -> Floats:
    """Tokens of each item of a set, those of a case averaged."""
    own = {sign.id: sign for sign in signs if sign.side == side}.values()
    return average_by([sign.num_tokens for sign in own], [sign.cluster for sign in own])


# ---- tables ----


def tabulate_results(results: Sequence[Result], num_permutations: int) -> Table:
    """Every signal with its AUC, p and finding."""
    rows: list[tuple[Cell, ...]] = [
        (
            phrase(f"signal_{result.signal}"),
            result.auc,
            say_p(result.shift.p_above),
            say_p(result.adjusted),
            phrase(f"exposure_{result.finding}"),
        )
        for result in results
    ]
    columns = ("column_signal", "column_auc", "column_p", "column_adjusted", "column_finding")
    return Table(
        name="signals",
        title=phrase("title_signals_auc"),
        columns=tuple(phrase(column) for column in columns),
        rows=tuple(rows),
        notes=(phrase("note_signals_auc"), phrase("note_signals_p", count=num_permutations)),
        chart="intervals",
    )


def tabulate_means(results: Sequence[Result]) -> Table:
    """The mean of each signal in both sets, and what it is."""
    rows: list[tuple[Cell, ...]] = [
        (phrase(f"signal_{result.signal}"), *result.means, phrase(f"signal_{result.signal}_means"))
        for result in results
    ]
    columns = ("column_signal", "column_signal_exam", "column_signal_reference", "column_meaning")
    return Table(
        name="means",
        title=phrase("title_signals_means"),
        columns=tuple(phrase(column) for column in columns),
        rows=tuple(rows),
    )
