"""One look at every row of the pool: where it begins, whether it holds an exam question, how it is worded."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medtune.curate.config import SelectionConfig
from medtune.curate.leaks import Guard
from medtune.curate.shards import Shard, read_shard
from medtune.places import AnyRecord, text_of

BLOCK_ROWS = 2048
"""Records that are held in memory at once."""


class Counting(Protocol):
    """A measure of nearness that must know the wording of the whole pool before it can compare."""

    def count(self, records: Sequence[AnyRecord]) -> NDArray[np.float64]:
        """What these records add to the statistics."""
        ...


class Survey(NamedTuple):
    """What was seen of a shard; arrays of shape (rows,) unless told."""

    offsets: NDArray[np.int64]
    """The byte at which each row begins."""
    prints: NDArray[np.uint64]
    """Fingerprints of the ids."""
    num_chars: NDArray[np.int32]
    sources: NDArray[np.str_]
    """The names of the sources, each once."""
    source: NDArray[np.int32]
    """Which of these a row is from."""
    leaks: NDArray[np.str_]
    """(leaks, 5): row, record, question, kind and share as text."""
    counts: NDArray[np.float64]
    """What the measure of nearness wants to know, summed over the rows."""


class Surveyor:
    """What it takes to look at shards."""

    def __init__(self, config: SelectionConfig, counting: Counting | None = None) -> None:
        self._guard = Guard(config.decontaminate, drop=config.drop)
        self._counting, self._files = counting, config.pool

    def look(self, shard: Shard) -> Survey:
        """What is seen of one shard."""
        offsets: list[int] = []
        prints: list[int] = []
        num_chars: list[int] = []
        source: list[int] = []
        leaks: list[tuple[str, ...]] = []
        counts = np.zeros(0)
        names: dict[str, int] = {}
        rows = read_shard(self._files, shard)
        while block := list(islice(rows, BLOCK_ROWS)):
            for row in block:
                text = text_of(row.record)
                number = shard.first + len(offsets)
                leaks += [
                    (str(number), row.record.id, found.question, found.kind, str(found.share))
                    for found in self._guard.find(text)
                ]
                offsets.append(row.offset)
                prints.append(fingerprint(row.record.id))
                num_chars.append(len(text))
                source.append(names.setdefault(row.record.meta.source, len(names)))
            if self._counting:
                seen = self._counting.count([row.record for row in block])
                counts = counts + seen if counts.size else seen
        return Survey(
            np.array(offsets, dtype=np.int64),
            np.array(prints, dtype=np.uint64),
            np.array(num_chars, dtype=np.int32),
            np.array(list(names), dtype=np.str_),
            np.array(source, dtype=np.int32),
            np.array(leaks, dtype=np.str_).reshape(-1, 5),
            counts,
        )


def fingerprints(ids: Iterable[str]) -> NDArray[np.uint64]:
    """(ids,): 8 bytes that stand for each."""
    return np.fromiter(map(fingerprint, ids), dtype=np.uint64)


def fingerprint(id: str) -> int:
    """8 bytes that stand for an id."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "little")
