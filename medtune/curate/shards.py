"""A pool in shards: what workers are given, and the most that an interrupted run does again."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from pydantic import ValidationError
from tqdm import tqdm

from medtune.artifact import CHECKPOINTS, read_jsonl, write_bytes
from medtune.config import Input
from medtune.engines.config import Workers
from medtune.engines.workers import spread
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Document, Preference, Question

Trainable = Dialogue | Document | Preference
"""What can be trained on."""
SHARD_ROWS = 65_536

T = TypeVar("T", bound=tuple[object, ...])
Held = TypeVar("Held")


class Shard(NamedTuple):
    """Neighbouring rows of one file."""

    file: int
    """Which of the pool's files."""
    first: int
    """Its first row, counted over all files from 0."""
    line: int
    """The line of that row in its file, counted from 1."""
    offset: int
    """The byte at which that line begins."""
    rows: int


class Row(NamedTuple):
    """A record of the pool and where it stands."""

    offset: int
    line: int
    record: Trainable


def list_shards(files: Sequence[Input]) -> list[Shard]:
    """The shards of all files in order; a file of no lines has none."""
    shards: list[Shard] = []
    first = 0
    for number, file in enumerate(files):
        if not file.path.is_file():
            raise UserError(f"{file}: no such file; the pool is made of files of records")
        line, offset, begin, start = 0, 0, 0, 0
        with file.path.open("rb") as lines:
            for content in lines:
                line, offset = line + 1, offset + len(content)
                if line - start == SHARD_ROWS:
                    shards.append(Shard(number, first + start, start + 1, begin, SHARD_ROWS))
                    start, begin = line, offset
        if line > start:
            shards.append(Shard(number, first + start, start + 1, begin, line - start))
        first += line
    return shards


def read_shard(files: Sequence[Input], shard: Shard) -> Iterator[Row]:
    """The rows of a shard in order."""
    offset = shard.offset
    with files[shard.file].path.open("rb") as lines:
        lines.seek(offset)
        for line in range(shard.line, shard.line + shard.rows):
            content = lines.readline()
            yield Row(offset, line, parse_row(files[shard.file], line, content))
            offset += len(content)


def parse_row(file: Input, line: int, content: bytes) -> Trainable:
    """The record in a line; what is none, or cannot be trained on, is a fault."""
    try:
        record = RECORD.validate_json(content)
    except ValidationError:
        for _ in read_jsonl(file.path, RECORD):  # which ends with the fault in the user's words
            pass
        raise UserError(f"{file}:{line}: changed while it was read; run the command again") from None
    if isinstance(record, Question):
        raise UserError(f"{file}:{line}: a pool holds what can be trained on; this is a question")
    return record


def work_through(
    shards: Sequence[Shard],
    *,
    out: Path,
    stage: str,
    kind: type[T],
    workers: Workers,
    hold: Callable[[], Held],
    work: Callable[[Held, Shard], T],
) -> Iterator[T]:
    """What the work on each shard gives, in order: named arrays. What a run before had done is read.

    `hold` and `work` are those of `spread`.
    """
    paths = [out / CHECKPOINTS / f"{stage}-{number:06d}.npz" for number in range(len(shards))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    total = sum(shard.rows for shard in shards)
    done = total - sum(shards[number].rows for number in missing)
    with tqdm(total=total, initial=done, desc=stage, unit="row", disable=None, leave=False) as bar:
        jobs = [shards[number] for number in missing]
        for number, arrays in spread(jobs, workers, hold=hold, work=work):
            save_arrays(paths[missing[number]], arrays)
            bar.update(jobs[number].rows)
    return (load_arrays(path, kind) for path in paths)


def save_arrays(path: Path, arrays: tuple[object, ...]) -> None:
    """Nothing; the arrays by their names in one file, which appears when it is whole."""
    content = BytesIO()
    np.savez(content, **arrays._asdict())  # pyright: ignore[reportAttributeAccessIssue]  # a NamedTuple
    write_bytes(path, content.getvalue())


def load_arrays(path: Path, kind: type[T]) -> T:
    """The arrays that were saved."""
    with np.load(path) as arrays:
        return kind(*(arrays[name] for name in kind._fields))  # pyright: ignore[reportAttributeAccessIssue]
