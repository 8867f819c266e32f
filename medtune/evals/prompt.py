"""Question -> what the model is asked, in the words of a preset, after shots where there are some."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import yaml

from medtune.engines.base import Choices, Prompt
from medtune.evals.config import Preset
from medtune.records import Message, Question, Row

TABLE = Path(__file__).with_name("presets.yaml")
BASE = "base"
"""Directory of the answers of a base without its adapter, inside that of the answers with it."""
Form = Literal["text", "chat"]


class Wording(Row):
    """How a preset puts a question; the head of the table says what each part is."""

    form: Form
    question: str
    head: str = ""
    answer: str = "{answer}"
    delimiter: str = ""
    option: str = "{letter}. {text}"
    between: str = "\n\n"
    source: str = ""


class Style(NamedTuple):
    """How questions of one run are put."""

    preset: Preset = "chat"
    form: Form | Literal["preset"] = "preset"
    shots: Mapping[str, tuple[Question, ...]] | None = None
    """Answered questions of each subject that stand before the one that is asked."""

    @property
    def wording(self) -> Wording:
        """The preset in the form that is wanted."""
        wording = read_presets()[self.preset]
        return wording if self.form == "preset" else wording.model_copy(update={"form": self.form})


@cache
def _read_table() -> dict[str, Any]:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def read_verdict() -> str:
    """What the letter is read behind, after thinking."""
    return str(_read_table()["verdict"])


@cache
def read_presets() -> dict[str, Wording]:
    """The wordings by name."""
    return {name: Wording.model_validate(_read_table()[name]) for name in get_args(Preset)}


def ask(question: Question, style: Style, *, lead: str = "") -> Prompt:
    """The prompt that asks a question, its shots before it. `lead`: what its answer begins with already."""
    wording = style.wording
    shots = style.shots[question.subject] if style.shots else ()
    head = _fill(wording.head, question, wording)
    asked = _fill(wording.question, question, wording)
    if wording.form == "text":
        parts = [
            _fill(wording.question, shot, wording) + wording.delimiter + _answer_of(shot, wording)
            for shot in shots
        ]
        text = wording.between.join([*([head] if head else []), *parts, asked])
        return Prompt([Message(role="user", content=text)], lead=lead, is_text=True)
    messages = [Message(role="system", content=head)] if head else []
    for shot in shots:
        messages.append(Message(role="user", content=_fill(wording.question, shot, wording)))
        messages.append(Message(role="assistant", content=_answer_of(shot, wording).strip()))
    return Prompt([*messages, Message(role="user", content=asked)], lead=lead)


def name_kind(*, is_multiple: bool) -> str:
    """What a question with one right answer, or with several, is called."""
    return str(_read_table()["kinds"]["multiple" if is_multiple else "single"])


def _fill(template: str, question: Question, wording: Wording) -> str:
    return template.format(
        case=f"{question.case}\n" if question.case else "",
        stem=question.stem,
        options="\n".join(
            wording.option.format(letter=letter, text=text) for letter, text in question.options.items()
        ),
        subject=question.subject,
        letters="、".join(question.options),
        kind=name_kind(is_multiple=question.is_multiple),
    )


def _answer_of(shot: Question, wording: Wording) -> str:
    return wording.answer.format(answer=shot.answer)


def letter_choices(question: Question, style: Style, *, lead: str = "") -> Choices:
    """A question whose candidate answers are its letters.

    With several right ones they are all sets of at least two letters.
    """
    letters = list(question.options)
    sizes = range(2, len(letters) + 1) if question.is_multiple else range(1, 2)
    sets = ["".join(chosen) for size in sizes for chosen in combinations(letters, size)]
    wording = style.wording
    delimiter = wording.delimiter if wording.form == "text" and not lead else ""
    return Choices(
        ask(question, style, lead=lead),
        {letters: delimiter + letters for letters in sets},
        is_closed=question.is_multiple,
    )


def cloze_choices(question: Question, style: Style) -> Choices:
    """A question whose candidate answers are its option texts, asked without showing them."""
    case = f"{question.case}\n" if question.case else ""
    is_text = style.wording.form == "text"
    words = _read_table()["cloze"]
    asked, prior = (
        (words["question"].format(case=case, stem=question.stem), words["prior"])
        if is_text
        else (case + question.stem, "")
    )
    return Choices(
        Prompt([Message(role="user", content=asked)], is_text=is_text),
        dict(question.options),
        prior=Prompt([Message(role="user", content=prior)], is_text=is_text),
    )


def last_user_turn(messages: Sequence[Message]) -> Sequence[Message]:
    """The talk up to its last message of the user, as a prompt."""
    last = max(place for place, turn in enumerate(messages) if turn.role == "user")
    return messages[: last + 1]
