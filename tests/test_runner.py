"""A recipe runs to its end whatever stopped it: made work is kept, killed work redone, nothing runs on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import orjson
import pytest
from filelock import FileLock

from medtune import runner
from medtune.artifact import LOCK, MANIFEST, product_files, read_manifest
from medtune.commands import run_command
from medtune.errors import UserError
from medtune.recipe import read_recipe
from medtune.runner import SET_ASIDE, Event, run_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes by POSIX signals")

READER = '''
"""A format for prepare whose rows wait, writing process and time to a pulse meanwhile."""
import os
import time
from pathlib import Path
from medtune.data.formats import read_alpaca

def read(row, source):
    pulse = Path(str(source.path.path) + ".pulse")
    end = time.monotonic() + row["wait"]
    while True:
        with pulse.open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {time.time()}\\n")
        if row["wait"] and Path(str(source.path.path) + ".go").exists() or time.monotonic() >= end:
            return read_alpaca({"instruction": row["text"] + "怎么办？", "output": "请按医嘱复查。"}, source)
        time.sleep(0.02)
'''

RUN = """
from pathlib import Path
import signal
import sys
from medtune import runner
from medtune.recipe import read_recipe
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin deaf to it
    runner.HEAVY = ("medtune.data.prepare", "medtune.runner")
    for event in runner.run_recipe(read_recipe(Path(sys.argv[1]))):
        print(event.step.name, event.state, flush=True)
"""


WARM = """
from pathlib import Path
from tempfile import TemporaryDirectory
from medtune.data.config import PrepareConfig
from medtune.data.prepare import run
with TemporaryDirectory() as folder:
    rows = Path(folder, "rows.jsonl")
    rows.write_text('{"instruction": "头痛", "output": "请按医嘱复查"}', encoding="utf-8")
    run(PrepareConfig.model_validate({"out": Path(folder, "out"), "source": str(rows)}))
"""
"""One prepare, so that the server holds the lexicons, templates and fonts that each step would load again."""


@pytest.fixture(scope="module", autouse=True)
def light_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A fork server without torch for these tests; whoever comes after gets its own."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "warm_prepare.py").write_text(WARM, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "HEAVY", ("medtune.data.prepare", "medtune.runner", "warm_prepare"))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        forkserver._forkserver._stop()  # pyright: ignore[reportAttributeAccessIssue]
        yield
        forkserver._forkserver._stop()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `rows` module the steps can import."""
    (tmp_path / "rows.py").write_text(READER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def raw(home: Path, name: str, text: str = "头痛", wait: float = 0) -> None:
    row = {"text": text, "wait": wait}
    (home / f"{name}.jsonl").write_bytes(orjson.dumps(row) + b"\n")


def recipe_file(home: Path, *names: str, jobs: int = 1) -> Path:
    """A recipe with a step for each name, and one that reads the first step's result."""
    steps = "\n".join(
        f"  {name}: {{command: prepare, source: [{{path: '{home}/{name}.jsonl', format: 'rows:read'}}]}}"
        for name in names
    )
    after = f'  after: {{command: prepare, source: [{{path: "${{root}}/{names[0]}/train.jsonl"}}]}}'
    path = home / "recipe.yaml"
    path.write_text(
        f"root: {home.as_posix()}/runs\njobs: {jobs}\nsteps:\n{steps}\n{after}\n", encoding="utf-8"
    )
    return path


def run(path: Path, *overrides: str) -> list[Event]:
    return list(run_recipe(read_recipe(path, overrides)))


def states(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.step.name, event.state) for event in events if event.state != "started"]


def pulses(home: Path, name: str) -> list[tuple[int, float]]:
    path = home / f"{name}.jsonl.pulse"
    words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [(int(pid), float(at)) for pid, at in (pair for pair in words if len(pair) == 2)]


def wait_for_pulse(home: Path, name: str, *, seen: int = 0) -> int:
    """The process that does the step, once its pulse is longer than was seen."""
    end = time.monotonic() + 120
    while len(pulses(home, name)) <= seen:
        assert time.monotonic() < end, f"{name} did not start"
        time.sleep(0.02)
    return pulses(home, name)[-1][0]


def kill_at_work(home: Path, name: str) -> threading.Thread:
    """A thread that kills the step's process when it is at work."""
    seen = len(pulses(home, name))
    thread = threading.Thread(target=lambda: os.kill(wait_for_pulse(home, name, seen=seen), signal.SIGKILL))
    thread.start()
    return thread


# ---- what is there already ----


def test_step_runs_once_and_is_skipped_then(home: Path) -> None:
    raw(home, "a")
    path = recipe_file(home, "a")
    events = run(path)
    assert [(event.step.name, event.state) for event in events] == [
        ("a", "started"), ("a", "made"), ("after", "started"), ("after", "made"),
    ]  # fmt: skip
    assert [(event.number, event.total) for event in events] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert events[1].counts["kept"] == 1
    assert states(run(path)) == [("a", "skipped"), ("after", "skipped")]


def test_changed_input_makes_its_step_and_what_follows_anew(home: Path) -> None:
    raw(home, "a")
    raw(home, "b")
    path = recipe_file(home, "a", "b")
    run(path)
    raw(home, "a", "胸痛")
    assert states(run(path)) == [("a", "made"), ("b", "skipped"), ("after", "made")]


