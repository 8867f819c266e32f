"""Whose files a source holds, told by what stands in them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import orjson

from medtune.config import Input
from medtune.errors import UserError
from medtune.evals import foreign_detailed, foreign_evalscope, foreign_inspect, foreign_lm_eval
from medtune.evals.foreign import Source

Format = Literal["lm-eval", "evalscope", "inspect", "detailed", "matrix"]


class Reader(NamedTuple):
    """How the answers of a tool are read."""

    read: Callable[[Sequence[Path]], Source]
    keys: frozenset[str]
    """What a row of it has."""


READERS: dict[str, Reader] = {
    "lm-eval": Reader(foreign_lm_eval.read, frozenset(("doc_id", "resps", "arguments"))),
    "evalscope": Reader(foreign_evalscope.read, frozenset(("sample_score", "target"))),
    "inspect": Reader(foreign_inspect.read, frozenset(("eval", "status"))),
    "detailed": Reader(foreign_detailed.read, frozenset(("predicted_answer", "ground_truth"))),
}
MATRIX = "confusion_matrix"
EXCERPTS = ("error_analysis.jsonl",)
"""Files that repeat some rows of another one."""


class Found(NamedTuple):
    """The files of one tool."""

    format: str
    files: list[Path]
    num_others: int
    """Files beside them that hold no answers."""


def find_files(source: Input, wanted: str) -> Found:
    """The files with answers; those of two tools are refused unless one is `wanted`, a format or `auto`."""
    if source.is_remote:
        raise UserError(f"{source}: lies on a hub; fetch it with `medtune download`, and name the files")
    candidates = list_files(source)
    by_format: dict[str, list[Path]] = {}
    others: list[Path] = []
    for file in candidates:
        told = tell(file)
        by_format.setdefault(told, []).append(file) if told else others.append(file)
    if "detailed" in by_format:  # metrics printed beside rows hold nothing that the rows do not
        beside = {file.parent for file in by_format["detailed"]}
        kept = [file for file in by_format.pop("matrix", []) if file.parent not in beside]
        by_format |= {"matrix": kept} if kept else {}
    known = ", ".join(by_format) or "none"
    if wanted != "auto":
        if wanted not in by_format:
            raise UserError(f"{source}: holds no files of {wanted}; found: {known}")
        return Found(wanted, by_format[wanted], len(others))
    ways = ", ".join(get_args(Format))
    if not by_format:
        raise UserError(
            f"{source}: no answers in it in a known form ({ways}); name the files with a row per item"
        )
    if len(by_format) != 1:
        raise UserError(
            f"{source}: holds files of {known}; name files of one tool, or say format (one of {ways})"
        )
    name, files = next(iter(by_format.items()))
    return Found(name, files, len(others))


def list_files(source: Input) -> list[Path]:
    """The files that may hold answers, by name."""
    if source.is_pattern:
        files = source.matches
    elif source.path.is_dir():
        files = sorted(
            path
            for path in source.path.rglob("*")
            if path.suffix in (".jsonl", ".json", ".eval") and path.name not in EXCERPTS
        )
    else:
        files = [source.path]
    empty = [file for file in files if file.suffix == ".jsonl" and not file.stat().st_size]
    if empty:
        raise UserError(f"{empty[0]}: holds no rows; make it again, or leave it out")
    return files


def tell(file: Path) -> str | None:
    """The format of a file, None when it holds no answers."""
    if file.suffix == ".eval":
        return "inspect"
    with file.open("rb") as lines:
        content = lines.readline() if file.suffix == ".jsonl" else lines.read()
    try:
        row = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise UserError(f"{file}:1: cannot be read as JSON; make the file again, or leave it out") from None
    if not isinstance(row, dict):
        return None
    if MATRIX in row or (row and all(isinstance(one, dict) and MATRIX in one for one in row.values())):
        return "matrix"
    return next((name for name, reader in READERS.items() if reader.keys <= set(row)), None)
