"""A trained model ends its answers in any program, and a base that cannot is told of."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessorList

from medtune.commands import run_command
from medtune.config import Input
from medtune.engines.loading import load_model
from medtune.engines.rendering.dress import dress
from medtune.engines.rendering.ending import set_ends
from medtune.engines.rendering.render import stop_ids
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import Advice
from medtune.train.config import MergeConfig, SftConfig
from medtune.train.model import Loaded
from medtune.train.stage import end_advice

# Raised inside PEFT, where no caller can avoid it.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture
def base_dir(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A base model: its tokenizer and settings end with <|endoftext|>, as those of bases do."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "base"))
    tokenizer = load_tokenizer(Input(folder))
    tokenizer.eos_token, tokenizer.chat_template = "<|endoftext|>", None
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "eos_token_id": tokenizer.eos_token_id}), encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "freeze", "prefix"])
def test_what_was_trained_stops_at_the_turns_end_in_any_program(
    base_dir: Path, talks: Path, shape: dict[str, Any], tmp_path: Path, method: str
) -> None:
    values = {"train": [str(talks)], "model": str(base_dir), "template": "chatml", **shape}
    method_values = {"type": method, **({"num_trainable_layers": 1} if method == "freeze" else {})}
    out = tmp_path / "out"
    run_command("sft", SftConfig.model_validate({**values, "out": out, "method": method_values}))
    tokenizer = AutoTokenizer.from_pretrained(out)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    saved = GenerationConfig.from_pretrained(out)
    assert saved.eos_token_id == ends and saved.pad_token_id == tokenizer.pad_token_id
    if method == "lora":
        config = {"out": tmp_path / "merged", "model": str(base_dir), "adapter": str(out)}
        run_command("merge", MergeConfig.model_validate(config))
        out = tmp_path / "merged"
    if method == "prefix":
        return
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.generation_config.eos_token_id == ends
    assert model.config.eos_token_id == ends[0]
    prompt = torch.tensor([[5, 6, 7]])

    def want_to_end(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, ends[0] if ids.shape[1] == 5 else 8] = torch.inf
        return scores

    wish = LogitsProcessorList([want_to_end])  # type: ignore[list-item]
    said = model.generate(prompt, max_new_tokens=8, logits_processor=wish)
    assert said.tolist() == [[5, 6, 7, 8, 8, ends[0]]]


@pytest.fixture
def unlearnt(base_dir: Path) -> Loaded:
    """A base with spare rows, among which its template's end token lies, and clear ones for all else."""
    tokenizer = dress(load_tokenizer(Input(base_dir)), template="chatml")
    model = load_model(Input(base_dir), "float32")
    model.resize_token_embeddings(len(tokenizer) + 8, mean_resizing=False)
    torch.manual_seed(1)
    weight = model.get_output_embeddings().get_parameter("weight").requires_grad_(False).normal_()
    weight[[stop_ids(tokenizer)[0], *range(len(tokenizer), len(tokenizer) + 8)]] = 0.5
    return Loaded(model, tokenizer)


def configure(**values: Any) -> SftConfig:
    return SftConfig.model_validate({"out": "out", "train": ["talks.jsonl"], "model": "base", **values})


@pytest.mark.parametrize(
    ("method", "way_out"),
    [
        ({"type": "lora"}, r"method\.modules_to_save=\[embed_tokens,lm_head\], or template=plain"),
        ({"type": "qlora"}, r"method\.modules_to_save"),
        ({"type": "freeze"}, r"method\.extra_modules"),
        ({"type": "prefix"}, r"method\.type=lora with method\.modules_to_save"),
    ],
)
def test_an_end_that_the_base_never_learnt_is_told_with_the_way_out(
    unlearnt: Loaded, method: dict[str, Any], way_out: str
) -> None:
    advice = end_advice(configure(method=method), unlearnt)
    assert advice.startswith("<|im_end|> ends an answer, but this base never learnt it")
    assert re.search(way_out, advice)


@pytest.mark.parametrize(
    "method",
    [
        {"type": "full"},
        {"type": "lora", "modules_to_save": ["embed_tokens", "lm_head"]},
        {"type": "freeze", "extra_modules": ["embed_tokens"]},
    ],
)
def test_who_trains_the_output_layer_is_told_nothing(unlearnt: Loaded, method: dict[str, Any]) -> None:
    assert end_advice(configure(method=method), unlearnt) == ""


def test_an_ordinary_base_is_told_nothing(tiny_model_dir: Path) -> None:
    loaded = Loaded(load_model(Input(tiny_model_dir), "float32"), load_tokenizer(Input(tiny_model_dir)))
    assert end_advice(configure(), loaded) == ""


@pytest.mark.slow
def test_the_run_warns_once_and_goes_on(
    unlearnt: Loaded, talks: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    set_ends(unlearnt.model, unlearnt.tokenizer)
    unlearnt.model.save_pretrained(tmp_path / "model")
    unlearnt.tokenizer.save_pretrained(tmp_path / "model")
    values = {"out": tmp_path / "out", "train": [str(talks)], "model": str(tmp_path / "model"), **shape}
    with pytest.warns(Advice, match="answers may not end") as told:
        run_command("sft", SftConfig.model_validate(values))
    assert [warning.category for warning in told].count(Advice) == 1
