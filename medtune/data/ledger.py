"""Where every row went: counted, and those left out told with file, line and reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from medtune.config import Input
from medtune.data.chunks import Lost
from medtune.data.config import PrepareConfig
from medtune.data.statistics import Origin, Tail, Tally
from medtune.data.table import Spool, Table
from medtune.errors import UserError

NAMED = 10
"""Faulty rows that an error names."""
BLOCK = 4096
"""Rows that are written together."""
PLACE = np.dtype([("file", np.int32), ("line", np.int32), ("offset", np.int64), ("length", np.int32)])


class File(NamedTuple):
    """A file that was read."""

    name: str
    """How it is named in what comes out, the same on every machine."""
    path: str
    """How it is named in messages."""
    source: int
    """Place of its source in the config."""


class Ledger:
    """Counts of rows by what became of them; the rows that were left out wait on disk until all are known."""

    def __init__(self, spool: Spool) -> None:
        self.tally = Tally()
        self.files: list[File] = []
        self.num_faults = 0
        """Rows left out as damaged or unfit."""
        self._spool = spool
        self._places = [np.empty(0, dtype=PLACE)]
        self._rows: Counter[int] = Counter()
        self._unwanted: Counter[int] = Counter()
        self._dropped: dict[int, Counter[str]] = {}
        self._first_faults: list[Lost] = []
        self._personal: list[bytes] = []
        self.exams: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        """Questions of known exams by exam, subject and split, as they were found."""
        self.tails: Counter[str] = Counter()
        """Boilerplate that was cut off."""

    def count_rows(self, file: int, num_rows: int) -> None:
        """Nothing; so many rows of a file were read."""
        self.tally.rows += num_rows
        self._rows[self.files[file].source] += num_rows

    def count_exam(
        self, file: int, benchmark: str, counts: Counter[tuple[str, str]], *, num_other: int
    ) -> None:
        """Nothing; a file holds so many questions of a known exam, and rows that were not asked for."""
        if benchmark:
            self.exams[benchmark].update(counts)
        self.count_rows(file, num_other)
        self.tally.not_wanted += num_other
        self._unwanted[self.files[file].source] += num_other

    def tell_exams(self) -> dict[str, dict[str, int]]:
        """The questions of each known exam by split."""
        told = {name: Counter[str]() for name in sorted(self.exams)}
        for name, by_split in told.items():
            for (_, split), number in self.exams[name].items():
                by_split[split] += number
        return {name: dict(by_split) for name, by_split in told.items()}

    def refuse(self, rows: Iterable[Lost]) -> None:
        """Nothing; these rows are left out: damaged, unfit, or not asked for."""
        lost = list(rows)
        unfit = [row for row in lost if not row.is_unwanted]
        self.num_faults += len(unfit)
        self._first_faults += unfit[: NAMED - len(self._first_faults)]
        self.drop("clean", unfit)
        for row in lost:
            self._unwanted[self.files[row.file].source] += row.is_unwanted
            self.tally.not_wanted += row.is_unwanted

    def leave(self, rows: Table) -> None:
        """Nothing; these records are more than was asked for."""
        self.tally.not_wanted += len(rows)
        self._unwanted.update(rows["source"].tolist())

    def drop(self, step: str, rows: Iterable[Lost]) -> None:
        """Nothing; these rows are left out in this step."""
        stream = iter(rows)
        while lost := list(islice(stream, BLOCK)):
            lines = [self._line(row) for row in lost]
            places = np.zeros(len(lost), dtype=PLACE)
            places["offset"] = self._spool.append(lines)
            places["length"] = [len(line) for line in lines]
            places["file"], places["line"] = [row.file for row in lost], [row.line for row in lost]
            self._places.append(places)
            for row in lost:
                key = (step, row.reason)
                self.tally.dropped[key] = self.tally.dropped.get(key, 0) + 1
                self._dropped.setdefault(self.files[row.file].source, Counter())[row.reason] += 1

    def _line(self, row: Lost) -> bytes:
        told = {"file": self.files[row.file].name, "line": row.line, "reason": row.reason}
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        return orjson.dumps({**told, "detail": row.detail, "row": row.row}, option=options, default=str)

    def check_share(self, config: PrepareConfig) -> None:
        """Nothing, or a UserError when more was unfit than max_dropped allows, or nothing was asked for."""
        wanted = self.tally.rows - self.tally.not_wanted
        if not wanted:
            raise UserError("no exam item is of the subjects and kind asked for; see subjects and answers")
        if self.num_faults > config.max_dropped * wanted or self.num_faults == wanted:
            named = [
                f"{self.path_of(row.file, row.line)}: {row.reason}: {row.detail}".removesuffix(": ")
                for row in self._first_faults
            ]
            more = self.num_faults - len(named)
            raise UserError(
                "\n".join([*named, *([f"and {more} rows more"] if more else [])])
                + f"\n{self.num_faults} of {wanted} rows would be dropped, more than max_dropped "
                f"{config.max_dropped:.0%} allows; mend the rows or raise max_dropped"
            )

    def note_personal(self, spans: Iterable[dict[str, Any]]) -> None:
        """Nothing; personal data was found and replaced in these places."""
        for span in spans:
            self.tally.personal_data[span["type"]] += 1
            named = {**span, "file": self.files[span["file"]].name}
            self._personal.append(orjson.dumps(named, option=orjson.OPT_APPEND_NEWLINE))

    def tell_personal(self) -> list[bytes]:
        """The places of personal data as lines of JSON, for review."""
        return self._personal

    def told_tails(self) -> list[Tail]:
        """The boilerplate that was cut off, the most frequent first."""
        ordered = sorted(self.tails.items(), key=lambda item: (-item[1], item[0]))
        return [Tail(text=text, count=count) for text, count in ordered]

    def tell_dropped(self) -> Iterator[bytes]:
        """The rows that were dropped as lines of JSON, in the order of files and lines."""
        places = np.concatenate(self._places)
        order = np.lexsort((places["offset"], places["line"], places["file"]))
        yield from self._spool.read(places[order])

    def origins(self, config: PrepareConfig, kept: Counter[int]) -> list[Origin]:
        """What each source gave."""
        return [
            Origin(
                name=str(source.path) if source.path.scheme else source.path.path.name,
                license=source.license,
                rows=self._rows[place],
                kept=kept[place],
                not_wanted=self._unwanted[place],
                dropped=dict(sorted(self._dropped.get(place, Counter()).items())),
            )
            for place, source in enumerate(config.source)
        ]

    def place_of(self, file: int, line: int) -> str:
        """`file:line` for what comes out."""
        return f"{self.files[file].name}:{line}"

    def path_of(self, file: int, line: int) -> str:
        """`file:line` for messages."""
        return f"{self.files[file].path}:{line}"


def short_name(file: str, source: Input) -> str:
    """The name of a source's file without the directories above the source."""
    path = Path(file)
    if source.scheme or source.is_pattern or not source.path.is_dir():
        return path.name if not path.parent.suffix else f"{path.parent.name}/{path.name}"
    return f"{source.path.name}/{path.relative_to(source.path).as_posix()}"
