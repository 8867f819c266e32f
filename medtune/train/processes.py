"""One run in several processes: the first makes the directory and the token columns, the others wait for it.

They wait on the launcher's store and not in a collective, so that no timeout ends them while rows are read.
"""

import os
import pickle
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch.distributed as dist
from datasets import disable_progress_bars, enable_progress_bars, load_from_disk
from torch.distributed import (
    DistNetworkError,
    DistStoreError,
    Store,  # pyright: ignore[reportPrivateImportUsage]
)
from torch.distributed.rendezvous import rendezvous

from medtune.artifact import CHECKPOINTS, Manifest, Run, claim, make
from medtune.config import CommandConfig
from medtune.errors import UserError
from medtune.train.ledger import Columns

PATIENCE = timedelta(days=30)
"""How long the others wait for the first; the launcher ends them when it dies."""
GO, OVER = "go", "over"


def world_size() -> int:
    """How many processes torchrun or `accelerate launch` started, on all machines together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return os.environ.get("RANK", "0") == "0"


@cache
def _store() -> Store:
    store, _, _ = next(rendezvous("env://", timeout=timedelta(minutes=5)))
    return store


def make_together(
    command: str, version: int, *, config: CommandConfig, run: Run, replace: bool = False
) -> Manifest:
    """The manifest of the directory that all processes make; only the first comes back, the others end."""
    store = _store()
    try:
        if is_first():
            return _lead(store, lambda job: make(claim(command, version, config), job, replace=replace), run)
        _follow(store, config, run)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    sys.exit(0)


def _lead(store: Store, make_by: Callable[[Run], Manifest], run: Run) -> Manifest:
    has_begun = False

    def begin(config: CommandConfig) -> dict[str, object]:
        nonlocal has_begun
        has_begun = True
        store.set("medtune/state", GO)
        return run(config)

    try:
        return make_by(begin)
    finally:
        if not has_begun:  # made already, or refused: nothing is left to do for the others
            store.set("medtune/state", OVER)
        store.set("medtune/end", OVER)


def _follow(store: Store, config: CommandConfig, run: Run) -> None:
    store.wait(["medtune/state"], PATIENCE)
    if store.get("medtune/state") == OVER.encode():
        return
    try:
        run(config)
    except UserError as error:
        try:  # the first has most likely met the same, and tells it
            store.wait(["medtune/end"], timedelta(seconds=20))
        except DistStoreError:  # in all this time it has not
            raise error from None
        except DistNetworkError:  # it has ended, and the store with it
            pass
        sys.exit(error.exit_code)


def columns_once(out: Path, name: str, make_columns: Callable[[], Columns]) -> Columns:
    """The token columns, made by the first process alone and read by the others from a file."""
    if world_size() == 1:
        return make_columns()
    store, folder, key = _store(), out / CHECKPOINTS / "columns" / name, f"medtune/columns/{name}"
    if is_first():
        columns = make_columns()
        if folder.exists():
            shutil.rmtree(folder)
        disable_progress_bars()  # a line of its own for what takes no time
        columns.dataset.save_to_disk(str(folder))
        enable_progress_bars()
        (folder / "rest.pickle").write_bytes(
            pickle.dumps(columns._replace(dataset=columns.dataset.select([])))
        )
        store.set(key, GO)
    else:
        store.wait([key], PATIENCE)
    told: Columns = pickle.loads((folder / "rest.pickle").read_bytes())
    return told._replace(dataset=load_from_disk(str(folder)))
