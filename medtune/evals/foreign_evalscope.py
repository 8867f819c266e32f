"""Answers in `reviews/MODEL/*.jsonl` of EvalScope 1: generated texts and the letters found in them."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue, ValidationError

from medtune.errors import UserError
from medtune.evals.foreign import (
    Answer,
    Foreign,
    Source,
    Stated,
    need_letters,
    one_model,
    read_letters,
    read_rows,
    text_of,
)

TOOL = "EvalScope"


class ReviewScore(Foreign):
    """How a reply was counted."""

    value: dict[str, bool | float]
    extracted_prediction: str | None = None
    prediction: str | None = None
    main_score_name: str | None = None


class SampleScore(Foreign):
    """The score with the sample that it is of."""

    score: ReviewScore
    group_id: str | int | None = None


class ReviewRow(Foreign):
    """A line of a review file."""

    index: int
    input: JsonValue
    target: str | None
    sample_score: SampleScore


class Subset(Foreign):
    """A part of a benchmark in a report."""

    name: str
    score: float
    num: int
    is_aggregate: bool = False


class Category(Foreign):
    """Parts that a report puts together."""

    subsets: list[Subset]


class Metric(Foreign):
    """A printed figure."""

    name: str
    num: int
    score: float
    categories: list[Category]


class ReviewReport(Foreign):
    """What is read of `reports/MODEL/BENCHMARK.json`."""

    metrics: list[Metric]


def read(files: Sequence[Path]) -> Source:
    """The answers of all subsets, with what the reports of the same model print."""
    answers: list[Answer] = []
    for file in files:
        groups: dict[str | int, str] = {}
        for place, row in read_rows(file, ReviewRow, tool=TOOL):
            group = row.sample_score.group_id
            if group is not None and groups.setdefault(group, place) != place:
                raise UserError(f"{place}: asks the item of {groups[group]} again; run with repeats=1")
            answers.append(read_answer(row, place=place, part=file.stem))
    model = one_model([file.parent.name for file in files], where=str(files[0].parent.parent))
    return Source(TOOL, model, "generate", answers, find_stated(files[0], {file.stem for file in files}))


def read_answer(row: ReviewRow, *, place: str, part: str) -> Answer:
    """The answer of one row."""
    score = row.sample_score.score
    if not score.value:
        raise UserError(f"{place}: has no score; run EvalScope again")
    name = score.main_score_name if score.main_score_name in score.value else next(iter(score.value))
    return Answer(
        place=place,
        part=part,
        text=text_of(row.input),
        gold=need_letters(row.target, place=place),
        letters=read_letters(score.extracted_prediction),
        reply=score.prediction,
        marked=float(score.value[name or ""]),
    )


def find_stated(file: Path, parts: set[str]) -> list[Stated]:
    """The printed accuracies of subsets, and of benchmarks that are here as a whole."""
    stated: list[Stated] = []
    for path in sorted((file.parents[2] / "reports" / file.parent.name).glob("*.json")):
        try:
            report = ReviewReport.model_validate_json(path.read_bytes())
        except ValidationError:
            raise UserError(
                f"{path}: cannot be read as a report of EvalScope; remove it or get it again"
            ) from None
        metric = next((one for one in report.metrics if one.name.lower().endswith("acc")), None)
        if not metric:
            continue
        subsets = [one for category in metric.categories for one in category.subsets if not one.is_aggregate]
        own = {f"{path.stem}_{one.name}": one for one in subsets}
        stated += [
            Stated(f"{path.name} {one.name}", frozenset({part}), one.score, one.num)
            for part, one in own.items()
            if part in parts
        ]
        if own and set(own) <= parts:
            stated.append(Stated(path.name, frozenset(own), metric.score, metric.num))
    return stated
