"""The report of a comparison, from the scores of its runs only."""

from collections.abc import Mapping, Sequence

from medtune.evals.compare_tables import (
    estimate_arms,
    tabulate_arms,
    tabulate_contrasts,
    tabulate_pairs,
    tabulate_subjects,
)
from medtune.evals.contrasts import (
    MIN_SEEDS,
    ChanceCount,
    Contrast,
    Trial,
    contrast_arms,
    count_against_chance,
)
from medtune.evals.exam import WAYS
from medtune.records import Estimate, Phrase, Report, Table
from medtune.reports.phrases import phrase, say_p
from medtune.reports.wording import word_points


def report_on(
    trial: Trial, *, warnings: Sequence[Phrase] = (), provenance: Mapping[str, str] | None = None
) -> Report:
    """Arms, contrasts and seeds by way of answering; the verdict speaks of `trial.way`."""
    metrics: dict[str, Estimate] = {}
    tables: list[Table] = []
    verdict: list[Phrase] = []
    details: list[Phrase] = []
    for way in (trial.way, *(way for way in WAYS if way != trial.way)):
        if way not in trial.right:
            continue
        found = contrast_arms(
            trial.right[way],
            trial.contrasts,
            [item.cluster for item in trial.items],
            seed=(trial.seed, WAYS.index(way)),
            num_resamples=trial.num_resamples,
        )
        chances = {arm: count_against_chance(right, trial.items) for arm, right in trial.right[way].items()}
        means = estimate_arms(trial, way)
        if way == trial.way:
            verdict += [judge(contrast) for contrast in found] + judge_all_chances(chances)
            details += [sentence for contrast in found for sentence in explain(contrast)]
            details += [judge_chance(arm, one) for arm, one in chances.items() if one.above < one.num_runs]
        metrics |= {f"{way}.accuracy.{arm}": mean for arm, mean in means.items()}
        metrics |= {f"{way}.difference.{one.better}-{one.worse}": one.difference for one in found}
        metrics |= {
            f"{way}.over_seeds.{one.better}-{one.worse}": one.general.estimate for one in found if one.general
        }
        tables += [
            tabulate_arms(trial, way, means, chances),
            tabulate_contrasts(way, found),
            tabulate_pairs(way, found),
            *tabulate_subjects(trial, way),
        ]
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


# ---- words ----


def judge(contrast: Contrast) -> Phrase:
    """What a contrast shows, with the interval that this rests on."""
    difference = contrast.decisive.estimate
    return phrase(
        f"contrast_{contrast.finding}",
        better=contrast.better,
        worse=contrast.worse,
        points=word_points(difference.value),
        size=f"{abs(100 * difference.value):.2f}",
        low=word_points(difference.low),
        high=word_points(difference.high),
        n=difference.n,
        basis=say_basis(contrast),
    )


def say_basis(contrast: Contrast) -> Phrase:
    """Over what the interval and p of a finding generalize."""
    return phrase("over_seeds" if contrast.is_general else "over_items")


def explain(contrast: Contrast) -> list[Phrase]:
    """The test behind a finding, whether seeds agree, whom it speaks of, and what could have been shown."""
    named = {"better": contrast.better, "worse": contrast.worse}
    p, basis = say_p(contrast.adjusted), say_basis(contrast)
    told = [phrase("explain_test", **named, p=p, basis=basis, seeds=say_seeds(contrast))]
    if len(contrast.pairs) > 1 and contrast.num_seeds < MIN_SEEDS:
        told.append(phrase("explain_models", **named, needed=MIN_SEEDS))
    if contrast.finding == "same":
        points = 100 * contrast.detectable
        told.append(phrase("explain_detectable", **named, n=contrast.difference.n, points=points))
    return told


def say_seeds(contrast: Contrast) -> Phrase:
    """How many seed pairs point the way of the mean."""
    if len(contrast.pairs) == 1:
        return phrase("seeds_single")
    differences = [pair.fixed - pair.broken for pair in contrast.pairs]
    key = "seeds_agree" if contrast.num_agreeing == len(contrast.pairs) else "seeds_mixed"
    points = [
        word_points(difference / contrast.difference.n) for difference in (min(differences), max(differences))
    ]
    return phrase(key, count=contrast.num_agreeing, total=len(contrast.pairs), low=points[0], high=points[1])


def judge_all_chances(chances: Mapping[str, ChanceCount]) -> list[Phrase]:
    """That every arm beats guessing, or the arms of which that cannot be said."""
    below = [arm for arm, count in chances.items() if count.below]
    same = [arm for arm, count in chances.items() if count.above == count.below == 0]
    some = [arm for arm, count in chances.items() if 0 < count.above < count.num_runs and not count.below]
    groups = {"arms_below": below, "arms_same": same, "arms_some": some}
    told = [phrase(key, arms=", ".join(arms)) for key, arms in groups.items() if arms]
    return told or [phrase("arms_above")]


def judge_chance(arm: str, count: ChanceCount) -> Phrase:
    """How an arm's runs stand against guessing."""
    key = (
        "arm_above"
        if count.above == count.num_runs
        else "arm_below"
        if count.below == count.num_runs
        else "arm_same"
        if count.above == count.below == 0
        else "arm_mixed"
    )
    return phrase(key, arm=arm, above=count.above, below=count.below, total=count.num_runs)
