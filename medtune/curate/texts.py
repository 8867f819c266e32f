"""What of a record, or of a question, is compared with others."""

from typing import Literal

from medtune.places import AnyRecord
from medtune.records import Dialogue, Preference, Question

Recipe = Literal["whole", "asked"]
"""`whole`: all that is said, a question with its options. `asked`: what is asked only, without answers or
options. Instructions to the system are never part of it."""


def text_for(record: AnyRecord, recipe: Recipe) -> str:
    """The text by which a record is found; parts on lines of their own."""
    match record:
        case Dialogue() if recipe == "asked":
            return "\n".join(turn.content for turn in record.messages if turn.role == "user")
        case Dialogue():
            return "\n".join(turn.content for turn in record.messages if turn.role != "system")
        case Preference():
            asked = [turn.content for turn in record.prompt if turn.role != "system"]
            return "\n".join(asked if recipe == "asked" else [*asked, record.chosen])
        case Question():
            options = [] if recipe == "asked" else list(record.options.values())
            return "\n".join([*([record.case] if record.case else []), record.stem, *options])
        case _:
            return record.text
