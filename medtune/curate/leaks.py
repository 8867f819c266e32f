"""Exam questions that stand in records: which question, of which exam, how."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.errors import UserError
from medtune.records import Question
from medtune.scorers.contamination import UNWANTED, Drop, Index, Kind, probe_of


class Leak(NamedTuple):
    """A record that holds an exam question."""

    place: str
    """File and line."""
    record: str
    question: str
    kind: str
    share: float
    """Of the stem that stands in the record."""


class Found(NamedTuple):
    """A question that a text holds."""

    question: str
    exam: str
    """The file that the question is from."""
    kind: Kind
    share: float


class Guard:
    """The questions of exams, to find those that a text holds."""

    def __init__(self, exams: Sequence[Input], *, drop: Drop) -> None:
        self._exam_of: dict[str, str] = {}
        items: list[Question] = []
        for source in exams:
            for item in read_questions(source):
                if item.id not in self._exam_of:
                    self._exam_of[item.id] = str(source)
                    items.append(item)
        self._index = Index([probe_of(item) for item in items])
        self._unwanted = UNWANTED[drop]

    def __len__(self) -> int:
        return len(self._exam_of)

    def find(self, text: str) -> Iterator[Found]:
        """The questions for which the text is not to be trained on."""
        for match in self._index.find(text):
            if match.kind in self._unwanted:
                question = self._index.probes[match.probe].id
                yield Found(question, self._exam_of[question], match.kind, match.share)


def read_questions(source: Input) -> list[Question]:
    """The questions of a file."""
    questions = list(read_jsonl(source.path, Question))
    if not questions:
        raise UserError(f"{source}: no questions in it")
    return questions
