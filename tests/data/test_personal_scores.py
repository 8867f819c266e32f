"""Precision and recall of find_personal_data on texts written for the project, exact span and type."""

import json
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from medtune.data.deidentify import find_personal_data

TYPES = (
    "PHONE", "ID_CARD", "EMAIL", "NAME", "ADDRESS", "RECORD_NO", "WECHAT_QQ", "PLATE", "BANK_CARD",
    "DATE_OF_BIRTH", "HOSPITAL_BED",
)  # fmt: skip
ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""Weights of the first 17 digits, GB 11643-1999."""

Mark = tuple[int, int, str]


class Labelled(NamedTuple):
    """A text and the spans in it that are personal."""

    id: int
    group: str
    text: str
    spans: frozenset[Mark]


SETS = {
    "first set": "personal.jsonl",
    "second set": "personal_second.jsonl",
    "third set": "personal_third.jsonl",
}
"""Written by three hands, none of whom knew the rules then."""
EACH = pytest.mark.parametrize("file", SETS.values())
RECALL = {"personal.jsonl": 0.97, "personal_second.jsonl": 0.91, "personal_third.jsonl": 0.94}
"""Floors. The second set has many names that are words too, and no label beside them. What is missed or
wrongly found in half of the rows of the second and third sets, those with an even id, was never read while
rules were written. Who wrote the third set changed rules after it."""


@cache
def labelled(file: str) -> tuple[Labelled, ...]:
    """The labelled texts, in the order of the file."""
    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return tuple(
        Labelled(row["id"], row["group"], row["text"], frozenset((a, b, kind) for a, b, kind in row["spans"]))
        for row in rows
    )


def found(text: str) -> frozenset[Mark]:
    """What the finder says of a text."""
    return frozenset((span.start, span.end, span.type) for span in find_personal_data(text))


def scores(file: str) -> dict[str, tuple[float, float, int]]:
    """Precision, recall and number of labelled spans, of `all` and of each type."""
    hit, said, gold = Counter[str](), Counter[str](), Counter[str]()
    for row in labelled(file):
        marks = found(row.text)
        for counter, part in ((hit, marks & row.spans), (said, marks), (gold, row.spans)):
            counter.update(kind for _, _, kind in part)
            counter["all"] += len(part)
    return {
        kind: (hit[kind] / said[kind] if said[kind] else 1.0, hit[kind] / gold[kind], gold[kind])
        for kind in ("all", *TYPES)
    }


def misses(file: str, limit: int = 40) -> str:
    """The first spans that are missed (-) or wrongly found (+), a line each."""
    lines = [
        f"{sign} {row.id} {row.group} {kind} {row.text[start:end]!r}"
        for row in labelled(file)
        for marks in [found(row.text)]
        for sign, part in (("-", row.spans - marks), ("+", marks - row.spans))
        for start, end, kind in sorted(part)
    ]
    return "\n".join(lines[:limit])


@EACH
def test_personal_data_is_found_and_nothing_else(file: str) -> None:
    precision, recall, _ = scores(file)["all"]
    figures = f"precision {precision:.4f} recall {recall:.4f}\n{misses(file)}"
    assert recall >= RECALL[file] and precision >= 0.97, figures


# ---- the labels themselves ----


def values(file: str, kind: str) -> list[str]:
    return [row.text[a:b] for row in labelled(file) for a, b, of in sorted(row.spans) if of == kind]


LAST_X = "XxＸｘ"


def digits(value: str) -> str:
    """The digits of a value as ASCII, with a last X if there is one."""
    return "".join(
        "X" if mark in LAST_X else str(int(mark)) for mark in value if mark.isdigit() or mark in LAST_X
    )


def test_the_set_is_large_balanced_and_half_of_it_traps() -> None:
    rows = labelled(SETS["first set"])
    counts = Counter(kind for row in rows for _, _, kind in row.spans)
    assert len(rows) >= 320 and len({row.text for row in rows}) == len(rows)
    assert sum(not row.spans for row in rows) >= 130
    assert all(row.group.startswith("trap") == (not row.spans) for row in rows)
    assert set(counts) == set(TYPES) and min(counts.values()) >= 25
    assert counts["NAME"] >= 120 and counts["PHONE"] >= 60


@EACH
def test_labelled_spans_are_whole_values_that_do_not_overlap(file: str) -> None:
    for row in labelled(file):
        spans = sorted(row.spans)
        assert all(0 <= start < end <= len(row.text) for start, end, _ in spans), row.id
        assert all(left[1] <= right[0] for left, right in pairwise(spans)), row.id
        assert all(
            not re.search(r"^[\s:：，。]|[\s:：，。]$", row.text[start:end]) for start, end, _ in spans
        )


@EACH
def test_labelled_numbers_pass_their_checks(file: str) -> None:
    for value in values(file, "ID_CARD"):
        number = digits(value)
        if len(number) == 15:
            continue
        total = sum(int(mark) * weight for mark, weight in zip(number[:17], ID_WEIGHTS, strict=True))
        assert len(number) == 18 and "10X98765432"[total % 11] == number[17], value
    for value in values(file, "BANK_CARD"):
        reverse = [int(mark) for mark in reversed(digits(value))]
        total = sum(reverse[::2]) + sum(sum(divmod(2 * mark, 10)) for mark in reverse[1::2])
        assert 16 <= len(reverse) <= 19 and total % 10 == 0, value
    for value in values(file, "PHONE"):
        assert re.fullmatch(r"1[3-9]\d{9}|0\d{9,15}|\d{7,8}", digits(value)), value
