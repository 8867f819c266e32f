"""The page on which single items are read: every question with its answers, searched and filtered."""

from collections.abc import Sequence
from typing import NamedTuple

from medtune.evals.breakdown_tables import name_tag
from medtune.evals.exam import STATUSES, Item, way_of
from medtune.evals.exam_tables import name_way
from medtune.evals.shown import Reply, Shown
from medtune.records import Phrase, Score
from medtune.reports.browser import render_browser
from medtune.reports.phrases import LANGUAGES, Language, fill, phrase

ITEMS_PAGE = "items.html"
WORDS = (
    "back", "search", "filters", "clear", "way", "result", "subject", "status", "rule", "tag", "sort", "any",
    "wrong", "mistaken", "unread", "right", "sort_worst", "sort_doubt", "sort_exam", "sort_subject", "shown",
    "accuracy", "none", "place", "previous", "next", "list", "gold", "multiple", "answer",
    "no_answer", "by_rule", "reasoning", "gap", "values", "no_texts", "empty", "keys", "print",
)  # fmt: skip
"""What the page says; the keys are `items_…`."""
EDGE_CHARS = 2_000
"""Of a stretch of text twice as long, the page shows the beginning and the end; shown.jsonl holds it all."""
DIGITS = 4
"""Decimals of likelihoods on the page."""

Names = dict[str, str]
Pieces = list[str | int]
"""A text: its parts, and between them the number of characters left out."""


class Mark(NamedTuple):
    """How an item was answered in one way; the page reads the fields by their place."""

    is_right: int
    answer: str | None
    status: int
    """Place in the list of statuses, -1 where nothing was read."""
    rule: int
    """Place in the list of rules, -1 where none decided."""
    values: dict[str, float] | None
    """What the candidates were compared by, natural logarithms."""
    before: Pieces | None
    """The reply up to the words that decided."""
    decided: str
    after: Pieces
    reasoning: Pieces | None


def render_items(
    scores: Sequence[Score], items: Sequence[Item], shown: Sequence[Shown] | None, *, name: str
) -> str:
    """The page; without `shown` it tells no texts."""
    subjects = sorted({item.subject for item in items})
    tags = sorted({tag for item in items for tag in item.tags})
    rules = sorted({score.rule for score in scores if score.rule})
    ways = list(dict.fromkeys(score.scorer for score in scores))
    places = {item.id: place for place, item in enumerate(items)}
    marks: dict[str, list[Mark | None]] = {way: [None] * len(items) for way in ways}
    for score in scores:
        place = places[score.id]
        reply = shown[place].replies.get(score.scorer) if shown is not None else None
        marks[score.scorer][place] = mark(score, rules, reply)
    content = {
        "words": {language: words_in(language) for language in LANGUAGES},
        "ways": [name_in_both(say_way(way)) for way in ways],
        "statuses": [name_in_both(phrase(f"status_{status}")) for status in STATUSES],
        "rules": rules,
        "subjects": subjects,
        "tags": [name_in_both(name_tag(tag)) for tag in tags],
        "items": [describe(item, subjects, tags) for item in items],
        "texts": None if shown is None else [tell(own, item) for own, item in zip(shown, items, strict=True)],
        "marks": [[tuple(own) for own in marks[way] if own] for way in ways],
    }
    title = phrase("items_title", name=name, n=len(items))
    return render_browser(content, title=title, no_script=phrase("items_no_script"))


def words_in(language: Language) -> Names:
    """The page's own words."""
    gaps = {name: f"{{{name}}}" for name in ("count", "n", "place", "share", "right")}  # filled in the page
    return {name: fill(phrase(f"items_{name}", **gaps), language) for name in WORDS}


def say_way(scorer: str) -> Phrase | str:
    """The way's name for readers; a scorer of another kind speaks for itself."""
    way = way_of(scorer)
    return name_way(way) if way else scorer


def name_in_both(name: Phrase | str) -> Names:
    """A name by language."""
    return {language: fill(name, language) if isinstance(name, Phrase) else name for language in LANGUAGES}


def describe(item: Item, subjects: Sequence[str], tags: Sequence[str]) -> list[object]:
    """Id, subject, labels, key and tags, as places in the lists where there are lists."""
    return [
        item.id, subjects.index(item.subject), item.labels, item.gold, [tags.index(tag) for tag in item.tags]
    ]  # fmt: skip


def tell(shown: Shown, item: Item) -> list[object]:
    """Stem, case and the options' texts in the order of the item's labels."""
    return [shown.stem, shown.case, [shown.options.get(letter, "") for letter in item.labels]]


def mark(score: Score, rules: Sequence[str], reply: Reply | None) -> Mark:
    """The answer with its reply cut where the words stand that decided."""
    text = reply.text if reply else ""
    start, end = score.span or (len(text), len(text))
    return Mark(
        is_right=int(score.value == 1),
        answer=score.answer,
        status=STATUSES.index(score.note) if score.note in STATUSES else -1,
        rule=rules.index(score.rule) if score.rule else -1,
        values={key: round(value, DIGITS) for key, value in score.logprobs.items()}
        if score.logprobs
        else None,
        before=shorten(text[:start]) if reply else None,
        decided=text[start:end],
        after=shorten(text[end:]),
        reasoning=shorten(reply.reasoning) if reply and reply.reasoning else None,
    )


def shorten(text: str) -> Pieces:
    """The text in parts: whole, or its ends about the number of characters between them."""
    if len(text) <= 2 * EDGE_CHARS:
        return [text] if text else []
    return [text[:EDGE_CHARS], len(text) - 2 * EDGE_CHARS, text[-EDGE_CHARS:]]
