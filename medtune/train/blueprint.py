"""What a model consists of, in numbers of weights, from its config alone."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.tokenizing import UNLOADABLE, locate
from medtune.errors import UserError
from medtune.train.config import NewModel, PretrainedModel
from medtune.train.method_config import Freeze, Full, Ia3, Lora, Method, Prefix, Prompt, Qlora
from medtune.train.model import build_model
from medtune.train.trace import empty_model


class Blueprint(NamedTuple):
    """What a model consists of, in numbers of weights."""

    name: str
    config: PretrainedConfig
    linear: int
    """Weights of linear layers but the output layer: what can be quantised."""
    embeddings: int
    """Input and output embeddings, counted once when tied."""
    other: int
    """Norms, biases, and experts that are no linear layers."""
    blocks: tuple[int, ...]
    """Weights of each layer."""
    largest_table: int
    """Weights of the input or the output embedding."""
    shapes: tuple[tuple[str, int, int], ...]
    """Name, inputs and outputs of each linear layer but the output one."""

    @property
    def num_weights(self) -> int:
        """All of them."""
        return self.linear + self.embeddings + self.other

    @property
    def num_layers(self) -> int:
        """Layers."""
        return int(self.config.num_hidden_layers)


@cache
def read_shapes() -> dict[str, dict[str, Any]]:
    """The built-in shapes by name."""
    return yaml.safe_load(Path(__file__).with_name("shapes.yaml").read_text(encoding="utf-8"))


def shape_config(name: str) -> PretrainedConfig:
    """The config of a built-in shape."""
    shapes = read_shapes()
    if name not in shapes:
        raise UserError(f"shape: {name}: unknown; known here: {', '.join(shapes)}")
    facts = {key: value for key, value in shapes[name].items() if key not in ("source", "model_type")}
    return AutoConfig.for_model(shapes[name]["model_type"], **facts)


def model_config(
    model: PretrainedModel | NewModel, tokenizer: PreTrainedTokenizerBase | None
) -> PretrainedConfig:
    """The config of the model that would be trained; of a hub model config.json is all that is fetched."""
    match model:
        case NewModel():
            assert tokenizer, "a new model's tokenizer is there"
            with torch.device("meta"):
                return build_model(model, tokenizer, seed=0).config
        case PretrainedModel():
            return read_config(model.path)


def read_config(source: Input) -> PretrainedConfig:
    """The config.json of a model directory or hub id."""
    name, revision = locate(source, "config.json")
    try:
        return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except UNLOADABLE as error:
        raise UserError(f"{source}: its config cannot be read: {' '.join(str(error).split()):.300}") from None


def draw(name: str, config: PretrainedConfig) -> Blueprint:
    """The numbers of weights of a model, from its own code on the meta device."""
    model = empty_model(config, torch.bfloat16)
    output = model.get_output_embeddings()
    shapes = [
        (title, layer.in_features, layer.out_features)
        for title, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not output
    ]
    linear = sum(inputs * outputs for _, inputs, outputs in shapes)
    inputs = model.get_input_embeddings()
    assert isinstance(output, nn.Linear) and isinstance(inputs, nn.Embedding)
    tables = {id(weight): weight.numel() for weight in (inputs.weight, output.weight)}
    embeddings = sum(tables.values())
    total = sum(weight.numel() for weight in model.parameters())
    layers = next((part for part in model.modules() if isinstance(part, nn.ModuleList)), nn.ModuleList())
    blocks = [sum(weight.numel() for weight in block.parameters()) for block in layers]
    return Blueprint(
        name=name,
        config=config,
        linear=linear,
        embeddings=embeddings,
        other=total - linear - embeddings,
        blocks=tuple(blocks),
        largest_table=max(tables.values()),
        shapes=tuple(shapes),
    )


def count_adapter(model: Blueprint, rank: int, targets: str | Sequence[str] = "all-linear") -> int:
    """Weights of LoRA's additions: rank x (inputs + outputs) of each layer that gets one."""
    return rank * sum(inputs + outputs for inputs, outputs in _targeted(model, targets))


def _targeted(model: Blueprint, targets: str | Sequence[str]) -> list[tuple[int, int]]:
    """Inputs and outputs of the linear layers of these names."""
    return [
        (inputs, outputs)
        for name, inputs, outputs in model.shapes
        if isinstance(targets, str) or any(f".{name}".endswith(f".{target}") for target in targets)
    ]


def count_trainable(model: Blueprint, method: Method) -> int:
    """Weights that a method trains."""
    kv_width = int(model.config.num_key_value_heads) * head_dim_of(model.config)
    hidden = int(model.config.hidden_size)
    match method:
        case Full():
            return model.num_weights
        case Lora() | Qlora():
            sizes = sum(outputs for _, outputs in _targeted(model, method.target_modules)) * method.use_dora
            return count_adapter(model, method.rank, method.target_modules) + sizes + (
                len(method.modules_to_save) * model.largest_table
            )  # fmt: skip
        case Freeze():
            count = method.num_trainable_layers
            layers = model.blocks[-count:] if count > 0 else model.blocks[:-count]
            whole = sum(layers)
            if not isinstance(method.name_module_trainable, str):
                names = method.name_module_trainable
                named = sum(
                    inputs * outputs
                    for title, inputs, outputs in model.shapes
                    if any(f".{name}." in f".{title}." for name in names)
                )
                whole = named * len(layers) // model.num_layers
            return whole + len(method.extra_modules) * model.largest_table
        case Prefix():
            prefix = method.num_virtual_tokens * model.num_layers * 2 * kv_width
            width = method.hidden_size or hidden
            network = hidden * (method.num_virtual_tokens + width) + width * model.num_layers * 2 * kv_width
            return network if method.projection else prefix
        case Prompt():
            return method.num_virtual_tokens * hidden
        case Ia3():
            factors = sum(outputs for _, outputs in _targeted(model, method.target_modules))
            return factors + sum(inputs for inputs, _ in _targeted(model, method.feedforward_modules))


def head_dim_of(config: PretrainedConfig) -> int:
    """Width of an attention head."""
    return int(config.to_dict().get("head_dim") or config.hidden_size // config.num_attention_heads)
