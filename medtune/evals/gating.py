"""An evaluation's figures held against the limits that it was given."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import orjson
from pydantic import Field

from medtune.errors import UserError
from medtune.evals.evaluate_config import EvaluateConfig
from medtune.gates import GATES, Gate, Side
from medtune.records import Estimate, Phrase, Report, Row, Table
from medtune.reports.phrases import find_phrase, phrase


class Limits(Row):
    """What the figures must keep."""

    fail_under: dict[str, float] = Field(default_factory=dict)
    fail_over: dict[str, float] = Field(default_factory=dict)
    is_by_interval: bool = False
    """Whether the worse end of a figure's interval counts, and not its value."""


def limits_of(config: EvaluateConfig) -> Limits:
    """The limits that evaluate was told."""
    return Limits(
        fail_under=config.fail_under, fail_over=config.fail_over, is_by_interval=config.gate_on == "interval"
    )


def hold(limits: Limits, metrics: Mapping[str, Estimate]) -> list[Gate]:
    """Each limit with what was found. A metric that this evaluation does not have is refused."""
    gates: list[Gate] = []
    sides: dict[Side, dict[str, float]] = {"under": limits.fail_under, "over": limits.fail_over}
    for side, wanted in sides.items():
        for name, limit in wanted.items():
            one = find(metrics, name, f"fail_{side}")
            worse_end = one.low if side == "under" else one.high
            value = worse_end if limits.is_by_interval else one.value
            gates.append(Gate(metric=name, side=side, limit=limit, value=value))
    return gates


def find(metrics: Mapping[str, Estimate], name: str, field: str) -> Estimate:
    """The metric of that name."""
    if name in metrics:
        return metrics[name]
    near = get_close_matches(name, metrics, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(metrics))}"
    raise UserError(f"{field}: this evaluation has no metric {name}; {hint}")


def stamp_gates(report: Report, gates: Sequence[Gate]) -> Report:
    """The report with its gates: the ones that failed in the verdict, all of them in a table."""
    if not gates:
        return report
    failed = [gate for gate in gates if not gate.is_held]
    told = [say(gate) for gate in failed] or [phrase("verdict_gates_held", count=len(gates))]
    return report.model_copy(
        update={"verdict": (*told, *report.verdict), "tables": (tabulate(gates), *report.tables)}
    )


def say(gate: Gate) -> Phrase:
    """A gate that failed, as a sentence."""
    limit = phrase(f"gate_{gate.side}", limit=gate.limit)
    return phrase("verdict_gate_failed", metric=name_metric(gate.metric), value=gate.value, limit=limit)


def name_metric(name: str) -> Phrase | str:
    """The metric in words and by its name, where the phrase table knows it; else its name."""
    measure = find_phrase(f"measure_{name}")
    return phrase("metric_named", measure=measure, name=name) if measure else name


def tabulate(gates: Sequence[Gate]) -> Table:
    """What was asked of the figures, and whether they gave it; what failed first."""
    rows = [
        (
            name_metric(gate.metric),
            phrase(f"gate_{gate.side}", limit=gate.limit),
            gate.value,
            phrase("gate_held" if gate.is_held else "gate_failed"),
        )
        for gate in sorted(gates, key=lambda gate: gate.is_held)
    ]
    return Table(
        name="gates",
        title=phrase("title_gates"),
        columns=tuple(phrase(f"column_{name}") for name in ("metric", "limit", "found", "gate")),
        rows=tuple(rows),
    )


def render_gates(gates: Sequence[Gate]) -> dict[str, bytes]:
    """The file by which the command ends with 4; none where nothing was asked."""
    rows = [gate.model_dump(mode="json") for gate in gates]
    return {GATES: orjson.dumps(rows, option=orjson.OPT_INDENT_2) + b"\n"} if gates else {}
