"""Answers in `samples_*.jsonl` of lm-evaluation-harness: the likelihood of each choice."""

import ast
import math
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from medtune.errors import UserError
from medtune.evals.foreign import Answer, Foreign, Source, Stated, one_model, read_rows
from medtune.records import Way

TOOL = "lm-eval"
SAMPLES = re.compile(r"samples_(?P<task>.+?)(?:_(?P<date>\d{4}-\d\d-\d\dT[^_]*))?\.jsonl")
LIKELIHOODS: TypeAdapter[list[list[tuple[float, JsonValue]]]] = TypeAdapter(
    list[list[tuple[float, JsonValue]]]
)


class SampleRow(Foreign):
    """A line of `samples_*.jsonl`."""

    doc_id: int
    target: JsonValue
    arguments: dict[str, dict[str, JsonValue]] | list[list[JsonValue]]
    resps: JsonValue
    filter: str = "none"
    acc: float | None = None


class Results(Foreign):
    """What is read of `results_*.json`."""

    results: dict[str, dict[str, JsonValue]]
    group_subtasks: dict[str, list[str]] = Field(default_factory=dict)
    model_name: str = ""


class Asked(NamedTuple):
    """The choices of a row and what was asked."""

    way: Way
    text: str
    letters: str
    options: dict[str, str] | None


def read(files: Sequence[Path]) -> Source:
    """The answers of all tasks, with what `results_*.json` of the same run print."""
    runs: dict[str, Path] = {}
    answers: list[Answer] = []
    ways: dict[Way, str] = {}
    for file in files:
        task = task_of(file)
        if task in runs:
            raise UserError(
                f"{file}: task {task} was answered in {runs[task]} too; name the files of one run"
            )
        runs[task] = file
        filters: dict[str, str] = {}
        for place, row in read_rows(file, SampleRow, tool=TOOL):
            filters.setdefault(row.filter, place)
            if len(filters) > 1:
                raise UserError(f"{place}: is of filter {row.filter}, {min(filters.values())} of another; "
                                "keep the rows of one filter")  # fmt: skip
            asked = read_asked(row, place)
            ways.setdefault(asked.way, place)
            answers.append(read_answer(row, asked, place=place, part=task))
    if len(ways) > 1:
        raise UserError(
            f"{ways['cloze']}: its choices are texts, those of {ways['letter']} letters; import each alone"
        )
    found = [results for file in {run: None for run in runs.values()} if (results := find_results(file))]
    stated = [one for results, path in found for one in state(results, path, runs)]
    model = one_model([file.parent.name for file in files], where=str(files[0].parent.parent))
    told = sorted({name_model(results.model_name) for results, _ in found} - {""})
    return Source(
        TOOL, told[0] if len(told) == 1 else model, next(iter(ways)), answers, list(dict.fromkeys(stated))
    )


def name_model(name: str) -> str:
    """The model's name; where it lay on another machine is of no use here."""
    return PurePath(name).name if PurePath(name).is_absolute() else name


def task_of(file: Path) -> str:
    """The task that a file of samples is of."""
    match = SAMPLES.fullmatch(file.name)
    return match["task"] if match else file.stem


def read_asked(row: SampleRow, place: str) -> Asked:
    """What was asked, and whether letters or texts were weighed."""
    pairs = list(row.arguments.values()) if isinstance(row.arguments, dict) else row.arguments
    parts = [list(pair.values()) if isinstance(pair, dict) else pair for pair in pairs]
    asked = [(str(part[0]), str(part[1]).strip()) for part in parts if len(part) == 2]
    choices = [choice for _, choice in asked]
    if len(asked) < 2 or len(asked) != len(pairs) or len(set(choices)) < len(choices):
        raise UserError(f"{place}: is no row of multiple_choice, which weighs two choices or more, each once")
    if all(re.fullmatch("[A-Z]", choice) for choice in choices):
        return Asked("letter", asked[0][0], "".join(choices), None)
    letters = "".join(chr(ord("A") + number) for number in range(len(choices)))
    return Asked("cloze", asked[0][0], letters, dict(zip(letters, choices, strict=True)))


def read_answer(row: SampleRow, asked: Asked, *, place: str, part: str) -> Answer:
    """The answer of one row: the likeliest choice, the first one among equals, as lm-eval has it."""
    try:
        weighed = LIKELIHOODS.validate_python(row.resps)
    except ValidationError:
        raise UserError(
            f"{place}: its answers are no likelihoods; only multiple_choice can be imported"
        ) from None
    logprobs = [answer[0][0] for answer in weighed if answer]
    if len(logprobs) != len(asked.letters) or not all(map(math.isfinite, logprobs)):
        raise UserError(
            f"{place}: {len(logprobs)} likelihoods for {len(asked.letters)} choices, or one is no number"
        )
    by_letter = dict(zip(asked.letters, logprobs, strict=True))
    return Answer(
        place=place,
        part=part,
        text=asked.text,
        gold=read_target(row.target, asked, place),
        letters=max(by_letter, key=by_letter.__getitem__),
        options=asked.options,
        logprobs=by_letter,
        marked=row.acc,
    )


def read_target(target: JsonValue, asked: Asked, place: str) -> str:
    """The letter of the right choice, which lm-eval names by its number."""
    try:
        number = ast.literal_eval(target) if isinstance(target, str) else target
    except (ValueError, SyntaxError):
        number = target
    if isinstance(number, int) and 0 <= number < len(asked.letters):
        return asked.letters[number]
    if isinstance(number, str) and len(number) == 1 and number in asked.letters:
        return number
    raise UserError(f"{place}: its target is {target!r:.40}; one right choice by its number is wanted")


# ---- what is printed beside the rows ----


def find_results(file: Path) -> tuple[Results, Path] | None:
    """The `results_*.json` of the run that wrote a file of samples, where it still lies beside it."""
    match = SAMPLES.fullmatch(file.name)
    path = file.with_name(f"results_{match['date']}.json") if match and match["date"] else file
    if path == file or not path.is_file():
        return None
    try:
        return Results.model_validate_json(path.read_bytes()), path
    except ValidationError:
        raise UserError(f"{path}: cannot be read as results of lm-eval; remove it or get it again") from None


def state(results: Results, path: Path, tasks: Sequence[str] | dict[str, Path]) -> list[Stated]:
    """The printed accuracy of each task, and of each group that is made of these tasks."""
    stated: list[Stated] = []
    for name, printed in results.results.items():
        parts = frozenset(results.group_subtasks.get(name) or [name])
        accuracy, length = printed.get("acc,none"), printed.get("sample_len")
        if parts <= set(tasks) and isinstance(accuracy, int | float):
            n = length if isinstance(length, int) else None
            stated.append(Stated(f"{path.name} {name}", parts, float(accuracy), n))
    return stated
