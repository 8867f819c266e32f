"""Supervised fine-tuning on dialogues."""

from medtune.artifact import Counts, write_jsonl
from medtune.errors import UserError
from medtune.train.columns import dialogue_columns
from medtune.train.config import SftConfig
from medtune.train.methods import prepare_model
from medtune.train.model import open_model
from medtune.train.trainer import fit


def run(config: SftConfig) -> Counts:
    """The counts of a model or adapter trained on the assistant's answers, saved in `config.out`.

    `dropped.jsonl` there lists the dialogues that were longer than max_length.
    """
    model, tokenizer = open_model(config.model, seed=config.seed)
    train = dialogue_columns(config.train, tokenizer, max_length=config.max_length)
    valid = (
        dialogue_columns([config.valid], tokenizer, max_length=config.max_length) if config.valid else None
    )
    for name, columns in (("train", train), ("valid", valid)):
        if columns and len(columns.too_long) > config.max_dropped * columns.num_records:
            raise UserError(
                f"{name}: {len(columns.too_long)} of {columns.num_records} dialogues are longer than "
                f"max_length {config.max_length}, more than max_dropped {config.max_dropped:.0%} allows; "
                "raise max_length or max_dropped"
            )
    left_out = [*train.too_long, *(valid.too_long if valid else [])]
    write_jsonl(config.out / "dropped.jsonl", ({**item._asdict(), "reason": "too long"} for item in left_out))
    return fit(config, prepare_model(model, config.method, seed=config.seed), tokenizer, train, valid).counts
