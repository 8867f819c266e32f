"""Checkpoints that are whole or not there: sealed with hashes, kept in number, compared before a resume."""

import hashlib
import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset

import medtune
from medtune.artifact import CHECKPOINTS, digest_of_file, without_paths, write_json
from medtune.errors import UserError
from medtune.train.config import TrainingConfig

COMPLETE = "COMPLETE.json"
"""Written last into a checkpoint. One without it, or with other bytes than it says, is never resumed from."""
STATE = "medtune.json"
"""What medtune adds to a checkpoint: the fingerprint of its run, and losses that were not yet logged."""
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
"""Their versions belong to a fingerprint."""
ROOM = 1.2
"""A save wants so many times the size of the last checkpoint free on the disk."""

Fingerprint = dict[str, Any]


class Saved(NamedTuple):
    """What medtune itself keeps in a checkpoint."""

    fingerprint: Fingerprint
    losses: list[float]
    """Of the steps since the last logged one."""


# ---- whole or not ----


def seal(checkpoint: Path) -> None:
    """Nothing; every file is on the disk, and COMPLETE.json, written last, holds their hashes."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    for path in files:
        _flush(path)
    for folder in {path.parent for path in files}:
        _flush(folder)
    write_json(
        checkpoint / COMPLETE,
        {path.relative_to(checkpoint).as_posix(): digest_of_file(path) for path in files},
    )
    for folder in (checkpoint, checkpoint.parent):
        _flush(folder)


def _flush(path: Path) -> None:
    if os.name == "nt":  # Windows opens no directory, and flushes a file only for whoever writes it
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is sealed and every file is as it was then."""
    try:
        digests = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        return all(digest_of_file(checkpoint / name) == digest for name, digest in digests.items())
    except (FileNotFoundError, ValueError):
        return False


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose every file is as it was written; broken ones are renamed, never deleted.

    One whose best predecessor is lost counts as broken: the run would end with another model than it should.
    """
    for path in reversed(list_checkpoints(folder)):
        if is_whole(path) and ((best := _best_before(path)) in (None, path) or is_whole(best)):
            return path
        number = sum(1 for _ in folder.glob(f"broken-{path.name}*"))
        path.rename(path.with_name(f"broken-{path.name}{f'-{number}' if number else ''}"))
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints, whole or not, by their step."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def _best_before(checkpoint: Path) -> Path:
    """The checkpoint of the lowest loss so far: itself where none was measured."""
    state = checkpoint / "trainer_state.json"
    best = json.loads(state.read_text(encoding="utf-8"))["best_model_checkpoint"] if state.exists() else None
    return checkpoint.with_name(Path(best).name) if best else checkpoint


def rotate(folder: Path, *, keep: int, best: str | None) -> None:
    """Nothing; the newest `keep` checkpoints and the best one are left. Called once the newest is sealed."""
    found = list_checkpoints(folder)
    spared = {path.name for path in found[-keep:]}
    if best and Path(best).name not in spared:
        spared = {Path(best).name, *(path.name for path in found[-max(keep - 1, 1) :])}
    for path in found:
        if path.name not in spared:
            (path / COMPLETE).unlink(missing_ok=True)  # half removed, it must not pass for whole
            shutil.rmtree(path)


def size_of(folder: Path) -> int:
    """The bytes of every file below a directory."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_disk(folder: Path, *, wanted: int) -> None:
    """Nothing, or a UserError when the disk has no room for one like the last, or for `wanted` bytes."""
    found = list_checkpoints(folder)
    need = int(ROOM * (size_of(found[-1]) if found else wanted))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise UserError(
            f"{folder}: the next checkpoint needs {_gigabytes(need)} and {_gigabytes(free)} are free; make "
            "room and run the same command again, it resumes from the last checkpoint"
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.2f} GB"


# ---- the same run? ----


def fingerprint_of(config: TrainingConfig, dataset: Dataset, *, num_processes: int) -> Fingerprint:
    """What must be equal for a resumed run to end as an unbroken one: data, settings, processes, versions."""
    settings = without_paths(config.model_dump(exclude={"out", "runtime"}))  # the data speak for themselves
    rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return {
        "data": digest_of_columns(dataset),
        "settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "processes": num_processes,
        "rows per step": rows * num_processes,
        "medtune": medtune.__version__,
        **{package: version(package) for package in PACKAGES},
    }


def digest_of_columns(dataset: Dataset) -> str:
    """sha256 of the token columns in their order: equal for equal rows, however they are stored."""
    names = sorted(dataset.column_names)
    sums = {name: (hashlib.sha256(), hashlib.sha256()) for name in names}
    arrow: Any = dataset.with_format("arrow")
    for table in arrow.iter(batch_size=10_000):
        for name in names:
            column: Any = table[name].combine_chunks()
            is_nested = "list" in str(column.type)
            lengths, values = sums[name]
            lengths.update(column.value_lengths().to_numpy().astype(np.int64).tobytes() if is_nested else b"")
            flat = (column.flatten() if is_nested else column).to_numpy(zero_copy_only=False)
            values.update(flat.astype(np.int64 if flat.dtype.kind in "iub" else np.float64).tobytes())
    parts = [f"{name} {lengths.hexdigest()} {values.hexdigest()}" for name, (lengths, values) in sums.items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def save_state(checkpoint: Path, saved: Saved) -> None:
    """Nothing; the checkpoint holds what medtune adds to it."""
    write_json(checkpoint / STATE, saved._asdict())


def read_state(checkpoint: Path) -> Saved:
    """What medtune added to a checkpoint."""
    if not (checkpoint / STATE).exists():
        return Saved({}, [])
    content = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return Saved(content["fingerprint"], [float(loss) for loss in content["losses"]])


def check_drift(checkpoint: Path, now: Fingerprint, *, is_allowed: bool) -> None:
    """Nothing, or a UserError that names what is no longer as it was when the checkpoint was made."""
    then = read_state(checkpoint).fingerprint
    changed = [name for name in now if then.get(name) != now[name]]
    if changed and not is_allowed:
        told = ", ".join(f"{name} ({_short(then.get(name))}, now {_short(now[name])})" for name in changed)
        raise UserError(
            f"{checkpoint}: cannot be resumed to the same result, for these changed since: {told}; put them "
            "back, add runtime.allow_drift=true to resume all the same, or remove "
            f"{CHECKPOINTS}/ to begin anew"
        )


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text[:8] if len(text) == 64 else text
