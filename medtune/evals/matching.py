"""Which of our questions an item of another source is, by its texts alone."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from medtune.errors import UserError
from medtune.evals.foreign import Answer
from medtune.records import Question
from medtune.scorers.overlap import bare

OPTION = re.compile(r"^[ \t]*[(（]?([A-Z])[)）.．、:：][ \t]*", re.M)
"""The beginning of an option: `A. …`, `A) …`, `（A）…` on a line of its own."""

Normal = Callable[[str], str]
Options = Mapping[str, str]


class Shown(NamedTuple):
    """An item as it was shown to a model."""

    before: str
    """What stands before the options: the stem, maybe with instructions and examples."""
    options: dict[str, str]


class Matched(NamedTuple):
    """A question with its letter for each letter that was shown."""

    question: Question
    letters: dict[str, str]


def tight(text: str) -> str:
    """The text without spaces and differences of width."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def loose(text: str) -> str:
    """Letters and digits alone."""
    return bare(tight(text))


NORMALS: tuple[Normal, ...] = (tight, loose)
"""How texts are compared: sign by sign, or else by letters and digits alone."""


class Matcher:
    """Our questions by the texts of their options."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._by_options: list[dict[tuple[str, ...], list[Question]]] = []
        for normal in NORMALS:
            index: dict[tuple[str, ...], list[Question]] = {}
            for question in questions:
                index.setdefault(key_of(question.options, normal), []).append(question)
            self._by_options.append(index)

    def match(self, answer: Answer) -> Matched | None:
        """The question that was asked, None when it is none of ours."""
        ways = [Shown(answer.text, answer.options)] if answer.options else list(split_options(answer.text))
        for normal, index in zip(NORMALS, self._by_options, strict=True):
            for shown in ways:
                found = choose(index.get(key_of(shown.options, normal), []), normal(shown.before), normal)
                if found:
                    return Matched(
                        found, pair_letters(shown.options, found, normal=normal, place=answer.place)
                    )
        return None


def key_of(options: Options, normal: Normal) -> tuple[str, ...]:
    """The texts of the options, whatever their order."""
    return tuple(sorted(normal(text) for text in options.values()))


def choose(candidates: Sequence[Question], before: str, normal: Normal) -> Question | None:
    """The question whose case and stem stand last before the options; of two that end there, the longer."""
    best: tuple[int, int] = (-1, -1)
    chosen: list[Question] = []
    for question in candidates:
        wanted = normal((question.case or "") + question.stem)
        place = before.rfind(wanted)
        rank = (place + len(wanted), len(wanted)) if place >= 0 else (-1, -1)
        if rank > best:
            best, chosen = rank, [question]
        elif rank == best and place >= 0:
            chosen.append(question)
    return chosen[0] if len(chosen) == 1 else None


def pair_letters(shown: Options, question: Question, *, normal: Normal, place: str) -> dict[str, str]:
    """Our letter for each shown one: the same where the order is, else that of the same text."""
    texts = {letter: normal(text) for letter, text in shown.items()}
    own = {letter: normal(text) for letter, text in question.options.items()}
    if list(texts.values()) == list(own.values()):
        return dict(zip(texts, own, strict=True))
    by_text = {text: letter for letter, text in own.items()}
    if len(by_text) < len(own):
        raise UserError(
            f"{place}: question {question.id} has two options of one text and was shown in another order; "
            "which letter is which cannot be told"
        )
    return {letter: by_text[text] for letter, text in texts.items()}


def split_options(text: str) -> Iterator[Shown]:
    """The last lettered list in a prompt; where its last option ends is open, so the shortest comes first."""
    marks = list(OPTION.finditer(text))
    starts = [place for place, mark in enumerate(marks) if mark[1] == "A"]
    if not starts:
        return
    run = marks[starts[-1] :]
    size = next((place for place, mark in enumerate(run) if mark[1] != chr(ord("A") + place)), len(run))
    ends = [*(mark.start() for mark in run[1:size]), len(text)]
    options = {mark[1]: text[mark.end() : end].strip() for mark, end in zip(run[:size], ends, strict=True)}
    last = run[size - 1][1]
    lines = options[last].splitlines() or [""]
    for count in range(1, len(lines) + 1):
        yield Shown(text[: run[0].start()], {**options, last: "\n".join(lines[:count]).strip()})
