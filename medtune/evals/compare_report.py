"""The report of a comparison, from the scores of its runs only."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from medtune.evals.compare_tables import (
    estimate_arms,
    tabulate_arms,
    tabulate_contrasts,
    tabulate_pairs,
    tabulate_subjects,
)
from medtune.evals.compare_words import (
    explain,
    explain_further,
    judge,
    judge_all_chances,
    judge_chance,
    judge_further,
)
from medtune.evals.contrasts import (
    ChanceCount,
    Contrast,
    Further,
    Trial,
    adjust,
    contrast_arms,
    count_against_chance,
)
from medtune.evals.exam import WAYS
from medtune.evals.exam_tables import name_way
from medtune.records import Estimate, Phrase, Report, Table, Way
from medtune.reports.phrases import phrase


class Measured(NamedTuple):
    """What the statistics say of one exam in one way."""

    way: Way
    found: list[Contrast]
    chances: dict[str, ChanceCount]
    means: dict[str, Estimate]


def report_on(
    trial: Trial,
    further: Sequence[Further] = (),
    *,
    warnings: Sequence[Phrase] = (),
    provenance: Mapping[str, str] | None = None,
) -> Report:
    """Arms, contrasts and seeds by way of answering; the verdict speaks of `trial.way` and further exams."""
    alone = [measure(exam.trial, exam.trial.way) for exam in further]
    main, *others = adjust_together([measure(trial, trial.way), *alone])
    num_tests = sum(len(one.found) for one in (main, *others))

    verdict = [judge(contrast) for contrast in main.found] + judge_all_chances(main.chances)
    details = [sentence for contrast in main.found for sentence in explain(contrast)]
    details += [judge_chance(arm, one) for arm, one in main.chances.items() if one.above < one.num_runs]
    metrics, tables = gather_metrics(main), tabulate(trial, main, num_tests)
    for exam, one in zip(further, others, strict=True):
        verdict += judge_further(exam, one.found, one.chances, main.found, num_tests=num_tests)
        details += explain_further(exam, one.found)
        metrics |= {f"{exam.name}.{name}": value for name, value in gather_metrics(one).items()}
        tables += [label(table, exam) for table in tabulate(exam.trial, one, num_tests)]
    for way in WAYS:
        if way in trial.right and way != trial.way:
            one = measure(trial, way)
            metrics |= gather_metrics(one)
            tables += tabulate(trial, one, len(one.found))
    return Report(
        task="compare",
        n=len(trial.items),
        title=phrase("title_compare", arms=" · ".join(trial.right[trial.way]), n=len(trial.items)),
        verdict=tuple(verdict),
        details=tuple(details),
        metrics=metrics,
        tables=tuple(tables),
        warnings=tuple(warnings),
        provenance=dict(provenance or {}),
    )


def measure(trial: Trial, way: Way) -> Measured:
    """Contrasts (adjusted for their own number), arms and how they stand against guessing."""
    found = contrast_arms(
        trial.right[way],
        trial.contrasts,
        [item.cluster for item in trial.items],
        seed=(trial.seed, WAYS.index(way)),
        num_resamples=trial.num_resamples,
    )
    chances = {arm: count_against_chance(right, trial.items) for arm, right in trial.right[way].items()}
    return Measured(way, found, chances, estimate_arms(trial, way))


def adjust_together(exams: Sequence[Measured]) -> list[Measured]:
    """The exams, the p of all their contrasts adjusted as one family."""
    adjusted = iter(adjust([contrast for exam in exams for contrast in exam.found]))
    return [exam._replace(found=list(islice(adjusted, len(exam.found)))) for exam in exams]


def gather_metrics(exam: Measured) -> dict[str, Estimate]:
    """Accuracies and differences by name."""
    metrics = {f"{exam.way}.accuracy.{arm}": mean for arm, mean in exam.means.items()}
    metrics |= {f"{exam.way}.difference.{one.better}-{one.worse}": one.difference for one in exam.found}
    return metrics | {
        f"{exam.way}.over_seeds.{one.better}-{one.worse}": one.general.estimate
        for one in exam.found
        if one.general
    }


def tabulate(trial: Trial, exam: Measured, num_tests: int) -> list[Table]:
    """The tables of an exam in one way, its p adjusted for so many tests."""
    return [
        tabulate_arms(trial, exam.way, exam.means, exam.chances),
        tabulate_contrasts(exam.way, exam.found, num_tests=num_tests),
        tabulate_pairs(exam.way, exam.found),
        *tabulate_subjects(trial, exam.way),
    ]


def label(table: Table, exam: Further) -> Table:
    """The table under the heading of a further exam."""
    heading = phrase(
        "section_further",
        exam=exam.name,
        purpose=phrase(f"purpose_{exam.purpose}"),
        n=len(exam.trial.items),
        way=name_way(exam.trial.way),
    )
    notes = table.notes
    if exam.purpose == "forgetting" and table.name == f"{exam.trial.way}_contrasts":
        notes = (*notes, phrase("note_forgetting"))
    return table.model_copy(update={"name": f"{exam.name}_{table.name}", "section": heading, "notes": notes})
