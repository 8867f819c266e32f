"""Rules that say why a record is not fit to train on. To add one: a function, and a row in RULES."""

from collections.abc import Callable, Iterator

from medtune.data.config import PrepareConfig
from medtune.data.formats import AnyRecord
from medtune.data.text import read_words
from medtune.records import Dialogue, Document, Preference, Question

Rule = Callable[[AnyRecord, PrepareConfig], bool]


def texts_of(record: AnyRecord) -> Iterator[str]:
    """Every text of a record that a reader would see, instructions to the system apart."""
    match record:
        case Dialogue():
            yield from (turn.content for turn in record.messages if turn.role != "system")
        case Preference():
            yield from (
                *(turn.content for turn in record.prompt if turn.role != "system"),
                record.chosen,
                record.rejected,
            )
        case Document():
            yield record.text
        case Question():
            yield record.stem
            yield from record.options.values()


def answers_of(record: AnyRecord) -> Iterator[str]:
    """What the assistant says."""
    match record:
        case Dialogue():
            yield from (turn.content for turn in record.messages if turn.role == "assistant")
        case Preference():
            yield from (record.chosen, record.rejected)
        case _:
            return


def is_empty(record: AnyRecord, config: PrepareConfig) -> bool:
    """Some text is empty."""
    return any(not text for text in texts_of(record))


def is_placeholder(record: AnyRecord, config: PrepareConfig) -> bool:
    """An answer is a word that stands for none."""
    return any(text.lower() in read_words("placeholders") for text in answers_of(record))


def is_too_short(record: AnyRecord, config: PrepareConfig) -> bool:
    """Some text has fewer than min_chars characters.

    Exam items are exempt, their options may be one character.
    """
    return not isinstance(record, Question) and any(len(text) < config.min_chars for text in texts_of(record))


def is_too_long(record: AnyRecord, config: PrepareConfig) -> bool:
    """Some text has more than max_chars characters."""
    return any(len(text) > config.max_chars for text in texts_of(record))


def repeats_question(record: AnyRecord, config: PrepareConfig) -> bool:
    """An answer is its question again."""
    if not isinstance(record, Dialogue):
        return False
    pairs = zip(record.messages, record.messages[1:], strict=False)
    return any(
        one.role == "user" and other.role == "assistant" and one.content == other.content
        for one, other in pairs
    )


def has_odd_turns(record: AnyRecord, config: PrepareConfig) -> bool:
    """Turns do not alternate from user to assistant."""
    if not isinstance(record, Dialogue):
        return False
    roles = [turn.role for turn in record.messages]
    spoken = roles[1:] if roles[0] == "system" else roles
    return not spoken or any(role != ("user", "assistant")[place % 2] for place, role in enumerate(spoken))


RULES: dict[str, Rule] = {
    "empty": is_empty,
    "placeholder answer": is_placeholder,
    "too short": is_too_short,
    "too long": is_too_long,
    "answer repeats question": repeats_question,
    "turns out of order": has_odd_turns,
}


def find_fault(record: AnyRecord, config: PrepareConfig) -> str | None:
    """The name of the first rule that the record breaks."""
    return next((name for name, rule in RULES.items() if rule(record, config)), None)
