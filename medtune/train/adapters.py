"""What a trained adapter is when it leaves, and what a checkpoint of one holds besides."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, PrefixTuningConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.prefix_tuning import PrefixEncoder
from safetensors.torch import load_file, save_file

from medtune.artifact import write_text
from medtune.engines.loading import QUANTIZATION

ENCODER = "prompt_encoder.safetensors"
"""In a checkpoint: the network that makes a prefix. PEFT saves what it makes, which cannot be trained on."""


def low_rank_layers(model: torch.nn.Module) -> dict[str, LoraLayer]:
    """The layers with additions, by the name under which PEFT saves them."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}


def remember_start(model: PeftModel) -> None:
    """Nothing; each layer with additions keeps what they are now, outside of what is saved."""
    for layer in low_rank_layers(model).values():
        assert isinstance(layer, torch.nn.Module)
        for part in ("lora_A", "lora_B"):
            start = layer.get_submodule(f"{part}.default").get_parameter("weight")
            layer.register_buffer(f"start_{part}", start.detach().clone(), persistent=False)


def complete_adapter(model: PeftModel, folder: Path) -> None:
    """Nothing; the adapter that PEFT saved in `folder` is a plain one that fits the base as it is.

    PiSSA and OLoRA move a part of the base into their additions, so that theirs fit a base that is nowhere on
    the disk: what they added to it is saved instead. A prefix is saved as what its network made. How the base
    was quantised is written down.
    """
    path = folder / "adapter_config.json"
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("init_lora_weights") in ("pissa", "olora"):
        weights = folder / "adapter_model.safetensors"
        save_file(without_start(model, weights), weights, metadata={"format": "pt"})
        # alpha / rank, or alpha / sqrt(rank), is to stay what it was
        settings["lora_alpha"] *= 2**0.5 if settings["use_rslora"] else 2
        settings |= {"r": 2 * settings["r"], "init_lora_weights": True}
    if settings.get("prefix_projection"):
        settings["prefix_projection"] = False
    write_text(path, json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    if quantised := model.config.to_dict().get("quantization_config"):
        kind = "nf4" if quantised["load_in_4bit"] else "int8"
        write_text(folder / QUANTIZATION, json.dumps({"base": kind}) + "\n")


def without_start(model: PeftModel, weights: Path) -> dict[str, torch.Tensor]:
    """Saved additions less what they began as: twice the rank, the second half negative."""
    tensors = load_file(weights)
    for name, layer in low_rank_layers(model).items():
        assert isinstance(layer, torch.nn.Module)
        for part, dim, sign in (("lora_A", 0, 1), ("lora_B", 1, -1)):
            key = f"{name}.{part}.weight"
            start = sign * layer.get_buffer(f"start_{part}").to(tensors[key])
            tensors[key] = torch.cat([tensors[key], start], dim=dim)
    return tensors


# ---- checkpoints ----


@contextmanager
def keep_width(model: torch.nn.Module) -> Generator[None]:
    """Weights to be trained stay as they are, whatever happens inside.

    TRL makes the additions over a quantised base bfloat16, whose steps are 1/256 of a value: most of AdamW's
    would be lost, and the loaded adapter, which is float32, would answer otherwise than the trained one.
    """
    weights = {name: weight.data for name, weight in model.named_parameters() if weight.requires_grad}
    yield
    for name, weight in weights.items():
        model.get_parameter(name).data = weight


def encoder_of(model: torch.nn.Module) -> PrefixEncoder | None:
    """The network that makes a prefix, if this model has one."""
    if not isinstance(model, PeftModel) or not isinstance(model.active_peft_config, PrefixTuningConfig):
        return None
    encoder = model.get_submodule("prompt_encoder.default")
    assert isinstance(encoder, PrefixEncoder)
    return encoder if encoder.prefix_projection else None


def save_encoder(model: torch.nn.Module, checkpoint: Path) -> None:
    """Nothing; the network that makes a prefix stands in the checkpoint too."""
    if encoder := encoder_of(model):
        save_file(encoder.state_dict(), checkpoint / ENCODER)


def load_encoder(model: torch.nn.Module, checkpoint: Path) -> bool:
    """Whether the model has such a network; it is then as it was in the checkpoint."""
    if encoder := encoder_of(model):
        encoder.load_state_dict(load_file(checkpoint / ENCODER))
    return encoder is not None
