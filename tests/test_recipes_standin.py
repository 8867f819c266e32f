"""The recipes for real models run to their end on a tiny stand-in: they learn, and what they made goes on."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

import medtune
from medtune.artifact import read_manifest
from medtune.config import Input
from medtune.engines.config import EngineRuntime, HfEngine
from medtune.engines.hf import HfInProcess
from medtune.recipe import Recipe, find_recipe, read_recipe
from medtune.runner import run_recipe
from medtune.train.config import PtConfig, SftConfig, TrainingConfig
from medtune.train.fit import fit
from medtune.train.method_config import Freeze, Full
from medtune.train.methods import prepare_model
from medtune.train.model import open_model
from medtune.train.sft import train_columns

pytestmark = [
    pytest.mark.slow,
    # Raised inside PEFT, where no caller can avoid it.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

RECIPES: dict[str, tuple[str, ...]] = {
    "two_stage_curriculum": ("steps.compare.num_resamples=1000",),
    "lora_vs_full": ("steps.full.learning_rate=3e-3", "steps.compare.num_resamples=1000"),
    "qlora_8g": (),
    "freeze": ("steps.sft.method.num_trainable_layers=1",),
    "prefix": ("steps.sft.learning_rate=3e-2",),
    # Without GPUs two processes share the rows alone; one is enough for the documents.
    "multi_gpu_zero2": ("parallel=ddp", "processes=2", "steps.pt.launch=[]", "steps.pt.parallel=null"),
}
"""The recipes, with what each wants beside the stand-in."""
TRAINING = {
    "max_steps": 6,
    "save_steps": 3,
    "logging_steps": 1,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-2,
    "runtime.device": "cpu",
    "runtime.num_threads": 1,
}
PREPARING = {"source.max_samples": 40, "runtime.workers": 1}
LAUNCHED = {"multi_gpu_zero2": ["sft"]}


@pytest.fixture(scope="module")
def stand_in(make_model: Any, tiny_tokenizer_dir: Path) -> Path:
    """A Qwen3 of two layers that takes a dialogue of the samples whole."""
    return make_model(tiny_tokenizer_dir, context=1024)


def read_on_stand_in(name: str, stand_in: Path, root: Path) -> Recipe:
    """The recipe with few rows and steps."""
    path = find_recipe(name)
    common = [f"root={root.as_posix()}", f"model={stand_in.as_posix()}", "dtype=float32", "max_length=1024"]
    small = ["steps.exam.subjects=[心血管内科]", "steps.exam.runtime.workers=1"]
    steps = read_recipe(path).steps
    for step in steps:
        title = step.name
        if isinstance(step.config, TrainingConfig):
            small += [f"steps.{title}.{key}={value}" for key, value in TRAINING.items()]
        elif step.command == "prepare" and title != "exam":
            small += [f"steps.{title}.{key}={value}" for key, value in PREPARING.items()]
    return read_recipe(path, [*common, *small, *RECIPES[name]])


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_learns_on_a_stand_in_and_what_it_made_goes_on(
    name: str, stand_in: Path, tmp_path: Path
) -> None:
    recipe = read_on_stand_in(name, stand_in, tmp_path)
    assert [step.name for step in recipe.steps if step.launch] == LAUNCHED.get(name, [])
    made = [event.step.name for event in run_recipe(recipe) if event.state == "made"]
    assert made == [step.name for step in recipe.steps]
    for step in recipe.steps:
        manifest = read_manifest(step.config.out)
        assert manifest and manifest.files, step.name
        if isinstance(step.config, PtConfig | SftConfig):
            losses = losses_of(step.config.out)
            assert len(losses) == 6 and sum(losses[-2:]) < sum(losses[:2]), (step.name, losses)
    assert (recipe.steps[-1].config.out / "report.html").stat().st_size > 1000
    trained = [step.config for step in recipe.steps if isinstance(step.config, SftConfig)]
    for config in trained:
        check_that_it_goes_on(config, tmp_path / "more" / config.out.name)


def losses_of(out: Path) -> list[float]:
    rows = csv.DictReader((out / "loss.csv").read_text(encoding="utf-8").splitlines())
    return [float(row["loss"]) for row in rows if row["loss"]]


def check_that_it_goes_on(config: SftConfig, out: Path) -> None:
    """What was made loads, learns three steps more from where it was, and loads again as it then is."""
    is_adapter = not isinstance(config.method, Full | Freeze)
    changes: dict[str, Any] = {"out": out, "max_steps": 3, "valid": None, "parallel": None, "profile": None}
    changes["bf16"] = False  # a CPU that computes in it would compare rounded logits with exact ones
    if is_adapter:
        changes |= {"adapter": str(config.out), "method": {"type": config.method.type}}
    else:
        changes["model"] = str(config.out)
    more = SftConfig.model_validate({**config.model_dump(mode="json"), **changes})
    loaded = open_model(more.model, seed=1, method=more.method, device="cpu")
    model = prepare_model(
        loaded.model, more.method, seed=1, tokenizer=loaded.tokenizer, base=more.model, adapter=more.adapter
    )
    assert torch.equal(logits_of(model), logits_of(reload(config, config.out)))
    trained = fit(more, model, loaded.tokenizer, train_columns(more, loaded.tokenizer), None)
    assert trained.counts["steps"] == 3
    assert losses_of(out)[0] < losses_of(config.out)[0]
    again = logits_of(reload(config, out))
    assert torch.equal(logits_of(trained.model), again)
    assert not torch.equal(again, logits_of(reload(config, config.out)))


def reload(config: SftConfig, product: Path) -> torch.nn.Module:
    """The model as `predict` loads it."""
    is_adapter = (product / "adapter_config.json").exists()
    engine = HfEngine(
        model=Input(config.model.__dict__["path"] if is_adapter else product),
        adapter=Input(product) if is_adapter else None,
    )
    return HfInProcess(engine, EngineRuntime(device="cpu", num_threads=1)).model


@torch.inference_mode()
def logits_of(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 9, 40, 77, 300, 12]])
    return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -6:]


def test_every_recipe_for_a_real_model_is_among_these_and_names_what_it_replaces() -> None:
    folder = Path(medtune.__file__).parents[1] / "recipes"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    assert {
        name for name, text in texts.items() if "\nmodel: " in text and "\nmodel: ${root}" not in text
    } == set(RECIPES)
    for name in RECIPES:
        assert "\n# Replaces: " in texts[name], name
