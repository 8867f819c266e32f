"""Training that is killed again and again ends as if nothing had happened: weights, losses, order of rows."""

import json
import random
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from medtune.artifact import CHECKPOINTS, product_files
from medtune.errors import Interrupted
from medtune.train.checkpoints import list_checkpoints
from medtune.train.config import SftConfig

pytestmark = [
    pytest.mark.crash,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="this system has no kill -9"),
]

NUM_KILLS = {"full": 4, "lora": 10}
STEPS = 40
SAVE_STEPS = 3

Live = Callable[..., int | None]

LIFE = """
import json, os, signal
from pathlib import Path
from medtune.commands import run_command
from medtune.errors import Interrupted
from medtune.train import checkpoints, fit, guards, trainer
from medtune.train.config import SftConfig

config = SftConfig.model_validate_json({config!r})
step_to_die, place, diary = {step}, {place!r}, Path({diary!r})

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Doomed(guards.Watch):
    def on_train_begin(self, args, state, control, **rest):
        super().on_train_begin(args, state, control, **rest)
        note(start=state.global_step)

    def on_substep_end(self, args, state, control, **_):
        if state.global_step + 1 == step_to_die and place == "step":
            die()
        if state.global_step + 1 == step_to_die and place in ("SIGTERM", "SIGINT", "SIGUSR1"):
            os.kill(os.getpid(), signal.Signals[place])

def note(**line):
    with diary.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + chr(10))

class Noting(trainer.SafeTrainer):
    def get_batch_samples(self, *args):
        batches, num_items = super().get_batch_samples(*args)
        note(step=self.state.global_step, rows=[batch["input_ids"].tolist() for batch in batches])
        return batches, num_items

    def _save_rng_state(self, folder):
        if place == "inside a save" and self.state.global_step >= step_to_die:
            (Path(folder) / "rng_state.pth").write_bytes(b"half a fi")
            die()
        super()._save_rng_state(folder)

def seal(folder, seal=checkpoints.seal):
    if place == "before the seal" and int(folder.name.rpartition("-")[2]) >= step_to_die:
        die()
    seal(folder)

guards.Watch, fit.SafeTrainer, checkpoints.seal = Doomed, Noting, seal
try:
    run_command("sft", config)
except Interrupted as stop:
    raise SystemExit(stop.exit_code)
"""


@pytest.fixture
def live(fork: Callable[[str], BaseProcess]) -> Live:
    """live(config, diary, step=-1, place=""): how a process ended that trained until `place` of `step`."""

    def live(config: SftConfig, diary: Path, *, step: int = -1, place: str = "") -> int | None:
        life = LIFE.format(config=config.model_dump_json(), step=step, place=place, diary=str(diary))
        process = fork(life)
        process.join(timeout=600)
        return process.exitcode

    return live


def read_diary(path: Path) -> tuple[dict[int, set[str]], list[int]]:
    """The rows that each step was ever made of, and the steps that lives began at."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows: dict[int, set[str]] = {}
    for line in lines:
        if "rows" in line:
            rows.setdefault(line["step"], set()).add(json.dumps(line["rows"]))
    return rows, [line["start"] for line in lines if "start" in line]


def flip_a_byte(checkpoint: Path) -> None:
    file = checkpoint / "optimizer.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    method: str,
    live: Live,
    shape: dict[str, Any],
    write_talks: Callable[..., Path],
    tiny_model_dir: Path,
    tmp_path: Path,
) -> None:
    turns = [(f"第{n}问：头痛" + "怎么办" * n, "多喝水，" * (12 - n) + "多休息。") for n in range(1, 12)]
    settings: dict[str, Any] = {
        **shape,
        "train": [str(write_talks("train.jsonl", *turns))],
        "valid": str(write_talks("valid.jsonl", turns[3])),
        "model": str(tiny_model_dir),
        "method": {"type": "full"} if method == "full" else {"type": "lora", "rank": 4, "dropout": 0.1},
        "gradient_accumulation_steps": 2,
        "max_steps": STEPS,
        "save_steps": SAVE_STEPS,
        "logging_steps": 2,
    }
    unbroken = SftConfig.model_validate({**settings, "out": tmp_path / "unbroken"})
    assert live(unbroken, tmp_path / "unbroken.jsonl") == 0
    config = SftConfig.model_validate({**settings, "out": tmp_path / "broken"})
    diary, folder = tmp_path / "broken.jsonl", config.out / CHECKPOINTS
    draw = random.Random(7 if method == "full" else 8)
    kills = ["step"] * NUM_KILLS[method] + ["inside a save", "before the seal", "flipped byte", "SIGTERM"]
    draw.shuffle(kills)
    for kill in kills:
        done = max((int(path.name.rpartition("-")[2]) for path in list_checkpoints(folder)), default=0)
        ahead = SAVE_STEPS + 1 if kill == "flipped byte" else draw.randint(1, SAVE_STEPS + 1)
        step = min(done + ahead, STEPS - 1)
        code = live(config, diary, step=step, place="step" if kill == "flipped byte" else kill)
        assert code == (Interrupted.exit_code if kill == "SIGTERM" else -signal.SIGKILL), (kill, step)
        assert not (config.out / "manifest.json").exists()
        if kill == "SIGTERM":
            assert list_checkpoints(folder)[-1].name == f"checkpoint-{step}"
        if kill == "flipped byte":
            flip_a_byte(list_checkpoints(folder)[-1])
    assert live(config, diary) == 0
    assert product_files(config.out) == product_files(unbroken.out)
    rows, starts = read_diary(diary)
    assert len(starts) == len(kills) + 1 and max(starts) > STEPS // 4
    assert any(path.name.startswith("broken-") for path in folder.iterdir())
    expected, _ = read_diary(tmp_path / "unbroken.jsonl")
    assert rows == expected and all(len(batches) == 1 for batches in rows.values())


@pytest.mark.parametrize("place", ["SIGINT", "SIGUSR1"])
def test_a_signal_stops_at_the_next_step_border_with_a_checkpoint(
    place: str, live: Live, shape: dict[str, Any], talks: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    values = {**shape, "train": [str(talks)], "model": str(tiny_model_dir), "gradient_accumulation_steps": 2}
    config = SftConfig.model_validate({**values, "out": tmp_path / "out", "max_steps": 6})
    assert live(config, tmp_path / "diary.jsonl", step=3, place=place) == 75
    assert [path.name for path in list_checkpoints(config.out / CHECKPOINTS)] == ["checkpoint-3"]


def test_a_run_that_was_killed_after_its_last_save_does_no_further_step(
    live: Live, shape: dict[str, Any], talks: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    values = {**shape, "train": [str(talks)], "model": str(tiny_model_dir), "gradient_accumulation_steps": 2}
    unbroken, config = (
        SftConfig.model_validate({**values, "out": tmp_path / name, "max_steps": 3}) for name in ("a", "b")
    )
    assert live(unbroken, tmp_path / "a.jsonl") == 0
    assert live(config, tmp_path / "b.jsonl", step=3, place="SIGTERM") in (0, 75)
    assert live(config, tmp_path / "b.jsonl") == 0
    assert product_files(config.out) == product_files(unbroken.out)
    assert max(read_diary(tmp_path / "b.jsonl")[0]) == 2
