"""predict and evaluate killed at any moment, run again, end with the files of an unbroken run."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from medtune.artifact import CHECKPOINTS, product_files, write_jsonl
from medtune.commands import run_command
from medtune.config import load
from medtune.evals.config import PredictConfig
from medtune.records import Question, question_id

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")]

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


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "medtune", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_when(process: subprocess.Popen[bytes], path: Path) -> None:
    """Kills as soon as something stands at `path`; a process that ended before fails the test."""
    deadline = time.monotonic() + 120
    while not any(path.parent.glob(path.name)):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_predict_and_evaluate_end_as_unbroken_ones(tiny_model_dir: Path, tmp_path: Path) -> None:
    write_exam(tmp_path / "exam.jsonl", 700)
    asked = [
        f"engine.model={tiny_model_dir}", f"records={tmp_path / 'exam.jsonl'}", "ways=[letter,generate]",
        "orders=2", "sampling.max_new_tokens=8", "runtime.num_threads=1",
    ]  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start("predict", f"out={whole}", *asked).wait() == 0
    for block in ("letter-00000000.answers.jsonl", "generate-00000256.answers.jsonl"):
        process = start("predict", f"out={broken}", *asked)
        kill_when(process, broken / CHECKPOINTS / block)
        assert not (broken / "manifest.json").exists()
    assert start("predict", f"out={broken}", *asked).wait() == 0
    assert product_files(broken) == product_files(whole)
    scored = [f"questions={tmp_path / 'exam.jsonl'}", "name=x"]
    assert start("evaluate", f"out={tmp_path / 'scored'}", f"predictions={whole}", *scored).wait() == 0
    again = tmp_path / "again"
    kill_when(start("evaluate", f"out={again}", f"predictions={whole}", *scored), again / "scores.jsonl*")
    assert not (again / "manifest.json").exists()
    assert start("evaluate", f"out={again}", f"predictions={whole}", *scored).wait() == 0
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
    kill_when(start("predict", f"out={broken}", *asked, *workers), block)
    assert 0 < len(list(block.parent.glob(block.name))) < 3
    for out in (whole, broken):  # the rest may be done without workers
        run_command("predict", load(PredictConfig, None, [f"out={out}", *asked]))
    assert product_files(broken) == product_files(whole)
