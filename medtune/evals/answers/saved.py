"""The saved files of an evaluation of free answers, and every page of its report: made from these alone."""

from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from medtune.artifact import write_bytes, write_json, write_jsonl
from medtune.errors import UserError
from medtune.evals.answers import judged_report, open_report, safety_report
from medtune.evals.answers.items import Answer, Item
from medtune.evals.answers.judged import score_judged
from medtune.evals.answers.measures import Draws
from medtune.evals.answers.open_scores import LIKELIHOODS, score_open
from medtune.evals.answers.safety_scores import Mark, assess_all
from medtune.evals.gating import hold, render_gates, stamp_gates
from medtune.evals.judgements import Judgement
from medtune.evals.saved import ITEMS, SCORES, STAMP, Pages, Stamp, read_rows, read_stamp
from medtune.records import Report, Score
from medtune.reports.report import render_reports

ANSWERS, MARKS, JUDGEMENTS = "answers.jsonl", "marks.jsonl", "judgements.jsonl"
SOURCES = (SCORES, ITEMS, STAMP, ANSWERS, MARKS, JUDGEMENTS)
"""What a report is made from; `answers.jsonl` is not there where texts are not shown."""


class Saved(NamedTuple):
    """All that a report is made from."""

    scores: list[Score]
    items: list[Item]
    answers: list[Answer] | None
    """None where the report shows no texts."""
    stamp: Stamp
    marks: tuple[Mark, ...] = ()
    """What the safety rules found."""
    judgements: tuple[Judgement, ...] = ()
    """What a judge said."""


def publish(saved: Saved, out: Path) -> Report:
    """The report; `out` holds what `read_saved` reads, and every page."""
    write_jsonl(out / SCORES, saved.scores)
    write_jsonl(out / ITEMS, saved.items)
    if saved.answers is not None:
        write_jsonl(out / ANSWERS, saved.answers)
    if saved.stamp.task == "safety":
        write_jsonl(out / MARKS, saved.marks)
    if saved.stamp.task == "judge":
        write_jsonl(out / JUDGEMENTS, saved.judgements)
    write_json(out / STAMP, saved.stamp.model_dump(mode="json"))
    report, files = render_pages(saved)
    for name, content in files.items():
        write_bytes(out / name, content)
    return report


def read_saved(folder: Path) -> Saved:
    """What an evaluation left; a fault names file and line."""
    stamp = read_stamp(folder)
    return Saved(
        scores=read_rows(folder / SCORES, Score),
        items=read_rows(folder / ITEMS, Item),
        answers=read_rows(folder / ANSWERS, Answer) if (folder / ANSWERS).exists() else None,
        stamp=stamp,
        marks=tuple(read_rows(folder / MARKS, Mark)) if stamp.task == "safety" else (),
        judgements=tuple(read_rows(folder / JUDGEMENTS, Judgement)) if stamp.task == "judge" else (),
    )


def render_pages(saved: Saved) -> Pages:
    """The report, and every file that tells it."""
    draws = Draws(saved.stamp.num_resamples, saved.stamp.seed)
    if saved.stamp.task == "safety":
        report = safety_report.report_from(
            saved.scores, saved.items, saved.marks, saved.answers, name=saved.stamp.name, draws=draws
        )
    elif saved.stamp.task == "open":
        report = open_report.report_from(
            saved.scores, saved.items, saved.answers, name=saved.stamp.name, draws=draws
        )
    else:
        report = judged_report.report_from(
            saved.scores, saved.items, saved.judgements, saved.answers, name=saved.stamp.name, draws=draws
        )
    gates = hold(saved.stamp.limits, report.metrics)
    report = report.model_copy(
        update={"warnings": (*saved.stamp.warnings, *report.warnings), "provenance": saved.stamp.provenance}
    )
    report = stamp_gates(report, gates)
    return Pages(report, {**render_gates(gates), **render_reports(report)})


def check_scores(saved: Saved, folder: Path, *, advice: str) -> str:
    """What was checked: every score is what the texts or the judgements give again. A difference is refused.

    Without texts, or with a formulary or drug names that are not kept, the safety rules cannot be run again;
    nor is a base model asked again.
    """
    counts = f"{len(saved.scores)} scores of {len(saved.items)} prompts"
    if saved.answers is None or not saved.stamp.provenance.keys().isdisjoint(("formulary", "drugs")):
        return f"{counts}; not scored again, since texts, formulary or drug names are not kept here"
    if saved.stamp.task == "safety":
        again = assess_all(saved.answers, {item.id: item for item in saved.items}).scores
    elif saved.stamp.task == "open":
        again = score_open(saved.answers, seed=saved.stamp.seed)
    else:
        again = score_judged(saved.judgements, saved.answers)
    by_model = {measure.scorer for measure in LIKELIHOODS}
    kept = [score for score in saved.scores if score.scorer not in by_model]
    for line, (found, given) in enumerate(zip_longest(kept, again), 1):
        if found != given:
            told = f"the saved files give {given.scorer} {given.value:g}" if given else "is one too many"
            raise UserError(f"{folder / SCORES}:{line}: {told}; {advice}")
    unasked = len(saved.scores) - len(kept)
    told = f"; {unasked} by the base model, which was not asked again" if unasked else ""
    return f"{counts}, each as the saved files give it{told}"
