"""A row as it was found, or what is wrong with it, each with the place it stands at."""

from pathlib import Path
from typing import Any, NamedTuple

MAX_TEXT = 2000
"""Characters of a damaged line that a report of it holds."""


class Raw(NamedTuple):
    """One row of a file as it was found."""

    file: Path
    """The file; inside an archive `archive.zip/member.csv`."""
    line: int
    """1-based line where the row starts; for a JSON array the 1-based element, for Parquet the row."""
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"


class Bad(NamedTuple):
    """One row that cannot be read."""

    file: Path
    line: int
    reason: str
    """A short phrase, the same for the same damage."""
    text: str
    """The line as far as it can be shown, clipped."""

    @property
    def place(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"


class Fault(NamedTuple):
    """What is wrong with a line, before it is known which file it stands in."""

    reason: str
    text: str

    def at(self, file: Path, line: int) -> Bad:
        """The fault with its place."""
        return Bad(file, line, self.reason, self.text[:MAX_TEXT])
