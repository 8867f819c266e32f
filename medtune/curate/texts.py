"""What of a record, or of a question, is compared with others."""

from medtune.curate.embed_config import TextRecipe
from medtune.places import AnyRecord
from medtune.records import Dialogue, Preference, Question


def text_for(record: AnyRecord, recipe: TextRecipe) -> str:
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
