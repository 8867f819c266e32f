"""What a finished directory was made from, and whether that is still the same."""

import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from medtune.artifact import MANIFEST, Manifest, digest_of, read_manifest
from medtune.config import Input
from medtune.errors import UserError

EXAM_ITEMS = "exam_items.json"
"""A directory that holds it was queried with, or trained on, the exam questions whose ids it lists."""


class Ancestor(NamedTuple):
    """One node of a lineage tree."""

    depth: int
    field: str
    """The config field of the child that reads this."""
    path: str
    manifest: Manifest | None
    """None for raw files and hub models."""
    is_changed: bool
    """Whether its content is no longer what the child was made from."""


def ancestors(folder: Path, *, depth: int = 0, without: Container[str] = ()) -> Iterator[Ancestor]:
    """What a directory was made from, parents before grandparents' siblings (depth first).

    `without`: fields of the directory's own config that are left out, with all that is behind them.
    """
    manifest = read_manifest(folder)
    if not manifest:
        raise UserError(f"{folder}: no {MANIFEST} in it; it is no finished medtune directory")
    for field, digest in manifest.inputs.items():
        if field in without:
            continue
        path = manifest.paths[field]
        source = Input(path if path.startswith("samples:") else Path(os.path.normpath(folder / path)))
        if not source.path.exists() and not source.matches:
            is_hub = path == digest
            yield Ancestor(depth + 1, field, path if is_hub else str(source), None, not is_hub)
            continue
        home = home_of(source.path)
        yield Ancestor(
            depth + 1, field, str(source), read_manifest(home) if home else None, digest_of(source) != digest
        )
        if home:
            yield from ancestors(home, depth=depth + 1)


def home_of(path: Path) -> Path | None:
    """The finished directory that `path` is or lies in, None for raw files."""
    return next((folder for folder in (path, *path.parents[:2]) if (folder / MANIFEST).is_file()), None)
