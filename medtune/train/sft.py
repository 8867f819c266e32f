"""Supervised fine-tuning on dialogues."""

from transformers import PreTrainedTokenizerBase

from medtune.artifact import Counts, write_jsonl
from medtune.engines.dress import dress
from medtune.engines.parity import check_files
from medtune.errors import UserError
from medtune.train.columns import dialogue_columns
from medtune.train.config import SftConfig
from medtune.train.ledger import Columns
from medtune.train.methods import prepare_model
from medtune.train.model import open_model
from medtune.train.packing import check_isolation, pack
from medtune.train.processes import columns_once, is_first
from medtune.train.trainer import fit


def run(config: SftConfig) -> Counts:
    """The counts of a model or adapter trained on the assistant's answers, saved in `config.out`.

    `dropped.jsonl` there lists the dialogues that were longer than max_length, and what is left of them.
    """
    model, tokenizer = open_model(
        config.model, seed=config.seed, method=config.method, device=config.runtime.device
    )
    dress(tokenizer, template=config.template, thinking=config.thinking)
    check_files(tokenizer, [*config.train, *([config.valid] if config.valid else [])])
    if config.packing:
        check_isolation(model)
    train = columns_once(config.out, "train", lambda: train_columns(config, tokenizer))
    valid = (
        columns_once(config.out, "valid", lambda: valid_columns(config, tokenizer)) if config.valid else None
    )
    for name, columns in (("train", train), ("valid", valid)):
        if columns and len(columns.too_long) > config.max_dropped * columns.num_records:
            raise UserError(
                f"{name}: {len(columns.too_long)} of {columns.num_records} dialogues are longer than "
                f"max_length {config.max_length}, more than max_dropped {config.max_dropped:.0%} allows; "
                "raise max_length or max_dropped, or choose a truncation"
            )
    if is_first():
        misfits = [*train.misfits, *(valid.misfits if valid else [])]
        write_jsonl(config.out / "dropped.jsonl", (misfit._asdict() for misfit in misfits))
    prepared = prepare_model(
        model,
        config.method,
        seed=config.seed,
        tokenizer=tokenizer,
        base=config.model,
        adapter=config.adapter,
    )
    return fit(config, prepared, tokenizer, train, valid).counts


def train_columns(config: SftConfig, tokenizer: PreTrainedTokenizerBase) -> Columns:
    """The rows that a run trains on, replay mixed in, packed if so wished."""
    columns = dialogue_columns(
        config.train,
        tokenizer,
        max_length=config.max_length,
        truncation=config.truncation,
        replay=config.replay,
        seed=config.seed,
        train_on_prompt=config.train_on_prompt,
        mask_history=config.mask_history,
    )
    return pack(columns, max_length=config.max_length) if config.packing else columns


def valid_columns(config: SftConfig, tokenizer: PreTrainedTokenizerBase) -> Columns:
    """The rows that the loss is measured on, one dialogue each."""
    sources = [config.valid] if config.valid else []
    return dialogue_columns(sources, tokenizer, max_length=config.max_length, truncation=config.truncation)
