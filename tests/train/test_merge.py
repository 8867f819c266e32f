"""merge: the sum answers as base and adapter did, or nothing is written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medtune.artifact import write_jsonl
from medtune.commands import run_command
from medtune.config import Input
from medtune.engines.config import EngineRuntime, HfEngine
from medtune.engines.hf import HfInProcess
from medtune.engines.loading import lay_adapter, load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Message
from medtune.train.config import MergeConfig, SftConfig
from medtune.train.proof import next_token_logprobs

pytestmark = [
    pytest.mark.slow,
    # Raised inside PEFT, where no caller can avoid it.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]


def train_adapter(base: Path, talks: Path, shape: dict[str, Any], out: Path) -> Path:
    values = {"out": out, "train": [str(talks)], "model": str(base), **shape, "learning_rate": 2e-2}
    run_command("sft", SftConfig.model_validate(values))
    return out


@pytest.fixture(scope="module")
def trained(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model."""
    folder = tmp_path_factory.mktemp("adapter")
    messages = (Message(role="user", content="头痛怎么办"), Message(role="assistant", content="多喝水。"))
    write_jsonl(folder / "talks.jsonl", [Dialogue(id="1", messages=messages)])
    shape = {"max_steps": 3, "runtime": {"device": "cpu", "num_threads": 1}}
    return train_adapter(tiny_model_dir, folder / "talks.jsonl", shape, folder / "out")


@pytest.fixture
def adapter(trained: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "adapter", ignore=shutil.ignore_patterns("checkpoints")))


def configure(base: Path, adapter: Path, out: Path, **values: Any) -> MergeConfig:
    paths = {"out": out, "model": str(base), "adapter": str(adapter)}
    return MergeConfig.model_validate({**paths, **values})


