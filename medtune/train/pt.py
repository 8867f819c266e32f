"""Pre-training on documents, from scratch or continued."""

from transformers import PreTrainedTokenizerBase

from medtune.artifact import Counts, write_jsonl
from medtune.train.columns import document_columns
from medtune.train.config import PtConfig
from medtune.train.ledger import Columns
from medtune.train.methods import prepare_model
from medtune.train.model import open_model
from medtune.train.packing import check_isolation, pack
from medtune.train.processes import columns_once, is_first
from medtune.train.trainer import fit


def run(config: PtConfig) -> Counts:
    """The counts of a model trained on documents, saved in `config.out`.

    `dropped.jsonl` there lists the documents without a text.
    """
    model, tokenizer = open_model(
        config.model, seed=config.seed, method=config.method, device=config.runtime.device
    )
    if config.packing is True:
        check_isolation(model)
    train = columns_once(config.out, "train", lambda: train_columns(config, tokenizer))
    valid = (
        columns_once(config.out, "valid", lambda: valid_columns(config, tokenizer)) if config.valid else None
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


def train_columns(config: PtConfig, tokenizer: PreTrainedTokenizerBase) -> Columns:
    """The rows that a run trains on, packed if so wished."""
    is_joined = config.packing == "joined"
    columns = document_columns(config.documents, tokenizer, max_length=config.max_length, is_joined=is_joined)
    return pack(columns, max_length=config.max_length) if config.packing is True else columns


def valid_columns(config: PtConfig, tokenizer: PreTrainedTokenizerBase) -> Columns:
    """The rows that the loss is measured on; not packed, which would not change it."""
    sources = [config.valid] if config.valid else []
    is_joined = config.packing == "joined"
    return document_columns(sources, tokenizer, max_length=config.max_length, is_joined=is_joined)
