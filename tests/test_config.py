"""Configs: what is misspelt is refused with the right spelling, what is right is read as meant."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from medtune.commands import COMMANDS, config_of
from medtune.config import (
    CommandConfig,
    Config,
    Input,
    find_inputs,
    load,
    models_in,
    read_yaml,
)
from medtune.errors import UserError
from medtune.reference import keys_of
from medtune.spellings import OTHER_SPELLINGS


class Small(Config):
    """A variant."""

    type: Literal["small"] = "small"
    rank: int = 8


class Large(Config):
    """Another variant."""

    type: Literal["large"] = "large"
    width: int = 64
    base: Input | None = None


class Part(Config):
    """A section."""

    path: Input
    weight: float = 1.0


class Toy(CommandConfig):
    """A command's config with every kind of field."""

    learning_rate: float = 2e-4
    bf16: bool = False
    method: Annotated[Small | Large, Field(discriminator="type")] = Small()
    parts: tuple[Part, ...] = ()
    files: list[Input] = Field(default=[])
    arms: dict[str, tuple[Input, ...]] = Field(default={})
    base: Input | None = None
    trainer: dict[str, object] = Field(default={})


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def fault_of(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(Toy, write(tmp_path / "toy.yaml", text), overrides)
    return str(caught.value)


# ---- misspelt keys ----


def test_mistyped_key_in_the_file_gets_a_suggestion(tmp_path: Path) -> None:
    fault = fault_of(tmp_path, "out: o\nlearning_rte: 1")
    assert fault == f"{tmp_path / 'toy.yaml'}: learning_rte: unknown key; did you mean learning_rate?"


def test_mistyped_key_on_the_command_line_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"command line: learning_rte: unknown key; did you mean learning_rate\?"
    ):
        load(Toy, tmp_path / "absent.yaml", ["learning_rte=1"])


def test_every_mistyped_key_of_the_command_line_is_told() -> None:
    with pytest.raises(UserError) as caught:
        load(Toy, None, ["learning_rte=1", "methd.rank=2", "part[0].path=x", "out=o"])
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "learning_rte",
        "methd",
        "part",
    ]


def test_every_fault_of_a_file_is_told(tmp_path: Path) -> None:
    fault = fault_of(tmp_path, "learning_rate: high\nbf17: true")
    assert "learning_rate: Input should be a valid number" in fault
    assert "(given: 'high')" in fault
    assert "out: must be given" in fault
    assert "bf17: unknown key; did you mean bf16?" in fault


def test_mistyped_key_inside_a_section_of_a_list_gets_a_suggestion(tmp_path: Path) -> None:
    fault = fault_of(tmp_path, "out: o\nparts: [{path: a}, {path: b, wieght: 2}]")
    assert "parts.1.wieght: unknown key; did you mean weight?" in fault


def test_mistyped_key_inside_a_variant_gets_a_suggestion_of_that_variant(tmp_path: Path) -> None:
    assert "did you mean rank?" in fault_of(tmp_path, "out: o\nmethod: {rnk: 4}")
    assert "did you mean width?" in fault_of(tmp_path, "out: o\nmethod: {type: large, wdth: 4}")


def test_key_of_another_variant_is_refused_not_ignored(tmp_path: Path) -> None:
    fault = fault_of(tmp_path, "out: o\nmethod: {type: large, rank: 4}")
    assert "rank: unknown key of type large; type small has it" in fault


def test_unknown_variant_names_the_known_ones(tmp_path: Path) -> None:
    fault = fault_of(tmp_path, "out: o\nmethod: {type: huge}")
    assert "'huge'" in fault and "'small', 'large'" in fault


def test_key_that_resembles_none_gets_the_list_of_keys(tmp_path: Path) -> None:
    assert "xyzzy: unknown key; known here: out, learning_rate, bf16, method" in fault_of(
        tmp_path, "out: o\nxyzzy: 1"
    )


