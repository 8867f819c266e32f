"""What the layers keep for the backward pass, seen on a model without weights and without data.

Torch's meta device computes shapes and no numbers: the model's own code runs, takes no memory, and a hook
counts the storages that autograd would keep. Layers are alike, so one and two of them tell what all take.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from torch.autograd.graph import saved_tensors_hooks
from transformers import AttentionInterface, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

LENGTH = 128
"""Tokens of a trace; what is kept grows with their number alone."""
ATTENTION = "medtune_trace"


class Kept(NamedTuple):
    """Bytes kept for each token of a batch, without gradient checkpointing and with it."""

    layer: float
    """By one layer."""
    ends: float
    """By the embedding and the last norm."""
    boundary: float
    """By one layer when only its input is kept."""
    checkpointed_ends: float

    def total(self, num_layers: int, *, checkpointing: bool) -> float:
        """Bytes for each token of all layers; with checkpointing, one layer at a time is computed again."""
        if checkpointing:
            return num_layers * self.boundary + self.checkpointed_ends + self.layer
        return num_layers * self.layer + self.ends


def empty_model(config: PretrainedConfig, dtype: torch.dtype, attention: str = "sdpa") -> PreTrainedModel:
    """A model of the architecture on the meta device: every shape and no number."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def trace_layers(config: PretrainedConfig, dtype: torch.dtype, *, rank: int) -> Kept:
    """What training keeps: of every weight when `rank` is 0, else of float32 adapters on linear layers."""
    _register_attention()
    one, two = (_kept(config, count, dtype, rank, checkpointing=False) for count in (1, 2))
    short, long = (_kept(config, count, dtype, rank, checkpointing=True) for count in (1, 2))
    return Kept(two - one, max(2 * one - two, 0), long - short, max(2 * short - long, 0))


def _kept(
    config: PretrainedConfig, num_layers: int, dtype: torch.dtype, rank: int, *, checkpointing: bool
) -> float:
    shallow = type(config).from_dict(_with_layers(config.to_dict(), num_layers))
    model = empty_model(shallow, dtype, ATTENTION)
    if rank:
        get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear"))
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if checkpointing or rank:
        model.enable_input_require_grads()
    inputs = {
        # Given, for transformers would look into the numbers that are not there.
        "input_ids": torch.zeros((1, LENGTH), dtype=torch.long, device="meta"),
        "attention_mask": torch.ones((1, LENGTH), dtype=torch.long, device="meta"),
        "position_ids": torch.zeros((1, LENGTH), dtype=torch.long, device="meta"),
    }
    with _count_kept(model) as storages:
        model.get_decoder()(**inputs, use_cache=False)
    return sum(storages.values()) / LENGTH


def _with_layers(values: dict[str, Any], num_layers: int) -> dict[str, Any]:
    """The values of a config with the last so many layers, lists with an item for each layer cut alike."""
    depth = values["num_hidden_layers"]
    cut = {
        key: value[-num_layers:]
        for key, value in values.items()
        if key == "layer_types" and isinstance(value, list) and len(value) == depth
    }
    return {**values, **cut, "num_hidden_layers": num_layers}


@contextmanager
def _count_kept(model: PreTrainedModel) -> Generator[dict[int, int]]:
    """Bytes of each storage that autograd keeps meanwhile; weights are not counted."""
    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []  # a freed storage would lend its number to the next

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


class _FusedAttention(torch.autograd.Function):
    """Attention that keeps what fused kernels keep: no scores of each token against each."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[None, None, None]:
        return None, None, None


def _attend(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    if groups > 1:  # transformers repeats them for sdpa where rows are padded
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    attended: Any = _FusedAttention.apply(query, key, value)
    return attended.transpose(1, 2).contiguous(), None


def _register_attention() -> None:
    """Nothing; transformers knows the attention of traces, as it knows sdpa."""
    AttentionInterface.register(ATTENTION, _attend)
