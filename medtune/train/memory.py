"""Memory of a training run, term by term, from a model's config alone: no weight is loaded."""

import json
from functools import cache
from typing import NamedTuple

from transformers import AutoConfig

from medtune.engines.loading import torch_dtype
from medtune.train.blueprint import Blueprint, head_dim_of
from medtune.train.trace import Kept, trace_layers

GIB = 2**30
BITS = {4: 4.127, 8: 8.0}
"""Bits of a quantised weight with its scales: NF4 with double quantisation (arXiv 2305.14314), int8."""
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""
CONTEXT_GIB = 0.6
"""What a GPU holds before the first tensor: CUDA context and kernels, 0.5 to 0.8 GiB."""
FRAGMENTATION = 0.1
"""Share that the allocator cannot use."""
TILE = (4096, 32768)
"""Tokens and vocabulary entries whose scores exist at once on a GPU: TRL's fused output layer."""
EIGHT_BIT = ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit", "lion_8bit", "paged_lion_8bit")
STATES = {
    "sgd": 0,
    "adafactor": 0,
    "lion_32bit": 1,
    "paged_lion_32bit": 1,
    "lion_8bit": 1,
    "paged_lion_8bit": 1,
}
"""Numbers that an optimiser keeps for each weight; AdamW and all others two. Adafactor's are negligible."""


class Setup(NamedTuple):
    """What memory depends on besides the model."""

    method: str
    """full, lora, qlora, freeze, prefix, prompt or ia3."""
    trainable: int
    """Weights that are trained."""
    rank: int
    """Of LoRA's additions; 0 for methods without."""
    bits: int
    """4 or 8 for a quantised base, else 0."""
    batch_size: int
    length: int
    checkpointing: bool
    dtype: str
    is_mixed: bool
    """Whether float32 weights compute in 16 bits, of which copies are kept."""
    optimizer: str
    world_size: int = 1
    stage: int = 0
    """ZeRO stage; FSDP2 is stage 3."""
    on_gpu: bool = True
    trained_share: float = 1.0
    """Share of tokens with a label; on a CPU only these are scored."""


class Terms(NamedTuple):
    """Bytes on each device."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    overhead: float

    @property
    def total(self) -> float:
        """Their sum."""
        return sum(self)


@cache
def _traced(config: str, dtype: str, rank: int) -> Kept:
    return trace_layers(AutoConfig.for_model(**json.loads(config)), torch_dtype(dtype), rank=rank)


def kept_by(model: Blueprint, setup: Setup) -> Kept:
    """What the layers keep for each token, traced once for each kind of run."""
    facts = model.config.to_json_string(use_diff=True)
    compute = "bfloat16" if setup.is_mixed else setup.dtype
    return _traced(facts, compute, setup.rank)


def estimate(model: Blueprint, setup: Setup) -> Terms:
    """Memory on each device, term by term."""
    width = WIDTHS[setup.dtype]
    tokens = setup.batch_size * setup.length
    is_adapter = setup.method not in ("full", "freeze")
    trained_width = 4 if is_adapter else width  # PEFT keeps adapters in float32
    base = _base_bytes(model, setup)
    adapters = setup.trainable * trained_width if is_adapter else 0
    gradients = setup.trainable * trained_width
    optimizer = _optimizer_bytes(model, setup, trained_width)
    ranks, stage = setup.world_size, setup.stage
    weights = base + adapters
    if stage >= 3 and ranks > 1:
        whole = model.num_weights
        gathered = max([model.largest_table, *model.blocks])
        weights = weights / ranks + gathered * base / whole
    activations = tokens * kept_by(model, setup).total(model.num_layers, checkpointing=setup.checkpointing)
    logits = _logits_bytes(model, setup, tokens)
    gradients /= ranks if stage >= 2 else 1
    optimizer /= ranks if stage >= 1 else 1
    parts = weights + gradients + optimizer + activations + logits
    return Terms(
        weights, gradients, optimizer, activations, logits, CONTEXT_GIB * GIB + FRAGMENTATION * parts
    )


def _base_bytes(model: Blueprint, setup: Setup) -> float:
    """The model itself, with the 16-bit copies that mixed precision keeps of float32 weights."""
    if setup.bits:  # bitsandbytes leaves embeddings, output layer and norms alone
        rest = (model.embeddings + model.other) * WIDTHS[setup.dtype]
        return model.linear * BITS[setup.bits] / 8 + rest
    copies = 2 * model.linear if setup.is_mixed else 0
    if setup.checkpointing and setup.method != "full":  # frozen weights are copied a layer at a time
        copies /= model.num_layers
    return model.num_weights * WIDTHS[setup.dtype] + copies


def _optimizer_bytes(model: Blueprint, setup: Setup, width: int) -> float:
    states = STATES.get(setup.optimizer, 2)
    if setup.optimizer not in EIGHT_BIT:
        return setup.trainable * states * width
    # transformers tells bitsandbytes to keep the states of embeddings in float32
    wide = min(model.embeddings, setup.trainable) if setup.method == "full" else 0
    return (setup.trainable - wide) * states + wide * states * 4


def _logits_bytes(model: Blueprint, setup: Setup, tokens: int) -> float:
    """Scores over the vocabulary with what the loss makes of them."""
    vocab = int(model.config.vocab_size)
    if not setup.on_gpu:  # scores of labelled tokens, their float32 log-probabilities, the gradient
        return tokens * setup.trained_share * vocab * (WIDTHS[setup.dtype] + 8)
    hidden = tokens * int(model.config.hidden_size) * 4
    head = vocab * int(model.config.hidden_size) * 4 if setup.method == "full" else 0
    return min(tokens, TILE[0]) * min(vocab, TILE[1]) * WIDTHS[setup.dtype] + hidden + head


def whole_logits_bytes(model: Blueprint, setup: Setup) -> float:
    """What the scores would take were they made at once, as most trainers do."""
    return setup.batch_size * setup.length * int(model.config.vocab_size) * (WIDTHS[setup.dtype] + 8)


def formula_bytes(model: Blueprint, setup: Setup) -> float:
    """Activations by arithmetic on the shape, a check on the trace, for full tuning of dense models.

    Each layer keeps, in numbers of its compute type: two norms (input in float32, normed, scaled), queries,
    keys and values (once more after the rotation), attention's output, and four of the feed-forward width.
    """
    config = model.config
    width = 2 if setup.is_mixed else WIDTHS[setup.dtype]
    hidden, tokens = int(config.hidden_size), setup.batch_size * setup.length
    heads = int(config.num_attention_heads)
    norms = 2 * hidden * (4 + 2 * width)
    attention = heads * head_dim_of(config) * 5 * width
    layer = norms + attention + 4 * int(config.intermediate_size) * width
    if setup.checkpointing:
        return tokens * (model.num_layers * hidden * width + layer)
    return tokens * model.num_layers * layer
