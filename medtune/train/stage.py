"""What pt and sft do alike once they know how their rows are made."""

from collections.abc import Callable
from typing import NamedTuple

from medtune.artifact import Counts, write_jsonl
from medtune.train.config import PtConfig, SftConfig
from medtune.train.ledger import Columns
from medtune.train.methods import prepare_model
from medtune.train.model import Loaded
from medtune.train.packing import check_isolation
from medtune.train.processes import columns_once, is_first
from medtune.train.trainer import fit


class Rows(NamedTuple):
    """What a run trains on and what its loss is measured on."""

    train: Columns
    valid: Columns | None


def make_rows(
    config: PtConfig | SftConfig,
    loaded: Loaded,
    *,
    train: Callable[[], Columns],
    valid: Callable[[], Columns],
) -> Rows:
    """The rows, made once for all processes; a model in which packed ones would see each other is refused."""
    if config.packing is True:
        check_isolation(loaded.model)
    return Rows(
        columns_once(config.out, "train", train),
        columns_once(config.out, "valid", valid) if config.valid else None,
    )


def train_on(config: PtConfig | SftConfig, loaded: Loaded, rows: Rows) -> Counts:
    """The counts of the model that the method made of the rows; `dropped.jsonl` lists what is not in them."""
    if is_first():
        misfits = [*rows.train.misfits, *(rows.valid.misfits if rows.valid else [])]
        write_jsonl(config.out / "dropped.jsonl", (misfit._asdict() for misfit in misfits))
    model = prepare_model(
        loaded.model,
        config.method,
        seed=config.seed,
        tokenizer=loaded.tokenizer,
        base=config.model,
        adapter=config.adapter,
    )
    return fit(config, model, loaded.tokenizer, rows.train, rows.valid).counts
