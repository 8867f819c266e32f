"""Presets for what hardware people own. A preset fills the keys that were not given, and no others."""

from collections.abc import Mapping
from typing import Any, Literal

Profile = Literal["cpu", "gpu-8g", "gpu-16g", "gpu-24g", "gpu-80g"]


def _gpu(method: str, rank: int, max_length: int, batch: int) -> dict[str, Any]:
    """Sixteen rows to a step in bfloat16, `batch` at a time, activations computed again."""
    return {
        "method": {"type": method, "rank": rank},
        "model": {"dtype": "bfloat16"},
        "bf16": "auto",
        "max_length": max_length,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 16 // batch,
        "gradient_checkpointing": True,
    }


PROFILES: dict[str, dict[str, Any]] = {
    "cpu": {
        "method": {"type": "lora", "rank": 16},
        "bf16": "auto",
        "max_length": 512,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "gradient_checkpointing": False,
    },
    "gpu-8g": _gpu("qlora", rank=16, max_length=1024, batch=1),
    "gpu-16g": _gpu("lora", rank=16, max_length=2048, batch=1),
    "gpu-24g": _gpu("lora", rank=16, max_length=1024, batch=2),
    "gpu-80g": _gpu("lora", rank=64, max_length=4096, batch=4),
}
"""Sixteen rows to a step in each. What fits in each, by the memory plan: Qwen3-4B in 8 and 16 GB, Qwen3-8B in
24 GB, Qwen3-14B in 80 GB."""


def fill_profile(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those of their profile under them; a new model keeps its own method and numbers."""
    preset = PROFILES.get(str(values.get("profile")), {})
    filled = dict(values)
    model = values.get("model")
    is_new = isinstance(model, Mapping) and model.get("type") == "new"
    for key, preferred in preset.items():
        given = values.get(key)
        if key == "model":
            if model is not None and not is_new:
                path = model if isinstance(model, Mapping) else {"path": model}
                filled[key] = {**preferred, **path}
        elif key == "method":
            filled |= {} if is_new else {key: _fill_method(preferred, given)}
        elif key not in values and not (key == "gradient_checkpointing" and _is_prefix(values.get("method"))):
            filled[key] = preferred
    return filled


def _is_prefix(method: object) -> bool:
    """Whether it is the method that a recomputed layer would miss the prefix of."""
    return method == "prefix" or (isinstance(method, Mapping) and method.get("type") == "prefix")


def _fill_method(preferred: Mapping[str, Any], given: object) -> object:
    """The preset's method, with given keys over it when they are of the same type or name none."""
    if isinstance(given, Mapping) and given.get("type", preferred["type"]) == preferred["type"]:
        return {**preferred, **given}
    return preferred if given is None else given


def filled_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the profile of the values adds to them, by dotted key."""
    return {key: value for key, value in _flat(fill_profile(values)).items() if key not in _flat(values)}


def _flat(values: Mapping[str, Any], lead: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if key == "model" and isinstance(value, str):  # `model: PATH` means `model: {path: PATH}`
            flat["model.path"] = value
        elif isinstance(value, Mapping):
            flat |= _flat({str(name): item for name, item in value.items()}, f"{lead}{key}.")
        else:
            flat[f"{lead}{key}"] = value
    return flat
