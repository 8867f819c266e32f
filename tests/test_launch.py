"""A launched step is a step like any other: it ends as its command ended, and with whoever started it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from medtune.artifact import claim, read_manifest, write_jsonl
from medtune.data.config import PrepareConfig
from medtune.errors import Diverged, Interrupted, UserError
from medtune.launch import ENDING, STEP, _read_ending, find_program, run_launched  # pyright: ignore[reportPrivateUsage]
from medtune.recipe import read_recipe
from medtune.records import Dialogue, Message
from medtune.runner import Event, run_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by POSIX signals")

READER = '''
"""A format for prepare whose rows wait, writing the time to a pulse meanwhile."""
import os
import time
from pathlib import Path
from medtune.data.formats import read_alpaca

def read(row, source):
    pulse = Path(str(source.path.path) + ".pulse")
    end = time.monotonic() + row["wait"]
    while time.monotonic() < end:
        with pulse.open("a", encoding="utf-8") as file:
            file.write(f"{time.time()}\\n")
        time.sleep(0.02)
    return read_alpaca({"instruction": row["text"] + "怎么办？", "output": "请按医嘱复查。"}, source)
'''
START = """
from pathlib import Path
import sys
from medtune.data.config import PrepareConfig
from medtune.launch import run_launched
run_launched(["python"], "prepare", PrepareConfig.model_validate_json(sys.argv[1]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose `rows` module launched processes can import."""
    (tmp_path / "rows.py").write_text(READER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def config_of_rows(home: Path, *, wait: float = 0, **keys: Any) -> PrepareConfig:
    (home / "raw.jsonl").write_bytes(orjson.dumps({"text": "头痛", "wait": wait}) + b"\n")
    values = {
        "out": home / "out",
        "source": {"path": str(home / "raw.jsonl"), "format": "rows:read"},
        "valid": 0,
        "test": 0,
        "runtime": {"workers": 1},
    }
    return PrepareConfig.model_validate({**values, **keys})


def wait_for_pulse(home: Path) -> None:
    end = time.monotonic() + 60
    while not (home / "raw.jsonl.pulse").exists():
        assert time.monotonic() < end, "did not start"
        time.sleep(0.02)


def is_silent(home: Path) -> bool:
    """Whether nobody is at work any more, within 10 seconds."""
    pulse, end = home / "raw.jsonl.pulse", time.monotonic() + 10
    while time.monotonic() < end:
        before = pulse.stat().st_size
        time.sleep(0.5)
        if pulse.stat().st_size == before:
            return True
    return False


def test_launched_command_makes_the_same_result_under_the_same_key(home: Path) -> None:
    config = config_of_rows(home)
    run_launched(["python"], "prepare", config)
    made = read_manifest(config.out)
    assert made and made.key == claim("prepare", made.version, config).key


def test_users_error_comes_back_in_its_words(home: Path) -> None:
    with pytest.raises(UserError, match=r"^1 records, with 1 different questions, are too few"):
        run_launched(["python"], "prepare", config_of_rows(home, valid=0.1))
    assert not (home / "out" / "manifest.json").exists()


@pytest.mark.parametrize("kind", [UserError, Diverged, Interrupted])
def test_each_kind_of_end_is_told_as_itself(tmp_path: Path, kind: type[UserError | Interrupted]) -> None:
    (tmp_path / ENDING).write_bytes(orjson.dumps({"exit_code": kind.exit_code, "message": "so"}))
    ending = _read_ending(tmp_path)
    assert type(ending) is kind and str(ending) == "so"


def test_signal_stops_the_command_and_not_its_starter_alone(home: Path) -> None:
    config = config_of_rows(home, wait=60)

    def stop() -> None:
        wait_for_pulse(home)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        run_launched(["python"], "prepare", config)
    assert is_silent(home)
    assert signal.getsignal(signal.SIGTERM) == before


def test_launched_processes_end_with_a_killed_starter(home: Path) -> None:
    config = config_of_rows(home, wait=60)
    starter = subprocess.Popen([sys.executable, "-c", START, config.model_dump_json()])
    wait_for_pulse(home)
    starter.kill()
    starter.wait()
    assert is_silent(home)


def test_process_that_is_started_after_its_starter_has_gone_ends_at_once(tmp_path: Path) -> None:
    assert not (tmp_path / STEP).exists()
    done = subprocess.run([sys.executable, "-m", "medtune.launch", str(tmp_path)], check=False)
    assert done.returncode == 1


def test_launcher_that_fails_itself_ends_with_its_code(home: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run_launched(["python", "-c", "raise SystemExit(7)"], "prepare", config_of_rows(home))
    assert ended.value.code == 7


def test_program_beside_this_python_is_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_program(Path(sys.executable).name) == sys.executable
    assert find_program("no-such-launcher") is None


# ---- several processes ----


def two_processes(folder: Path, model: Path, out: str, **keys: Any) -> Path:
    """A recipe whose only step trains in two processes."""
    rows = [
        Dialogue(
            id=str(number),
            messages=(
                Message(role="user", content=f"第{number}问：头痛怎么办"),
                Message(role="assistant", content="多喝水，" * number + "多休息。"),
            ),
        )
        for number in range(1, 9)
    ]
    write_jsonl(folder / "talks.jsonl", rows)
    sft = {
        "launch": ["torchrun", "--standalone", "--nproc_per_node=2"],
        "parallel": {"type": "ddp", "num_processes": 2},
        "train": [str(folder / "talks.jsonl")],
        "model": str(model),
        "method": {"type": "lora", "rank": 4},
        "max_steps": 50,
        "save_steps": 10,
        "logging_steps": 10,
        "per_device_train_batch_size": 1,
        "learning_rate": 1e-3,
        "max_length": 160,
        "runtime": {"device": "cpu", "num_threads": 1},
    }
    path = folder / f"{out}.yaml"
    recipe = {"root": (folder / out).as_posix(), "steps": {"sft": {**sft, **keys}}}
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path


def states(path: Path, *overrides: str) -> list[str]:
    events: list[Event] = list(run_recipe(read_recipe(path, overrides)))
    return [event.state for event in events if event.state != "started"]


def stop_when_saved(checkpoint: Path) -> threading.Thread:
    """A thread that sends this process SIGTERM, as a scheduler would, when the checkpoint is there."""

    def stop() -> None:
        end = time.monotonic() + 300
        while not checkpoint.exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


@pytest.mark.slow
def test_two_launched_processes_train_stop_and_resume_as_one_step(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    whole = two_processes(tmp_path, tiny_model_dir, "whole")
    assert states(whole) == ["made"]
    assert states(whole, "steps.sft.launch=[torchrun,--standalone,--nproc_per_node,2]") == ["skipped"]

    broken = two_processes(tmp_path, tiny_model_dir, "broken")
    killer = stop_when_saved(tmp_path / "broken" / "sft" / "checkpoints" / "checkpoint-10")
    with pytest.raises(Interrupted):
        states(broken)
    killer.join()
    assert not (tmp_path / "broken" / "sft" / "manifest.json").exists()
    assert states(broken) == ["made"]
    one, two = (read_manifest(tmp_path / name / "sft") for name in ("whole", "broken"))
    assert one and two and one.files == two.files
