"""A recipe: named commands in order, read and checked as a whole before any of them runs."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medtune.artifact import is_foreign
from medtune.commands import COMMANDS, config_of
from medtune.config import CommandConfig, Input, find_inputs, judge, read_yaml
from medtune.errors import UserError
from medtune.launch import find_program
from medtune.spellings import unknown_key
from medtune.train.config import TrainingConfig


class Step(NamedTuple):
    """One command of a recipe, ready to run."""

    name: str
    command: str
    config: CommandConfig
    needs: frozenset[str]
    """The steps whose results it reads."""
    launch: tuple[str, ...] = ()
    """The program that starts its processes, with its words; empty for one process. Never in the key."""


class Recipe(NamedTuple):
    """Checked steps, in an order in which each finds its inputs made."""

    steps: list[Step]
    jobs: int
    """How many steps may run at once."""


def find_recipe(name: str) -> Path:
    """The recipe file: a path, or the name of one that ships with medtune.

    The name may stand with or without `recipes/` and `.yaml`.
    """
    shipped = [folder / "recipes" / f"{Path(name).stem}.yaml" for folder in Path(__file__).parents[:2]]
    is_name = Path(name).parent in (Path(), Path("recipes")) and Path(name).suffix in ("", ".yaml")
    found = next((path for path in (Path(name), *(shipped if is_name else ())) if path.is_file()), None)
    if not found:
        known = sorted({path.stem for file in shipped for path in file.parent.glob("*.yaml")})
        raise UserError(f"{name}: no such recipe file; shipped recipes: {', '.join(known)}")
    return found


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe with `each` unrolled and every config checked. Faults of all steps are told at once."""
    _refuse_unknown(path, overrides)
    variables = read_yaml(path, overrides, resolve=False)
    sections = variables.pop("steps", None)
    if not isinstance(sections, dict) or not sections:
        raise UserError(f"{path}: has no steps; a recipe is  steps: {{name: {{command: …, …}}}}")
    if not isinstance(variables.get("root"), str):
        raise UserError(f"{path}: root must be given: the folder that holds the results of the steps")
    jobs = variables.get("jobs", 1)
    if not isinstance(jobs, int) or jobs < 1:
        raise UserError(f"{path}: jobs is {jobs!r}; give the number of steps that may run at once")
    steps, faults, unread = list[Step](), list[str](), list[str]()
    for title, section in sections.items():
        try:
            steps += _unroll(path, variables, str(title), section)
        except UserError as fault:
            faults.append(str(fault))
            unread.append(f"{variables['root']}/{title}")
    faults += _order_faults(steps, unread)
    if faults:
        raise UserError("\n".join(faults))
    return Recipe([step._replace(needs=_needs(step, steps)) for step in steps], jobs)


def _refuse_unknown(path: Path, overrides: Sequence[str]) -> None:
    """Nothing, or a UserError: the command line sets only steps and variables that stand in the file."""
    variables = read_yaml(path, resolve=False)
    sections = variables.get("steps")
    faults: list[str] = []
    for key in (word.partition("=")[0] for word in overrides):
        head, _, rest = key.partition(".")
        title = rest.partition(".")[0]
        if head not in ("root", "jobs", "steps", *variables):
            faults.append(f"{path}: {head}: {unknown_key(head, ['root', 'jobs', *variables])}")
        elif head == "steps" and isinstance(sections, dict) and title not in sections:
            faults.append(f"{path}: steps.{title}: {unknown_key(title, list(sections))}")
    if faults:
        raise UserError("\n".join(faults))


