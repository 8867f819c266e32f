"""export: what is written is read again, and says what the model says, or nothing stays."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from medtune.artifact import Manifest
from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.engines.loading import lay_adapter, load_model, save_model
from medtune.engines.rendering.dress import TEMPLATES
from medtune.engines.rendering.ending import ends_of
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.train.config import ExportConfig
from medtune.train.export import check_reading
from medtune.train.export_gguf import FILE, is_read_by_transformers, read_gguf_back, rebuild
from medtune.train.gguf_file import read_gguf, write_gguf
from medtune.train.gguf_tokens import ONE_DIGIT, THREE_DIGITS, WITH_ACCENTS, name_cut
from medtune.train.proof import TEXTS, compare, next_token_logprobs, state_of

MakeTiny = Callable[..., Path]
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@pytest.fixture(scope="session")
def make_tiny(tiny_tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeTiny:
    """make_tiny(family, tokenizer_dir=…, **settings): two random layers; heads of 128 where readers
    of GGUF expect them."""

    def make(family: str, tokenizer_dir: Path = tiny_tokenizer_dir, **settings: Any) -> Path:
        torch.set_num_threads(1)
        torch.manual_seed(3)
        tokenizer = load_tokenizer(Input(tokenizer_dir))
        config = AutoConfig.for_model(
            model_type=family,
            **SHAPE
            | {
                "vocab_size": len(tokenizer) + 5,  # rows that no token has
                "head_dim": 128 if family == "qwen3" else 16,
                "tie_word_embeddings": family in ("qwen2", "qwen3"),
                "bos_token_id": None,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            }
            | settings,
        )
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, weight in model.named_parameters():  # norms and biases that are not all 1 and 0
                if weight.ndim == 1:
                    weight.add_(0.1 * torch.randn_like(weight)).mul_(0.1 if "layernorm" in name else 1)
            embeddings = model.get_input_embeddings().weight.mul_(10)  # so that its choices are clear
            if not config.tie_word_embeddings:
                model.get_output_embeddings().weight.copy_(embeddings.roll(1, 0))
        folder = tmp_path_factory.mktemp(family)
        save_model(model, tokenizer, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def qwen3_dir(make_tiny: MakeTiny) -> Path:
    return make_tiny("qwen3")


def export(model: Path, out: Path, **values: Any) -> Manifest:
    config = judge(ExportConfig, {"out": out, "model": str(model), **values}, "test")
    return run_command("export", config)


def loaded(model: Path) -> tuple[Any, Any]:
    return load_model(Input(model), "float32"), load_tokenizer(Input(model))


# ---- GGUF ----


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama", "glm4"])
def test_a_gguf_of_each_family_answers_as_the_model_does(
    family: str, make_tiny: MakeTiny, tmp_path: Path
) -> None:
    folder = make_tiny(family)
    counts = export(folder, tmp_path / "out", format="gguf", license="mit", name="tiny").counts
    assert counts["answers_changed"] == 0 and counts["reading_max_difference"] == 0
    assert counts["read_by"] == ("gguf" if family == "glm4" else "transformers")
    assert 0 < counts["rounding_divergence"] < 0.01 and 0 < counts["weight_error"] < 0.005
    tokenizer = load_tokenizer(Input(folder))
    fields = {name: field.contents() for name, field in GGUFReader(tmp_path / "out" / FILE).fields.items()}
    assert fields["general.architecture"] == family
    assert (fields["general.name"], fields["general.license"]) == ("tiny", "mit")
    assert (fields["general.file_type"], fields["general.quantization_version"]) == (7, 2)
    assert fields["tokenizer.chat_template"] == tokenizer.chat_template
    assert fields["tokenizer.ggml.eos_token_id"] == ends_of(tokenizer)[0]
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields[f"{family}.context_length"] == 256
    assert fields[f"{family}.attention.key_length"] == (128 if family == "qwen3" else 16)
    assert len(fields["tokenizer.ggml.tokens"]) == len(tokenizer) + 5
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "Modelfile", "README.md", "manifest.json", "model.gguf",
    ]  # fmt: skip


QTYPES = {
    "f32": {"f32": 21},
    "f16": {"f16": 16, "f32": 5},
    "bf16": {"bf16": 16, "f32": 5},
    "q8_0": {"f32": 5, "q8_0": 16},
    "q4_0": {"f32": 5, "q4_0": 14, "q8_0": 2},  # embeddings and output are kept finer
}


@pytest.mark.parametrize("qtype", QTYPES)
def test_another_reader_finds_the_rounded_weights_in_their_order(
    qtype: str, make_tiny: MakeTiny, tmp_path: Path
) -> None:
    model, tokenizer = loaded(make_tiny("llama"))
    exact = {name: weight.clone() for name, weight in model.named_parameters()}
    written = write_gguf(tmp_path / FILE, model, tokenizer, qtype=qtype, name="tiny", licence="mit")
    assert written.kinds == QTYPES[qtype]
    read = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=FILE, dtype=torch.float32)
    limit = {"f32": 0, "f16": 0.0005, "bf16": 0.004, "q8_0": 0.0045, "q4_0": 0.126}[qtype]
    for name, weight in read.named_parameters():
        assert torch.equal(weight, dict(model.named_parameters())[name]), name
        assert (weight - exact[name]).abs().max() <= limit * exact[name].abs().max(), name
    assert written.largest_error <= limit


def test_rows_that_make_no_whole_blocks_are_kept_in_half_precision(
    make_tiny: MakeTiny, tmp_path: Path
) -> None:
    model, tokenizer = loaded(make_tiny("qwen2", intermediate_size=80))
    written = write_gguf(tmp_path / FILE, model, tokenizer, qtype="q4_0", name="tiny", licence=None)
    assert written.kinds == {"f16": 2, "f32": 11, "q4_0": 12, "q8_0": 1}
    narrow = [
        tensor.name for tensor in GGUFReader(tmp_path / FILE).tensors if tensor.tensor_type.name == "F16"
    ]
    assert narrow == ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]


@pytest.mark.parametrize(
    ("pattern", "ignores_merges", "cut"),
    [(ONE_DIGIT, False, "qwen2"), (THREE_DIGITS, True, "llama-bpe"), (WITH_ACCENTS, False, "qwen35")],
)
def test_transformers_reads_the_same_tokens(
    pattern: str, ignores_merges: bool, cut: str, make_tiny: MakeTiny, tmp_path: Path
) -> None:
    model, _ = loaded(make_tiny("qwen2", vocab_size=710))
    tokenizer = load_tokenizer(Input(train_tokenizer(tmp_path, pattern, ignores_merges)))
    write_gguf(tmp_path / FILE, model, tokenizer, qtype="f16", name="tiny", licence=None)
    read = AutoTokenizer.from_pretrained(tmp_path, gguf_file=FILE, trust_remote_code=False)
    for text in (*TEXTS, "".join(TEXTS), "<|im_start|>user\n头痛<|im_end|>"):
        assert read(text, add_special_tokens=False)["input_ids"] == tokenizer(text)["input_ids"], text
    assert read.chat_template == tokenizer.chat_template
    assert read_gguf(tmp_path / FILE).vocabulary.cut == cut


def train_tokenizer(folder: Path, pattern: str, ignores_merges: bool) -> Path:
    """A byte-level tokenizer that cuts texts by `pattern`, as those of Qwen and Llama 3 do."""
    built = Tokenizer(models.BPE(ignore_merges=ignores_merges))
    built.normalizer = normalizers.NFC()
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    built.train_from_iterator([*TEXTS, *TEXTS, "2023-01-15 2024 123 456 789 头痛 头痛"], trainer)
    built.add_tokens(["<think>", "</think>"])
    template = (TEMPLATES / "qwen3.jinja").read_text(encoding="utf-8")
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=built, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
    wrapped.save_pretrained(folder / "tokenizer")
    return folder / "tokenizer"


def test_positions_that_llama_3_stretches_become_factors(make_tiny: MakeTiny, tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    folder = make_tiny("llama", rope_parameters=rope)
    counts = export(folder, tmp_path / "out", format={"type": "gguf", "qtype": "f16"}).counts
    assert counts["read_by"] == "gguf"  # transformers' reader overlooks the factors
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out" / FILE).tensors}
    factors = tensors["rope_freqs.weight"]
    assert factors.shape == (8,) and factors[0] == pytest.approx(1) and factors[-1] == pytest.approx(8)
    assert (factors[1:] >= factors[:-1] * (1 - 1e-6)).all()


def test_biases_are_reordered_with_their_weights(make_tiny: MakeTiny, tmp_path: Path) -> None:
    model, tokenizer = loaded(make_tiny("llama", attention_bias=True))  # as InternLM's
    write_gguf(tmp_path / FILE, model, tokenizer, qtype="f32", name="tiny", licence=None)
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / FILE).tensors}
    own = model.model.layers[0].self_attn.q_proj.bias.detach()
    turned = [int((own == value).nonzero()[0]) for value in tensors["blk.0.attn_q.bias"][:16]]
    assert turned == [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
    assert not is_read_by_transformers(model.config)  # it would leave them out
    read = rebuild(read_gguf(tmp_path / FILE), model.config)
    assert all(torch.equal(weight, read.get_parameter(name)) for name, weight in model.named_parameters())


def test_a_damaged_file_is_found_out(qwen3_dir: Path, tmp_path: Path) -> None:
    config = judge(ExportConfig, {"out": tmp_path, "model": str(qwen3_dir), "format": "gguf"}, "test")
    model, tokenizer = loaded(qwen3_dir)
    write_gguf(tmp_path / FILE, model, tokenizer, qtype="q8_0", name="tiny", licence=None)
    rounded = state_of(model, tokenizer)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[-40] ^= 0x10
    (tmp_path / FILE).write_bytes(content)
    found = read_gguf_back(config, tokenizer, model.config)
    with pytest.raises(UserError, match=r"1 of 24 weights are others \(model\.\S+\).*nothing was written"):
        check_reading(config, rounded, state_of(found.model, tokenizer))


# ---- safetensors ----


def test_safetensors_come_in_shards_with_a_card_and_nothing_of_the_source(
    qwen3_dir: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(qwen3_dir, tmp_path / "source"))
    for name in ("training_args.bin", "optimizer.pt", "notes.txt"):
        (source / name).write_text("not for others", encoding="utf-8")
    form = {"type": "safetensors", "dtype": "bfloat16", "max_shard_size": "100KB"}
    manifest = export(source, tmp_path / "out", format=form, license="mit", name="tiny-med")
    shards = [name for name in manifest.files if name.endswith(".safetensors")]
    assert len(shards) == manifest.counts["shards"] > 1
    assert set(manifest.files) - set(shards) == {
        "README.md", "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    weights = {
        name: weight for shard in shards for name, weight in load_file(tmp_path / "out" / shard).items()
    }
    exact, tokenizer = loaded(qwen3_dir)
    for name, weight in exact.named_parameters():
        assert torch.equal(weights[name], weight.to(torch.bfloat16)), name
    settings = json.loads((tmp_path / "out" / "config.json").read_bytes())
    assert settings["dtype"] == "bfloat16"
    ends = json.loads((tmp_path / "out" / "generation_config.json").read_bytes())["eos_token_id"]
    assert set(ends_of(tokenizer)) <= set(ends)
    counts, card = manifest.counts, (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: transformers\nlicense: mit\n")
    assert "# tiny-med\n" in card and "research use only" in card and "不构成医疗建议" in card
    assert f"| {counts['rounding_divergence']:.2g} |" in card
    assert f"{counts['choices_changed']} / {counts['tokens_compared']}" in card
    for name in manifest.files:
        assert str(tmp_path.parent).encode() not in (tmp_path / "out" / name).read_bytes(), name


def test_the_same_number_format_changes_no_bit(qwen3_dir: Path, tmp_path: Path) -> None:
    form = {"type": "safetensors", "dtype": "float32"}
    one, two = (export(qwen3_dir, tmp_path / name, format=form) for name in ("one", "two"))
    assert one.counts["rounding_max_difference"] == one.counts["choices_changed"] == 0
    assert one.files == two.files


# ---- adapters ----


@pytest.fixture(scope="session")
def adapter_dir(qwen3_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the tiny Qwen3 that changes what it says."""
    model, tokenizer = loaded(qwen3_dir)
    torch.manual_seed(4)
    settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    folder = tmp_path_factory.mktemp("lora")
    get_peft_model(model, settings).save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
    return folder


