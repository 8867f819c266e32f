"""A step in processes of its own: a launcher such as torchrun starts them, and how they end comes back.

torchrun ends with 1 whatever its processes ended with, and with pages of its own. So the first process writes
down how it ended, and whoever started the launcher reads that and ends them all.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from filelock import FileLock, Timeout

from medtune.artifact import write_json
from medtune.commands import config_of, run_command
from medtune.config import CommandConfig, judge
from medtune.errors import Diverged, Interrupted, UserError, show_advice

STEP, ENDING, STOP, LEASH = "step.json", "ending.json", "stop", "leash"
"""What to do, how it ended, a wish to stop, and a lock that the starter holds while it lives."""
ENDINGS: dict[int, type[UserError | Interrupted]] = {
    kind.exit_code: kind for kind in (UserError, Diverged, Interrupted)
}
GRACE_SECONDS = 20
"""How long a process that ended waits to be ended: the launcher would end the others before they have."""


def find_program(name: str) -> str | None:
    """The path of a program, beside this Python first, so that its environment need not be active."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return shutil.which(name, path=os.pathsep.join(places))


def run_launched(launch: Sequence[str], command: str, config: CommandConfig) -> None:
    """Nothing, once the command has run as `launch … -m medtune.launch`; the error that it ended with."""
    with TemporaryDirectory(prefix="medtune-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_json(folder / STEP, {"command": command, "config": config.model_dump(mode="json")})
        program = find_program(launch[0])
        assert program, "the recipe was checked"
        with FileLock(folder / LEASH), _noting_signals() as asked:
            words = [program, *launch[1:], "-m", "medtune.launch", name]
            # In a session of its own, so that a Ctrl-C reaches it by way of us alone.
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                code = _await_end(process, folder, asked)
            finally:
                process.kill()
                process.wait()
        ending = _read_ending(folder)
    if ending:
        raise ending
    if asked:
        raise Interrupted(f"stopped by {signal.Signals(asked[0]).name}")
    if code:
        sys.exit(code if code > 0 else 128 - code)


def _await_end(process: subprocess.Popen[bytes], folder: Path, asked: Sequence[int]) -> int | None:
    """The launcher's exit code; None when its first process has told how it ended."""
    while (code := process.poll()) is None and not (folder / ENDING).exists():
        if asked:
            (folder / STOP).touch()
        time.sleep(0.05)
    return code


def _read_ending(folder: Path) -> UserError | Interrupted | None:
    if not (folder / ENDING).exists():
        return None
    told = orjson.loads((folder / ENDING).read_bytes())
    return ENDINGS[told["exit_code"]](told["message"])


@contextmanager
def _noting_signals() -> Generator[list[int]]:
    """The signals that came in the meantime; the command is to end by them, not its starter."""
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, lambda which, _: came.append(which)) for number in numbers
    }
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- in each process that the launcher starts ----


def main() -> None:
    """Nothing; one of the processes has done the command that the folder named first tells."""
    folder = Path(sys.argv[1])
    if not (folder / STEP).exists():
        sys.exit(1)  # whoever wanted it is gone
    sys.path.append(os.getcwd())  # where a user's own `my_module:function` lies
    show_advice()
    is_first = os.environ.get("RANK", "0") == "0"  # torchrun's way to number them
    threading.Thread(target=_stay_on_leash, args=(folder, is_first), daemon=True).start()
    told = orjson.loads((folder / STEP).read_bytes())
    code: int | str | None = 0
    try:
        config = judge(config_of(told["command"]), told["config"], told["command"])
        run_command(told["command"], config, replace=True)
    except (UserError, Interrupted) as error:
        code = error.exit_code
        if is_first or (isinstance(error, UserError) and not (folder / ENDING).exists()):
            write_json(folder / ENDING, {"exit_code": code, "message": str(error)})
    except SystemExit as end:
        code = end.code
    if code:
        time.sleep(GRACE_SECONDS)
    sys.exit(code)


def _stay_on_leash(folder: Path, is_first: bool) -> None:
    """Ends the process with its starter, and passes on its wish to stop."""
    is_asked = False
    while (folder / STEP).exists():
        try:
            FileLock(folder / LEASH, timeout=0).acquire()
            break
        except Timeout:
            pass
        if is_first and not is_asked and (folder / STOP).exists():
            is_asked = True
            signal.raise_signal(signal.SIGTERM)  # training tells the other processes
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)  # a killed starter could not
    os._exit(1)


if __name__ == "__main__":
    main()
