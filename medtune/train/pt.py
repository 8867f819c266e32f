"""Pre-training on documents, from scratch or continued."""

from medtune.artifact import Counts
from medtune.train.columns import document_columns
from medtune.train.config import PtConfig
from medtune.train.methods import prepare_model
from medtune.train.model import open_model
from medtune.train.trainer import fit


def run(config: PtConfig) -> Counts:
    """The counts of a model trained on documents, saved in `config.out`."""
    model, tokenizer = open_model(config.model, seed=config.seed)
    train = document_columns(config.documents, tokenizer, max_length=config.max_length)
    valid = (
        document_columns([config.valid], tokenizer, max_length=config.max_length) if config.valid else None
    )
    return fit(config, prepare_model(model, config.method, seed=config.seed), tokenizer, train, valid).counts