def test_an_adapter_is_merged_first(qwen3_dir: Path, adapter_dir: Path, tmp_path: Path) -> None:
    form = {"type": "gguf", "qtype": "f32"}
    counts = export(qwen3_dir, tmp_path / "out", adapter=str(adapter_dir), format=form).counts
    assert 0 < counts["merging_max_difference"] < 1e-3
    base, tokenizer = loaded(qwen3_dir)
    plain = next_token_logprobs(base, tokenizer)
    apart = next_token_logprobs(lay_adapter(base, Input(adapter_dir)), tokenizer)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file=FILE, dtype=torch.float32)
    assert compare(apart, next_token_logprobs(read, tokenizer)).largest < 1e-3
    assert compare(apart, plain).largest > 1e-2, "the adapter must do something"
    assert "lora, merged" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_a_prefix_cannot_be_exported(qwen3_dir: Path, tmp_path: Path) -> None:
    model, tokenizer = loaded(qwen3_dir)
    settings = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    get_peft_model(model, settings).save_pretrained(str(tmp_path / "prefix"))
    tokenizer.save_pretrained(tmp_path / "prefix")
    with pytest.raises(UserError, match=r"a prefix stands before the text.*name it as the adapter"):
        export(qwen3_dir, tmp_path / "out", adapter=str(tmp_path / "prefix"))


