"""The model to train and its tokenizer."""

import os
from typing import Any, Literal, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from medtune.engines.config import Quantize
from medtune.engines.loading import load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.train.config import NewModel, PretrainedModel
from medtune.train.method_config import Full, Method, Qlora

MIXTURE = {"num_experts": 8, "num_experts_per_tok": 2}
"""A mixture of experts unless told; small, as the models are that start from scratch here."""
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "internlm": {"model_type": "llama", "attention_bias": True},
    "baichuan": {"model_type": "llama", "tie_word_embeddings": False},
}
"""Families that are another one's class with other settings."""


class Loaded(NamedTuple):
    """A model and the tokenizer that belongs to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def open_model(
    config: PretrainedModel | NewModel,
    *,
    seed: int,
    method: Method | None = None,
    device: Literal["auto", "cpu"] = "auto",
) -> Loaded:
    """A loaded model, quantised if the method wants it, or one with random weights drawn by `seed`."""
    match config:
        case PretrainedModel():
            quantize = quantization_for(method or Full())
            model = load_model(
                config.path,
                config.dtype,
                quantize=quantize,
                device=own_device(device),
                attention=None if config.attention == "auto" else config.attention,
            )
            return Loaded(model, load_tokenizer(config.path))
        case NewModel():
            tokenizer = load_tokenizer(config.tokenizer)
            return Loaded(build_model(config, tokenizer, seed=seed), tokenizer)


def quantization_for(method: Method) -> Quantize:
    """How a method wants the base's layers."""
    if not isinstance(method, Qlora):
        return "none"
    return "nf4" if method.bits == 4 else "int8"


def own_device(device: Literal["auto", "cpu"]) -> str:
    """The device of this process: of several on one machine each has its own GPU."""
    is_gpu = device == "auto" and torch.cuda.is_available()
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if is_gpu else "cpu"


def build_model(config: NewModel, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """A model of the family with random weights, embeddings tied to the output layer in most."""
    if config.hidden_size % config.num_attention_heads:
        raise UserError(
            f"model.hidden_size {config.hidden_size} must be a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        )
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "model_type": config.family,
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.hidden_size // config.num_attention_heads,
        "max_position_embeddings": config.max_position_embeddings,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **ARCHITECTURES.get(config.family, {}),
    }
    if config.family == "qwen3_moe":
        settings["moe_intermediate_size"] = config.intermediate_size
        settings |= {name: config.__dict__[name] or usual for name, usual in MIXTURE.items()}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings))
