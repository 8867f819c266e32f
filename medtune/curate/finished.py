"""Vectors that are finished while others are not: what a killed run need not compute, or pay for, again."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from medtune.artifact import write_lines
from medtune.curate.embedders import Embedded
from medtune.records import Row

COPY_ROWS = 4096
"""Rows that are copied into the product at once."""


class Entry(Row):
    """A line of the ledger: rows that were written together, and what was counted with them."""

    rows: tuple[int, ...]
    """Their numbers among all records, in the order in which their vectors lie."""
    dim: int
    """Numbers in a vector; 0 where none came yet."""
    truncated: int
    tokens: int


class Totals(NamedTuple):
    """Counts over all runs."""

    truncated: int
    tokens: int


class Ledger:
    """Finished vectors on disk, in the order in which they came.

    A block of vectors is on disk before the line that names its rows, so that a line is never ahead. What a
    kill left behind the last whole line is cut.
    """

    def __init__(self, folder: Path, *, num_rows: int, dtype: str, dim: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.dim = dim
        """Numbers in a vector; None until the first ones came."""
        self.places = np.full(num_rows, -1, dtype=np.int64)
        """Where in the block file each row's vector lies; -1: nowhere yet."""
        self.num_done = 0
        self._truncated = self._tokens = 0
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._path = folder / "vectors.bin"
        self._vectors = self._path.open("ab")
        self._lines = (folder / "rows.jsonl").open("a+b")
        self._resume()

    def _resume(self) -> None:
        """Nothing; what whole lines tell is known again, and both files end there."""
        self._lines.seek(0)
        size, end = self._path.stat().st_size, 0
        for line in self._lines:
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                break
            if not line.endswith(b"\n") or self._bytes(self.num_done + len(entry.rows), entry.dim) > size:
                break
            self._note(entry)
            end += len(line)
        self._lines.truncate(end)
        self._vectors.truncate(self._bytes(self.num_done, self.dim or 0))

    def _bytes(self, num_rows: int, dim: int) -> int:
        return num_rows * dim * self._dtype.itemsize

    def _note(self, entry: Entry) -> None:
        self.dim = entry.dim or self.dim
        self.places[list(entry.rows)] = np.arange(self.num_done, self.num_done + len(entry.rows))
        self.num_done += len(entry.rows)
        self._truncated += entry.truncated
        self._tokens += entry.tokens

    def holds(self, row: int) -> bool:
        """Whether the vector of a row is there."""
        return bool(self.places[row] >= 0)

    def add(self, rows: Sequence[int], embedded: Embedded) -> None:
        """Nothing; the vectors of these rows are on disk, save those of texts that failed."""
        good = [place for place in range(len(rows)) if place not in embedded.faults]
        vectors = embedded.vectors[good].astype(self._dtype)
        entry = Entry(
            rows=tuple(rows[place] for place in good),
            dim=vectors.shape[1] if good else self.dim or 0,
            truncated=sum(place in embedded.truncated for place in good),
            tokens=embedded.num_tokens,
        )
        _append(self._vectors, vectors.tobytes())
        _append(self._lines, entry.model_dump_json().encode() + b"\n")
        self._note(entry)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was computed, or paid for."""
        return self.num_done == 0 and self._tokens == 0

    @property
    def totals(self) -> Totals:
        """What was counted, in earlier runs too."""
        return Totals(self._truncated, self._tokens)

    def write_vectors(self, path: Path) -> None:
        """Nothing; the vectors stand in the order of the records in a `.npy`, copied some rows at a time."""
        assert self.dim is not None and self.num_done == len(self.places), "all rows are finished"
        write_lines(path, self._npy(self.dim))

    def _npy(self, dim: int) -> Iterator[bytes]:
        header = io.BytesIO()
        shape = (len(self.places), dim)
        told = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, told)
        yield header.getvalue()
        finished = np.memmap(self._path, dtype=self._dtype, mode="r", shape=shape)
        for start in range(0, len(self.places), COPY_ROWS):
            yield finished[self.places[start : start + COPY_ROWS]].tobytes()

    def close(self) -> None:
        """Nothing; both files are closed."""
        self._vectors.close()
        self._lines.close()


def _append(file: io.BufferedIOBase, content: bytes) -> None:
    """Nothing; the content is at the end of the file, also after a power cut."""
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
