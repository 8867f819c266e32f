"""Records of files, each with the place where it stands, and all that is said in one."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.records import RECORD, Dialogue, Document, Preference, Question

AnyRecord = Document | Dialogue | Preference | Question


class Place(NamedTuple):
    """A record and where it stands."""

    file: str
    line: int
    record: AnyRecord


def read_places(sources: Sequence[Input]) -> Iterator[Place]:
    """The records of all files, in file order."""
    for source in sources:
        for number, record in enumerate(read_jsonl(source.path, RECORD), 1):
            yield Place(source.path.name, number, record)


def text_of(record: AnyRecord) -> str:
    """All that is said in a record, parts on lines of their own."""
    match record:
        case Document():
            return record.text
        case Dialogue():
            return "\n".join(turn.content for turn in record.messages)
        case Preference():
            return "\n".join([*(turn.content for turn in record.prompt), record.chosen, record.rejected])
        case Question():
            options = [f"{letter}. {text}" for letter, text in record.options.items()]
            return "\n".join([*([record.case] if record.case else []), record.stem, *options])