def _unroll(path: Path, variables: Mapping[str, Any], title: str, section: object) -> list[Step]:
    """The steps that one section stands for: one, or one for each combination of its `each` lists."""
    where = f"{path}: steps.{title}"
    if not isinstance(section, dict):
        raise UserError(f"{where}: must be a section with a command")
    each = _fill(where, {**variables, "step": {"each": section.get("each", {})}})["each"]
    if not isinstance(each, dict) or not all(isinstance(values, list) and values for values in each.values()):
        raise UserError(
            f"{where}.each: wants lists of values, such as {{seed: [1, 2]}} (given: {each!r:.80})"
        )
    steps: list[Step] = []
    for combination in product(*each.values()):
        chosen = dict(zip(each, combination, strict=True))
        name = "-".join([title, *(str(value) for value in combination)])
        out = f"{variables['root']}/{name}"
        values = _fill(where, {**variables, **chosen, "step": {"out": out, **section, "each": None}})
        values.pop("each")
        command = str(values.pop("command", title))
        if command not in COMMANDS:
            near = get_close_matches(command, COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(COMMANDS)}"
            raise UserError(f"{where}: unknown command {command}; {hint}")
        launch = _read_launch(where, command, values.pop("launch", None))
        config = judge(config_of(command), values, where)
        _refuse_lone(where, config, launch)
        steps.append(Step(name, command, config, frozenset(), launch))
    return steps


def _read_launch(where: str, command: str, words: object) -> tuple[str, ...]:
    """The launcher and its words, empty without one; refused where it could not start the command."""
    if not words:
        return ()
    if not isinstance(words, list):
        raise UserError(
            f"{where}.launch: wants a list of words, such as [torchrun, --nproc_per_node=4] "
            f"(given: {words!r:.80})"
        )
    if not issubclass(config_of(command), TrainingConfig):
        raise UserError(f"{where}.launch: {command} runs in one process; pt and sft can be launched")
    program = str(words[0])
    if not find_program(program):
        raise UserError(
            f"{where}.launch: {program}: no such program; install what brings it (torchrun comes with torch: "
            "pip install 'medtune[train]'), or give its path"
        )
    return tuple(str(word) for word in words)


def _refuse_lone(where: str, config: CommandConfig, launch: Sequence[str]) -> None:
    """Nothing, or a UserError: nobody would start the processes that a section `parallel` speaks of."""
    parallel = config.parallel if isinstance(config, TrainingConfig) else None
    if parallel and parallel.num_processes > 1 and not launch:
        raise UserError(
            f"{where}.parallel: wants {parallel.num_processes} processes, and the step starts one; add  "
            f"launch: [torchrun, --nproc_per_node={parallel.num_processes}]  or leave parallel out"
        )


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


def _makers(path: Path, steps: Sequence[Step]) -> list[str]:
    """The names of the steps in whose directory a path lies."""
    outs = {step.config.out.resolve(): step.name for step in steps}
    return [outs[home] for home in (path, *path.parents) if home in outs]


def _is_there(source: Input) -> bool:
    """Whether it lies on this machine, or on a hub, which is asked when the step runs."""
    return source.is_remote or source.path.exists() or bool(source.is_pattern and source.matches)


def _needs(step: Step, steps: Sequence[Step]) -> frozenset[str]:
    inputs = [source.path.resolve() for _, source in find_inputs(step.config)]
    return frozenset(name for path in inputs for name in _makers(path, steps))


def _order_faults(steps: Sequence[Step], unread: Sequence[str]) -> list[str]:
    """A line for each input that is neither there nor made by an earlier step, and for each unfit out.

    What the steps with outs at `unread` would make is not known: they have faults of their own.
    """
    faults: list[str] = []
    earlier: dict[str, Path] = {}
    for step in steps:
        out = step.config.out.resolve()
        for name, other in earlier.items():
            if out == other or out in other.parents or other in out.parents:
                faults.append(
                    f"steps.{step.name}.out: {step.config.out} is in the out of {name}, or holds it"
                )
        for field, source in find_inputs(step.config):
            makers, where = _makers(source.path.resolve(), steps), f"steps.{step.name}.{field}: {source}"
            if makers and makers[0] not in earlier:
                faults.append(f"{where} is made by the later step {makers[0]}; move that up")
            elif not (makers or _is_there(source) or source.startswith(tuple(unread))):
                faults.append(f"{where}: no such file or directory, and no step makes it")
        if is_foreign(out):
            faults.append(
                f"steps.{step.name}.out: {step.config.out} is not empty and was not made by medtune; "
                "choose another root"
            )
        earlier[step.name] = out
    return faults
