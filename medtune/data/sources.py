"""Files -> raw rows, each with the place it stands at."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from medtune.data.config import Source
from medtune.data.text import find_encoding
from medtune.errors import UserError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")


class Raw(NamedTuple):
    """One row of a file as it was found."""

    file: Path
    line: int
    """1-based line; for a JSON array the 1-based element."""
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"


def read_rows(source: Source) -> Iterator[Raw]:
    """The rows of every file of a source, in name order. A damaged row stops with its place."""
    for path in find_files(source.path.path):
        encoding = find_encoding(path) if source.encoding == "auto" else source.encoding
        count = 0
        try:
            for row in READERS[path.suffix.lower()](path, encoding):
                count += 1
                yield row
        except (UnicodeError, LookupError) as error:
            raise UserError(
                f"{path}: not readable as {encoding}: {error}; name the right encoding in the source"
            ) from None
        except csv.Error as error:
            raise UserError(f"{path}: after row {count}: {error}; is a quotation mark left open?") from None
        if not count:
            raise UserError(f"{path}: no rows in it")


def find_files(path: Path) -> list[Path]:
    """The data files that a path stands for."""
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path}: of no known kind; known: {', '.join(SUFFIXES)}")
        return [path]
    files = sorted(file for file in path.glob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise UserError(
            f"{path}: no {', '.join(SUFFIXES)} files in it"
            if path.is_dir()
            else f"{path}: no such file or directory"
        )
    return files


def read_json_lines(path: Path, encoding: str) -> Iterator[Raw]:
    """One row a line; blank lines are no rows."""
    with path.open(encoding=encoding, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield Raw(path, number, parse_object(line, f"{path}:{number}"))


def read_json_array(path: Path, encoding: str) -> Iterator[Raw]:
    """One row an element of the array; a file of JSON lines is taken for what it is."""
    text = path.read_text(encoding=encoding)
    if not text.lstrip().startswith("["):
        yield from read_json_lines(path, encoding)
        return
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: no whole JSON: {error.msg}; is the file cut off?") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(
                f"{path}:{number}: element {number} is a {type(row).__name__}; objects are wanted"
            )
        yield Raw(path, number, row)


def read_table(path: Path, encoding: str) -> Iterator[Raw]:
    """One row a line after the header; a row with more or fewer cells than the header is damaged."""
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise UserError(f"{path}:1: a column name stands twice in the header {', '.join(header)}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise UserError(
                    f"{path}:{reader.line_num}: {len(cells)} cells where the header has {len(header)}"
                )
            yield Raw(path, reader.line_num, dict(zip(header, cells, strict=True)))


def parse_object(line: str, place: str) -> dict[str, Any]:
    """The JSON object on a line."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{place}: no whole JSON: {error.msg}; is the line cut off?") from None
    if not isinstance(value, dict):
        raise UserError(f"{place}: a {type(value).__name__}; a JSON object is wanted")
    return value


READERS = {".jsonl": read_json_lines, ".json": read_json_array, ".csv": read_table, ".tsv": read_table}
