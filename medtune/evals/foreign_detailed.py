"""Answers in rows with `predicted_answer` and `ground_truth`, and counts in confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
from pydantic import Field, ValidationError

from medtune.errors import UserError
from medtune.evals.foreign import (
    Answer,
    Foreign,
    Source,
    Stated,
    check,
    need_letters,
    read_letters,
    read_rows,
)
from medtune.evals.published import Rebuilt, scores_from_matrix

TOOL, MATRIX_TOOL = "detailed results", "confusion matrices"
DETAILED = "detailed_results.jsonl"
METRICS = "metrics.json"


class DetailedRow(Foreign):
    """A line of `detailed_results.jsonl`."""

    question: str
    options: dict[str, str]
    generated_text: str | None = None
    predicted_answer: str | None
    ground_truth: str | None
    correct: bool | None = None


class OptionAccuracy(Foreign):
    """How the items with one right letter went."""

    total: int


class Metrics(Foreign):
    """What is read of `metrics.json`, or of one set in a file of several."""

    total_questions: int
    confusion_matrix: list[list[int]]
    questions_with_answer: int | None = None
    extraction_failed: int = 0
    accuracy: float | None = None
    option_accuracy: dict[str, OptionAccuracy] = Field(default_factory=dict)
    confusion_matrix_labels: list[str] | None = None


class Matrices(NamedTuple):
    """What confusion matrices hold."""

    parts: dict[str, Rebuilt]
    stated: list[Stated]


def read(files: Sequence[Path]) -> Source:
    """The answers of all sets, with what the `metrics.json` beside each prints."""
    answers: list[Answer] = []
    stated: list[Stated] = []
    for file in files:
        part = name_part(file, files)
        for place, row in read_rows(file, DetailedRow, tool=TOOL):
            answers.append(
                Answer(
                    place=place,
                    part=part,
                    text=row.question,
                    gold=need_letters(row.ground_truth, place=place),
                    letters=read_letters(row.predicted_answer),
                    options=row.options,
                    reply=row.generated_text,
                    marked=None if row.correct is None else float(row.correct),
                )
            )
        beside = file.with_name(METRICS)
        if beside.is_file():
            metrics = check(Metrics, beside.read_bytes(), place=str(beside), tool=TOOL)
            n = metrics.questions_with_answer or metrics.total_questions
            stated.append(Stated(f"{part}/{METRICS}", frozenset({part}), metrics.accuracy, n))
    return Source(TOOL, "", "generate", answers, stated)


def name_part(file: Path, files: Sequence[Path]) -> str:
    """What a set is called: its directory, or its file where one directory holds several."""
    alone = sum(other.parent == file.parent for other in files) == 1
    return file.parent.resolve().name if alone else file.stem


def read_matrices(files: Sequence[Path]) -> Matrices:
    """An item for each count of the matrices; a file holds one set, or several by name."""
    parts: dict[str, Rebuilt] = {}
    stated: list[Stated] = []
    for file in files:
        for part, metrics in sets_of(file, files).items():
            if part in parts:
                raise UserError(f"{file}: set {part} was in another file too; name each set once")
            parts[part] = rebuild(metrics, part=part, place=f"{file} {part}")
            n = metrics.questions_with_answer or metrics.total_questions
            stated.append(Stated(f"{file.name} {part}", frozenset({part}), metrics.accuracy, n))
    return Matrices(parts=parts, stated=stated)


def sets_of(file: Path, files: Sequence[Path]) -> dict[str, Metrics]:
    """The sets of a file by name."""
    content = orjson.loads(file.read_bytes())
    sets: Mapping[str, object] = (
        {name_part(file, files): content} if "confusion_matrix" in content else content
    )
    try:
        return {name: Metrics.model_validate(one) for name, one in sets.items()}
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(f"{file}: {said}; a set has total_questions and confusion_matrix") from None


def rebuild(metrics: Metrics, *, part: str, place: str) -> Rebuilt:
    """The counts as scores, with the answers that could not be read where the file tells of them."""
    size = len(metrics.confusion_matrix)
    labels = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:size])
    if (metrics.confusion_matrix_labels or labels) != labels:
        raise UserError(
            f"{place}: labels {metrics.confusion_matrix_labels}; letters in order from A on are wanted"
        )
    matrix = metrics.confusion_matrix
    if metrics.extraction_failed and all(len(row) == size for row in matrix):
        totals = {letter: one.total for letter, one in metrics.option_accuracy.items()}
        matrix = [
            [*row, totals.get(letter, sum(row)) - sum(row)]
            for letter, row in zip(labels, matrix, strict=True)
        ]
    n = metrics.questions_with_answer or metrics.total_questions
    return scores_from_matrix(matrix, subject=part, stated_n=n)