def test_result_of_other_settings_is_set_aside_and_brought_back(home: Path) -> None:
    raw(home, "a")
    path = recipe_file(home, "a")
    run(path)
    first = read_manifest(home / "runs" / "a")
    assert first
    assert states(run(path, "steps.a.clean.min_chars=3")) == [("a", "made"), ("after", "skipped")]
    aside = home / "runs" / SET_ASIDE / f"a-{first.key[:12]}"
    assert product_files(aside) == first.files
    assert states(run(path)) == [("a", "brought back"), ("after", "skipped")]
    assert read_manifest(home / "runs" / "a") == first
    assert states(run(path, "steps.a.clean.min_chars=3")) == [("a", "brought back"), ("after", "skipped")]


def test_result_comes_back_over_the_remains_of_a_killed_run_with_other_settings(home: Path) -> None:
    raw(home, "a")
    path = recipe_file(home, "a")
    run(path)
    first = read_manifest(home / "runs" / "a")
    raw(home, "a", "胸痛", wait=60)
    killer = kill_at_work(home, "a")
    with pytest.raises(SystemExit):
        run(path)
    killer.join()
    assert not (home / "runs" / "a" / MANIFEST).exists()
    raw(home, "a")
    assert states(run(path)) == [("a", "brought back"), ("after", "skipped")]
    assert read_manifest(home / "runs" / "a") == first


def test_result_is_set_aside_beside_an_equal_one(home: Path) -> None:
    raw(home, "a")
    path = recipe_file(home, "a")
    run(path)
    run(path, "steps.a.clean.min_chars=3")
    run_command("prepare", read_recipe(path).steps[0].config, replace=True)
    assert states(run(path, "steps.a.clean.min_chars=3")) == [("a", "made"), ("after", "skipped")]
    asides = [read_manifest(folder) for folder in (home / "runs" / SET_ASIDE).glob("a-*")]
    assert len(asides) == 2 and all(asides)


def test_directory_that_another_medtune_writes_to_is_not_set_aside(home: Path) -> None:
    raw(home, "a")
    path = recipe_file(home, "a")
    run(path)
    with (
        FileLock(home / "runs" / "a" / LOCK),
        pytest.raises(UserError, match="another medtune is writing to it"),
    ):
        run(path, "steps.a.clean.min_chars=3")
    assert states(run(path)) == [("a", "skipped"), ("after", "skipped")]


# ---- faults ----


def test_users_error_carries_the_name_of_its_step(home: Path) -> None:
    raw(home, "a")
    raw(home, "b")
    path = recipe_file(home, "a", "b")
    events: list[Event] = []
    with pytest.raises(UserError, match=r"^b: .*min_chars|^b: .*b\.jsonl:1: "):
        for event in run_recipe(read_recipe(path, ["steps.b.clean.min_chars=100"])):
            events.append(event)
    assert states(events) == [("a", "made")]
    assert states(run(path)) == [("a", "skipped"), ("b", "made"), ("after", "made")]


def test_killed_step_ends_the_run_and_is_done_again(home: Path) -> None:
    raw(home, "a", wait=60)
    path = recipe_file(home, "a")
    killer = kill_at_work(home, "a")
    with pytest.raises(SystemExit, match="a was killed by signal 9; run the same command again, it resumes"):
        run(path)
    killer.join()
    assert not (home / "runs" / "a" / MANIFEST).exists()
    (home / "a.jsonl.go").touch()
    assert states(run(path)) == [("a", "made"), ("after", "made")]


def test_failing_step_ends_the_others_at_work(home: Path) -> None:
    raw(home, "a", wait=60)
    raw(home, "b")
    path = recipe_file(home, "a", "b", jobs=2)
    with pytest.raises(UserError, match=r"^b: "):
        run(path, "steps.b.clean.min_chars=100")
    assert is_silent(home, "a")


# ---- several at once ----


def test_independent_steps_run_at_once_and_dependent_ones_wait(home: Path) -> None:
    raw(home, "a", wait=60)
    raw(home, "b", wait=60)
    (home / "b.jsonl.go").touch()
    path = recipe_file(home, "a", "b", jobs=2)
    seen: list[tuple[str, str]] = []
    for event in run_recipe(read_recipe(path)):
        seen.append((event.step.name, event.state))
        if (event.step.name, event.state) == ("b", "made"):
            assert wait_for_pulse(home, "a") != wait_for_pulse(home, "b")
            (home / "a.jsonl.go").touch()
    assert seen == [
        ("a", "started"), ("b", "started"), ("b", "made"), ("a", "made"),
        ("after", "started"), ("after", "made"),
    ]  # fmt: skip


def test_one_job_runs_one_step_at_a_time(home: Path) -> None:
    raw(home, "a", wait=0.2)
    raw(home, "b", wait=0.2)
    run(recipe_file(home, "a", "b"))
    assert pulses(home, "a")[-1][1] < pulses(home, "b")[0][1]


# ---- the end of the runner ----


def is_silent(home: Path, name: str) -> bool:
    """Whether the step's process is at work no more, within 5 seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        before = len(pulses(home, name))
        time.sleep(0.3)
        if len(pulses(home, name)) == before:
            return True
    return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_steps_end_with_their_runner_and_the_next_run_resumes(home: Path, how: signal.Signals) -> None:
    raw(home, "a", wait=60)
    path = recipe_file(home, "a")
    script = home / "run.py"
    script.write_text(RUN, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script), str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_pulse(home, "a")
        process.send_signal(how)
        assert process.wait() != 0
    finally:
        process.kill()
        process.wait()
    assert is_silent(home, "a")
    assert not (home / "runs" / "a" / MANIFEST).exists()
    (home / "a.jsonl.go").touch()
    assert states(run(path)) == [("a", "made"), ("after", "made")]
