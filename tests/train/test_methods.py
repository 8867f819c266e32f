"""Which weights a method trains, what is refused, and going on from an adapter."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from medtune.artifact import product_files
from medtune.commands import run_command
from medtune.config import Input
from medtune.engines import base
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.decoding.scribing import Scribe
from medtune.engines.hf import HfInProcess
from medtune.engines.loading import lay_adapter, load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Message
from medtune.train import sft
from medtune.train.config import MergeConfig, PretrainedModel, PtConfig, SftConfig
from medtune.train.method_config import Freeze, Full, Ia3, Lora, Method, Prefix, Prompt, Qlora
from medtune.train.methods import prepare_model
from medtune.train.model import open_model

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


@pytest.mark.parametrize("names", [("nonesuch",), ("q_proj", "nonesuch")])
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


def trained_names(model: torch.nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def open_base(folder: Path) -> Any:
    return load_model(Input(folder), "float32")


# ---- freeze ----


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        (Freeze(num_trainable_layers=1), {"layers.1"}),
        (Freeze(num_trainable_layers=-1), {"layers.0"}),
        (Freeze(num_trainable_layers=2), {"layers.0", "layers.1"}),
        (Freeze(num_trainable_layers=1, name_module_trainable=("mlp",)), {"layers.1.mlp"}),
        (
            Freeze(num_trainable_layers=-1, name_module_trainable=("mlp.up_proj", "self_attn")),
            {"layers.0.mlp.up_proj", "layers.0.self_attn"},
        ),
        (
            Freeze(num_trainable_layers=1, extra_modules=("model.norm", "lm_head")),
            {"layers.1", "norm", "embed"},
        ),
    ],
)
def test_freeze_trains_the_named_parts_alone(tiny_model_dir: Path, method: Freeze, wanted: set[str]) -> None:
    trained = trained_names(prepare_model(open_base(tiny_model_dir), method, seed=1))
    assert trained
    every = {name for name, _ in open_base(tiny_model_dir).named_parameters()}
    assert trained == {name for name in every if any(name.startswith(f"model.{part}") for part in wanted)}


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Freeze(num_trainable_layers=3), "3 of a model with 2 layers"),
        (Freeze(name_module_trainable=("qkv",)), r"a layer has no qkv; it has .*self_attn"),
        (Freeze(extra_modules=("head",)), "the model has no head outside its layers"),
        (Ia3(target_modules=("qkv",)), "no layer qkv; its layers hold .*q_proj"),
        (Lora(modules_to_save=("head",)), "no layer head"),
        (
            Prompt(num_virtual_tokens=1, init_text="你是一名医生，请回答。"),
            "num_virtual_tokens is 1; set that to",
        ),
    ],
)
def test_what_the_model_does_not_have_is_refused_with_what_it_has(
    tiny_model_dir: Path, method: Method, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        prepare_model(
            open_base(tiny_model_dir), method, seed=1, tokenizer=load_tokenizer(Input(tiny_model_dir))
        )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": {"target_modules": []}}, "target_modules is empty"),
        ({"method": {"type": "freeze", "num_trainable_layers": 0}}, "trains no layer; say 2"),
        ({"method": {"type": "freeze", "name_module_trainable": []}}, "name_module_trainable is empty"),
        ({"method": {"type": "ia3", "target_modules": [], "feedforward_modules": []}}, "both empty"),
        ({"method": {"type": "lora", "init": "loftq"}}, "use type qlora"),
        ({"method": {"type": "qlora", "init": "pissa"}}, "use init loftq, or type lora"),
        ({"method": {"type": "prefix", "hidden_size": 8}}, "set projection true"),
        ({"method": "prefix", "gradient_checkpointing": True}, "set it false, or use method"),
        ({"method": "prefix", "packing": True}, "set packing: false"),
        ({"method": "prompt", "packing": True}, "set packing: false"),
        ({"method": "full", "adapter": "samples:exam.jsonl"}, "merge the adapter first"),
        ({"method": "freeze", "adapter": "samples:exam.jsonl"}, "merge the adapter first"),
        ({"method": {"rank": 8}, "adapter": "samples:exam.jsonl"}, r"method\.rank: .*leave it out"),
        ({"method": "qlora", "parallel": {"type": "zero3"}}, "type zero3; use ddp or zero2, .* lora"),
        ({"method": "qlora", "parallel": {"type": "fsdp2"}}, "type fsdp2; use ddp or zero2, .* lora"),
        ({"method": "prefix", "parallel": {"type": "fsdp2"}}, "a prefix cannot be saved .* use ddp or zero2"),
        ({"method": "prompt", "parallel": {"type": "zero3"}}, "a prompt cannot be saved .* use ddp or zero2"),
    ],
)
def test_an_impossible_run_is_refused_when_the_config_is_read(
    values: dict[str, Any], words: str, talks: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=words):
        SftConfig.model_validate({"out": tmp_path / "out", "train": [str(talks)], "model": "base", **values})


@pytest.mark.parametrize("kind", ["full", "lora", "freeze", "ia3"])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp2", "zero2", "zero3"])
def test_whole_weights_may_be_shared_out(kind: str, parallel: str, tmp_path: Path) -> None:
    values = {"method": kind, "parallel": {"type": parallel}}
    SftConfig.model_validate({"out": tmp_path / "out", "train": ["t"], "model": "base", **values})


@pytest.mark.parametrize("kind", ["qlora", "prefix", "prompt"])
@pytest.mark.parametrize("parallel", ["ddp", "zero2"])
def test_each_process_may_hold_whole_what_cannot_be_shared_out(
    kind: str, parallel: str, tmp_path: Path
) -> None:
    values = {"method": kind, "parallel": {"type": parallel}}
    SftConfig.model_validate({"out": tmp_path / "out", "train": ["t"], "model": "base", **values})


# ---- low rank ----


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_an_init_out_of_the_base_changes_no_answer_before_training(tiny_model_dir: Path, init: str) -> None:
    ids = torch.tensor([[5, 9, 40, 77]])
    base = open_base(tiny_model_dir)
    plain = base(ids).logits
    layer = base.model.layers[0].self_attn.q_proj.weight.clone()
    model = prepare_model(base, Lora.model_validate({"rank": 4, "init": init}), seed=1)
    torch.testing.assert_close(model(ids).logits, plain, atol=1e-4, rtol=0)
    assert not torch.equal(base.model.layers[0].self_attn.q_proj.base_layer.weight, layer)


def test_loftq_begins_nearer_to_the_whole_base_than_its_quantised_form_is(tiny_model_dir: Path) -> None:
    config = PretrainedModel(path=Input(tiny_model_dir))
    ids = torch.tensor([[5, 9, 40, 77]])
    whole = open_base(tiny_model_dir)(ids).logits

    def distance(method: Qlora) -> float:
        base = open_model(config, seed=1, method=method, device="cpu").model
        model = prepare_model(base, method, seed=1, base=config).eval()
        return float((model(ids).logits - whole).detach().norm())

    assert distance(Qlora(rank=8, init="loftq")) < 0.8 * distance(Qlora(rank=8))


def test_rslora_multiplies_by_the_root_of_the_rank(tiny_model_dir: Path) -> None:
    model: Any = prepare_model(open_base(tiny_model_dir), Lora(rank=4, alpha=8, use_rslora=True), seed=1)
    assert model.base_model.model.model.layers[0].self_attn.q_proj.scaling["default"] == 8 / 4**0.5


@pytest.mark.parametrize(("bits", "kind"), [(4, "Linear4bit"), (8, "Linear8bitLt")])
def test_qlora_quantises_every_layer_but_the_output(tiny_model_dir: Path, bits: int, kind: str) -> None:
    method = Qlora.model_validate({"bits": bits})
    base = open_model(PretrainedModel(path=Input(tiny_model_dir)), seed=1, method=method, device="cpu").model
    kinds = {name: type(layer).__name__ for name, layer in base.named_modules() if name.endswith("_proj")}
    assert set(kinds.values()) == {kind}
    assert type(base.get_output_embeddings()) is torch.nn.Linear
    model = prepare_model(base, method, seed=1)
    assert all(".lora_" in name for name in trained_names(model))
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}


def test_layers_in_4_bits_keep_their_form_when_they_answer(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)  # as on such a CPU
    model = load_model(Input(tiny_model_dir), "float32", quantize="nf4")
    weight: Any = model.model.layers[0].self_attn.q_proj.weight
    before, scales = weight.data.clone(), weight.quant_state.absmax.clone()
    with torch.no_grad():
        model(torch.tensor([[5, 9, 40, 77]]))
    assert torch.equal(weight.data, before)
    assert weight.quant_state.nested and torch.equal(weight.quant_state.absmax, scales)


# ---- prefix, prompt ----


def test_a_prefix_fills_a_cache_whose_heads_are_wider_than_the_model_divides(tiny_model_dir: Path) -> None:
    settings = AutoConfig.for_model(
        "qwen3", vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    model = prepare_model(AutoModelForCausalLM.from_config(settings), Prefix(num_virtual_tokens=3), seed=1)
    assert model(input_ids=torch.tensor([[1, 2]]), attention_mask=torch.ones(1, 2)).logits.shape == (1, 2, 50)


def test_a_prefix_is_refused_where_layers_keep_no_plain_cache() -> None:
    settings = AutoConfig.for_model(
        "qwen2", vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=2, sliding_window=8,
        num_attention_heads=2, num_key_value_heads=1, use_sliding_window=True, max_window_layers=1,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"use method\.type prompt or lora"):
        prepare_model(AutoModelForCausalLM.from_config(settings), Prefix(), seed=1)


def test_a_prompt_begins_as_its_text(tiny_model_dir: Path) -> None:
    base, tokenizer = open_base(tiny_model_dir), load_tokenizer(Input(tiny_model_dir))
    ids = tokenizer("请回答", add_special_tokens=False)["input_ids"]
    method = Prompt(num_virtual_tokens=2 * len(ids), init_text="请回答")
    model: Any = prepare_model(base, method, seed=1, tokenizer=tokenizer)
    prompt = model.prompt_encoder["default"].embedding.weight
    assert torch.equal(prompt, base.get_input_embeddings().weight[[*ids, *ids]])


# ---- runs ----


@pytest.fixture
def configure(shape: dict[str, Any], talks: Path, tiny_model_dir: Path, tmp_path: Path) -> Any:
    def make(out: str, **values: Any) -> SftConfig:
        paths = {"out": tmp_path / out, "train": [str(talks)], "model": str(tiny_model_dir)}
        return SftConfig.model_validate({**paths, **shape, "learning_rate": 2e-2, **values})

    return make


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_answers_behind_a_prefix_are_those_of_single_prompts_and_of_the_trained_forward_pass(
    configure: Any, tiny_model_dir: Path, tmp_path: Path, kind: str
) -> None:
    run_command("sft", configure("out", method={"type": kind, "num_virtual_tokens": 4}))
    runtime = EngineRuntime(device="cpu", num_threads=1)
    engine = HfInProcess(HfEngine(model=Input(tiny_model_dir), adapter=Input(tmp_path / "out")), runtime)
    assert engine.context == 256 - 4
    texts = ("咳", "头痛三天了怎么办", "胃", "肚子疼")
    prompts = [base.Prompt([Message(role="user", content=text)]) for text in texts]
    together = dict(engine.generate(prompts, Sampling(max_new_tokens=6)))
    for index, prompt in enumerate(prompts):
        ((_, alone),) = engine.generate([prompt], Sampling(max_new_tokens=6))
        assert together[index] == alone
        asked = engine.show(prompt)
        ids, start = list(asked.ids), len(asked.ids)
        while len(ids) - start < alone.completion_tokens:
            inputs = torch.tensor([ids])
            ids.append(int(engine.model(input_ids=inputs, attention_mask=inputs**0).logits[0, -1].argmax()))
        scribe = Scribe(engine.tokenizer, asked, prompt)
        scribe.feed_all(ids[start:], is_ended=alone.finish == "stop")
        assert scribe.finish(alone.finish).completion == alone


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        {"type": "lora", "rank": 2, "init": "pissa"},
        {"type": "qlora", "rank": 2},
        {"type": "prefix", "num_virtual_tokens": 3, "projection": True, "hidden_size": 8},
        {"type": "prompt", "num_virtual_tokens": 3},
        {"type": "ia3"},
        {"type": "freeze", "num_trainable_layers": 1},
    ],
    ids=lambda method: method["type"],
)
def test_a_run_broken_off_and_resumed_ends_as_an_unbroken_one(
    configure: Any, tmp_path: Path, method: dict[str, Any]
) -> None:
    values = {"method": method, "save_steps": 2, "max_steps": 4}
    sft.run(configure("whole", **values))
    sft.run(configure("broken", **values))
    broken = tmp_path / "broken"
    for name in product_files(broken):  # as a kill after the second step leaves it
        (broken / name).unlink()
    shutil.rmtree(broken / "checkpoints" / "checkpoint-4")
    sft.run(configure("broken", **values))
    whole, again = product_files(tmp_path / "whole"), product_files(broken)
    assert "adapter_model.safetensors" in whole or "model.safetensors" in whole
    assert again == whole


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "prefix", "prompt", "ia3"])
def test_an_adapter_is_gone_on_from(configure: Any, tiny_model_dir: Path, tmp_path: Path, kind: str) -> None:
    run_command("sft", configure("first", method=kind))
    method = configure("x", method=kind).method
    first = Input(tmp_path / "first")
    again = prepare_model(open_base(tiny_model_dir), method, seed=1, adapter=first)
    ids = torch.tensor([[5, 9, 40]])
    laid = lay_adapter(open_base(tiny_model_dir), first)
    assert torch.equal(
        again.eval()(input_ids=ids, attention_mask=ids**0).logits,
        laid(input_ids=ids, attention_mask=ids**0).logits,
    )
    assert trained_names(again) == trained_names(prepare_model(open_base(tiny_model_dir), method, seed=1))
    run_command("sft", configure("second", method=kind, adapter=str(first)))
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "second"))
    assert one.keys() == two.keys()
    assert any(not torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_an_adapter_of_another_kind_or_base_is_refused(
    configure: Any, make_model: Any, tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    run_command("sft", configure("first", method="prompt"))
    with pytest.raises(
        UserError, match=r"is of type prompt and method\.type is lora; set method.type to prompt"
    ):
        run_command("sft", configure("second", adapter=str(tmp_path / "first")))
    other = str(make_model(tiny_tokenizer_dir, seed=2))
    with pytest.raises(UserError, match="was not trained on"):
        run_command("sft", configure("third", method="prompt", adapter=str(tmp_path / "first"), model=other))


@pytest.mark.slow
def test_a_new_adapter_is_begun_on_a_merged_base(
    configure: Any, tiny_model_dir: Path, tmp_path: Path
) -> None:
    run_command("sft", configure("first"))
    paths = {"out": tmp_path / "merged", "model": str(tiny_model_dir), "adapter": str(tmp_path / "first")}
    run_command("merge", MergeConfig.model_validate(paths))
    run_command("sft", configure("second", model=str(tmp_path / "merged")))
    engine = HfEngine(model=Input(tmp_path / "merged"), adapter=Input(tmp_path / "second"))
    assert isinstance(HfInProcess(engine, EngineRuntime(device="cpu")).model, PeftModel)


@pytest.mark.slow
@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_the_saved_adapter_is_a_plain_one_for_the_base_as_it_is(
    configure: Any, tmp_path: Path, init: str
) -> None:
    run_command("sft", configure("out", method={"rank": 2, "alpha": 2, "init": init, "use_rslora": True}))
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["init_lora_weights"] is True
    assert settings["r"] == 4
    assert settings["lora_alpha"] / 4**0.5 == pytest.approx(2 / 2**0.5)


@pytest.mark.slow
def test_the_engine_quantises_as_training_did_unless_told(
    configure: Any, tiny_model_dir: Path, tmp_path: Path
) -> None:
    run_command("sft", configure("out", method="qlora"))
    runtime = EngineRuntime(device="cpu", num_threads=1)

    def kind(**values: Any) -> str:
        paths = {"model": str(tiny_model_dir), "adapter": str(tmp_path / "out")}
        model: Any = HfInProcess(HfEngine.model_validate({**paths, **values}), runtime).model
        return type(model.base_model.model.model.layers[0].mlp.up_proj.base_layer).__name__

    assert kind() == "Linear4bit"
    assert kind(quantize="int8") == "Linear8bitLt"
    assert kind(quantize="none") == "Linear"


def test_full_pre_training_from_scratch_is_the_only_way_with_a_new_model(
    tiny_tokenizer_dir: Path, documents: Path, tmp_path: Path
) -> None:
    values = {
        "out": tmp_path / "out",
        "documents": [str(documents)],
        "model": {"type": "new", "tokenizer": str(tiny_tokenizer_dir)},
    }
    assert isinstance(PtConfig.model_validate(values).method, Full)
    for method in ("lora", "qlora", "freeze", "prefix", "prompt", "ia3"):
        with pytest.raises(ValidationError, match=r"use method: \{type: full\}"):
            PtConfig.model_validate({**values, "method": method})
