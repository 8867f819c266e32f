"""The tables of a comparison: arms, differences between them, pairs of runs, subjects."""

from collections.abc import Mapping, Sequence

import numpy as np

from medtune.evals.contrasts import MIN_SEEDS, ChanceCount, Contrast, Trial, estimate_arm
from medtune.evals.exam import WAYS, chance_of
from medtune.evals.exam_tables import name_way
from medtune.records import Cell, Estimate, Phrase, Table, Way
from medtune.reports.phrases import phrase
from medtune.reports.wording import word_points
from medtune.scorers.stats import Floats


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
        rows.append((arm, means[arm], runs, say_spread(right), judge_chance_briefly(chances[arm])))
    chance = sum(chance_of(item) for item in trial.items) / n
    clusters = len({item.cluster for item in trial.items})
    notes = [phrase("note_arms", chance=chance)]
    if clusters < n:
        notes.append(phrase("note_clustered", clusters=clusters, n=n))
    return Table(
        name=f"{way}_arms",
        title=phrase("title_arms", way=name_way(way)),
        columns=tuple(phrase(f"column_{name}") for name in ("arm", "mean", "runs", "spread", "chance")),
        rows=tuple(rows),
        notes=tuple(notes),
        chart="intervals",
        reference=chance,
        section=name_way(way),
    )


def say_spread(right: Floats) -> Phrase:
    """The standard deviation of an arm's accuracies with its number of seeds, or that there is one seed."""
    if len(right) == 1:
        return phrase("spread_single")
    return phrase("spread_seeds", deviation=float(right.mean(axis=1).std(ddof=1)), count=len(right))


def judge_chance_briefly(count: ChanceCount) -> Phrase:
    """`above 3/3`, for a table."""
    return phrase("chance_runs", above=count.above, below=count.below, total=count.num_runs)


def tabulate_contrasts(way: Way, found: Sequence[Contrast], *, num_tests: int) -> Table:
    """Each contrast: difference over items, over items and seeds, adjusted p, what could have been shown.

    `num_tests`: how many p were adjusted as one family; those of other exams stand in tables of their own.
    """
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.better} − {one.worse}",
            one.difference,
            one.p,
            say_interval(one.general.estimate) if one.general else None,
            one.general.p if one.general else None,
            one.adjusted,
            f"{100 * one.find_detectable():.2f}",
            phrase(f"finding_{one.finding}"),
        )
        for one in found
    ]
    names = ("contrast", "difference", "p", "both", "p_both", "adjusted", "detectable", "finding")
    family = phrase("note_contrasts") if num_tests == len(found) else phrase("note_family", count=num_tests)
    return Table(
        name=f"{way}_contrasts",
        title=phrase("title_contrasts", way=name_way(way)),
        columns=tuple(phrase(f"column_{name}") for name in names),
        rows=tuple(rows),
        notes=(family, phrase("note_both", needed=MIN_SEEDS), phrase("note_detectable")),
        chart="intervals",
        section=name_way(way),
    )


def say_interval(estimate: Estimate) -> Phrase:
    """An interval alone, for a cell beside the one that tells the value."""
    return phrase("points_interval", low=word_points(estimate.low), high=word_points(estimate.high))


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
