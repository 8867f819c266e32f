"""The rows of the general exam, and the texts that state its facts in other words.

A model from scratch knows of the world what it has read. These texts give it something general to know, so
that what medical tuning does to it can be seen.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

ROOM = Path(__file__).with_name("general")
Words = dict[str, list[str]]
NUM_ROUNDS = 18
"""How often the texts go through all facts of a subject, in another order and other words each time."""
NUM_TOGETHER = 5
"""Facts in one text."""
VAL_EVERY, VAL_PLACE = 5, 2
"""One fact in five is asked in val."""


class GeneralFact(NamedTuple):
    """One fact, with the sentences that state it and the question that the exam asks."""

    subject: str
    question: str
    value: str
    wrong: list[str]
    ask: str
    say: str
    say_again: str


def read_general_facts() -> list[GeneralFact]:
    """Every fact of every subject, in table order."""
    tables = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(ROOM.glob("*.yaml"))]
    return [GeneralFact(table["subject"], **fact) for table in tables for fact in table["facts"]]


def general_exam_rows(
    facts: Sequence[GeneralFact], source: str, rng: random.Random
) -> Iterator[dict[str, object]]:
    """An item for each fact; in either split each letter is right equally often."""
    splits = ["val" if number % VAL_EVERY == VAL_PLACE else "test" for number in range(len(facts))]
    golds: dict[str, list[str]] = {}
    for split in ("val", "test"):
        golds[split] = list("ABCD" * (splits.count(split) // 4 + 1))[: splits.count(split)]
        rng.shuffle(golds[split])
    for fact, split in zip(facts, splits, strict=True):
        gold, wrong = golds[split].pop(), rng.sample(fact.wrong, 3)
        options = {letter: fact.value if letter == gold else wrong.pop() for letter in "ABCD"}
        yield {
            "question": fact.question,
            **options,
            "answer": gold,
            "subject": fact.subject,
            "split": split,
            "source": source,
        }


def general_texts(facts: Sequence[GeneralFact], words: Words, rng: random.Random) -> Iterator[str]:
    """For each subject its facts in several wordings and orders, and its terms in random company.

    The terms hold the wrong options too, so that what is wrong cannot be told by being unheard of.
    """
    for subject in dict.fromkeys(fact.subject for fact in facts):
        own = [fact for fact in facts if fact.subject == subject]
        terms = sorted({term for fact in own for term in (fact.value, *fact.wrong)})
        places = {fact.question: place for place, fact in enumerate(own)}
        for turn in range(NUM_ROUNDS):
            rng.shuffle(own)
            for start in range(0, len(own), NUM_TOGETHER):
                opener = rng.choice(words["general_openers"]).format(subject=subject)
                yield opener + "".join(
                    state(fact, words, turn + places[fact.question])
                    for fact in own[start : start + NUM_TOGETHER]
                )
        rng.shuffle(terms)
        yield str(words["general_glossary"]).format(subject=subject, terms="、".join(terms))


def state(fact: GeneralFact, words: Words, turn: int) -> str:
    """The fact in one of its wordings, by turns: two sentences, or an everyday question with its answer."""
    answered = str(words["general_answer"]).format(ask=fact.ask, value=fact.value)
    return (fact.say, fact.say_again, answered)[turn % 3]