def test_an_adapter_alone_is_no_model(adapter_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an adapter; name it as `adapter`"):
        export(adapter_dir, tmp_path / "out")


# ---- what is refused ----


def test_weights_that_can_run_code_are_refused(qwen3_dir: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(qwen3_dir, tmp_path / "source"))
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"are pickles \(pytorch_model\.bin\), which can run code"):
        export(source, tmp_path / "out")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_refused(file: str, qwen3_dir: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(qwen3_dir, tmp_path / "source"))
    settings = json.loads((source / file).read_bytes()) | {"auto_map": {"AutoConfig": "evil.Config"}}
    (source / file).write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{file}: names code of its own \(auto_map\)"):
        export(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_format_that_costs_too_much_leaves_nothing(qwen3_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"as q4_0 it diverges by .* nats a token \(max_divergence allows 1e-06"
    ):
        export(qwen3_dir, tmp_path / "out", format={"type": "gguf", "qtype": "q4_0"}, max_divergence=1e-6)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "form", [{"type": "gguf", "qtype": "f16"}, {"type": "safetensors", "dtype": "float16"}]
)
def test_numbers_beyond_the_format_are_refused(
    form: dict[str, str], make_tiny: MakeTiny, tmp_path: Path
) -> None:
    folder = make_tiny("qwen2")
    model, tokenizer = loaded(folder)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = 1e5
    save_model(model, tokenizer, folder)
    with pytest.raises(
        UserError, match=r"layers\.1\.mlp\.up_proj\.weight (cannot be held as f16|has numbers)"
    ):
        export(folder, tmp_path / "out", format=form)


