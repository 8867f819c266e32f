"""What evaluations say of a model, for its card: figures with intervals, and gates."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from medtune.artifact import digest_of
from medtune.config import Input
from medtune.errors import UserError
from medtune.gates import read_gates
from medtune.records import Estimate, Report
from medtune.reports.phrases import fill, find_phrase
from medtune.reports.wording import word_cell

EXAM, OLD = "evaluate", "old_"
"""The task of exams' reports, and the beginning of figures by rules that are kept for comparison only."""


class Figure(NamedTuple):
    """A line of the card."""

    name: str
    """In Chinese and English where the phrase table knows the metric."""
    value: str
    n: int


class Evaluated(NamedTuple):
    """An evaluation as the card tells it."""

    title: str
    figures: list[Figure]
    gates: list[str]
    is_named_only: bool
    """Whether the answers came from a server, so that the model is known by its name alone."""


def read_evaluations(sources: tuple[Input, ...], *, model: Input, adapter: Input | None) -> list[Evaluated]:
    """What each evaluation says; one of another model, or none at all, is refused."""
    if not sources:
        return []
    exported = {"model": digest_of(model), "adapter": digest_of(adapter) if adapter else "None"}
    return [read_evaluation(source, exported) for source in sources]


def read_evaluation(source: Input, exported: Mapping[str, str]) -> Evaluated:
    """What one evaluation says; `exported` are the digests of what it has to be of."""
    path = source.path / "report.json"
    try:
        report = Report.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"evaluations: {path}: no such file; name a directory that evaluate made") from None
    except ValidationError:
        raise UserError(f"evaluations: {path}: not a report of this version; evaluate again") from None
    told = report.provenance
    is_named_only = told.get("predict.engine.type", "hf") != "hf"
    if not is_named_only:
        own = {name: told.get(f"predict.engine.{name}", "None") for name in exported}
        strange = [name for name, digest in exported.items() if digest[: len(own[name])] != own[name]]
        if strange:
            raise UserError(
                f"evaluations: {source}: is not of this {strange[0]}; evaluate the model that is exported"
            )
    chosen = {name: one for name, one in report.metrics.items() if is_told(name, report.task)}
    return Evaluated(
        " · ".join(fill(report.title, language) for language in ("zh", "en")),
        [Figure(name_in_both(name), word_figure(one), one.n) for name, one in chosen.items()],
        [gate.word() for gate in read_gates(source.path)],
        is_named_only,
    )


def is_told(name: str, task: str) -> bool:
    """Whether a card tells this metric: of exams the accuracies, of answers all but the old rules' rates."""
    return name.endswith(".accuracy") if task == EXAM else not name.startswith(OLD)


def name_in_both(name: str) -> str:
    """The metric in words and by its key."""
    measure = find_phrase(f"measure_{name}")
    if measure is None:
        return f"`{name}`"
    return f"{fill(measure, 'zh')} · {fill(measure, 'en')} (`{name}`)"


def word_figure(one: Estimate) -> str:
    """The value with its 95 % interval."""
    words = word_cell(one, "en")
    return f"{words.main} [{words.interval}]"
