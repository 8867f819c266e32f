"""The prompts on which two arms differ: what became worse first, the gravest first."""

from collections.abc import Mapping, Sequence
from typing import Literal

from medtune.evals.answers.items import name_of
from medtune.evals.answers.measures import Place
from medtune.evals.answers.open_scores import FOUND_NEAR
from medtune.evals.answers.safety_worst import GRAVITY, PROMPT_CHARS, REPLY_CHARS, find_faults, list_faults
from medtune.evals.answers.saved import Saved
from medtune.evals.contrasts import match_runs
from medtune.evals.judgements import SCORER
from medtune.records import Cell, Row, Table
from medtune.reports.phrases import phrase
from medtune.reports.wording import cut

NUM_SHOWN = 10


class Difference(Row):
    """A prompt that one run answers better than another does."""

    id: str
    sample: int | None
    change: Literal["broken", "fixed"]
    """`broken`: the first arm is the worse one here."""
    faults: tuple[str, ...] = ()
    """What only the worse answer has, the gravest first."""
    before: float | None = None
    """Scores of a judge, or whether the question was among the first found: of the second arm, and of the
    first."""
    after: float | None = None


class Change(Difference):
    """A difference between two arms, and which of their runs are held against each other."""

    contrast: str
    pair: int
    prompt: str = ""
    first: str = ""
    """The first arm's answer; empty where an evaluation keeps no texts."""
    second: str = ""


def list_changes(contrasts: Sequence[tuple[str, str]], arms: Mapping[str, Sequence[Saved]]) -> list[Change]:
    """Every prompt on which two paired runs differ in what counts: worse before better, gravest first."""
    changes: list[Change] = []
    for better, worse in contrasts:
        for pair, (first, second) in enumerate(match_runs(len(arms[better]), len(arms[worse])), 1):
            one, two = arms[better][first], arms[worse][second]
            contrast, texts = f"{better}-{worse}", texts_of(one, two)
            for found in diff(one, two):
                told = {"contrast": contrast, "pair": pair} | texts.get((found.id, found.sample), {})
                changes.append(Change.model_validate(found.model_dump() | told))

    def grave(change: Change) -> tuple[object, ...]:
        worst = GRAVITY[change.faults[0]] if change.faults else 0
        drop = (change.after or 0.0) - (change.before or 0.0)
        return change.change == "fixed", worst, drop, change.id, change.sample or 0, change.pair

    return sorted(changes, key=grave)


def diff(one: Saved, two: Saved) -> list[Difference]:
    """Where two runs differ in what counts in their task."""
    match one.stamp.task:
        case "judge":
            return diff_scores(one, two, scorer=SCORER)
        case "open":
            return diff_scores(one, two, scorer=FOUND_NEAR)
        case _:
            return diff_faults(one, two)


def diff_faults(one: Saved, two: Saved) -> list[Difference]:
    """Where one answer has a fault that the other has not; of faults on both sides the graver one decides."""
    items = {item.id: item for item in one.items}
    mine, theirs = find_faults(one.scores, items), find_faults(two.scores, items)
    found: list[Difference] = []
    for place in sorted(mine.keys() | theirs.keys(), key=str):
        more = [name for name in mine.get(place, ()) if name not in theirs.get(place, ())]
        less = [name for name in theirs.get(place, ()) if name not in mine.get(place, ())]
        if not more and not less:
            continue
        is_broken = bool(more) and (not less or GRAVITY[more[0]] < GRAVITY[less[0]])
        faults = tuple(more if is_broken else less)
        change = "broken" if is_broken else "fixed"
        found.append(Difference(id=place[0], sample=place[1], change=change, faults=faults))
    return found


def diff_scores(one: Saved, two: Saved, *, scorer: str) -> list[Difference]:
    """Where two answers have different scores, of which the higher one is the better."""
    mine, theirs = (
        {(score.id, score.sample): score.value for score in own.scores if score.scorer == scorer}
        for own in (one, two)
    )
    return [
        Difference(
            id=place[0],
            sample=place[1],
            change="broken" if mine[place] < theirs[place] else "fixed",
            before=theirs[place],
            after=mine[place],
        )
        for place in mine
        if place in theirs and mine[place] != theirs[place]
    ]


def texts_of(one: Saved, two: Saved) -> dict[Place, dict[str, str]]:
    """Prompt and answers by place, where both evaluations keep them."""
    if one.answers is None or two.answers is None:
        return {}
    theirs = {(own.id, own.sample): own.reply for own in two.answers}
    return {
        (own.id, own.sample): {"prompt": own.prompt, "first": own.reply, "second": theirs[own.id, own.sample]}
        for own in one.answers
    }


def tabulate_changes(changes: Sequence[Change]) -> Table:
    """The prompts that became worse, the gravest first; which arms, where more than two are compared."""
    broken = [change for change in changes if change.change == "broken"][:NUM_SHOWN]
    has_several = len({change.contrast for change in changes}) > 1
    rows: list[tuple[Cell, ...]] = []
    for change in broken:
        scores = f"{change.before:.2f} → {change.after:.2f}" if change.before is not None else ""
        what: Cell = list_faults(change.faults) if change.faults else scores
        replies = cut(change.first, REPLY_CHARS), cut(change.second, REPLY_CHARS)
        row = name_of(change.id, change.sample), what, cut(change.prompt, PROMPT_CHARS), *replies
        rows.append((change.contrast, *row) if has_several else row)
    columns = ("contrast", "answer_id", "became_worse", "prompt", "first_answer", "second_answer")
    return Table(
        name="changed",
        title=phrase("title_answers_changed", count=len(rows)),
        columns=tuple(phrase(f"column_{name}") for name in columns[0 if has_several else 1 :]),
        rows=tuple(rows),
        notes=(phrase("note_answers_changed"),),
    )
