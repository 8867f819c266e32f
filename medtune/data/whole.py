"""The files of a known exam -> its rows, each with its subject, its split and its answer."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from medtune.data.benchmarks import EXAM_SPLITS, Benchmark, Split, find_benchmark
from medtune.data.config import Source
from medtune.data.exams import SPLITS, plan_splits
from medtune.data.fields import under_known_names
from medtune.data.ledger import short_name
from medtune.data.reading.rows import Bad, Raw
from medtune.data.reading.sources import Opened, read_files
from medtune.errors import UserError

Values = dict[str, Any]
Key = Mapping[str, Mapping[str, Any]]
"""Rows of an answer key by id."""


class Placed(NamedTuple):
    """A file with what was asked for of it."""

    file: Opened
    counts: Counter[tuple[str, str]]
    """Its questions by subject and split."""
    num_other: int
    """Rows of subjects or splits that are not asked for."""


def read_whole(source: Source) -> Iterator[Placed]:
    """The files of a source of a known exam, their rows ready to be read as records."""
    benchmark = find_benchmark(source.benchmark)
    files = [file for file in read_files(source) if not _fits(_inside(file, source), benchmark.skip)]
    beside = [file for file in files if _fits(Path(file.name).name, benchmark.answer_key)]
    key = read_key([*beside, *_files_of_key(source, benchmark)])
    for file in files:
        if file not in beside:
            yield place_rows(file, source, benchmark, key=key)


def _files_of_key(source: Source, benchmark: Benchmark) -> Iterable[Opened]:
    if not source.answer_key:
        return []
    files = "" if source.answer_key.path.is_file() else benchmark.answer_key
    return read_files(Source(path=source.answer_key, files=files))


def _inside(file: Opened, source: Source) -> str:
    """The file's name without the directories above the source."""
    return short_name(file.name, source.path)


def _fits(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split(",") if pattern)


def read_key(files: Iterable[Opened]) -> Key:
    """The rows of answer keys by id; an id with two answers is a UserError."""
    key = dict[str, Mapping[str, Any]]()
    for file in files:
        for row in file.rows:
            if isinstance(row, Bad) or "id" not in row.values or "answer" not in row.values:
                raise UserError(f"{row.place}: no row of an answer key; it wants id and answer")
            name = str(row.values["id"])
            if name in key and key[name]["answer"] != row.values["answer"]:
                raise UserError(f"{row.place}: id {name} has another answer further up; which one is right?")
            key[name] = row.values
    return key


def place_rows(file: Opened, source: Source, benchmark: Benchmark, *, key: Key) -> Placed:
    """The file's rows that are asked for, each with subject, split and answer."""
    rows = list(file.rows)
    chosen = benchmark.choose(source.subjects)
    kept, counts, num_other = list[Raw | Bad](), Counter[tuple[str, str]](), 0
    for row, split in zip(rows, split_rows(rows, source, benchmark), strict=True):
        if isinstance(row, Bad):
            raise UserError(f"{row.place}: {row.reason}; a damaged file is not whole: fetch it again")
        subject = find_subject(row, benchmark, source)
        if subject not in chosen or (source.splits and split not in source.splits):
            num_other += 1
            continue
        if not split:
            raise UserError(
                f"{row.place}: nothing tells the split of this row: no dev, val or test in the name of its "
                "file or folder, no column split, no ids that begin anew; say it in `split`, such as "
                "split: {val: 19, test: 175}"
            )
        name = benchmark.name_of(subject)
        counts[name, split] += 1
        told = {"subject": name, "split": split, "source": f"benchmark:{source.benchmark}"}
        if benchmark.unit == "cases":
            kept += [row._replace(values=values | told) for values in ask_case(row)]
        else:
            kept.append(row._replace(values=with_answer(row, split, benchmark, key=key) | told))
    return Placed(file._replace(rows=iter(kept)), counts, num_other)


# ---- subject and split ----


