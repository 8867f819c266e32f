"""Adapter + base -> one model, written only when it is proven equal."""

import torch
from peft import PeftModel
from torch.nn.functional import log_softmax
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from medtune.artifact import Counts
from medtune.config import Input
from medtune.engines.ending import set_ends
from medtune.engines.loading import (
    check_base,
    lay_adapter,
    load_model,
    load_tokenizer,
    quantization_of,
    save_model,
    torch_dtype,
)
from medtune.engines.render import render_prompt
from medtune.errors import UserError
from medtune.records import Message
from medtune.train.config import MergeConfig
from medtune.train.methods import kind_of

PROMPTS = (
    "你好",
    "感冒发烧怎么办？",
    "What is diabetes?",
    "孕妇能吃布洛芬吗？<think>",
    "120/80 mmHg，正常吗？\n\n谢谢",
)
"""Fixed prompts of several shapes on which base + adapter and the merged weights must agree."""


def run(config: MergeConfig) -> Counts:
    """The counts of the merged model in `config.out`: largest difference found, number of tokens compared."""
    check_mergeable(config.adapter)
    check_base(config.adapter, config.model)
    tokenizer = load_tokenizer(config.adapter)
    quantize = quantization_of(config.quantize, config.adapter)
    base = load_model(config.model, "float32", quantize=quantize)
    if quantize != "none":  # the weights that training saw, in full width again
        base = base.dequantize(torch.float32)
    model = lay_adapter(base, config.adapter)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise UserError(
            f"{config.adapter}: its tokenizer has more tokens than {config.model}; this is not its base"
        )
    apart = next_token_logprobs(model, tokenizer)
    merged = model.merge_and_unload(safe_merge=True)
    together = next_token_logprobs(merged, tokenizer)
    difference = max(float((one - other).abs().max()) for one, other in zip(apart, together, strict=True))
    same_choice = all(
        bool((one.argmax(-1) == other.argmax(-1)).all()) for one, other in zip(apart, together, strict=True)
    )
    if difference > config.tolerance or not same_choice:
        raise UserError(
            f"{config.adapter}: merged and separate weights differ by {difference:.2g} nats on fixed prompts "
            f"(allowed {config.tolerance:g}), likeliest tokens {'equal' if same_choice else 'not equal'}; "
            "nothing was written"
        )
    set_ends(merged, tokenizer)
    save_model(merged.to(torch_dtype(config.dtype)), tokenizer, config.out)
    return {"max_difference": difference, "tokens_compared": sum(len(part) for part in apart)}


def check_mergeable(adapter: Input) -> None:
    """Nothing, or a UserError with the way out: what stands before the text is no part of any weight."""
    if not adapter.is_hub_id and not adapter.scheme and (adapter.path / "config.json").exists():
        raise UserError(f"{adapter}: is a whole model already, with nothing to add to it; use it as it is")
    if (kind := kind_of(adapter)) in ("prefix", "prompt"):
        raise UserError(
            f"{adapter}: a {kind} stands before the text and is part of no weight, so it cannot be merged; "
            "name it as the adapter beside its base, or train with method.type lora or ia3, which merge"
        )


@torch.inference_mode()
def next_token_logprobs(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase
) -> list[torch.Tensor]:
    """For each fixed prompt a (tokens, vocabulary) table of next-token log-probabilities."""
    rows = [render_prompt(tokenizer, [Message(role="user", content=prompt)]) for prompt in PROMPTS]
    return [log_softmax(model(input_ids=torch.tensor([ids])).logits[0].float(), dim=-1) for ids in rows]
