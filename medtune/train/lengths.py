"""A dialogue that is too long -> parts of it in whole turns, none cut inside an answer."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from medtune.records import Message
from medtune.train.config import Truncation

Places = tuple[int, ...]
"""Where the messages of a part stand in the dialogue."""


class Turns(NamedTuple):
    """A dialogue taken apart: header and turns in order are its messages."""

    header: Places
    """The system messages before the first turn; they belong to every piece."""
    turns: list[Places]
    """Each from a question to the end of its answer, what tools said included."""


def find_turns(messages: Sequence[Message]) -> Turns:
    """The header and the turns.

    Questions in a row are one turn's. What the assistant says before any question belongs to the first turn.
    """
    start = next((place for place, message in enumerate(messages) if message.role != "system"), len(messages))
    turns: list[list[int]] = []
    for place in range(start, len(messages)):
        follows_answer = any(messages[known].role == "user" for known in turns[-1]) if turns else True
        begins = messages[place].role in ("user", "system") and messages[place - 1].role == "assistant"
        if not turns or (begins and follows_answer):
            turns.append([])
        turns[-1].append(place)
    return Turns(tuple(range(start)), [tuple(turn) for turn in turns])


def shorten(messages: Sequence[Message], fits: Callable[[Places], bool], *, how: Truncation) -> list[Places]:
    """Parts of whole turns that fit, of a dialogue that does not; none when no turn fits.

    Each begins with the system messages. `left` keeps the newest turns, `right` the oldest, `split` all but
    a single turn that is too long.
    """
    header, turns = find_turns(messages)
    if len(turns) < 2:
        return []

    def join(start: int, end: int) -> Places:
        return (*header, *(place for turn in turns[start:end] for place in turn))

    match how:
        case "drop":
            return []
        case "left":
            count = _most(len(turns), lambda count: fits(join(len(turns) - count, len(turns))))
            return [join(len(turns) - count, len(turns))] if count else []
        case "right":
            count = _most(len(turns), lambda count: fits(join(0, count)))
            return [join(0, count)] if count else []
        case "split":
            pieces: list[Places] = []
            start = 0
            while start < len(turns):
                count = _most(len(turns) - start, lambda count, start=start: fits(join(start, start + count)))
                pieces += [join(start, start + count)] if count else []
                start += max(count, 1)
            return pieces


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `limit` that fits, 0 if none does; more never fits where less does not."""
    return bisect_left(range(1, limit + 1), True, key=lambda count: not fits(count))
