"""What other orders of the options change in the answers: nothing, if a model knows them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from medtune.evals.exam_tables import Marked, name_way
from medtune.evals.orders import turn_letters
from medtune.records import Cell, Estimate, Table, Way
from medtune.reports.phrases import phrase
from medtune.scorers.stats import bootstrap_mean, wilson

ORDER_MEASURES = ("order_published", "order_mean", "order_vote", "order_all", "order_flip")
SEED = 42
NUM_RESAMPLES = 2000


def measure_orders(way: Way, turned: Sequence[Marked]) -> dict[str, Estimate]:
    """Accuracy over all orders and of the vote among them, share right in every order, share that changes.

    Of the items that were asked in several orders; an item is one observation, whatever the number of its
    orders. An answer that could not be read is an answer of its own, and no vote.
    """
    items = list(_by_item(turned).values())
    if not items:
        return {}
    answers = [[mark.score.answer for mark in marks] for marks in items]
    golds = [marks[0].item.gold for marks in items]
    right = np.array([fmean(mark.score.value for mark in marks) for marks in items], dtype=np.float64)
    n = len(items)
    votes = [_vote(own) == gold for own, gold in zip(answers, golds, strict=True)]
    found = {
        "published": wilson(sum(marks[0].score.value == 1 for marks in items), n),
        "mean": bootstrap_mean(
            right,
            [marks[0].item.cluster for marks in items],
            rng=np.random.default_rng(SEED),
            num_resamples=NUM_RESAMPLES,
        ),
        "vote": wilson(sum(votes), n),
        "all": wilson(int((right == 1).sum()), n),
        "flip": wilson(sum(len(set(own)) > 1 for own in answers), n),
    }
    return {f"{way}.order_{name}": value for name, value in found.items()}


def tabulate_orders(way: Way, turned: Sequence[Marked], metrics: Mapping[str, Estimate]) -> list[Table]:
    """The measures of `measure_orders`, and how often the right answer is found at each place."""
    items = _by_item(turned)
    if not items:
        return []
    rows: list[tuple[Cell, ...]] = [
        (phrase(f"row_{name}"), metrics[f"{way}.{name}"]) for name in ORDER_MEASURES
    ]
    num_fixed = len({mark.item.id for mark in turned}) - len(items)
    notes = [phrase("note_orders", count=max(map(len, items.values())))]
    notes += [phrase("note_fixed_order", count=num_fixed)] if num_fixed else []
    measures = Table(
        name=f"{way}_orders",
        title=phrase("title_orders", n=len(items)),
        columns=(phrase("column_measure"), phrase("column_figure")),
        rows=tuple(rows),
        notes=tuple(notes),
        section=name_way(way),
    )
    places = tabulate_places(way, [mark for marks in items.values() for mark in marks])
    return [measures, *places]


def tabulate_places(way: Way, turned: Sequence[Marked]) -> list[Table]:
    """How often the right answer is found by the place where it stands, single-answer items only."""
    single = [mark for mark in turned if not mark.item.is_multiple]
    if not single:
        return []
    golds = Counter(_shown(mark, mark.item.gold) for mark in single)
    given = Counter(_shown(mark, mark.letter) for mark in single if mark.letter)
    hits = Counter(_shown(mark, mark.item.gold) for mark in single if mark.score.value == 1)
    letters = sorted(golds)
    recalls = [hits[letter] / golds[letter] for letter in letters]
    return [
        Table(
            name=f"{way}_places",
            title=phrase("title_places"),
            columns=(phrase("column_place"), phrase("column_recall"), phrase("column_answered")),
            rows=tuple((letter, wilson(hits[letter], golds[letter]), given[letter]) for letter in letters),
            notes=(phrase("note_places", spread=f"{float(np.std(recalls)):.3f}"),),
            section=name_way(way),
            is_detail=True,
        )
    ]


def _by_item(turned: Sequence[Marked]) -> dict[str, list[Marked]]:
    """The scores of each item that was asked in several orders, the published one first."""
    items: dict[str, list[Marked]] = {}
    for mark in turned:
        items.setdefault(mark.item.id, []).append(mark)
    return {name: marks for name, marks in items.items() if len(marks) > 1}


def _vote(answers: Sequence[str | None]) -> str | None:
    """The answer given most often; None where two are."""
    ranked = Counter(answer for answer in answers if answer is not None).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _shown(mark: Marked, letters: str) -> str:
    """Published letters as the model saw them."""
    order = mark.score.order
    return letters if order is None else turn_letters(letters, mark.item.labels, order)
