"""Records on disk, and what must be known of each of them at once in one array."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from medtune.data.dedup import NUM_HASHES

PARTS = ("train", "dev", "valid", "val", "test", "gold", "red_team")
"""Where a record may go, the later the further from training. `dev` and `val` are splits of exam items."""
RISKS = ("low", "medium", "high", "critical")
KINDS = ("document", "dialogue", "preference", "question")
OPEN = -1
"""In the columns `part` and `risk`: not told."""

ROW = np.dtype(
    [
        ("id", np.uint64),
        ("same", np.uint64),  # equal for records that say the same but for case and punctuation
        ("content", np.uint64),  # hash of the whole record with its metadata
        ("gold", np.uint64),  # hash of an exam item's answer
        ("key", np.uint64),  # differs between records that are no near duplicates however alike
        ("case", np.uint64),  # hash of the case that exam items share, 0 without
        ("offset", np.int64),
        ("length", np.int32),
        ("facts", np.int32),  # length of what the statistics want to know, which stands behind the record
        ("file", np.int32),
        ("line", np.int32),
        ("source", np.int16),
        ("kind", np.int8),
        ("part", np.int8),
        ("risk", np.int8),
        ("stratum", np.uint64),  # hash of the value by which records are to be spread
        ("tails", np.uint64, (3,)),  # hashes of the last sentences, see boilerplate
        ("asked", np.uint16, (NUM_HASHES,)),  # sketch of what is asked
        ("whole", np.uint16, (NUM_HASHES,)),  # sketch of what is compared to find duplicates
    ]
)
Table = NDArray[np.void]
"""(n,) of ROW: 384 bytes a record."""


class Spool:
    """Lines on disk, found again by offset."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._reader = path.open("rb", buffering=0)  # rows are read from all over: a buffer is filled in vain
        self._end = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()
        self._file.close()

    def append(self, lines: Sequence[bytes]) -> NDArray[np.int64]:
        """The offset of each line."""
        lengths = np.fromiter((len(line) for line in lines), dtype=np.int64, count=len(lines))
        offsets = self._end + np.concatenate([[0], np.cumsum(lengths)])
        self._file.writelines(lines)
        self._end = int(offsets[-1])
        return offsets[:-1].astype(np.int64)

    def read(self, rows: Table) -> Iterator[bytes]:
        """The line of each row, in the order of the rows."""
        self._file.flush()
        seek, read = self._reader.seek, self._reader.read
        for offset, length in zip(rows["offset"].tolist(), rows["length"].tolist(), strict=True):
            seek(offset)
            yield read(length)

    def read_with_facts(self, rows: Table) -> tuple[list[bytes], list[bytes]]:
        """The line of each row, and what stands behind it."""
        self._file.flush()
        lines, facts = list[bytes](), list[bytes]()
        for offset, length, more in rows[["offset", "length", "facts"]].tolist():
            self._reader.seek(offset)
            both = self._reader.read(length + more)
            lines.append(both[:length])
            facts.append(both[length:])
        return lines, facts


def stack(parts: Iterable[Table]) -> Table:
    """One table of all rows."""
    tables = list(parts)
    return np.concatenate(tables) if tables else np.empty(0, dtype=ROW)