def test_a_model_that_the_format_cannot_describe_is_refused(make_tiny: MakeTiny, tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0}
    stretched = make_tiny("qwen3", rope_parameters=rope)
    with pytest.raises(UserError, match=r"this qwen3 has positions of type yarn.*export safetensors"):
        export(stretched, tmp_path / "out", format="gguf")
    biased = make_tiny("qwen3", attention_bias=True)
    with pytest.raises(UserError, match=r"llama\.cpp reads no blk\.0\.attn_q\.bias in a qwen3"):
        export(biased, tmp_path / "out", format="gguf")
    other = make_tiny("gemma", intermediate_size=64)
    with pytest.raises(UserError, match="gemma is unknown here, which writes llama, qwen2, qwen3, glm4"):
        export(other, tmp_path / "out", format="gguf")


def test_a_tokenizer_that_llama_cpp_cannot_follow_is_refused() -> None:
    with pytest.raises(UserError, match=r"how this tokenizer cuts texts is not known here \(gpt-2, smollm"):
        name_cut({"type": "Metaspace", "replacement": "_"}, ignores_merges=False)
    with pytest.raises(UserError, match="is not known here"):  # the pattern is known, but without the merges
        name_cut(pre_tokenizer_of(ONE_DIGIT), ignores_merges=True)
    assert name_cut(pre_tokenizer_of(THREE_DIGITS), ignores_merges=False) == "chatglm-bpe"


def pre_tokenizer_of(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, level]}


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"format": "awq"}, "awq wants a GPU.*llm-compressor"),
        ({"format": {"type": "gptq"}}, "gptq wants a GPU"),
        ({"quantize": "nf4"}, "quantize says what the adapter is added to"),
        ({"format": {"type": "safetensors", "max_shard_size": "big"}}, "max_shard_size"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_loads(
    values: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=fault):
        judge(ExportConfig, {"out": tmp_path, "model": "org/model@0123456", **values}, "test")
