"""The report on what is dangerous in answers, from saved scores, places and prompts only."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from medtune.evals.answers.items import Answer, Item
from medtune.evals.answers.measures import Draws, Place, Values, estimate_values, take, upper_bound
from medtune.evals.answers.safety_scores import FORM, MEASURES, MEDICINES, OLD, REFUSALS, TRIAGE, Mark
from medtune.evals.answers.safety_worst import FAULTS, find_faults, tabulate_worst
from medtune.evals.answers.tables import tabulate_measures
from medtune.records import Estimate, Phrase, Report, Score, Table
from medtune.reports.phrases import find_phrase, phrase
from medtune.reports.wording import words_of
from medtune.scorers.stats import wilson

FEW = 30
"""Below so many prompts of a kind the report warns: an interval is then wider than what one wants to know."""
SETTINGS = (
    ("triage", TRIAGE), ("medicines", MEDICINES), ("refusals", REFUSALS), ("form", FORM),
)  # fmt: skip


RULE_COLUMNS = ("rule", "rule_precision", "rule_recall", "labelled")
OLD_COLUMNS = ("old_rate", "old_value", "new_rate", "new_value")


class Measured(NamedTuple):
    """How good the rules are."""

    num_answers: int
    rules: dict[str, tuple[Estimate, Estimate, int]]
    """Precision, recall and the number of labels of each."""


@cache
def read_measured() -> Measured:
    """What was measured on answers that the rules were not made with."""
    path = Path(__file__).parent / "rules_measured.yaml"
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules: dict[str, dict[str, int]] = told["rules"]
    return Measured(
        told["num_answers"],
        {
            rule: (wilson(own["both"], own["found"]), wilson(own["both"], own["labelled"]), own["labelled"])
            for rule, own in rules.items()
        },
    )


def report_from(
    scores: Sequence[Score],
    items: Sequence[Item],
    marks: Sequence[Mark],
    answers: Sequence[Answer] | None,
    *,
    name: str,
    draws: Draws,
) -> Report:
    """The worst answers, triage, medicines, refusals and form, and how good the rules are."""
    by_id = {item.id: item for item in items}
    metrics = take(MEASURES, scores, by_id, draws)
    faults = find_faults(scores, by_id)
    num_answers = metrics["no_answer"].n
    tables = [
        *([tabulate_worst(faults, marks, answers)] if faults else []),
        *(
            tabulate_measures(f"safety_{part}", measures, metrics, section=phrase("section_figures"))
            for part, measures in SETTINGS
            if any(measure.name in metrics for measure in measures)
        ),
        tabulate_faults(faults, num_answers),
        *tabulate_groups(scores, items, faults, draws),
        tabulate_old(metrics),
        tabulate_rules(),
    ]
    return Report(
        task="safety",
        n=len(items),
        title=phrase("title_safety", name=name, n=num_answers),
        verdict=tuple(judge(metrics, num_faulty=len(faults), num_answers=num_answers)),
        details=(phrase("safety_limits"),),
        metrics=metrics,
        tables=tuple(tables),
        warnings=tuple(warn(metrics, items)),
    )


def judge(metrics: Mapping[str, Estimate], *, num_faulty: int, num_answers: int) -> list[Phrase]:
    """What was found, in short sentences, what harms first."""
    verdict: list[Phrase] = []
    if "triage_sensitivity" in metrics:
        one = metrics["triage_sensitivity"]
        verdict.append(phrase("verdict_missed", count=one.n - (one.count or 0), **words_of(one)))
    if "over_triage" in metrics:
        verdict.append(phrase("verdict_over_triage", **words_of(metrics["over_triage"])))
    for name in ("rx_with_dose", "stop_or_change_rx", "diagnosis_assertion"):
        one = metrics[name]
        told = phrase(f"fault_{name}")
        if one.value == 0:
            verdict.append(phrase("verdict_none", fault=told, n=one.n, bound=upper_bound(one.n)))
        else:
            verdict.append(phrase("verdict_some", fault=told, **words_of(one)))
    if "harmful_compliance" in metrics:
        verdict.append(phrase("verdict_compliance", **words_of(metrics["harmful_compliance"])))
    if "over_refusal" in metrics:
        verdict.append(phrase("verdict_over_refusal", **words_of(metrics["over_refusal"])))
    return [*verdict, phrase("verdict_faulty", count=num_faulty, n=num_answers)]


def warn(metrics: Mapping[str, Estimate], items: Sequence[Item]) -> list[Phrase]:
    """Why the figures must not be taken at their word."""
    warnings: list[Phrase] = []
    for name in ("no_answer", "truncated"):
        if count := metrics[name].count:
            warnings.append(phrase(f"warn_{name}", count=count, n=metrics[name].n))
    labels = {"urgency": [item.urgency for item in items], "request": [item.request for item in items]}
    for label, values in labels.items():
        if not any(values):
            warnings.append(phrase(f"warn_no_{label}"))
        elif missing := values.count(""):
            warnings.append(phrase("warn_some_labels", label=label, count=missing, n=len(items)))
    for value, count in (
        ("emergency", labels["urgency"].count("emergency")),
        ("none", labels["urgency"].count("none")),
        ("harmful", labels["request"].count("harmful")),
    ):
        if 0 < count < FEW:
            warnings.append(phrase("warn_few_prompts", kind=phrase(f"prompts_{value}"), count=count))
    return warnings


def tabulate_faults(faults: Mapping[Place, Sequence[str]], n: int) -> Table:
    """How many answers have each fault, the gravest first; an answer may have several."""
    counts = {fault.name: sum(fault.name in own for own in faults.values()) for fault in FAULTS}
    return Table(
        name="faults",
        title=phrase("title_safety_faults", n=n),
        columns=(phrase("column_faults"), phrase("column_answers")),
        rows=tuple((phrase(f"fault_{name}"), count) for name, count in counts.items() if count),
        section=phrase("section_figures"),
        chart="bars",
    )


def tabulate_groups(
    scores: Sequence[Score], items: Sequence[Item], faults: Mapping[Place, Sequence[str]], draws: Draws
) -> list[Table]:
    """Answers with a fault by category, and emergencies that were seen by specialty."""
    faulty: Values = {}
    seen: Values = {}
    for score in scores:
        if score.scorer == "no_answer":
            faulty.setdefault(score.id, []).append(float((score.id, score.sample) in faults))
        if score.scorer == "urgent_directive":
            seen.setdefault(score.id, []).append(score.value)
    emergencies = [item for item in items if item.urgency == "emergency"]
    tables = [
        tabulate_group("safety_categories", items, "category", faulty, draws=draws),
        tabulate_group("safety_specialties", emergencies, "specialty", seen, draws=draws),
    ]
    return [table for table in tables if table.rows]


def tabulate_group(
    name: str, items: Sequence[Item], label: Literal["category", "specialty"], values: Values, *, draws: Draws
) -> Table:
    """A share by kind of prompt, prompts without that label left out."""
    groups: dict[str, Values] = {}
    for item in items:
        if kind := item.category if label == "category" else item.specialty:
            groups.setdefault(kind, {})[item.id] = values[item.id]
    return Table(
        name=name,
        title=phrase(f"title_{name}"),
        columns=(phrase(f"column_{label}"), phrase(f"column_of_{label}")),
        rows=tuple(
            (name_kind(label, kind), estimate_values(own, draws)) for kind, own in sorted(groups.items())
        ),
        section=phrase("section_groups"),
        chart="intervals",
    )


def name_kind(label: str, kind: str) -> Phrase | str:
    """A category or department in words where the phrase table knows it, else as it is labelled."""
    return find_phrase(f"{label}_{kind}") or kind


def tabulate_old(metrics: Mapping[str, Estimate]) -> Table:
    """The three rates of an earlier script, by its rule and by the one that takes its place here."""
    pairs = {"old_think": "thinking", "old_urgent": "triage_sensitivity", "old_risky": "rx_with_dose"}
    rows = [
        (
            phrase(f"measure_{measure.name}"),
            metrics[measure.name],
            phrase(f"measure_{pairs[measure.name]}"),
            metrics.get(pairs[measure.name]),
        )
        for measure in OLD
    ]
    return Table(
        name="old",
        title=phrase("title_safety_old"),
        columns=tuple(phrase(f"column_{name}") for name in OLD_COLUMNS),
        rows=tuple(rows),
        notes=(phrase("note_safety_old"),),
        section=phrase("section_method"),
        is_detail=True,
    )


def tabulate_rules() -> Table:
    """How far each rule can be trusted."""
    return Table(
        name="rules",
        title=phrase("title_safety_rules"),
        columns=tuple(phrase(f"column_{name}") for name in RULE_COLUMNS),
        rows=tuple(
            (phrase(f"rule_{rule}"), precision, recall, labelled)
            for rule, (precision, recall, labelled) in read_measured().rules.items()
        ),
        notes=(phrase("note_safety_rules", n=read_measured().num_answers),),
        section=phrase("section_method"),
    )
