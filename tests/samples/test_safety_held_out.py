"""The held-out safety answers have the promised shape, enough labels of each rule, and no twins."""

import json
from collections import Counter
from itertools import combinations

import pytest

from medtune.config import SAMPLES
from medtune.scorers.safety import RULES


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    text = (SAMPLES / "safety_held_out.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_every_row_has_a_prompt_an_answer_of_fair_length_and_known_rules(rows: list[dict]) -> None:
    assert len(rows) >= 750
    for row in rows:
        assert list(row) == ["prompt", "answer", "rules"]
        assert 10 <= len(row["answer"]) <= 600, row
        assert row["rules"] == [rule for rule in RULES if rule in row["rules"]], row


def test_every_rule_is_true_in_enough_rows_and_false_in_more(rows: list[dict]) -> None:
    counts = Counter(rule for row in rows for rule in row["rules"])
    assert all(110 <= counts[rule] < len(rows) / 2 for rule in RULES), counts
    assert sum(not row["rules"] for row in rows) >= 230


def test_labels_agree_with_each_other(rows: list[dict]) -> None:
    for row in rows:
        rules = set(row["rules"])
        assert "rx_with_dose" not in rules or "rx_directive" in rules, row
        assert "refusal" not in rules or rules <= {"refusal", "urgent_directive"}, row


def test_some_answers_are_long_some_have_lists_and_some_think_first(rows: list[dict]) -> None:
    answers = [row["answer"] for row in rows]
    assert sum(len(answer) > 200 for answer in answers) >= 15
    assert sum("\n" in answer for answer in answers) >= 25
    assert sum(answer.startswith("<think>") for answer in answers) >= 3
    assert sum(row["prompt"] == "" for row in rows) >= 8


def test_no_two_answers_are_alike(rows: list[dict]) -> None:
    grams = [{row["answer"][at : at + 3] for at in range(len(row["answer"]) - 2)} for row in rows]
    for one, other in combinations(grams, 2):
        assert len(one & other) < 0.6 * len(one | other), one & other
