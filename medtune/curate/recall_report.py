"""The report of a choice: what each subject of the exam brought, how near, and from which sources."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medtune.curate.order import Hit
from medtune.curate.search import bin_edges
from medtune.records import Cell, Phrase, Question, Report, Table
from medtune.reports.phrases import phrase

NUM_BINS = 20
"""Rows of the table of similarities."""
MOST_SOURCES = 20
"""Sources with a row of their own."""
SUBJECT_COLUMNS = ("questions", "none", "records", "mean", "least", "most")
SOURCE_COLUMNS = ("source", "chosen", "pool", "of_pool")
COLUMNS = (*SUBJECT_COLUMNS, *SOURCE_COLUMNS)


class Reason(NamedTuple):
    """Why a row was chosen."""

    row: int
    record: str
    place: str
    similarity: float
    """To the nearest question; the mean of the best, or the log importance weight, where it went by that."""
    hits: list[Hit]
    """What brought it, the nearest question first."""


class Choice(NamedTuple):
    """What a report tells of."""

    questions: Sequence[Question]
    reasons: Sequence[Reason]
    num_tokens: int
    """0 where they were not counted."""
    num_pool: int
    num_leaking: int | None
    """None where no exam was given to look for."""
    sources: Sequence[str]
    in_pool: Sequence[int]
    """Records of the pool from each source."""
    chosen_from: Sequence[int]
    histogram: NDArray[np.int64]
    """Similarities of a sample of all pairs."""
    details: Sequence[Phrase]


def report_on(choice: Choice, *, provenance: dict[str, str]) -> Report:
    """What was chosen, and how near it is."""
    splits = sorted({question.split for question in choice.questions})
    brought = {hit.question for reason in choice.reasons for hit in reason.hits}
    tokens = (
        phrase("choice_tokens", count=choice.num_tokens) if choice.num_tokens else phrase("choice_no_tokens")
    )
    verdict = phrase(
        "verdict_choice",
        questions=len(choice.questions),
        splits=", ".join(splits),
        chosen=len(choice.reasons),
        tokens=tokens,
        num_brought=len(brought),
    )
    if choice.num_leaking is None:
        guard = phrase("verdict_choice_unguarded")
    else:
        guard = phrase("verdict_choice_leaks", leaks=choice.num_leaking)
    return Report(
        task="recall",
        n=len(choice.reasons),
        title=phrase("title_choice", pool=choice.num_pool, chosen=len(choice.reasons)),
        verdict=(verdict, guard),
        details=(phrase("choice_limits"), *choice.details),
        metrics={},
        tables=(
            *([tabulate_subjects(choice), tabulate_similarities(choice)] if brought else []),
            tabulate_sources(choice),
        ),
        warnings=(phrase("warn_chosen_on_test"),) if "test" in splits else (),
        provenance=provenance,
    )


def tabulate_subjects(choice: Choice) -> Table:
    """By subject of the exam: how many records its questions brought, and how near they are."""
    rows: list[tuple[Cell, ...]] = []
    for subject in sorted({question.subject for question in choice.questions}):
        own = {number for number, question in enumerate(choice.questions) if question.subject == subject}
        hits = [(reason.row, hit) for reason in choice.reasons for hit in reason.hits if hit.question in own]
        near = [hit.similarity for _, hit in hits]
        measured = (
            (round(float(np.mean(near)), 4), round(min(near), 4), round(max(near), 4))
            if near
            else (None,) * 3
        )
        silent = len(own - {hit.question for _, hit in hits})
        rows.append((subject, len(own), silent, len({row for row, _ in hits}), *measured))
    return Table(
        name="subjects",
        title=phrase("title_choice_subjects"),
        columns=(
            phrase("column_subject"),
            *(phrase(f"column_choice_{name}") for name in SUBJECT_COLUMNS),
        ),
        rows=tuple(rows),
        notes=(phrase("note_choice_twice"),),
    )


def tabulate_similarities(choice: Choice) -> Table:
    """How near the chosen records are, beside all pairs of question and record."""
    near = np.array([reason.similarity for reason in choice.reasons])
    edges = bin_edges(choice.histogram)
    pairs = choice.histogram.sum()
    first = int(np.argmax(choice.histogram > 0))
    low, high = min(near.min(), edges[first]), near.max()
    step = max((high - low) / NUM_BINS, 1e-4)
    rows: list[tuple[Cell, ...]] = []
    for number in range(NUM_BINS):
        begin, end = low + number * step, low + (number + 1) * step
        is_last = number == NUM_BINS - 1
        count = int(((near >= begin) & ((near < end) | is_last)).sum())
        inside = (edges[:-1] >= begin) & ((edges[:-1] < end) | is_last)
        rows.append(
            (f"{begin:.3f}–{end:.3f}", count, round(float(choice.histogram[inside].sum() / pairs), 5))
        )
    return Table(
        name="similarities",
        title=phrase("title_choice_similarities"),
        columns=(phrase("column_choice_bin"), phrase("column_choice_chosen"), phrase("column_choice_pairs")),
        rows=tuple(rows),
        notes=(phrase("note_choice_pairs"),),
        chart="bars",
    )


def tabulate_sources(choice: Choice) -> Table:
    """How much of each source was chosen, those that gave most first."""
    told = sorted(
        zip(choice.sources, choice.chosen_from, choice.in_pool, strict=True),
        key=lambda row: (-row[1], row[0]),
    )
    shown, others = told[:MOST_SOURCES], told[MOST_SOURCES:]
    rows: list[tuple[Cell, ...]] = [
        (source or "-", chosen, in_pool, round(chosen / in_pool, 4)) for source, chosen, in_pool in shown
    ]
    if others:
        chosen, in_pool = sum(row[1] for row in others), sum(row[2] for row in others)
        name = phrase("row_choice_others", count=len(others))
        rows.append((name, chosen, in_pool, round(chosen / in_pool, 4)))
    return Table(
        name="sources",
        title=phrase("title_choice_sources"),
        columns=tuple(phrase(f"column_choice_{name}") for name in SOURCE_COLUMNS),
        rows=tuple(rows),
        chart="bars",
    )
