"""New models of each family, and models that exist."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from medtune.config import Input
from medtune.errors import UserError
from medtune.train.config import NewModel, PretrainedModel, PtConfig, SftConfig
from medtune.train.model import open_model

FAMILIES = {
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3Moe",
    "glm4": "Glm4",
    "llama": "Llama",
    "internlm": "Llama",
    "baichuan": "Llama",
}


def new(tokenizer_dir: Path, **values: Any) -> NewModel:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    return NewModel.model_validate({"tokenizer": str(tokenizer_dir), **sizes, **values})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_model_is_of_its_family_and_size(tiny_tokenizer_dir: Path, family: str) -> None:
    model, tokenizer = open_model(new(tiny_tokenizer_dir, family=family), seed=1)
    assert type(model).__name__ == f"{FAMILIES[family]}ForCausalLM"
    assert model.config.num_hidden_layers == 2
    assert model.get_input_embeddings().weight.shape == (len(tokenizer), 32)
    is_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert is_tied == (family != "baichuan")
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_alone_decides_the_weights(tiny_tokenizer_dir: Path, family: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.rand(seed)  # what was drawn before must not matter
        model = open_model(new(tiny_tokenizer_dir, family=family), seed=seed).model
        return torch.cat([weight.flatten() for weight in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_internlm_is_a_llama_with_biases_in_attention(tiny_tokenizer_dir: Path) -> None:
    names = {
        name
        for name, _ in open_model(new(tiny_tokenizer_dir, family="internlm"), seed=1).model.named_parameters()
    }
    assert {f"model.layers.0.self_attn.{part}_proj.bias" for part in "qkvo"} <= names


def test_a_mixture_has_the_experts_that_it_is_told(tiny_tokenizer_dir: Path) -> None:
    model = open_model(new(tiny_tokenizer_dir, family="qwen3_moe", num_experts=4), seed=1).model
    assert model.config.num_experts == 4
    assert model.config.num_experts_per_tok == 2
    assert model.get_parameter("model.layers.0.mlp.experts.down_proj").shape == (4, 32, 64)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"family": "qwen3", "num_experts": 4}, "qwen3 has no experts; use family: qwen3_moe"),
        (
            {"family": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 5},
            "cannot be more than num_experts",
        ),
    ],
)
def test_experts_that_cannot_be_are_refused(
    tiny_tokenizer_dir: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        new(tiny_tokenizer_dir, **values)


def test_a_width_that_the_heads_cannot_share_is_refused(tiny_tokenizer_dir: Path) -> None:
    with pytest.raises(UserError, match="must be a multiple of num_attention_heads"):
        open_model(new(tiny_tokenizer_dir, hidden_size=30), seed=1)


def test_a_path_alone_means_a_pretrained_model(tiny_model_dir: Path, talks: Path, tmp_path: Path) -> None:
    config = SftConfig.model_validate(
        {"out": tmp_path / "out", "train": [str(talks)], "model": str(tiny_model_dir)}
    )
    assert config.model == PretrainedModel(path=Input(tiny_model_dir))
    model, tokenizer = open_model(config.model, seed=1)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)


def test_sft_refuses_a_new_model(tiny_tokenizer_dir: Path, talks: Path, tmp_path: Path) -> None:
    fresh = {"type": "new", "tokenizer": str(tiny_tokenizer_dir)}
    with pytest.raises(ValidationError, match="make one with pt first"):
        SftConfig.model_validate({"out": tmp_path / "out", "train": [str(talks)], "model": fresh})


def test_an_adapter_over_a_new_model_that_nobody_saves_is_refused(
    tiny_tokenizer_dir: Path, documents: Path, tmp_path: Path
) -> None:
    fresh = {"type": "new", "tokenizer": str(tiny_tokenizer_dir)}
    values = {"out": tmp_path / "out", "documents": [str(documents)], "model": fresh}
    assert PtConfig.model_validate(values).method.type == "full"
    with pytest.raises(ValidationError, match="no saved base for an adapter"):
        PtConfig.model_validate({**values, "method": {"type": "lora"}})


def test_attention_is_computed_as_told(tiny_model_dir: Path) -> None:
    for told, used in (("eager", "eager"), ("sdpa", "sdpa"), ("auto", "sdpa")):
        source = PretrainedModel.model_validate({"path": str(tiny_model_dir), "attention": told})
        assert open_model(source, seed=1).model.config._attn_implementation == used


@pytest.mark.skipif(find_spec("flash_attn") is not None, reason="flash_attn is installed here")
def test_attention_that_is_not_installed_is_refused(tiny_model_dir: Path) -> None:
    source = PretrainedModel(path=Input(tiny_model_dir), attention="flash_attention_2")
    with pytest.raises(UserError, match=r"model\.attention flash_attention_2: .*; use sdpa"):
        open_model(source, seed=1)