def find_subject(row: Raw, benchmark: Benchmark, source: Source) -> str:
    """The key of the row's subject: its column, or the name in the table that file or folder bear."""
    if len(benchmark.subjects) == 1:
        return next(iter(benchmark.subjects))
    known = (*benchmark.subjects, *benchmark.others)
    if benchmark.by != "file":
        found = [str(row.values.get(benchmark.by, "")).strip()]
    else:
        inside = Path(_inside(Opened(str(row.file), "", "", iter(())), source))
        names = [inside.name.partition(".")[0], *reversed(inside.parts[:-1]), row.file.parent.name]
        found = [max(own, key=len) for name in names if (own := [key for key in known if _bears(name, key)])]
    if not found or found[0] not in known:
        told = f"{benchmark.by} {found[0]!r}" if found else "the name of file and folder"
        raise UserError(f"{row.place}: {told} is no subject of {benchmark.title}; see  medtune catalog")
    return found[0]


def _bears(name: str, key: str) -> bool:
    """Whether a name holds the key as whole words: `ceval_basic_medicine_test` holds `basic_medicine`."""
    words = "_".join(re.split(r"[_.\- ]+", name.lower()))
    return f"_{key}_" in f"_{words}_"


def split_rows(rows: Sequence[Raw | Bad], source: Source, benchmark: Benchmark) -> Sequence[Split | None]:
    """The split of each row: its own, the source's, the file's or folder's; where ids begin anew, val and
    then test; the only one that the exam has. Whether that is right, the counts will tell.
    """
    if planned := plan_splits(rows, source):
        return planned
    own: list[Split | None] = [_own_split(row, source) for row in rows]
    if all(own) or not rows:
        return own
    if len(benchmark.splits) == 1:
        return benchmark.splits * len(rows)
    words = re.split(r"[_.\-]", rows[0].file.name.partition(".")[0].lower())
    named: list[Split | None] = [SPLITS[word] for word in words if word in SPLITS]
    if len(set(named)) == 1:
        return named[:1] * len(rows)
    ids = [int(text) if (text := _id_of(row)).isdecimal() else -1 for row in rows]
    starts = [at for at in range(1, len(ids)) if ids[at] <= ids[at - 1]]
    if len(starts) != 1 or min(ids) < 0:
        return own
    parts: list[Split | None] = ["val" if at < starts[0] else "test" for at in range(len(rows))]
    return parts


def _own_split(row: Raw | Bad, source: Source) -> Split | None:
    if isinstance(row, Raw) and (given := str(row.values.get("split") or "").lower()) in SPLITS:
        return SPLITS[given]
    return source.split if isinstance(source.split, str) else None


def _id_of(row: Raw | Bad) -> str:
    return str(row.values.get("id", row.values.get("", ""))) if isinstance(row, Raw) else ""


# ---- answers ----


def with_answer(row: Raw, split: Split, benchmark: Benchmark, *, key: Key) -> Values:
    """The row with an answer, its own or the key's; a question to be scored that has none is a UserError."""
    known = under_known_names(row.values)
    if str(known.get("answer") or known.get("answer_idx") or "").strip() or split not in EXAM_SPLITS:
        return row.values
    name = _id_of(row)
    if name not in key:
        hint = "name a whole one" if key else "give a file of id and answer"
        where = f"; {benchmark.title}'s is called {benchmark.answer_key}" if benchmark.answer_key else ""
        raise UserError(
            f"{row.place}: no answer, and no answer key has its id {name!r}; {hint} as `answer_key`{where}, "
            "or take the other splits by `splits`"
        )
    answer = key[name]
    for column in (benchmark.by, "exam_type"):
        if column in answer and answer[column] != row.values.get(column):
            raise UserError(
                f"{row.place}: id {name} is of {row.values.get(column)}, in the answer key of "
                f"{answer[column]}: questions and answers are of different versions; fetch both again"
            )
    return {**row.values, "answer": answer["answer"]}


def ask_case(row: Raw) -> Iterator[Values]:
    """A row for each question about a case: its description with the question, and the model solution.

    The title names the diagnosis and is not shown.
    """
    description, pairs = row.values.get("description"), row.values.get("QA_pairs")
    if not isinstance(description, str) or not isinstance(pairs, list) or not pairs:
        raise UserError(f"{row.place}: no description and no QA_pairs; this is no case")
    for pair in pairs:
        solution = pair.get("solution") or pair.get("answer")
        if not pair.get("question") or not solution:
            raise UserError(f"{row.place}: a question about the case, or its solution, is empty")
        yield {"question": f"{description.strip()}\n{pair['question'].strip()}", "reference": solution}