@pytest.mark.parametrize(
    ("command", "typed", "ours"),
    [
        ("sft", "lora_rank", "method.rank"),
        ("sft", "cutoff_len", "max_length"),
        ("sft", "model_name_or_path", "model"),
        ("pt", "output_dir", "out"),
        ("prepare", "val_size", "valid"),
        ("predict", "max_new_tokens", "sampling.max_new_tokens"),
        ("sft", "quantization_bit", "method.bits"),
        ("sft", "freeze_trainable_layers", "method.num_trainable_layers"),
        ("sft", "dataset_dir", "train"),
        ("pt", "dataset", "documents"),
        ("prepare", "dataset_name", "source"),
        ("sft", "neat_packing", "packing"),
        ("sft", "deepspeed", "parallel"),
        ("predict", "adapter_name_or_path", "engine.adapter"),
        ("merge", "torch_dtype", "dtype"),
        ("sft", "optim", "trainer.optim"),
    ],
)
def test_spellings_of_other_tools_lead_to_ours(command: str, typed: str, ours: str) -> None:
    with pytest.raises(UserError, match=rf"{typed}: unknown key; did you mean {ours}\?"):
        load(config_of(command), None, [f"{typed}=1"])


def test_spellings_of_other_tools_lead_to_ours_inside_a_section_too() -> None:
    words = ["out=o", "train=[t]", "model=m"]
    for typed, ours in {"lora_rank": "rank", "lora_target": "target_modules", "r": "rank"}.items():
        with pytest.raises(UserError, match=rf"{typed}: unknown key; did you mean {ours}\?"):
            load(config_of("sft"), None, [*words, f"method.{typed}=1"])
    with pytest.raises(UserError, match=r"bits: unknown key of type lora; type qlora has it"):
        load(config_of("sft"), None, [*words, "method.bits=4"])


def test_key_of_a_variant_two_sections_down_is_judged_by_its_variant() -> None:
    words = ["out=o", "engine.model=m", "records=r"]
    with pytest.raises(UserError, match=r"num: unknown key of type local; type ray has it"):
        load(config_of("predict"), None, [*words, "runtime.workers.num=2"])
    with pytest.raises(UserError, match=r"adress: unknown key; did you mean address\?"):
        load(config_of("predict"), None, [*words, "runtime.workers={type: ray, num: 2, adress: auto}"])
    with pytest.raises(UserError, match=r"workers: unknown key"):  # signals does its work alone
        load(
            config_of("signals"),
            None,
            ["out=o", "engine.model=m", "exam=e", "reference=r", "runtime.workers=ray"],
        )


def test_every_spelling_of_other_tools_leads_to_a_key_that_some_command_has() -> None:
    from trl.trainer.sft_config import SFTConfig as TrlConfig

    keys = [key.name for command in COMMANDS for key in keys_of(config_of(command))]
    known = {re.sub(r"\[\w+\]", "", key) for key in keys}
    known |= {f"trainer.{field.name}" for field in dataclasses.fields(TrlConfig)}
    assert {key for keys in OTHER_SPELLINGS.values() for key in keys.split()} <= known


def test_no_spelling_of_another_tool_is_a_key_of_ours_at_the_same_place() -> None:
    ours = {name for command in COMMANDS for name in config_of(command).model_fields}
    assert not {typed for typed, key in OTHER_SPELLINGS.items() if typed in ours and typed in key.split()}


def test_an_override_adds_to_a_section_that_stands_there_in_short(tmp_path: Path) -> None:
    file = write(tmp_path / "sft.yaml", "out: o\ntrain: [t]\nmodel: base\nmethod: qlora\n")
    config = load(config_of("sft"), file, ["method.rank=8", "model.dtype=bfloat16"]).model_dump()
    assert (config["method"]["type"], config["method"]["rank"]) == ("qlora", 8)
    assert (config["model"]["path"], config["model"]["dtype"]) == ("base", "bfloat16")
    words = ["out=o", "train=[t]", "model=base", "model.dtype=float16", "method=ia3", "method.type=lora"]
    config = load(config_of("sft"), None, words).model_dump()
    assert (config["model"]["path"], config["method"]["type"]) == ("base", "lora")


# ---- files that cannot be read ----


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "expected node content"),
        ("- a\n- b", "`key: value` lines are wanted"),
        ("out: ${nope}", "'nope' not found"),
        ("out: ${", "toy.yaml"),
        ("out: ${out}", "Recursive interpolation"),
        ("out: a\nout: b", "duplicate key out"),
        ("out: !!python/object:os.system x", "could not determine a constructor"),
        ("just text", "just text: unknown key"),
    ],
)
def test_unfit_file_is_a_user_error_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    fault = fault_of(tmp_path, text)
    assert said in fault and str(tmp_path / "toy.yaml") in fault


def test_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.yaml: no such file"):
        load(Toy, tmp_path / "absent.yaml")


