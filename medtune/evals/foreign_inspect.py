"""Answers in logs of Inspect, `.json` or `.eval` (a zip of JSON files), read without Inspect itself."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, JsonValue

from medtune.errors import UserError
from medtune.evals.foreign import (
    Answer,
    Foreign,
    Source,
    Stated,
    check,
    need_letters,
    one_model,
    read_letters,
    text_of,
)

TOOL = "Inspect"
ATTACHMENT = "attachment://"
MARKS = {"C": 1.0, "I": 0.0}


class LogScore(Foreign):
    """How a scorer counted a sample."""

    value: JsonValue
    answer: str | None = None


class Output(Foreign):
    """What the model wrote."""

    completion: str = ""


class Sample(Foreign):
    """One sample of a log."""

    id: str | int
    epoch: int
    input: JsonValue
    choices: list[str] | None = None
    target: str | list[str]
    output: Output = Output()
    scores: dict[str, LogScore] | None = None
    error: JsonValue = None
    attachments: dict[str, str] = Field(default_factory=dict)


class Value(Foreign):
    """A printed figure."""

    value: float


class Summary(Foreign):
    """What one scorer printed."""

    name: str
    metrics: dict[str, Value]


class Results(Foreign):
    """What the whole log printed."""

    total_samples: int | None = None
    scores: list[Summary] = Field(default_factory=list)


class Task(Foreign):
    """What was run."""

    task: str
    model: str


class Header(Foreign):
    """A log without its samples."""

    status: str
    eval: Task
    results: Results | None = None


class Log(Header):
    """A log in one file."""

    samples: list[Sample] = Field(default_factory=list)


class Entry(NamedTuple):
    """A sample and where it stands."""

    place: str
    sample: Sample


def read(files: Sequence[Path]) -> Source:
    """The answers of all logs, with what their results print."""
    answers: list[Answer] = []
    stated: list[Stated] = []
    logs: dict[str, Path] = {}
    models: list[str] = []
    for file in files:
        header, entries = read_zip(file) if file.suffix == ".eval" else read_json(file)
        task = header.eval.task
        if header.status != "success":
            raise UserError(
                f"{file}: the log's status is {header.status}; finish the run with `inspect eval-retry`"
            )
        if logs.setdefault(task, file) != file:
            raise UserError(f"{file}: task {task} was run in {logs[task]} too; name the logs of one run")
        if not entries:
            raise UserError(f"{file}: holds no samples; run Inspect with its samples logged")
        models.append(header.eval.model)
        scorer = choose_scorer(entries, file)
        answers += [read_answer(entry, scorer, task) for entry in refuse_epochs(entries)]
        stated += find_stated(header, scorer, where=f"{file.name}", task=task)
    return Source(TOOL, one_model(models, where=str(files[0].parent)), "generate", answers, stated)


def read_json(file: Path) -> tuple[Header, list[Entry]]:
    """A log in one file."""
    log = check(Log, file.read_bytes(), place=str(file), tool=TOOL)
    return log, [Entry(f"{file}#{sample.id}", sample) for sample in log.samples]


def read_zip(file: Path) -> tuple[Header, list[Entry]]:
    """A log in a zip; one that was not finished has no header yet."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise UserError(f"{file}: is an unfinished log; finish the run with `inspect eval-retry`")
            header = check(Header, archive.read("header.json"), place=f"{file}#header.json", tool=TOOL)
            return header, list(read_samples(archive, file))
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(
            f"{file}: cannot be unpacked ({error}); run `inspect log convert --to json`"
        ) from None


def read_samples(archive: zipfile.ZipFile, file: Path) -> Iterator[Entry]:
    """The samples of a zip in the order of their names."""
    for name in sorted(archive.namelist()):
        if name.startswith("samples/") and name.endswith(".json"):
            place = f"{file}#{name}"
            yield Entry(place, check(Sample, archive.read(name), place=place, tool=TOOL))


def refuse_epochs(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The entries, each of another sample."""
    seen: dict[str, str] = {}
    for place, sample in entries:
        if seen.setdefault(str(sample.id), place) != place or sample.epoch > 1:
            raise UserError(f"{place}: sample {sample.id} was asked again; run Inspect with epochs=1")
    return entries


def choose_scorer(entries: Sequence[Entry], file: Path) -> str:
    """The scorer that found letters: `choice`, or the only one there is."""
    names = sorted({name for entry in entries for name in entry.sample.scores or {}})
    if "choice" in names or len(names) == 1:
        return "choice" if "choice" in names else names[0]
    raise UserError(
        f"{file}: scorers {', '.join(names) or 'none'}; one that finds letters is wanted, such as choice"
    )


def read_answer(entry: Entry, scorer: str, task: str) -> Answer:
    """The answer of one sample; one that failed has none, and counts as wrong."""
    place, sample = entry
    score = (sample.scores or {}).get(scorer)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    target = sample.target if isinstance(sample.target, str) else "".join(sample.target)
    marked = None
    if score:
        value = score.value
        marked = (
            MARKS.get(value)
            if isinstance(value, str)
            else float(value)
            if isinstance(value, int | float)
            else None
        )
    return Answer(
        place=place,
        part=task,
        text=unpack(text_of(sample.input), sample),
        gold=need_letters(target, place=place),
        letters=read_letters(score.answer) if score else None,
        options=dict(zip(letters, sample.choices, strict=False)) if sample.choices else None,
        reply=unpack(sample.output.completion, sample),
        is_error=score is None or sample.error is not None,
        marked=marked,
    )


def unpack(text: str, sample: Sample) -> str:
    """The text itself where Inspect has put it aside."""
    return (
        sample.attachments.get(text.removeprefix(ATTACHMENT), text) if text.startswith(ATTACHMENT) else text
    )


def find_stated(header: Header, scorer: str, *, where: str, task: str) -> list[Stated]:
    """The printed accuracy of the scorer."""
    printed = header.results or Results()
    accuracy = next((one.metrics.get("accuracy") for one in printed.scores if one.name == scorer), None)
    return [Stated(where, frozenset({task}), accuracy.value if accuracy else None, printed.total_samples)]
