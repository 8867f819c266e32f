"""What is too long is shortened by whole turns: header, last question and whole answers stay."""

from collections.abc import Callable, Sequence

import pytest

from medtune.records import Message
from medtune.train.config import Truncation
from medtune.train.lengths import Places, find_turns, shorten

Talk = tuple[Message, ...]


def talk(*words: str) -> Talk:
    """`s…` system, `u…` user, `a…` assistant, `c…` tool_call, `t…` tool."""
    roles = {"s": "system", "u": "user", "a": "assistant", "c": "tool_call", "t": "tool"}
    return tuple(Message.model_validate({"role": roles[word[0]], "content": word}) for word in words)


def words(messages: Sequence[Message]) -> str:
    return " ".join(message.content for message in messages)


def at(messages: Talk, places: Places) -> str:
    return words([messages[place] for place in places])


def within(limit: int) -> Callable[[Places], bool]:
    return lambda places: len(places) <= limit


FOUR = talk("s", "u1", "a1", "u2", "a2", "u3", "a3", "u4", "a4")


@pytest.mark.parametrize(
    ("messages", "header", "turns"),
    [
        (FOUR, "s", ["u1 a1", "u2 a2", "u3 a3", "u4 a4"]),
        (talk("u1", "u2", "a1"), "", ["u1 u2 a1"]),
        (talk("s", "a0", "u1", "a1", "u2", "a2"), "s", ["a0 u1 a1", "u2 a2"]),
        (talk("u1", "c1", "t1", "a1", "u2", "a2", "a3"), "", ["u1 c1 t1 a1", "u2 a2 a3"]),
        (talk("u1", "a1", "s2", "u2", "a2"), "", ["u1 a1", "s2 u2 a2"]),
        (talk("s"), "s", []),
    ],
)
def test_a_turn_goes_from_a_question_to_the_end_of_its_answer(
    messages: Talk, header: str, turns: list[str]
) -> None:
    found = find_turns(messages)
    assert (at(messages, found.header), [at(messages, turn) for turn in found.turns]) == (header, turns)
    assert [*found.header, *(place for turn in found.turns for place in turn)] == list(range(len(messages)))


@pytest.mark.parametrize(
    ("how", "limit", "pieces"),
    [
        ("drop", 8, []),
        ("left", 8, ["s u2 a2 u3 a3 u4 a4"]),
        ("left", 4, ["s u4 a4"]),
        ("left", 2, []),
        ("right", 8, ["s u1 a1 u2 a2 u3 a3"]),
        ("right", 3, ["s u1 a1"]),
        ("right", 2, []),
        ("split", 8, ["s u1 a1 u2 a2 u3 a3", "s u4 a4"]),
        ("split", 5, ["s u1 a1 u2 a2", "s u3 a3 u4 a4"]),
        ("split", 3, ["s u1 a1", "s u2 a2", "s u3 a3", "s u4 a4"]),
        ("split", 2, []),
        ("split", 9, ["s u1 a1 u2 a2 u3 a3 u4 a4"]),
    ],
)
def test_whole_turns_stay(how: Truncation, limit: int, pieces: list[str]) -> None:
    assert [at(FOUR, piece) for piece in shorten(FOUR, within(limit), how=how)] == pieces


def test_a_single_turn_that_is_too_long_is_left_out_and_the_others_stay() -> None:
    def fits(places: Places) -> bool:
        return sum(100 if FOUR[place].content == "a2" else 1 for place in places) <= 5

    assert [at(FOUR, piece) for piece in shorten(FOUR, fits, how="split")] == ["s u1 a1", "s u3 a3 u4 a4"]
    assert [at(FOUR, piece) for piece in shorten(FOUR, fits, how="left")] == ["s u3 a3 u4 a4"]
    assert [at(FOUR, piece) for piece in shorten(FOUR, fits, how="right")] == ["s u1 a1"]
