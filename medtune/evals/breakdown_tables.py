"""Where a model is good and where not: kinds of questions, and sets of letters that are nearly right."""

from collections.abc import Mapping, Sequence

import numpy as np

from medtune.evals.audit_report import STATUSES
from medtune.evals.exam import AUDIT, SPECIALTY
from medtune.evals.exam_tables import Marked, name_way, rate
from medtune.records import Cell, Estimate, Phrase, Table, Way
from medtune.reports.phrases import phrase, say_p
from medtune.scorers.stats import bootstrap_mean, chi_square_shares, holm, wilson

FEW = 30
"""A kind with fewer items is shown without a test."""
NUM_RESAMPLES = 1000
SEED = 42
MEASURES = ("exact", "jaccard", "option_precision", "option_recall", "option_f1", "over", "under")
KINDS = ("negated", "number", "long", "case")


def tabulate_tags(way: Way, marked: Sequence[Marked]) -> list[Table]:
    """Accuracy by kind of question and by department, each against all other items."""
    tags = [tag for tag in KINDS if any(tag in mark.item.tags for mark in marked)]
    tags += sorted({tag for mark in marked for tag in mark.item.tags if tag.startswith(SPECIALTY)})
    parts = {tag: [mark for mark in marked if tag in mark.item.tags] for tag in tags}
    rows = _rows_of({tag: part for tag, part in parts.items() if len(part) < len(marked)}, marked)
    if not rows:
        return []
    return [
        Table(
            name=f"{way}_tags",
            title=phrase("title_tags"),
            columns=(phrase("column_tag"), phrase("column_accuracy"), phrase("column_p_rest")),
            rows=tuple(rows),
            notes=(phrase("note_tags"),),
            chart="intervals",
            section=name_way(way),
            is_detail=True,
        )
    ]


def tabulate_audit(way: Way, marked: Sequence[Marked]) -> list[Table]:
    """Accuracy on items that an audit of the training data found clean, and on the others."""
    tags = [f"{AUDIT}{status}" for status in STATUSES]
    parts = {tag: [mark for mark in marked if tag in mark.item.tags] for tag in tags}
    rows = _rows_of({tag: part for tag, part in parts.items() if part}, marked)
    if not rows:
        return []
    return [
        Table(
            name=f"{way}_contamination",
            title=phrase("title_contamination"),
            columns=(phrase("column_audit"), phrase("column_accuracy"), phrase("column_p_rest")),
            rows=tuple(rows),
            notes=(phrase("note_contamination"),),
            chart="intervals",
            section=name_way(way),
        )
    ]


def _rows_of(parts: Mapping[str, Sequence[Marked]], marked: Sequence[Marked]) -> list[tuple[Cell, ...]]:
    """A row for each part: its name, its accuracy, and whether it differs from the rest."""
    tested = [tag for tag, part in parts.items() if min(len(part), len(marked) - len(part)) >= FEW]
    p_values = dict(zip(tested, holm([_differs(parts[tag], marked) for tag in tested]), strict=True))
    return [
        (name_tag(tag), rate(part), say_p(p_values[tag]) if tag in p_values else phrase("too_few", few=FEW))
        for tag, part in parts.items()
    ]


def name_tag(tag: str) -> Phrase | str:
    """The kind for readers; a department speaks for itself."""
    if tag.startswith(AUDIT):
        return phrase(f"audit_{tag.removeprefix(AUDIT)}")
    return phrase(f"tag_{tag}") if tag in KINDS else tag.removeprefix(SPECIALTY)


def _differs(part: Sequence[Marked], marked: Sequence[Marked]) -> float:
    """The p that the part is right as often as the rest (chi-square of the 2 x 2 table)."""
    right, all_right = rate(part).count or 0, rate(marked).count or 0
    return chi_square_shares([right, all_right - right], [len(part), len(marked) - len(part)]).p


def tabulate_sets(way: Way, marked: Sequence[Marked], metrics: Mapping[str, Estimate]) -> list[Table]:
    """How near the answers to multi-answer items come, as `measure_sets` gives it."""
    num_multiple = sum(mark.item.is_multiple for mark in marked)
    if not num_multiple:
        return []
    rows: list[tuple[Cell, ...]] = [
        (phrase(f"row_{name}"), value)
        for name in MEASURES
        if (value := metrics.get(f"{way}.sets.{name}")) is not None
    ]
    return [
        Table(
            name=f"{way}_sets",
            title=phrase("title_sets", n=num_multiple),
            columns=(phrase("column_measure"), phrase("column_figure")),
            rows=tuple(rows),
            notes=(phrase("note_sets"),),
            section=name_way(way),
        )
    ]


def measure_sets(way: Way, marked: Sequence[Marked]) -> dict[str, Estimate]:
    """Exact sets, mean Jaccard index, precision and recall of single letters, and too many or too few.

    Of multi-answer items alone. An answer that could not be read is the empty set.
    """
    multiple = [mark for mark in marked if mark.item.is_multiple]
    pairs = [(set(mark.score.answer or ""), set(mark.item.gold)) for mark in multiple]
    n = len(pairs)
    if not n:
        return {}
    letters = np.array([(len(answer & gold), len(answer), len(gold)) for answer, gold in pairs])
    shared, given, wanted = (int(total) for total in letters.sum(axis=0))
    overlap = np.array([len(answer & gold) / len(answer | gold) for answer, gold in pairs])
    rng = np.random.default_rng(SEED)
    clusters = [mark.item.cluster for mark in multiple]
    redrawn = [letters[rng.integers(n, size=n)].sum(axis=0) for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile([2 * one[0] / (one[1] + one[2]) for one in redrawn], [0.025, 0.975])
    found = {
        "exact": rate(multiple),
        "jaccard": bootstrap_mean(overlap, clusters, rng=rng, num_resamples=NUM_RESAMPLES),
        "option_recall": wilson(shared, wanted),
        "option_f1": Estimate(value=2 * shared / (given + wanted), low=float(low), high=float(high), n=n),
        "over": wilson(sum(bool(answer - gold) for answer, gold in pairs), n),
        "under": wilson(sum(bool(gold - answer) for answer, gold in pairs), n),
    }
    found |= {"option_precision": wilson(shared, given)} if given else {}
    return {f"{way}.sets.{name}": value for name, value in found.items()}
