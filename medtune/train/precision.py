"""Which number format a run computes in: bfloat16 where the hardware has it, else float16 with a loss scaler.

A model saved in bfloat16 holds values that float16 cannot: it is never trained in float16 unasked.
"""

import json
from typing import Any, Literal, NamedTuple

import torch

from medtune.config import Input
from medtune.errors import UserError
from medtune.train.config import NewModel, TrainingConfig

Precision = Literal["bf16", "fp16", "fp32"]


class Hardware(NamedTuple):
    """What would compute."""

    name: str
    gib: float
    """Memory of a GPU; 0 for the CPU."""
    has_bf16: bool
    """Whether it computes in bfloat16 itself, not by way of float32."""

    @property
    def is_gpu(self) -> bool:
        """Whether this is a GPU."""
        return self.gib > 0


def find_hardware(device: Literal["auto", "cpu"]) -> Hardware:
    """The first GPU, or the CPU where there is none or it is asked for."""
    if device == "cpu" or not torch.cuda.is_available():
        return Hardware("CPU", 0.0, torch.cpu._is_avx512_bf16_supported())
    facts = torch.cuda.get_device_properties(0)
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Hardware(facts.name, facts.total_memory / 2**30, has_bf16)


def choose_precision(
    bf16: bool | Literal["auto"], *, saved_dtype: str, hardware: Hardware, where: str
) -> Precision:
    """What to compute in. `auto` never ends in float16 for a model that was saved in bfloat16."""
    if bf16 != "auto":
        return "bf16" if bf16 else "fp32"
    if hardware.has_bf16:
        return "bf16"
    if not hardware.is_gpu:
        return "fp32"
    if saved_dtype == "bfloat16":
        raise UserError(
            f"{where}: was saved in bfloat16, and {hardware.name} has no bfloat16; in float16 its values may "
            "overflow. Use bf16=false model.dtype=float32 (slower, more memory), or ask for float16 yourself "
            "with  bf16=false trainer.fp16=true"
        )
    return "fp16"


def precision_arguments(config: TrainingConfig) -> dict[str, Any]:
    """`bf16`, and `fp16` where `auto` chose it, for transformers' TrainingArguments."""
    if config.bf16 != "auto":
        return {"bf16": config.bf16}
    chosen = precision_of(config, find_hardware(config.runtime.device))
    return {"bf16": chosen == "bf16", "fp16": chosen == "fp16"}


def precision_of(config: TrainingConfig, hardware: Hardware) -> Precision:
    """What a run computes in on this hardware."""
    if config.trainer.get("fp16") is True:
        return "fp16"
    model = config.__dict__["model"]
    source = None if isinstance(model, NewModel) else model.path
    saved = saved_dtype(source) if source is not None else ""
    return choose_precision(config.bf16, saved_dtype=saved, hardware=hardware, where=str(source))


def saved_dtype(source: Input) -> str:
    """The number format that a model directory says its weights were saved in; empty when it does not say."""
    path = source.path / "config.json"
    if not path.is_file():
        return ""
    facts = json.loads(path.read_text(encoding="utf-8"))
    return str(facts.get("dtype") or facts.get("torch_dtype") or "")
