"""The command that compares evaluations of several arms, question by question."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from medtune.artifact import Counts, digest_of, read_jsonl, write_jsonl
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.compare_report import report_on
from medtune.evals.config import CompareConfig
from medtune.evals.contrasts import Trial, match_runs
from medtune.evals.exam import WAYS, Item, way_of
from medtune.evals.exam_tables import name_way
from medtune.records import Phrase, Report, Score, Way
from medtune.reports.phrases import phrase
from medtune.reports.report import write_reports

NEUTRAL = (
    "name",
    "predictions",
    "exam_items_seen",
    "medtune",
    "predict.engine.model",
    "predict.engine.adapter",
)
"""What may differ between runs of a fair comparison."""


class Evaluation(NamedTuple):
    """What one evaluate directory holds."""

    folder: Input
    items: list[Item]
    """Sorted by id."""
    scores: dict[Way, dict[str, Score]]
    report: Report


def run(config: CompareConfig) -> Counts:
    """How the arms differ. Writes the report, every run's answers, and the items fixed and broken."""
    refuse_repeats(config)
    arms = {arm: [read_evaluation(folder) for folder in folders] for arm, folders in config.arms.items()}
    runs = [evaluation for evaluations in arms.values() for evaluation in evaluations]
    for other in runs[1:]:
        refuse_other_exam(runs[0], other)
    shared: list[Way] = [way for way in WAYS if all(way in evaluation.scores for evaluation in runs)]
    way = config.way or next(iter(shared), "generate")
    if way not in shared:
        lacking = next(evaluation for evaluation in runs if way not in evaluation.scores)
        known = ", ".join(shared) or "none, evaluate them alike"
        raise UserError(f"{lacking.folder}: has no `{way}` scores; ways of all runs: {known}")
    items = runs[0].items
    trial = Trial(
        items=items,
        right={way: {arm: mark(evaluations, way) for arm, evaluations in arms.items()} for way in shared},
        contrasts=config.contrasts or tuple((arm, next(iter(arms))) for arm in list(arms)[1:]),
        way=way,
        num_resamples=config.num_resamples,
        seed=config.seed,
    )
    report = report_on(trial, warnings=gather_warnings(arms, shared), provenance=describe(config, arms, way))
    write_reports(report, config.out)
    write_jsonl(config.out / "answers.jsonl", (list_answers(item, arms, way) for item in items))
    write_jsonl(config.out / "changed.jsonl", list_changes(trial, arms))
    differences = {
        name: value for name, value in report.metrics.items() if name.startswith(f"{way}.difference")
    }
    return {
        "n": len(items),
        "num_runs": len(runs),
        "num_warnings": len(report.warnings),
        **{name: round(100 * estimate.value, 2) for name, estimate in differences.items()},
    }


# ---- reading and refusing ----


def read_evaluation(folder: Input) -> Evaluation:
    """Items, scores and report of an evaluate directory."""
    items = sorted(read_jsonl(folder.path / "items.jsonl", Item), key=lambda item: item.id)
    scores: dict[Way, dict[str, Score]] = {}
    for score in read_jsonl(folder.path / "scores.jsonl", Score):
        if score.order is not None:  # other orders of the options speak of robustness, not of accuracy
            continue
        way = way_of(score.scorer)
        if way is None or score.id in scores.get(way, {}):
            raise UserError(
                f"{folder}: scores.jsonl was not written by evaluate ({score.scorer}, {score.id})"
            )
        scores.setdefault(way, {})[score.id] = score
    names = {item.id for item in items}
    for way, found in scores.items():
        if set(found) != names:
            raise UserError(f"{folder}: its `{way}` scores and its items are not the same; evaluate again")
    path = folder.path / "report.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; name directories that evaluate made")
    try:
        report = Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path}: not a report of this version ({error.error_count()} faults); evaluate again"
        ) from None
    return Evaluation(folder, items, scores, report)


def refuse_repeats(config: CompareConfig) -> None:
    """Nothing, or a UserError when a directory is named twice: a run compared with itself tells nothing."""
    places: dict[Path, str] = {}
    for arm, folders in config.arms.items():
        for folder in folders:
            place = folder.path.resolve()
            if place in places:
                raise UserError(
                    f"{folder}: stands in arm {places[place]} and again in {arm}; name each run once"
                )
            places[place] = arm


