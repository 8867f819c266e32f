"""Adapter + base -> one model, written only when it is proven equal."""

from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from medtune.artifact import Counts
from medtune.config import Input
from medtune.engines.config import Quantize
from medtune.engines.loading import (
    check_base,
    lay_adapter,
    load_model,
    quantization_of,
    save_model,
    torch_dtype,
)
from medtune.engines.rendering.ending import set_ends
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.train.config import MergeConfig
from medtune.train.methods import kind_of
from medtune.train.proof import compare, next_token_logprobs


class Merged(NamedTuple):
    """One model in float32 that answers as base and adapter did, and how that was found."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    difference: float
    """The largest one of any log-probability."""
    num_tokens: int
    """How many were compared."""


def run(config: MergeConfig) -> Counts:
    """The counts of the merged model in `config.out`: largest difference found, number of tokens compared."""
    merged = add_adapter(config.model, config.adapter, quantize=config.quantize, tolerance=config.tolerance)
    set_ends(merged.model, merged.tokenizer)
    merged.model.to(torch_dtype(config.dtype))  # pyright: ignore[reportArgumentType]  # a wrapped method
    save_model(merged.model, merged.tokenizer, config.out)
    return {"max_difference": merged.difference, "tokens_compared": merged.num_tokens}


def add_adapter(
    model: Input, adapter: Input, *, quantize: Quantize | Literal["as-trained"], tolerance: float
) -> Merged:
    """The sum of base and adapter, or a UserError when it does not answer as the two did."""
    check_mergeable(adapter)
    check_base(adapter, model)
    tokenizer = load_tokenizer(adapter)
    quantize = quantization_of(quantize, adapter)
    base = load_model(model, "float32", quantize=quantize)
    if quantize != "none":  # the weights that training saw, in full width again
        base = base.dequantize(torch.float32)
    laid = lay_adapter(base, adapter)
    if len(tokenizer) > laid.get_input_embeddings().num_embeddings:
        raise UserError(f"{adapter}: its tokenizer has more tokens than {model}; this is not its base")
    apart = next_token_logprobs(laid, tokenizer)
    merged = laid.merge_and_unload(safe_merge=True)
    found = compare(apart, next_token_logprobs(merged, tokenizer))
    if found.largest > tolerance or found.choices_changed:
        raise UserError(
            f"{adapter}: merged and separate weights differ by {found.largest:.2g} nats on fixed prompts "
            f"(allowed {tolerance:g}), likeliest tokens {'not ' if found.choices_changed else ''}equal; "
            "nothing was written"
        )
    return Merged(merged, tokenizer, found.largest, found.num_tokens)


def check_mergeable(adapter: Input) -> None:
    """Nothing, or a UserError with the way out: what stands before the text is no part of any weight."""
    if not adapter.is_hub_id and not adapter.scheme and (adapter.path / "config.json").exists():
        raise UserError(f"{adapter}: is a whole model already, with nothing to add to it; use it as it is")
    if (kind := kind_of(adapter)) in ("prefix", "prompt"):
        raise UserError(
            f"{adapter}: a {kind} stands before the text and is part of no weight, so it cannot be merged; "
            "name it as the adapter beside its base, or train with method.type lora or ia3, which merge"
        )
