"""The known exams: which subjects they have, and how many questions in each split of each."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from medtune.config import Config
from medtune.data.catalog import find_row, source_of
from medtune.errors import UserError

TABLE = Path(__file__).with_name("benchmarks.yaml")
PREFIX = "benchmark:"
ALL = "all"
"""In place of names of subjects: every one that the table knows."""

Split = Literal["train", "dev", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "val", "test")
EXAM_SPLITS: tuple[Split, ...] = ("dev", "val", "test")
"""The splits that are answered and scored: not one of their questions may be lost."""
Found = Mapping[tuple[str, str], int]
"""Numbers of questions by subject, as the records name it, and split."""


class Subject(Config):
    """A subject of an exam and its questions by split; None where its publishers state no number."""

    zh: str = ""
    """Its name in Chinese, as the exam's own prompt writes it; the key when empty."""
    train: int | None = None
    dev: int | None = None
    val: int | None = None
    test: int | None = None

    def count_of(self, split: str) -> int | None:
        """The number of its questions in a split."""
        return {"train": self.train, "dev": self.dev, "val": self.val, "test": self.test}[split]


class Benchmark(Config):
    """A known exam. Where it lies and its licence stand in the catalog, under the same name."""

    title: str
    counts_from: str
    """Where the numbers are from."""
    unit: Literal["questions", "cases"] = "questions"
    """What is counted: cases are asked several open questions each."""
    by: str = "file"
    """What tells the subject: the names of file and folder, or a column."""
    files: str = ""
    """Pattern for the files of one subject on a hub, with `{subject}`."""
    answer_key: str = ""
    """Pattern for files that hold the answers of questions without, by id."""
    answer_key_at: str = ""
    """Where these lie, when they are not beside the questions on a hub."""
    skip: str = ""
    """Patterns for files that lie in the same folders and are no part of it."""
    default: tuple[str, ...] = ()
    """The subjects that are taken when none are named; all when empty."""
    totals: dict[Split, int] = {}  # noqa: RUF012  # pydantic copies it
    """Questions of all subjects together, where they are not stated one by one."""
    subjects: dict[str, Subject]
    others: tuple[str, ...] = ()
    """Subjects that are no medicine and are passed over."""
    note: str = ""

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that it has."""
        subjects = self.subjects.values()
        stated = {split for split in SPLITS if any(one.count_of(split) for one in subjects)} | set(
            self.totals
        )
        return tuple(split for split in SPLITS if split in stated)

    def name_of(self, subject: str) -> str:
        """The Chinese name of a subject, as prompts and reports print it."""
        return (subject in self.subjects and self.subjects[subject].zh) or subject

    def choose(self, names: Sequence[str]) -> tuple[str, ...]:
        """The subjects that these names stand for, keys or Chinese; without any those of the default."""
        if not names or ALL in names:
            return tuple(self.subjects) if names or not self.default else self.default
        keys = {subject.zh or key: key for key, subject in self.subjects.items()}
        keys |= {key: key for key in self.subjects}
        for name in names:
            if name not in keys:
                near = get_close_matches(name, keys, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(near)}?" if near else f"known: {ALL}, {', '.join(keys)}"
                raise UserError(f"{self.title}: no subject {name} with known counts; {hint}")
        return tuple(dict.fromkeys(keys[name] for name in names))


@cache
def read_benchmarks() -> dict[str, Benchmark]:
    """Every known exam by its name in the catalog, in the order of the table."""
    import yaml  # a mistyped key of a command is refused before it loads

    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: Benchmark.model_validate(values) for name, values in rows.items()}


def find_benchmark(name: str) -> Benchmark:
    """The exam of that name; the error names the nearest ones."""
    known = read_benchmarks()
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise UserError(f"{PREFIX}{name}: no known exam; {hint}")
    return known[name]


def fill_benchmark(section: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a source that reads a known exam: `benchmark:NAME`, or a folder and its `benchmark`."""
    path, name = str(section.get("path", "")), str(section.get("benchmark", ""))
    if path.startswith(PREFIX):
        named = path.removeprefix(PREFIX)
        if name and name != named:
            raise UserError(f"{path}: named beside benchmark: {name}; give one of them")
        benchmark = find_benchmark(named)
        row = find_row(named)
        if not row.address:
            raise UserError(
                f"{path}: lies on no hub; fetch it by hand (see  medtune catalog {named}) and write  "
                f"{{path: DIR, benchmark: {named}}}"
            )
        values = {**source_of(named), "benchmark": named, **_part_of(benchmark)}
        if benchmark.files:
            subjects = benchmark.choose(_words(section.get("subjects", ())))
            values["files"] = ",".join(benchmark.files.format(subject=subject) for subject in subjects)
        if benchmark.answer_key_at:
            values["answer_key"] = benchmark.answer_key_at
        return values | {key: value for key, value in section.items() if key != "path"}
    row = find_row(name)
    license = {} if row.license == "not stated" else {"license": row.license}
    return {**license, **_part_of(find_benchmark(name)), **section}


def _part_of(benchmark: Benchmark) -> dict[str, str]:
    """Where talks go, which bear no split of their own."""
    return {"part": "test"} if benchmark.unit == "cases" else {}


def _words(given: object) -> tuple[str, ...]:
    """The names of a list; what is none of texts is judged later."""
    return tuple(str(word) for word in given) if isinstance(given, list | tuple) else ()


def check_whole(name: str, *, subjects: Sequence[str], splits: Sequence[str], found: Found) -> None:
    """Nothing, or a UserError that names each subject and split with another number than it has.

    Without `splits` those are judged that some subject has questions of.
    """
    benchmark = find_benchmark(name)
    chosen = benchmark.choose(subjects)
    there = set(splits) or {split for _, split in found}
    judged: list[Split] = [split for split in SPLITS if split in there]
    faults = list(_find_faults(benchmark, chosen, judged, found))
    if faults:
        raise UserError(
            "\n".join(faults)
            + f"\nA short or mixed set is not {benchmark.title}: fetch it again; name the subjects or splits "
            "that you want; or leave `benchmark` out, and it is an exam of your own"
        )


def _find_faults(
    benchmark: Benchmark, chosen: Sequence[str], judged: Sequence[Split], found: Found
) -> Iterator[str]:
    """What does not fit, a line each."""
    for split in judged:
        counts = {key: found.get((benchmark.name_of(key), split), 0) for key in chosen}
        unstated = False
        for key, count in counts.items():
            wanted, name = benchmark.subjects[key].count_of(split), benchmark.name_of(key)
            if wanted is not None and wanted != count:
                yield _say(benchmark, name if name == key else f"{name} ({key})", split, count, wanted)
            unstated |= wanted is None and count > 0
        in_all, total = sum(counts.values()), benchmark.totals.get(split)
        if total is not None and len(chosen) == len(benchmark.subjects):
            if in_all != total:
                yield _say(benchmark, "all subjects", split, in_all, total)
        elif unstated:
            yield (
                f"{benchmark.title}: {split}: {in_all} {benchmark.unit} found; how many there should be is "
                "stated for no single subject" + f", only for all together: {total}" * bool(total)
            )


def _say(benchmark: Benchmark, what: str, split: str, found: int, wanted: int) -> str:
    return f"{benchmark.title}: {what}, {split}: {found} {benchmark.unit} found, {wanted} expected"
