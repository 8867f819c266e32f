"""predict and evaluate killed at any moment, run again, end with the files of an unbroken run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from medtune.artifact import CHECKPOINTS, product_files, write_jsonl
from medtune.commands import config_of, run_command
from medtune.config import load
from medtune.engines.workers import OF_ITS_OWN
from medtune.records import Question, question_id

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")]

Fork = Callable[[str], BaseProcess]
OPTIONS = {"A": "少盐", "B": "多动", "C": "熬夜", "D": "戒烟"}


def write_exam(path: Path, num: int) -> None:
    stems = [f"第{number}题，高血压患者应{'注意' * (number % 5)}" for number in range(num)]
    write_jsonl(
        path,
        [
            Question(
                id=question_id(stem, None, OPTIONS), stem=stem, options=OPTIONS, answer="B", subject="内科",
                split="test",
            )
            for stem in stems
        ],
    )  # fmt: skip


def run(command: str, *words: str) -> None:
    """Nothing; the command has run in this process."""
    run_command(command, load(config_of(command), None, words))


def run_and_kill(fork: Fork, path: Path, command: str, *words: str) -> None:
    """Nothing; the command ran in a process that was killed as soon as something stood at `path`."""
    process = fork(
        "from medtune.commands import config_of, run_command\n"
        "from medtune.config import load\n"
        f"run_command({command!r}, load(config_of({command!r}), None, {words!r}))\n"
    )
    kill_when(path, is_at_work=process.is_alive, kill=process.kill)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def kill_when(path: Path, *, is_at_work: Callable[[], bool], kill: Callable[[], None]) -> None:
    """Kills as soon as something stands at `path`; a process that ended before fails the test."""
    deadline = time.monotonic() + 180
    while not any(path.parent.glob(path.name)):
        assert is_at_work(), "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    kill()


def test_killed_predict_and_evaluate_end_as_unbroken_ones(
    tiny_model_dir: Path, fork: Fork, tmp_path: Path
) -> None:
    write_exam(tmp_path / "exam.jsonl", 700)
    asked = [
        f"engine.model={tiny_model_dir}", f"records={tmp_path / 'exam.jsonl'}", "ways=[letter,generate]",
        "orders=2", "sampling.max_new_tokens=8", "runtime.num_threads=1",
    ]  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run("predict", f"out={whole}", *asked)
    for block in ("letter-00000000.answers.jsonl", "generate-00000256.answers.jsonl"):
        run_and_kill(fork, broken / CHECKPOINTS / block, "predict", f"out={broken}", *asked)
        assert not (broken / "manifest.json").exists()
    run("predict", f"out={broken}", *asked)
    assert product_files(broken) == product_files(whole)
    scored = [f"questions={tmp_path / 'exam.jsonl'}", "name=x", f"predictions={whole}"]
    run("evaluate", f"out={tmp_path / 'scored'}", *scored)
    again = tmp_path / "again"
    run_and_kill(fork, again / "scores.jsonl*", "evaluate", f"out={again}", *scored)
    assert not (again / "manifest.json").exists()
    run("evaluate", f"out={again}", *scored)
    assert product_files(again) == product_files(tmp_path / "scored")


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_killed_run_with_workers_resumes_without_them(tiny_model_dir: Path, tmp_path: Path) -> None:
    write_exam(tmp_path / "exam.jsonl", 700)
    asked = [
        f"engine.model={tiny_model_dir}", f"records={tmp_path / 'exam.jsonl'}", "sampling.max_new_tokens=8",
        "runtime.num_threads=1", "runtime.device=cpu",
    ]  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    workers = ["runtime.workers=ray", "runtime.workers.num=2"]
    block = broken / CHECKPOINTS / "generate-*.answers.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "medtune", "predict", f"out={broken}", *asked, *workers],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name not in OF_ITS_OWN},  # it is told by us
    )  # fmt: skip
    kill_when(block, is_at_work=lambda: process.poll() is None, kill=process.kill)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(list(block.parent.glob(block.name))) < 3
    for out in (whole, broken):  # the rest may be done without workers
        run("predict", f"out={out}", *asked)
    assert product_files(broken) == product_files(whole)
