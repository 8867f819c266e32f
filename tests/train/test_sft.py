"""sft: what is too long is counted and bounded, in the training file and the valid file alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medtune.artifact import write_jsonl
from medtune.commands import run_command
from medtune.errors import UserError
from medtune.records import Dialogue, Message
from medtune.train.config import SftConfig

# Raised inside PEFT, where no caller can avoid it.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

LONG = ("头痛", "多喝水，" * 100)
SHORT = [(f"第{n}问", "多喝水") for n in range(3)]


@pytest.fixture
def configure(
    shape: dict[str, Any], write_talks: Callable[..., Path], tiny_model_dir: Path, tmp_path: Path
) -> Callable[..., SftConfig]:
    """configure(key=value, …): one long dialogue of four, in the training file and the valid file."""

    def make(**values: Any) -> SftConfig:
        files = {"train": [str(write_talks("train.jsonl", *SHORT, LONG))]}
        base = {"out": tmp_path / "out", "model": str(tiny_model_dir), **shape, **files}
        return SftConfig.model_validate({**base, **values})

    return make


def test_too_many_long_dialogues_stop_the_command(
    configure: Callable[..., SftConfig], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"train: 1 of 4 dialogues are longer than max_length 160, .* 5%"):
        run_command("sft", configure())
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
def test_long_dialogues_within_bounds_are_left_out_and_counted(configure: Callable[..., SftConfig]) -> None:
    config = configure(max_dropped=0.25)
    counts = run_command("sft", config).counts
    assert (counts["records"], counts["too_long"], counts["rows"]) == (4, 1, 3)
    (left_out,) = (config.out / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(left_out)["reason"] == "too long" and json.loads(left_out)["line"] >= 1


@pytest.mark.slow
def test_long_dialogues_of_the_valid_file_are_bounded_and_counted_too(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    good = str(write_talks("good.jsonl", *SHORT))
    mixed = str(write_talks("mixed.jsonl", *SHORT, LONG))
    with pytest.raises(UserError, match="valid: 1 of 4 dialogues"):
        run_command("sft", configure(train=[good], valid=mixed))
    counts = run_command("sft", configure(train=[good], valid=mixed, max_dropped=0.3)).counts
    assert (counts["too_long"], counts["valid_records"], counts["valid_too_long"]) == (0, 4, 1)


@pytest.mark.slow
def test_a_run_without_a_valid_file_says_nothing_of_one(configure: Callable[..., SftConfig]) -> None:
    counts = run_command("sft", configure(max_dropped=0.25)).counts
    assert not [key for key in counts if key.startswith(("valid", "eval"))]


@pytest.mark.slow
def test_an_adapter_can_be_trained_by_several_files(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    files = [str(write_talks(f"{n}.jsonl", turn)) for n, turn in enumerate(SHORT)]
    assert run_command("sft", configure(train=files)).counts["records"] == 3


# ---- length, packing, replay ----


@pytest.mark.slow
def test_the_ledger_stands_in_the_results(configure: Callable[..., SftConfig]) -> None:
    config = configure(max_dropped=0.25)
    run_command("sft", config)
    ledger = json.loads((config.out / "train_results.json").read_bytes())["ledger"]
    assert ledger["records"] == ledger["trained"] + sum(ledger["dropped"].values()) == 4
    assert ledger["dropped"] == {"too long": 1}
    in_rows = ledger["trained_tokens"] + ledger["prompt_tokens"]
    assert ledger["tokens"] + ledger["repeated_tokens"] == in_rows + ledger["cut_tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("truncation", ["left", "right", "split"])
def test_what_was_cut_is_listed_beside_what_was_left_out(
    configure: Callable[..., SftConfig], tmp_path: Path, truncation: str
) -> None:
    turns = [(f"第{n}问" * 5, "多喝水，" * 4) for n in range(6)]
    said = [
        Message(role=role, content=text)
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    write_jsonl(tmp_path / "talk.jsonl", [Dialogue(id="long", messages=tuple(said))])
    config = configure(train=[str(tmp_path / "talk.jsonl")], truncation=truncation)
    counts = run_command("sft", config).counts
    (listed,) = map(json.loads, (config.out / "dropped.jsonl").read_text(encoding="utf-8").splitlines())
    assert (listed["file"], listed["line"], listed["id"]) == ("talk.jsonl", 1, "long")
    assert (counts["too_long"], counts["ledger"]["shortened"]) == (0, {listed["reason"]: 1})
    assert listed["num_tokens"] == counts["ledger"]["tokens"] > 160
    assert listed["num_kept"] == counts["ledger"]["trained_tokens"] + counts["ledger"]["prompt_tokens"]


@pytest.mark.slow
def test_packed_rows_are_trained_on_and_measured_like_single_ones(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    good = str(write_talks("good.jsonl", *SHORT * 4))
    one_step = {"train": [good], "valid": good, "max_steps": 1, "save_steps": 1, "method": {"type": "full"}}
    alone, packed = (
        run_command(
            "sft",
            configure(
                **one_step, out=f"{configure().out}-{name}", packing=name == "packed",
                per_device_train_batch_size=12,
            ),
        ).counts
        for name in ("alone", "packed")
    )  # fmt: skip
    assert packed["rows"] < alone["rows"] == 12
    for key in ("loss", "eval_loss"):
        assert packed[key] == pytest.approx(alone[key], rel=1e-4), key
    assert packed["ledger"] == alone["ledger"]
    assert packed["tokens_seen"] == alone["tokens_seen"]


@pytest.mark.slow
def test_general_dialogues_are_mixed_in_and_counted(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    good = str(write_talks("good.jsonl", *SHORT))
    general = str(write_talks("general.jsonl", *((f"通用{n}", "好") for n in range(5))))
    counts = run_command("sft", configure(train=[good], replay={"path": general, "ratio": 1})).counts
    assert (counts["records"], counts["rows"]) == (6, 6)
    assert counts["ledger"]["dropped"] == {"not drawn for replay": 2}


def test_a_valid_file_without_rows_is_told_to_be_the_valid_one(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    good, empty = write_talks("good.jsonl", *SHORT), write_talks("empty.jsonl")
    with pytest.raises(UserError, match=r"valid: .*empty\.jsonl: nothing to train on"):
        run_command("sft", configure(train=[str(good)], valid=str(empty)))