def test_the_merged_model_answers_as_base_and_adapter(
    family_dir: Path, talks: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    adapter = train_adapter(family_dir, talks, shape, tmp_path / "adapter")
    counts = run_command("merge", configure(family_dir, adapter, tmp_path / "out")).counts
    assert counts["max_difference"] < 1e-3
    tokenizer = load_tokenizer(Input(tmp_path / "out"))
    base = load_model(Input(family_dir), "float32")
    plain = next_token_logprobs(base, tokenizer)
    apart = next_token_logprobs(lay_adapter(base, Input(adapter)), tokenizer)
    together = next_token_logprobs(load_model(Input(tmp_path / "out"), "float32"), tokenizer)
    assert sum(map(len, together)) == counts["tokens_compared"]
    for one, other, without in zip(apart, together, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
        assert not torch.allclose(one, without, atol=1e-2), "the adapter must do something"


def test_the_template_travels_with_the_adapter_into_the_merged_model(
    tiny_model_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    run_command("merge", configure(tiny_model_dir, adapter, tmp_path / "out"))
    template = (adapter / "chat_template.jinja").read_bytes()
    assert (tmp_path / "out" / "chat_template.jinja").read_bytes() == template


def test_merging_twice_gives_the_same_bytes(tiny_model_dir: Path, adapter: Path, tmp_path: Path) -> None:
    one, two = (
        run_command("merge", configure(tiny_model_dir, adapter, tmp_path / name)) for name in ("one", "two")
    )
    assert one.files == two.files
    for name in one.files:
        assert str(tmp_path.parents[1]).encode() not in (tmp_path / "one" / name).read_bytes(), name


def test_merged_weights_come_in_the_wanted_number_format(
    tiny_model_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    run_command("merge", configure(tiny_model_dir, adapter, tmp_path / "out", dtype="bfloat16"))
    model = load_model(Input(tmp_path / "out"), "bfloat16")
    assert model.config.dtype == torch.bfloat16


def test_nothing_is_written_when_the_difference_is_too_large(
    tiny_model_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"differ by .* nats .*nothing was written"):
        run_command("merge", configure(tiny_model_dir, adapter, tmp_path / "out", tolerance=1e-30))
    assert [path for path in (tmp_path / "out").rglob("*") if path.name != ".lock"] == []


def test_another_base_of_the_same_shape_is_refused(
    make_model: Callable[..., Path], tiny_tokenizer_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    other = make_model(tiny_tokenizer_dir, seed=2)
    with pytest.raises(UserError, match="was not trained on"):
        run_command("merge", configure(other, adapter, tmp_path / "out"))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_the_same_base_in_another_place_is_taken(
    make_model: Callable[..., Path], tiny_tokenizer_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    moved = make_model(tiny_tokenizer_dir)
    assert run_command("merge", configure(moved, adapter, tmp_path / "out")).counts["max_difference"] < 1e-3


def test_another_base_of_another_family_is_refused_without_a_manifest_too(
    make_model: Callable[..., Path], tiny_tokenizer_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    (adapter / "manifest.json").unlink()
    other = make_model(tiny_tokenizer_dir, "glm4")
    with pytest.raises(UserError, match=r"does not fit|not its base|cannot be loaded"):
        run_command("merge", configure(other, adapter, tmp_path / "out"))
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "method",
    [
        {"type": "ia3"},
        {"type": "qlora", "rank": 2},
        {"type": "qlora", "rank": 2, "init": "loftq"},
        {"type": "lora", "rank": 2, "init": "pissa"},
        {"type": "lora", "rank": 2, "use_dora": True},
        {"type": "lora", "rank": 2, "modules_to_save": ["embed_tokens"]},
    ],
    ids=["ia3", "qlora", "loftq", "pissa", "dora", "embeddings"],
)
def test_every_adapter_that_is_part_of_weights_merges(
    tiny_model_dir: Path, talks: Path, shape: dict[str, Any], tmp_path: Path, method: dict[str, Any]
) -> None:
    adapter = train_adapter(tiny_model_dir, talks, {**shape, "method": method}, tmp_path / "adapter")
    run_command("merge", configure(tiny_model_dir, adapter, tmp_path / "out"))
    runtime = EngineRuntime(device="cpu", num_threads=1)
    ids = torch.tensor([[5, 9, 40, 77]])
    apart = (
        HfInProcess(HfEngine(model=Input(tiny_model_dir), adapter=Input(adapter)), runtime).model(ids).logits
    )
    together = load_model(Input(tmp_path / "out"), "float32")(ids).logits
    torch.testing.assert_close(apart, together, atol=1e-3, rtol=0)
    assert not torch.allclose(together, load_model(Input(tiny_model_dir), "float32")(ids).logits, atol=1e-2)


def test_a_qlora_can_be_added_to_the_base_as_it_is(
    tiny_model_dir: Path, talks: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    method = {"type": "qlora", "rank": 2}
    adapter = train_adapter(tiny_model_dir, talks, {**shape, "method": method}, tmp_path / "adapter")
    run_command("merge", configure(tiny_model_dir, adapter, tmp_path / "out", quantize="none"))
    ids = torch.tensor([[5, 9, 40, 77]])
    engine = HfEngine(model=Input(tiny_model_dir), adapter=Input(adapter), quantize="none")
    apart = HfInProcess(engine, EngineRuntime(device="cpu", num_threads=1)).model(ids).logits
    together = load_model(Input(tmp_path / "out"), "float32")(ids).logits
    torch.testing.assert_close(apart, together, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_what_stands_before_the_text_is_not_merged(
    tiny_model_dir: Path, talks: Path, shape: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    adapter = train_adapter(tiny_model_dir, talks, {**shape, "method": {"type": kind}}, tmp_path / "adapter")
    with pytest.raises(UserError, match=rf"a {kind} stands before the text.*name it as the adapter"):
        run_command("merge", configure(tiny_model_dir, adapter, tmp_path / "out"))


def test_a_whole_model_needs_no_merging(
    tiny_model_dir: Path, talks: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    frozen = train_adapter(tiny_model_dir, talks, {**shape, "method": "freeze"}, tmp_path / "frozen")
    with pytest.raises(UserError, match=r"whole model already.*use it as it is"):
        run_command("merge", configure(tiny_model_dir, frozen, tmp_path / "out"))
