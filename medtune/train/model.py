"""The model to train and its tokenizer."""

from typing import NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from medtune.engines.hf import load_model, load_tokenizer
from medtune.errors import UserError
from medtune.train.config import NewModel, PretrainedModel


class Loaded(NamedTuple):
    """A model and the tokenizer that belongs to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def open_model(config: PretrainedModel | NewModel, *, seed: int) -> Loaded:
    """A loaded model, or one with random weights drawn by `seed`."""
    match config:
        case PretrainedModel():
            return Loaded(load_model(config.path, config.dtype), load_tokenizer(config.path))
        case NewModel():
            tokenizer = load_tokenizer(config.tokenizer)
            return Loaded(build_model(config, tokenizer, seed=seed), tokenizer)


def build_model(config: NewModel, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """A model of the family with random weights, embeddings tied to the output layer."""
    if config.hidden_size % config.num_attention_heads:
        raise UserError(
            f"model.hidden_size {config.hidden_size} must be a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        )
    torch.manual_seed(seed)
    architecture = AutoConfig.for_model(
        config.family,
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.hidden_size // config.num_attention_heads,
        max_position_embeddings=config.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForCausalLM.from_config(architecture)
