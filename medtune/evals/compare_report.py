"""The report of a comparison, from the scores of its runs only."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medtune.evals.contrasts import ChanceCount, Contrast, contrast_arms, count_against_chance, estimate_arm
from medtune.evals.exam import WAYS, Item, chance_of
from medtune.evals.exam_tables import name_way
from medtune.records import Cell, Estimate, Phrase, Report, Table, Way
from medtune.reports.phrases import phrase, say_p
from medtune.reports.wording import word_points
from medtune.scorers.stats import Floats


class Trial(NamedTuple):
    """What is compared: items in a fixed order and, by way and arm, which run has which of them right."""

    items: list[Item]
    right: dict[Way, dict[str, Floats]]
    """0 or 1, shape (runs, n)."""
    contrasts: tuple[tuple[str, str], ...]
    way: Way
    num_resamples: int
    seed: int


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
    """What a contrast shows."""
    difference = contrast.difference
    return phrase(
        f"contrast_{contrast.finding}",
        better=contrast.better,
        worse=contrast.worse,
        points=word_points(difference.value),
        size=f"{abs(100 * difference.value):.2f}",
        low=word_points(difference.low),
        high=word_points(difference.high),
        n=difference.n,
    )


def explain(contrast: Contrast) -> list[Phrase]:
    """The test behind a finding, whether the seeds agree, and what the items could have shown."""
    named = {"better": contrast.better, "worse": contrast.worse}
    tested = phrase("explain_test", **named, p=say_p(contrast.adjusted), seeds=say_seeds(contrast))
    if contrast.finding != "same":
        return [tested]
    return [
        tested,
        phrase("explain_detectable", **named, n=contrast.difference.n, points=100 * contrast.detectable),
    ]


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


# ---- tables ----


def estimate_arms(trial: Trial, way: Way, chosen: Sequence[int] | None = None) -> dict[str, Estimate]:
    """Each arm's mean accuracy, on all items or those at the chosen places."""
    places = list(range(len(trial.items))) if chosen is None else list(chosen)
    clusters = [trial.items[place].cluster for place in places]
    return {
        arm: estimate_arm(
            right[:, places],
            clusters,
            rng=np.random.default_rng([trial.seed, WAYS.index(way), 1000 + number]),
            num_resamples=trial.num_resamples,
        )
        for number, (arm, right) in enumerate(trial.right[way].items())
    }


def tabulate_arms(
    trial: Trial, way: Way, means: Mapping[str, Estimate], chances: Mapping[str, ChanceCount]
) -> Table:
    """Mean accuracy of each arm, its runs one by one, and how they stand against guessing."""
    n = len(trial.items)
    rows: list[tuple[Cell, ...]] = []
    for arm, right in trial.right[way].items():
        counts = [int(run.sum()) for run in right]
        runs = ", ".join(f"{count / n:.4f} ({count}/{n})" for count in counts)
        rows.append((arm, means[arm], runs, judge_chance_briefly(chances[arm])))
    chance = sum(chance_of(item) for item in trial.items) / n
    clusters = len({item.cluster for item in trial.items})
    notes = [phrase("note_arms", chance=chance)]
    if clusters < n:
        notes.append(phrase("note_clustered", clusters=clusters, n=n))
    return Table(
        name=f"{way}_arms",
        title=phrase("title_arms", way=name_way(way)),
        columns=tuple(phrase(f"column_{name}") for name in ("arm", "mean", "runs", "chance")),
        rows=tuple(rows),
        notes=tuple(notes),
        chart="intervals",
        reference=chance,
        section=name_way(way),
    )


def judge_chance_briefly(count: ChanceCount) -> Phrase:
    """`above 3/3`, for a table."""
    return phrase("chance_runs", above=count.above, below=count.below, total=count.num_runs)


def tabulate_contrasts(way: Way, found: Sequence[Contrast]) -> Table:
    """Each contrast: difference with interval, p plain and adjusted, and what the items could have shown."""
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.better} − {one.worse}",
            one.difference,
            one.p,
            one.adjusted,
            f"{100 * one.detectable:.2f}",
            phrase(f"finding_{one.finding}"),
        )
        for one in found
    ]
    names = ("contrast", "difference", "p", "adjusted", "detectable", "finding")
    return Table(
        name=f"{way}_contrasts",
        title=phrase("title_contrasts", way=name_way(way)),
        columns=tuple(phrase(f"column_{name}") for name in names),
        rows=tuple(rows),
        notes=(phrase("note_contrasts"), phrase("note_detectable")),
        chart="intervals",
        section=name_way(way),
    )


def tabulate_pairs(way: Way, found: Sequence[Contrast]) -> Table:
    """Each seed pair: items fixed and broken, difference, exact McNemar p."""
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.better} − {one.worse}",
            pair.number,
            pair.fixed,
            pair.broken,
            word_points((pair.fixed - pair.broken) / one.difference.n),
            pair.p,
        )
        for one in found
        for pair in one.pairs
    ]
    unpaired = sum(one.num_unpaired for one in found)
    notes = [phrase("note_pairs")] + ([phrase("note_unpaired", count=unpaired)] if unpaired else [])
    names = ("contrast", "seed", "fixed", "broken", "points", "mcnemar")
    return Table(
        name=f"{way}_pairs",
        title=phrase("title_pairs"),
        columns=tuple(phrase(f"column_{name}") for name in names),
        rows=tuple(rows),
        notes=tuple(notes),
        section=name_way(way),
        is_detail=True,
    )


def tabulate_subjects(trial: Trial, way: Way) -> list[Table]:
    """Mean accuracy of each arm by subject; nothing when there is only one."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(trial.items):
        places.setdefault(item.subject, []).append(place)
    if len(places) < 2:
        return []
    rows: list[tuple[Cell, ...]] = [
        (subject, len(places[subject]), *estimate_arms(trial, way, places[subject]).values())
        for subject in sorted(places)
    ]
    columns = [
        phrase("column_subject"),
        phrase("column_items"),
        *(phrase("name", text=arm) for arm in trial.right[way]),
    ]
    table = Table(
        name=f"{way}_subjects",
        title=phrase("title_subjects"),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(phrase("note_subjects"),),
        section=name_way(way),
        is_detail=True,
    )
    return [table]
