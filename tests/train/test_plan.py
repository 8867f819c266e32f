"""`medtune plan`: steps, warnings, profiles and precision; nothing is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medtune.cli import main
from medtune.config import Input, judge
from medtune.engines.rendering.dress import dress
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.reports.wording import width_of
from medtune.train.blueprint import draw, shape_config
from medtune.train.config import PtConfig, SftConfig
from medtune.train.fitting import fits
from medtune.train.plan import make_setup, plan_lines, table
from medtune.train.plan_config import PlanConfig, read_plan
from medtune.train.precision import Hardware, choose_precision, precision_of
from medtune.train.profiles import PROFILES, fill_profile
from medtune.train.sft import train_columns
from medtune.train.steps import Data, count_data, count_steps, warnings_of

OLD_GPU = Hardware("Tesla T4", 14.6, has_bf16=False)
NEW_GPU = Hardware("A100", 79.3, has_bf16=True)
CPU = Hardware("CPU", 0.0, has_bf16=False)


def sft_config(**keys: Any) -> SftConfig:
    return judge(SftConfig, {"out": "out", "train": ["a"], "model": "m", **keys}, "test")


def told(rows: int) -> Data:
    return Data("told", None, rows, rows * 100, None, {}, {}, None)


def warned(config: SftConfig | PtConfig, data: Data) -> str:
    return "\n".join(warnings_of(config, data, count_steps(config, data)))


def planned(*words: str, file: Path | None = None) -> str:
    return "\n".join(plan_lines(file, words))


def test_huge_batches_never_log_and_never_save() -> None:
    config = sft_config(
        per_device_train_batch_size=32, gradient_accumulation_steps=256, num_train_epochs=10,
        logging_steps=500, save_steps=1000,
    )  # fmt: skip
    data = told(305_000)
    steps = count_steps(config, data)
    assert (steps.effective_batch, steps.per_epoch, steps.total) == (8192, 38, 380)
    assert steps.first_log is None and steps.first_save is None
    assert "never logs, never saves: the run ends after 380 steps" in warned(config, data)
    assert "never logs" not in warned(sft_config(), data)


def test_max_steps_that_see_part_of_the_data_are_told() -> None:
    config = sft_config(max_steps=600, per_device_train_batch_size=8)
    steps = count_steps(config, told(685_714))
    assert steps.rows_seen == 4800 and steps.share_seen == pytest.approx(0.007, abs=1e-5)
    text = warned(config, told(685_714))
    assert "sees 4,800 of 685,714 rows (0.7%): num_train_epochs 3 never happens" in text
    assert "max_steps" not in warned(sft_config(), told(685_714))


def test_loss_on_valid_later_than_the_end_is_told() -> None:
    config = sft_config(valid="v", save_steps=1000)
    assert "the loss on valid is taken at the end only: save_steps 1000 > 300 steps" in warned(
        config, told(400)
    )
    assert count_steps(config, told(4000)).first_eval == 1000


def test_processes_multiply_the_batch_and_round_rows_up() -> None:
    config = sft_config(parallel={"type": "ddp", "num_processes": 3}, gradient_accumulation_steps=2)
    steps = count_steps(config, told(100))
    assert (steps.effective_batch, steps.per_epoch, steps.total) == (24, 5, 15)
    assert count_steps(sft_config(trainer={"logging_first_step": True}), told(100)).first_log == 1


def test_replay_is_missed_where_there_is_something_to_forget() -> None:
    assert "no replay mix" in warned(sft_config(), told(4000))
    assert "no replay mix" not in warned(sft_config(replay={"path": "general.jsonl"}), told(4000))
    new = judge(
        PtConfig, {"out": "o", "documents": ["d"], "model": {"type": "new", "tokenizer": "t"}}, "test"
    )
    assert "no replay mix" not in warned(new, told(4000))


@pytest.mark.slow
def test_plan_counts_what_a_run_then_trains(
    tiny_model_dir: Path, talks: Path, tmp_path: Path, shape: dict[str, Any]
) -> None:
    from medtune.train.sft import run

    words = [f"train=[{talks}]", f"model={tiny_model_dir}", f"out={tmp_path / 'out'}", "method.type=full"]
    keys = {**shape, "max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 4}
    words += [f"{key}={json.dumps(value)}" for key, value in keys.items()]
    text = planned(*words)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    counts = run(read_plan(None, words).config)  # type: ignore[arg-type]
    lines = {line[:24].strip().partition("  ")[0]: line.split() for line in text.splitlines()}
    assert lines["records"][1] == str(counts["records"]) and lines["rows"][1] == str(counts["rows"])
    assert lines["steps"][1] == str(counts["steps"]) == "4"
    assert lines["tokens seen"][2] == f"{counts['tokens_seen']:,}"
    assert f"{counts['trainable_weights']:,} of them trained" in text


def test_plan_counts_with_the_template_and_rules_that_the_run_takes(
    tiny_tokenizer_dir: Path, write_talks: Callable[..., Path], tmp_path: Path
) -> None:
    talks = write_talks("think.jsonl", ("头痛", "<think>先问多久</think>\n多久了？"))
    bare = tmp_path / "bare"
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(str(bare))
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    keys = {"train": [str(talks)], "model": str(tiny_tokenizer_dir), "template": "qwen3"}
    counted: list[int] = []
    for reasoning in ("learn", "mask"):
        config = sft_config(**keys, thinking={"reasoning": reasoning})
        dressed = dress(load_tokenizer(Input(tiny_tokenizer_dir)), template="qwen3", thinking=config.thinking)
        columns = train_columns(config, dressed)
        data = count_data(config, PlanConfig(), load_tokenizer(Input(bare)))
        assert (data.tokens, data.trained_tokens) == (columns.num_tokens, columns.num_trained_tokens)
        counted.append(columns.num_trained_tokens)
    assert counted[0] > counted[1]


def test_shape_alone_gives_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "shape=qwen3-4b", "method.type=qlora", "method.rank=16", "num_rows=1000",
          "tokens_per_row=360", "tokens_per_second=100"])  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    weights = next(line.split() for line in lines if line.startswith("  weights"))
    assert float(weights[1]) == pytest.approx(2.59, rel=0.02)
    assert [line.split()[1] for line in lines if line.startswith("  hours")] == ["3"]
    assert any(
        line.split()[:3] == ["8", "GB", "no"] and "gradient_checkpointing=true" in line for line in lines
    )
    stages = next(line.split() for line in lines if line.startswith("  full "))
    assert [float(total) for total in stages[1:]] == sorted(map(float, stages[1:]), reverse=True)


def test_shape_without_a_tokenizer_estimates_tokens(talks: Path) -> None:
    text = planned("shape=qwen3-0.6b", f"train=[{talks}]", "max_length=64")
    assert "estimated at 1.5 characters a token" in text
    assert next(line.split() for line in text.splitlines() if "records" in line)[1] == "6"


def test_plan_of_pretraining_on_a_new_model(
    tiny_tokenizer_dir: Path, documents: Path, tmp_path: Path
) -> None:
    file = tmp_path / "pt.yaml"
    model = f"{{type: new, tokenizer: {tiny_tokenizer_dir}, hidden_size: 64}}"
    file.write_text(f"documents: [{documents}]\nmodel: {model}\nmax_length: 64\n", encoding="utf-8")
    text = planned(file=file)
    assert text.startswith("pt · full · qwen3: ") and "records" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shape=qwen9", "num_rows=1"], "shape: qwen9: unknown"),
        (["shap=qwen3-4b"], "did you mean shape?"),
        (["learning_rte=1", "shape=qwen3-4b"], "did you mean learning_rate?"),
        (["shape=qwen3-4b"], "train: must be given"),
        (["model=nowhere", "num_rows=1"], "no such model directory"),
        (["shape=qwen3-4b", "profile=gpu-9g", "num_rows=1"], "profile"),
    ],
)
def test_faults_are_refused_with_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *words])
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_recipe_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("root: runs\nsteps: {sft: {}}\n", encoding="utf-8")
    with pytest.raises(UserError, match="is a recipe"):
        planned(file=file)


def test_table_counts_wide_characters() -> None:
    lines = list(table([("问诊记录", "1"), ("rows", "1,000")]))
    assert len({width_of(line) for line in lines}) == 1


# ---- profiles ----


def test_profile_fills_only_what_is_not_given() -> None:
    config = sft_config(profile="gpu-8g", max_length=256, method={"rank": 64})
    assert (config.max_length, config.per_device_train_batch_size) == (256, 1)
    assert config.method.model_dump(include={"type", "rank"}) == {"type": "qlora", "rank": 64}
    assert config.gradient_checkpointing and config.bf16 == "auto"
    assert config.model.model_dump()["dtype"] == "bfloat16"
    given = sft_config(profile="gpu-8g", method="full", model={"path": "m", "dtype": "float32"}, bf16=False)
    assert (given.method.type, given.bf16, given.model.model_dump()["dtype"]) == ("full", False, "float32")
    assert sft_config(profile="gpu-8g", method="prefix").gradient_checkpointing is False


def test_profile_leaves_a_new_model_its_method() -> None:
    new = {"type": "new", "tokenizer": "t"}
    config = judge(PtConfig, {"out": "o", "documents": ["d"], "model": new, "profile": "gpu-8g"}, "test")
    assert config.method.type == "full" and config.gradient_checkpointing
    assert fill_profile({"max_length": 8}) == {"max_length": 8}


@pytest.mark.parametrize(
    ("profile", "shape", "gib"),
    [
        ("gpu-8g", "qwen3-4b", 8), ("gpu-16g", "qwen3-4b", 16), ("gpu-24g", "qwen3-8b", 24),
        ("gpu-80g", "qwen3-14b", 80),
    ],
)  # fmt: skip
def test_profile_fits_its_card(profile: str, shape: str, gib: int) -> None:
    config, model = sft_config(profile=profile), draw(shape, shape_config(shape))
    assert fits(model, make_setup(config, model, told(1000), precision="bf16"), gib)


def test_every_profile_makes_a_step_of_sixteen_rows_and_is_told() -> None:
    for name, preset in PROFILES.items():
        assert preset["per_device_train_batch_size"] * preset["gradient_accumulation_steps"] == 16
        text = planned("shape=qwen3-0.6b", "num_rows=1000", f"profile={name}", "max_length=128")
        line = next(line for line in text.splitlines() if line.startswith(f"profile {name} sets"))
        assert "gradient_accumulation_steps=" in line and "max_length" not in line


# ---- precision ----


def test_auto_takes_bfloat16_where_it_exists() -> None:
    def chosen(hardware: Hardware, saved: str = "") -> str:
        return choose_precision("auto", saved_dtype=saved, hardware=hardware, where="m")

    assert [chosen(hardware) for hardware in (NEW_GPU, OLD_GPU, CPU)] == ["bf16", "fp16", "fp32"]
    assert chosen(CPU, "bfloat16") == "fp32" and chosen(OLD_GPU, "float16") == "fp16"
    assert choose_precision(True, saved_dtype="", hardware=OLD_GPU, where="m") == "bf16"


def test_bfloat16_model_is_not_trained_in_float16_unasked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"dtype": "bfloat16"}), encoding="utf-8")
    config = sft_config(model=str(tmp_path), bf16="auto")
    with pytest.raises(
        UserError, match=r"saved in bfloat16, and Tesla T4 has no bfloat16.*trainer\.fp16=true"
    ):
        precision_of(config, OLD_GPU)
    assert precision_of(config, NEW_GPU) == "bf16"
    asked = sft_config(model=str(tmp_path), trainer={"fp16": True})
    assert precision_of(asked, OLD_GPU) == "fp16"


def test_auto_reaches_the_trainer() -> None:
    from medtune.train.arguments import trl_arguments
    from medtune.train.precision import find_hardware

    config = sft_config(bf16="auto", runtime={"device": "cpu"})
    arguments = trl_arguments(config, has_valid=False)
    assert arguments.bf16 is find_hardware("cpu").has_bf16 and not arguments.fp16
