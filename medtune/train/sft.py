"""Supervised fine-tuning on dialogues."""

from medtune.artifact import Counts
from medtune.errors import UserError
from medtune.train.columns import dialogue_columns
from medtune.train.config import SftConfig
from medtune.train.methods import prepare_model
from medtune.train.model import open_model
from medtune.train.trainer import fit


def run(config: SftConfig) -> Counts:
    """The counts of a model or adapter trained on the assistant's answers, saved in `config.out`."""
    model, tokenizer = open_model(config.model, seed=config.seed)
    train = dialogue_columns(config.train, tokenizer, max_length=config.max_length)
    valid = (
        dialogue_columns([config.valid], tokenizer, max_length=config.max_length) if config.valid else None
    )
    for name, columns in (("train", train), ("valid", valid)):
        if columns and columns.num_too_long > config.max_dropped * columns.num_records:
            raise UserError(
                f"{name}: {columns.num_too_long} of {columns.num_records} dialogues are longer than "
                f"max_length {config.max_length}, more than max_dropped {config.max_dropped:.0%} allows; "
                "raise max_length or max_dropped"
            )
    return fit(config, prepare_model(model, config.method, seed=config.seed), tokenizer, train, valid).counts
