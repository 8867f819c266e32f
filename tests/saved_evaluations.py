"""Evaluations made by hand: which items are right is told, no model is asked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medtune.artifact import write_jsonl
from medtune.config import Input
from medtune.evals.exam import Item
from medtune.evals.exam_report import report_from
from medtune.records import Phrase, Score, Way
from medtune.reports.report import write_reports
from medtune.scorers.stats import Floats

N = 200


def items_of(n: int = N, *, num_per_case: int = 1, name: str = "q") -> list[Item]:
    return [
        Item(
            id=f"{name}{number:04d}",
            subject=("basic", "clinical")[number % 2],
            cluster=f"case-{number // num_per_case}",
            is_multiple=False,
            labels="ABCD",
            gold="A",
        )
        for number in range(n)
    ]


def first_right(count: int, n: int = N) -> Floats:
    return (np.arange(n) < count).astype(np.float64)


def save(
    folder: Path,
    right: Floats,
    *,
    items: Sequence[Item] | None = None,
    ways: Sequence[Way] = ("generate",),
    warnings: Sequence[Phrase] = (),
    provenance: dict[str, str] | None = None,
) -> Input:
    """An evaluate directory in which the given items are right."""
    known = list(items or items_of(len(right)))
    scores = [
        Score(id=one.id, scorer=way, value=float(value), answer="A" if value else "B", gold=one.gold)
        for way in ways
        for one, value in zip(known, right, strict=True)
    ]
    told = {"predictions": folder.name, "cloze_norm": "prior"} | (provenance or {})
    write_jsonl(folder / "scores.jsonl", scores)
    write_jsonl(folder / "items.jsonl", known)
    write_reports(report_from(scores, known, name="m", warnings=warnings, provenance=told), folder)
    return Input(folder)


def flip(right: Floats, fixed: int, broken: int) -> Floats:
    """A run with `fixed` wrong items made right and `broken` right ones made wrong."""
    changed = right.copy()
    changed[np.flatnonzero(right == 0)[:fixed]] = 1
    changed[np.flatnonzero(right == 1)[:broken]] = 0
    return changed