def test_directory_in_place_of_a_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name a YAML file"):
        load(Toy, tmp_path)


def test_file_that_is_not_utf8_is_a_user_error_with_the_byte(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_bytes("out: 结果".encode("gb18030"))
    with pytest.raises(UserError, match="not UTF-8 at byte 5; save the file as UTF-8"):
        load(Toy, tmp_path / "toy.yaml")


@pytest.mark.parametrize("text", ["", "# nothing\n", "null"])
def test_empty_file_holds_no_keys(tmp_path: Path, text: str) -> None:
    assert read_yaml(write(tmp_path / "toy.yaml", text)) == {}


def test_byte_order_mark_of_windows_editors_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_bytes(b"\xef\xbb\xbfout: o")
    assert load(Toy, tmp_path / "toy.yaml").out == Path("o")


# ---- values ----


def test_defaults_yield_to_the_file_and_the_file_to_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path / "toy.yaml", "out: file\nlearning_rate: 0.5")
    config = load(Toy, path, ["learning_rate=0.25"])
    assert (config.bf16, config.out, config.learning_rate) == (False, Path("file"), 0.25)


def test_number_with_exponent_is_a_number_also_where_any_value_goes(tmp_path: Path) -> None:
    config = load(
        Toy,
        write(tmp_path / "toy.yaml", "out: o\nlearning_rate: 1e-4\ntrainer: {eps: 1e-8}"),
        ["trainer.x=2e-3"],
    )
    assert config.learning_rate == 1e-4
    assert config.trainer == {"eps": 1e-8, "x": 2e-3}


def test_reference_to_another_key_is_filled_in(tmp_path: Path) -> None:
    assert load(Toy, write(tmp_path / "toy.yaml", "out: runs\nbase: ${out}/base")).base == "runs/base"


def test_override_sets_one_element_of_a_list(tmp_path: Path) -> None:
    path = write(tmp_path / "toy.yaml", "out: o\nparts: [{path: a}, {path: b}]")
    assert [part.path for part in load(Toy, path, ["parts.1.path=c"]).parts] == ["a", "c"]
    with pytest.raises(UserError, match="index out of range"):
        load(Toy, path, ["parts.7.path=c"])


def test_section_that_names_no_type_is_of_the_defaults_variant() -> None:
    assert load(Toy, None, ["out=o", "method.rank=32"]).method == Small(rank=32)


def test_config_does_not_change_once_read() -> None:
    config = load(Toy, None, ["out=o"])
    with pytest.raises(ValueError, match="frozen"):
        config.bf16 = True  # pyright: ignore[reportAttributeAccessIssue]


def test_fault_that_a_config_finds_itself_is_told_in_its_own_words() -> None:
    with pytest.raises(UserError) as caught:
        load(config_of("prepare"), None, ["out=o", "source=[{path: x}]", "valid=0.6", "test=0.5"])
    assert str(caught.value) == "command line: valid 0.6 and test 0.5 leave nothing to train on"


# ---- inputs ----


def test_inputs_are_found_in_lists_optionals_maps_sections_and_variants() -> None:
    config = Toy(
        out=Path("o"),
        method=Large(base=Input("m")),
        parts=(Part(path=Input("p0")), Part(path=Input("p1"))),
        files=[Input("f")],
        arms={"x": (Input("x0"), Input("x1"))},
        base=Input("b"),
    )
    assert dict(find_inputs(config)) == {
        "method.base": "m", "parts.0.path": "p0", "parts.1.path": "p1", "files.0": "f",
        "arms.x.0": "x0", "arms.x.1": "x1", "base": "b",
    }  # fmt: skip


def test_inputs_read_from_a_file_are_inputs_too(tmp_path: Path) -> None:
    config = load(Toy, write(tmp_path / "toy.yaml", "out: o\nfiles: [a]\nbase: b\narms: {x: [c]}"))
    assert [field for field, _ in find_inputs(config)] == ["files.0", "arms.x.0", "base"]


def test_hub_id_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Input("owner/name@abc").is_hub_id
    assert not Input("owner/name/more").is_hub_id
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not Input("owner/name").is_hub_id


def test_sample_name_stands_for_a_file_that_ships() -> None:
    assert Input("samples:exam.jsonl").path.is_file()


def test_models_are_found_inside_annotations() -> None:
    assert models_in(list[Small | Large] | None) == [Small, Large]
    assert models_in(dict[str, int]) == []
