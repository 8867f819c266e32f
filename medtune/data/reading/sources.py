"""A source -> its raw rows, each with the place it stands at; a damaged row harms no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from medtune.data.config import Source
from medtune.data.reading.files import Part, check_sha1, find_files, open_path
from medtune.data.reading.pairs import Pair, find_pairs, read_pair
from medtune.data.reading.readers import read_part
from medtune.data.reading.rows import Bad, Raw
from medtune.errors import UserError

HUBS = ("hf", "modelscope", "git")


class Opened(NamedTuple):
    """One file of a source."""

    name: str
    """How it is named in messages: `archive.zip/member.csv`."""
    kind: str
    encoding: str
    """Empty for Parquet."""
    rows: Iterator[Raw | Bad]


def read_rows(source: Source) -> Iterator[Raw | Bad]:
    """The rows of every file of a source, in name order, under the names of columns that the source gives."""
    for file in read_files(source):
        yield from file.rows


def read_files(source: Source) -> Iterator[Opened]:
    """The files of a source in name order, each with its kind, encoding and rows."""
    for part in find_parts(source):
        yield Opened(str(part.file), part.kind, part.encoding, _rows_of(part, source))


def find_parts(source: Source) -> list[Part | Pair]:
    """The files of a source, each with its kind and encoding; a question table and its answers are one."""
    path = _fetch(source)
    files = find_files(path, source.files)
    if source.sha1:
        if len(files) > 1:
            raise UserError(f"{source.path}: sha1 is for one file, this source has {len(files)}")
        check_sha1(files[0], source.sha1)
    return find_pairs([part for file in files for part in open_path(file, source.encoding, source.files)])


def _rows_of(part: Part | Pair, source: Source) -> Iterator[Raw | Bad]:
    rows = read_pair(part) if isinstance(part, Pair) else read_part(part)
    if not source.columns:
        return rows
    return (
        row._replace(values=rename(row.values, source.columns)) if isinstance(row, Raw) else row
        for row in rows
    )


def rename(values: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The row under our names; a name of ours that stands for nothing (`input: ""`) leaves its column out."""
    ours_by_theirs = {theirs: ours for ours, theirs in columns.items() if theirs in values}
    return {
        ours_by_theirs.get(key, key): value
        for key, value in values.items()
        if key in ours_by_theirs or key not in columns
    }


def _fetch(source: Source) -> Path:
    """Where the source lies on this machine; of a hub after it was fetched."""
    if source.path.scheme not in HUBS:
        return source.path.path
    from medtune.hub import fetch  # the clients of the hubs take seconds to load

    return fetch(source.path, source.files)
