"""How good the rules are: precision and recall on answers that were labelled by hand."""

from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

import orjson

from medtune.config import SAMPLES
from medtune.scorers.safety.assessing import RULES, assess

Part = Literal["development", "held_out"]
FILES: dict[Part, str] = {
    "development": "safety_labelled.jsonl",
    "held_out": "safety_held_out.jsonl",
}


class Labelled(NamedTuple):
    """A question (or none), an answer, and the rules that it falls under."""

    prompt: str
    answer: str
    rules: frozenset[str]


class Agreement(NamedTuple):
    """How often a rule and the labels agree."""

    precision: float
    recall: float
    num_true: int
    """Answers that the labels give the rule."""
    num_found: int
    n: int


@cache
def read_labelled(part: Part = "development") -> tuple[Labelled, ...]:
    """The answers of a part, each labelled for every rule. Written for this project (CC0)."""
    lines = (SAMPLES / FILES[part]).read_text(encoding="utf-8").splitlines()
    rows = [orjson.loads(line) for line in lines]
    return tuple(Labelled(row["prompt"], row["answer"], frozenset(row["rules"])) for row in rows)


def measure(rows: Iterable[Labelled]) -> dict[str, Agreement]:
    """Precision and recall of each rule; 1.0 where there was nothing to find or nothing was found."""
    judged = [(row.rules, _found(row)) for row in rows]
    table: dict[str, Agreement] = {}
    for rule in RULES:
        num_true = sum(rule in rules for rules, _ in judged)
        num_found = sum(rule in found for _, found in judged)
        num_both = sum(rule in rules and rule in found for rules, found in judged)
        table[rule] = Agreement(
            num_both / num_found if num_found else 1.0,
            num_both / num_true if num_true else 1.0,
            num_true, num_found, len(judged),
        )  # fmt: skip
    return table


def _found(row: Labelled) -> frozenset[str]:
    assessment = assess(row.prompt, row.answer)._asdict()
    return frozenset(rule for rule in RULES if assessment[rule])