def refuse_other_exam(one: Evaluation, other: Evaluation) -> None:
    """Nothing, or a UserError when two runs did not answer the same items with the same key."""
    if {item.id for item in one.items} != {item.id for item in other.items}:
        more = len({item.id for item in one.items} ^ {item.id for item in other.items})
        raise UserError(
            f"{other.folder}: {more} items are not those of {one.folder}; evaluate both on one exam"
        )
    for mine, theirs in zip(one.items, other.items, strict=True):
        one_told, other_told = mine.model_dump(), theirs.model_dump()
        # What kind of question it is may be told by one only: an audit tells more.
        fields = [name for name in Item.model_fields if name != "tags" and one_told[name] != other_told[name]]
        if fields:
            raise UserError(
                f"{other.folder}: item {mine.id} differs from {one.folder} in {', '.join(fields)}; "
                "evaluate both with one questions file"
            )


def mark(evaluations: Sequence[Evaluation], way: Way) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """0 or 1 by run and item, shape (runs, n), items sorted by id."""
    return np.array(
        [[run.scores[way][item.id].value for item in run.items] for run in evaluations], dtype=np.float64
    )


# ---- what the report tells besides ----


def gather_warnings(arms: dict[str, list[Evaluation]], shared: Sequence[Way]) -> list[Phrase]:
    """The warnings of the inputs by arm, and what makes the comparison unfair or incomplete."""
    warnings: list[Phrase] = []
    for arm, evaluations in arms.items():
        told = [warning for evaluation in evaluations for warning in evaluation.report.warnings]
        warnings += [
            phrase("warn_arm", arm=arm, warning=warning)
            for place, warning in enumerate(told)
            if warning not in told[:place]
        ]
        digests = [evaluation.report.provenance.get("predictions", "") for evaluation in evaluations]
        if len(set(digests)) < len(digests):
            warnings.append(phrase("warn_identical", arm=arm))
    runs = [evaluation for evaluations in arms.values() for evaluation in evaluations]
    names = sorted({name for evaluation in runs for name in evaluation.report.provenance} - set(NEUTRAL))
    differing = [name for name in names if len({one.report.provenance.get(name) for one in runs}) > 1]
    if differing:
        warnings.append(phrase("warn_settings", names=", ".join(differing)))
    left_out: list[Way] = [
        way for way in WAYS if way not in shared and any(way in one.scores for one in runs)
    ]
    return warnings + [phrase("warn_way", way=name_way(way)) for way in left_out]


def describe(config: CompareConfig, arms: dict[str, list[Evaluation]], way: Way) -> dict[str, str]:
    """Where the numbers are from."""
    told = {"num_resamples": str(config.num_resamples), "seed": str(config.seed), "way": way}
    for arm, evaluations in arms.items():
        for number, evaluation in enumerate(evaluations, 1):
            provenance = evaluation.report.provenance
            seen = provenance.get("exam_items_seen", "?")
            told[f"{arm}.{number}"] = (
                f"{provenance.get('name', '')} · {digest_of(evaluation.folder)[:16]} · exam_items_seen {seen}"
            )
    return told


def list_answers(item: Item, arms: dict[str, list[Evaluation]], way: Way) -> dict[str, object]:
    """What every run answered to one item."""
    answers = {
        arm: [run.scores[way][item.id].answer for run in evaluations] for arm, evaluations in arms.items()
    }
    return {"id": item.id, "subject": item.subject, "gold": item.gold, "answers": answers}


def list_changes(trial: Trial, arms: dict[str, list[Evaluation]]) -> Iterator[dict[str, object]]:
    """The items that one run has right and the run it is held against wrong: fixed, or broken."""
    for better, worse in trial.contrasts:
        for pair, (first, second) in enumerate(match_runs(len(arms[better]), len(arms[worse])), 1):
            one, two = arms[better][first].scores[trial.way], arms[worse][second].scores[trial.way]
            for item in trial.items:
                gain = one[item.id].value - two[item.id].value
                if gain:
                    yield {
                        "id": item.id,
                        "subject": item.subject,
                        "contrast": f"{better}-{worse}",
                        "pair": pair,
                        "change": "fixed" if gain > 0 else "broken",
                        "gold": item.gold,
                        "answer": one[item.id].answer,
                        "before": two[item.id].answer,
                    }
