"""A recipe: named commands in order. All are checked before the first runs; what is made is skipped, the rest resumes."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medtune.artifact import CHECKPOINTS, MANIFEST, STARTED, Claim, Counts, claim, read_manifest, state_of
from medtune.commands import COMMANDS, config_of, run_command
from medtune.config import CommandConfig, find_inputs, judge, read_yaml
from medtune.errors import UserError

SET_ASIDE = ".previous"
"""Folder beside the steps where results of earlier settings wait, in case those settings return."""


class Step(NamedTuple):
    """One command of a recipe, ready to run."""

    name: str
    command: str
    config: CommandConfig


class Event(NamedTuple):
    """What the runner tells the screen."""

    step: Step
    number: int
    total: int
    state: Literal["skipped", "brought back", "started", "made"]
    seconds: float
    counts: Counts


# ---- reading ----


def find_recipe(name: str) -> Path:
    """The recipe file: a path, or the name of one that ships with medtune."""
    shipped = [folder / "recipes" / f"{Path(name).stem}.yaml" for folder in Path(__file__).parents[:2]]
    found = next((path for path in (Path(name), *shipped) if path.is_file()), None)
    if not found:
        known = sorted({path.stem for file in shipped for path in file.parent.glob("*.yaml")})
        raise UserError(f"{name}: no such recipe file; shipped recipes: {', '.join(known)}")
    return found


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> list[Step]:
    """The steps of a recipe with `each` unrolled, every config checked. Faults of all steps are told at once."""
    variables = read_yaml(path, overrides, resolve=False)
    sections = variables.pop("steps", None)
    if not isinstance(sections, dict) or not sections:
        raise UserError(f"{path}: has no steps; a recipe is  steps: {{name: {{command: …, …}}}}")
    if not isinstance(variables.get("root"), str):
        raise UserError(f"{path}: root must be given: the folder that holds the results of the steps")
    steps: list[Step] = []
    faults: list[str] = []
    for title, section in sections.items():
        try:
            steps += _unroll(path, variables, str(title), section)
        except UserError as fault:
            faults.append(str(fault))
    faults += _order_faults(steps)
    if faults:
        raise UserError("\n".join(faults))
    return steps


def _unroll(path: Path, variables: Mapping[str, Any], title: str, section: object) -> list[Step]:
    """The steps that one section stands for: one, or one for each combination of its `each` lists."""
    where = f"{path}: steps.{title}"
    if not isinstance(section, dict):
        raise UserError(f"{where}: must be a section with a command")
    each = _fill(where, {**variables, "step": {"each": section.get("each", {})}})["each"]
    steps: list[Step] = []
    for combination in product(*each.values()):
        chosen = dict(zip(each, combination, strict=True))
        name = "-".join([title, *(str(value) for value in combination)])
        values = _fill(where, {**variables, **chosen, "step": {**section, "each": None}})
        values = {"out": f"{variables['root']}/{name}", **values}
        values.pop("each")
        command = str(values.pop("command", title))
        if command not in COMMANDS:
            near = get_close_matches(command, COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(COMMANDS)}"
            raise UserError(f"{where}: unknown command {command}; {hint}")
        steps.append(Step(name, command, judge(config_of(command), values, where)))
    return steps


def _fill(where: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    try:
        filled = OmegaConf.create(dict(tree))
        step = filled["step"]
        assert isinstance(step, DictConfig)
        container = OmegaConf.to_container(step, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _order_faults(steps: Sequence[Step]) -> list[str]:
    """A line for each input that neither exists nor is made by an earlier step, and for each out used twice."""
    faults: list[str] = []
    makers = {step.config.out.resolve(): step.name for step in steps}
    earlier: set[Path] = set()
    for step in steps:
        out = step.config.out.resolve()
        if out in earlier:
            faults.append(f"steps.{step.name}.out: {step.config.out} is the out of another step too")
        for field, source in find_inputs(step.config):
            path = source.path.resolve()
            homes = [home for home in (path, *path.parents) if home in makers]
            if homes and homes[0] not in earlier:
                faults.append(f"steps.{step.name}.{field}: {source} is made by the later step {makers[homes[0]]}; move that up")
            elif not homes and not path.exists() and not source.is_hub_id:
                faults.append(f"steps.{step.name}.{field}: {source}: no such file or directory, and no step makes it")
        if state_of(out, key="") == "other" and not (out / MANIFEST).exists() and not (out / STARTED).exists():
            faults.append(f"steps.{step.name}.out: {step.config.out} is not empty and was not made by medtune; choose another root")
        earlier.add(out)
    return faults


# ---- running ----


def run_recipe(steps: Sequence[Step]) -> Iterator[Event]:
    """What happens, step by step. A step whose settings changed has its old result set aside, never deleted."""
    workers = _workers(steps)
    for number, step in enumerate(steps, 1):
        clock = time.monotonic()
        job = claim(step.command, COMMANDS[step.command].version, step.config)
        state = state_of(step.config.out, job.key)
        if state != "made" and _bring_back(job):
            yield _event(step, number, steps, "brought back", clock)
        elif state == "made":
            yield _event(step, number, steps, "skipped", clock)
        else:
            if state == "other":
                _set_aside(step.config.out)
            yield _event(step, number, steps, "started", clock)
            _run_apart(workers, step)
            yield _event(step, number, steps, "made", clock)


def _event(
    step: Step,
    number: int,
    steps: Sequence[Step],
    state: Literal["skipped", "brought back", "started", "made"],
    clock: float,
) -> Event:
    manifest = read_manifest(step.config.out)
    return Event(step, number, len(steps), state, time.monotonic() - clock, manifest.counts if manifest else {})


def _aside(out: Path, key: str) -> Path:
    return out.parent / SET_ASIDE / f"{out.name}-{key[:12]}"


def _set_aside(out: Path) -> None:
    """Nothing; what stands in `out` waits under `.previous/` (unfinished work only when it can be resumed)."""
    manifest = read_manifest(out)
    if manifest or (out / CHECKPOINTS).exists():
        place = _aside(out, manifest.key if manifest else f"unfinished-{time.time_ns()}")
        place.parent.mkdir(exist_ok=True)
        out.rename(place)


def _bring_back(job: Claim) -> bool:
    """Whether a result of just these settings had been set aside; it stands in `out` again."""
    out, waiting = job.config.out, _aside(job.config.out, job.key)
    manifest = read_manifest(waiting) if waiting.is_dir() else None
    if not manifest or manifest.key != job.key:
        return False
    if out.exists():
        _set_aside(out)
    waiting.rename(out)
    return True


def _workers(steps: Sequence[Step]) -> multiprocessing.context.BaseContext:
    """How a step gets a process of its own: forked from a server that has imported torch once, where the system can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({COMMANDS[step.command].module for step in steps}))
    return context


def _run_apart(workers: multiprocessing.context.BaseContext, step: Step) -> None:
    """Nothing, once the step's own process has made its directory."""
    inbox, outbox = workers.Pipe(duplex=False)
    process = workers.Process(target=_work, args=(step.command, step.config, outbox), name=step.name)  # type: ignore[attr-defined]
    process.start()
    outbox.close()
    try:
        fault = inbox.recv()
    except EOFError:
        fault = None
    process.join()
    if fault:
        raise UserError(f"{step.name}: {fault}")
    if process.exitcode:
        how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"exit code {process.exitcode}"
        raise SystemExit(f"{step.name} ended with {how}; run the same command again, it resumes")


def _work(command: str, config: CommandConfig, outbox: Connection) -> None:
    """The life of a step's process. It ends with its parent, so that no orphan goes on writing."""
    parent = multiprocessing.parent_process()
    assert parent

    def follow_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
    try:
        run_command(command, config, replace=True)
    except UserError as error:
        outbox.send(str(error))
        sys.exit(2)
    outbox.send(None)
