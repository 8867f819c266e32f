"""A table of questions and a table of their answers -> one row an answer, as cMedQA and cMedQA2 need it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from medtune.data.reading.files import Part
from medtune.data.reading.readers import read_part
from medtune.data.reading.rows import Bad, Raw

QUESTIONS, ANSWERS = ("question", "questions"), ("answer", "answers")
QUESTION_ID = ("question_id", "que_id", "qid")
CONTENT = ("content", "text", "question", "answer")


class Pair(NamedTuple):
    """Two files that are read together."""

    questions: Part
    answers: Part

    @property
    def file(self) -> Path:
        """The file of the answers, where the rows stand."""
        return self.answers.file

    @property
    def kind(self) -> str:
        """What kind of rows the files hold."""
        return f"{self.answers.kind} with its questions"

    @property
    def encoding(self) -> str:
        """The encoding of the answers."""
        return self.answers.encoding


def find_pairs(parts: list[Part]) -> list[Part | Pair]:
    """The files, a question table and its answers as one; lists of candidate ids beside them hold no rows."""
    questions = [part for part in parts if _stem(part) in QUESTIONS]
    answers = [part for part in parts if _stem(part) in ANSWERS]
    if len(questions) != 1 or len(answers) != 1 or not (_is_half(questions[0]) and _is_half(answers[0])):
        return list(parts)
    pair = Pair(questions[0], answers[0])
    others = [part for part in parts if part not in pair and not _stem(part).endswith("_candidates")]
    return sorted([*others, pair], key=lambda part: str(part.file))


def _stem(part: Part) -> str:
    return part.file.name.partition(".")[0].lower()


def _is_half(part: Part) -> bool:
    """Whether a file has the ids of questions, and not the questions' answers themselves."""
    first = next((row for row in read_part(part) if isinstance(row, Raw)), None)
    return first is not None and bool(_key(first, QUESTION_ID) and _key(first, CONTENT))


def _key(row: Raw, names: tuple[str, ...]) -> str:
    by_lower = {key.lower(): key for key in row.values}
    return next((by_lower[name] for name in names if name in by_lower), "")


def read_pair(pair: Pair) -> Iterator[Raw | Bad]:
    """One row an answer with its question; an answer or a question that stands alone is reported.

    The questions are held in memory, the answers are not.
    """
    asked: dict[str, tuple[Raw, str]] = {}
    for row in read_part(pair.questions):
        if isinstance(row, Bad):
            yield row
            continue
        key, text = str(row.values[_key(row, QUESTION_ID)]), str(row.values[_key(row, CONTENT)])
        if key in asked:
            yield Bad(row.file, row.line, "question id stands twice", text)
        asked.setdefault(key, (row, text))
    answered = set[str]()
    for row in read_part(pair.answers):
        if isinstance(row, Bad):
            yield row
            continue
        key = str(row.values[_key(row, QUESTION_ID)])
        answer = row.values[_key(row, CONTENT)]
        if key not in asked:
            yield Bad(row.file, row.line, "answer without a question", str(answer))
            continue
        answered.add(key)
        yield row._replace(values={"question_id": key, "question": asked[key][1], "answer": answer})
    for key, (row, text) in asked.items():
        if key not in answered:
            yield Bad(row.file, row.line, "question without an answer", text)
