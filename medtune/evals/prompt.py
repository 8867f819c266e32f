"""Question -> what the model is asked. A preset is a text file in `prompts/`."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

from medtune.engines.base import Choices, Prompt
from medtune.evals.config import Preset
from medtune.records import Message, Question

PROMPTS = Path(__file__).with_name("prompts")


@cache
def read_preset(preset: Preset) -> str:
    """The wording of a preset, without the file's last line end."""
    return (PROMPTS / f"{preset}.txt").read_text(encoding="utf-8").removesuffix("\n")


def word_question(question: Question, preset: Preset) -> list[Message]:
    """The messages that ask a question in the words of a preset."""
    text = read_preset(preset).format(
        case=f"{question.case}\n" if question.case else "",
        stem=question.stem,
        options="\n".join(f"{letter}. {option}" for letter, option in question.options.items()),
        subject=question.subject,
    )
    return [Message(role="user", content=text)]


def letter_choices(question: Question, preset: Preset) -> Choices:
    """A question whose candidate answers are its letters.

    With several right ones they are all sets of at least two letters.
    """
    letters = list(question.options)
    sizes = range(2, len(letters) + 1) if question.is_multiple else range(1, 2)
    sets = ["".join(chosen) for size in sizes for chosen in combinations(letters, size)]
    return Choices(
        Prompt(word_question(question, preset)),
        {letters: letters for letters in sets},
        is_closed=question.is_multiple,
    )


def cloze_choices(question: Question) -> Choices:
    """A question whose candidate answers are its option texts, asked without showing them."""
    stem = [
        Message(role="user", content=f"{question.case}\n{question.stem}" if question.case else question.stem)
    ]
    return Choices(Prompt(stem), dict(question.options), prior=Prompt([Message(role="user", content="")]))


def last_user_turn(messages: Sequence[Message]) -> Sequence[Message]:
    """The talk up to its last message of the user, as a prompt."""
    last = max(place for place, turn in enumerate(messages) if turn.role == "user")
    return messages[: last + 1]
