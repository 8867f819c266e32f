"""Limits that figures must keep: what a command was told to fail by, and that it does."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

from medtune.errors import UserError
from medtune.records import Row

GATES = "gates.json"
Side = Literal["under", "over"]


class Gate(Row):
    """A limit, and what was found."""

    metric: str
    side: Side
    """On which side of the limit a value fails."""
    limit: float
    value: float
    """What was held against the limit: a value, or the worse end of its interval."""

    @property
    def is_held(self) -> bool:
        """Whether the value lies on the good side; the limit itself does."""
        return self.value >= self.limit if self.side == "under" else self.value <= self.limit

    def word(self) -> str:
        """The gate in a line."""
        sign = ">=" if self.side == "under" else "<="
        return (
            f"{self.metric} {sign} {self.limit:g}: {self.value:.4f}, {'held' if self.is_held else 'FAILED'}"
        )


class GateFailed(UserError):
    """A figure that missed its limit. What was made stands; the process ends with 4."""

    exit_code: ClassVar[int] = 4


ROWS = TypeAdapter(tuple[Gate, ...])


def read_gates(folder: Path) -> tuple[Gate, ...]:
    """The gates of a directory; none where nothing was asked."""
    path = folder / GATES
    if not path.is_file():
        return ()
    try:
        return ROWS.validate_json(path.read_bytes())
    except ValidationError:
        raise UserError(f"{path}: damaged; evaluate again with --replace") from None


def refuse_failed_gates(folder: Path) -> None:
    """Nothing, or a GateFailed with a line for each limit that the directory's figures miss."""
    if failed := [gate for gate in read_gates(folder) if not gate.is_held]:
        told = [
            f"{folder}: gate failed: {gate.metric} is {gate.value:.4f}, {gate.side} {gate.limit:g}"
            for gate in failed
        ]
        raise GateFailed("\n".join(told))
