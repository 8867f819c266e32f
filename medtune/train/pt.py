"""Pre-training on documents, from scratch or continued."""

from transformers import PreTrainedTokenizerBase

from medtune.artifact import Counts
from medtune.train.columns import document_columns
from medtune.train.config import PtConfig
from medtune.train.ledger import Columns
from medtune.train.model import open_model
from medtune.train.packing import pack
from medtune.train.stage import make_rows, train_on


def run(config: PtConfig) -> Counts:
    """The counts of a model trained on documents, saved in `config.out`.

    `dropped.jsonl` there lists the documents without a text.
    """
    loaded = open_model(config.model, seed=config.seed, method=config.method, device=config.runtime.device)
    rows = make_rows(
        config,
        loaded,
        train=lambda: train_columns(config, loaded.tokenizer),
        valid=lambda: valid_columns(config, loaded.tokenizer),
    )
    return train_on(config, loaded, rows)


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
