"""Which weights a method trains."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from medtune.config import Input
from medtune.engines.hf import load_model
from medtune.errors import UserError
from medtune.train.config import Full, Lora
from medtune.train.methods import prepare_model

# Raised inside PEFT, where no caller can avoid it.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def test_full_trains_every_weight(family_dir: Path) -> None:
    model = prepare_model(load_model(Input(family_dir), "float32"), Full(), seed=1)
    assert all(weight.requires_grad for weight in model.parameters())


def test_lora_trains_additions_to_every_linear_layer_but_the_output(family_dir: Path) -> None:
    model = prepare_model(load_model(Input(family_dir), "float32"), Lora(rank=2), seed=1)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_A" in name or "lora_B" in name for name in trained)
    assert not any("lm_head" in name or "embed" in name for name in trained)
    layers = {name.split(".lora_")[0] for name in trained}
    assert {name.rpartition(".")[2] for name in layers} >= {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "down_proj",
    }
    assert all(2 in weight.shape for weight in model.parameters() if weight.requires_grad)


def test_lora_trains_the_named_layers_alone(tiny_model_dir: Path) -> None:
    method = Lora(target_modules=("q_proj", "v_proj"))
    model = prepare_model(load_model(Input(tiny_model_dir), "float32"), method, seed=1)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert len(trained) == 2 * 2 * 2  # A and B, two layers, two names
    assert all(".q_proj." in name or ".v_proj." in name for name in trained)


@pytest.mark.parametrize("names", [("nonesuch",), ("q_proj", "nonesuch"), ()])
def test_a_layer_that_the_model_lacks_is_refused(tiny_model_dir: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"method\.target_modules"):
        prepare_model(load_model(Input(tiny_model_dir), "float32"), Lora(target_modules=names), seed=1)


def test_sizes_that_make_no_sense_are_refused() -> None:
    for field, value in {"rank": 0, "alpha": 0, "dropout": 1.0}.items():
        with pytest.raises(ValidationError, match=field):
            Lora.model_validate({field: value})


def test_the_seed_alone_decides_the_first_additions(tiny_model_dir: Path) -> None:
    def additions(seed: int) -> torch.Tensor:
        torch.rand(seed)  # what was drawn before must not matter
        model = prepare_model(load_model(Input(tiny_model_dir), "float32"), Lora(), seed=seed)
        return torch.cat([weight.flatten() for weight in model.parameters() if weight.requires_grad])

    assert torch.equal(additions(1), additions(1))
    assert not torch.equal(additions(1), additions(2))
