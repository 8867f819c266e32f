"""sft: what is too long is counted and bounded, in the training file and the valid file alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medtune.commands import run_command
from medtune.errors import UserError
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


def test_long_dialogues_within_bounds_are_left_out_and_counted(configure: Callable[..., SftConfig]) -> None:
    config = configure(max_dropped=0.25)
    counts = run_command("sft", config).counts
    assert (counts["records"], counts["too_long"], counts["rows"]) == (4, 1, 3)
    (left_out,) = (config.out / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(left_out)["reason"] == "too long" and json.loads(left_out)["line"] >= 1


def test_long_dialogues_of_the_valid_file_are_bounded_and_counted_too(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    good = str(write_talks("good.jsonl", *SHORT))
    mixed = str(write_talks("mixed.jsonl", *SHORT, LONG))
    with pytest.raises(UserError, match="valid: 1 of 4 dialogues"):
        run_command("sft", configure(train=[good], valid=mixed))
    counts = run_command("sft", configure(train=[good], valid=mixed, max_dropped=0.3)).counts
    assert (counts["too_long"], counts["valid_records"], counts["valid_too_long"]) == (0, 4, 1)


def test_a_run_without_a_valid_file_says_nothing_of_one(configure: Callable[..., SftConfig]) -> None:
    counts = run_command("sft", configure(max_dropped=0.25)).counts
    assert not [key for key in counts if key.startswith(("valid", "eval"))]


def test_an_adapter_can_be_trained_by_several_files(
    configure: Callable[..., SftConfig], write_talks: Callable[..., Path]
) -> None:
    files = [str(write_talks(f"{n}.jsonl", turn)) for n, turn in enumerate(SHORT)]
    assert run_command("sft", configure(train=files)).counts["records"] == 3
