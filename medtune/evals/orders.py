"""Options of a question in other orders, and answers turned back."""

import re
from collections.abc import Sequence
from functools import cache

from medtune.lexicon import read_table
from medtune.records import Question


def list_orders(question: Question, num: int) -> list[str | None]:
    """The cyclic orders that a question is asked in: None for the published one, else the letters in order.

    `BCDA`: what was B stands first. Options that speak of the others stay where they are.
    """
    letters = list(question.options)
    turns = [letters[by:] + letters[:by] for by in range(1, min(num, len(letters)))]
    return [None, *("".join(turn) for turn in turns)] if can_turn(question) else [None]


def can_turn(question: Question) -> bool:
    """Whether the options mean the same in every order: none speaks of the others."""
    beginnings = tuple(read_table("exam_words")["looks_back"])
    return not any(
        text.lower().startswith(beginnings) or _named().search(text) for text in question.options.values()
    )


@cache
def _named() -> re.Pattern[str]:
    """Letters of other options inside an option."""
    between = "|".join(map(re.escape, read_table("exam_words")["between_letters"]))
    return re.compile(rf"(?<![A-Za-z0-9])[A-H](?:\s?(?:{between})\s?[A-H])+(?![A-Za-z0-9])")


def turn(question: Question, order: str | None) -> Question:
    """The question as it is shown in that order; it keeps its id."""
    if order is None:
        return question
    letters = list(question.options)
    return question.model_copy(
        update={
            "options": {
                letter: question.options[shown] for letter, shown in zip(letters, order, strict=True)
            },
            "answer": turn_letters(question.answer, letters, order),
        }
    )


def turn_letters(answer: str, letters: Sequence[str], order: str) -> str:
    """Published letters as they are shown in that order."""
    return "".join(sorted(letters[order.index(letter)] for letter in answer))


def turn_back(answer: str, letters: Sequence[str], order: str | None) -> str:
    """Shown letters as they were published."""
    return answer if order is None else "".join(sorted(order[letters.index(letter)] for letter in answer))
