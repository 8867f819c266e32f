"""The answer letter is found where a careful reader finds it, and never made up."""

from pathlib import Path
from typing import TypedDict, cast

import orjson
import pytest

from medtune.scorers.choice import HEAD_CHARS, TAIL_CHARS, Found, find_choice, fold
from medtune.scorers.thinking import Thinking, mask_thinking, split_thinking
from medtune.scorers.verdicts import load_words

ABCD = dict.fromkeys("ABCD", "")
REPLIES = Path(__file__).with_name("replies.jsonl")
RULES = {
    *("boxed", "tag", "json", "heading", "colon", "stated", "choose", "clause", "concluded", "named", "line"),
    *("affirmed", "everything", "everything_but", "leading", "text"),
}


class Reply(TypedDict, total=False):
    """One row of the corpus."""

    text: str
    labels: str
    multiple: bool
    options: dict[str, str]
    answer: str | None
    status: str
    note: str


def load_replies() -> list[Reply]:
    return [cast(Reply, orjson.loads(line)) for line in REPLIES.read_bytes().splitlines()]


def find(reply: Reply) -> Found:
    options = reply.get("options") or dict.fromkeys(reply["labels"], "")
    return find_choice(reply["text"], options, multi=reply["multiple"])


def test_corpus_is_large_enough() -> None:
    replies = load_replies()
    assert len(replies) >= 300
    assert sum(reply["answer"] is None for reply in replies) >= 60
    assert len({(reply["text"], reply["labels"], reply["multiple"]) for reply in replies}) >= 300


def test_corpus_is_read_right() -> None:
    replies = load_replies()
    wrong = [
        (reply["text"], find(reply))
        for reply in replies
        if find(reply)[:2] != (reply["answer"], reply["status"])
    ]
    assert len(wrong) <= 0.02 * len(replies), wrong


def test_no_letter_where_none_must_be_found() -> None:
    assert [reply["text"] for reply in load_replies() if reply["answer"] is None and find(reply).answer] == []


def test_every_rule_fires_on_the_corpus() -> None:
    assert {find(reply).rule for reply in load_replies() if reply["answer"]} == RULES


def test_spans_point_at_the_letters() -> None:
    for reply in load_replies():
        found = find(reply)
        if found.status == "ok" and found.rule not in {"everything", "everything_but"}:
            span = fold(reply["text"])[slice(*found.span)]
            assert found.answer and found.answer[0] in span.upper(), (reply["text"], found)
        if found.status == "ok" and not reply["multiple"]:
            assert len(fold(reply["text"])[slice(*found.span)]) == 1


def test_folding_keeps_offsets() -> None:
    text = "体温38℃，答案：\u200bＢ…Ⅲ级🅐"
    assert fold(text) == "体温38℃,答案: B…Ⅲ级A"
    found = find_choice(text[:-1], ABCD)
    assert (found.answer, text[slice(*found.span)]) == ("B", "Ｂ")


@pytest.mark.parametrize("labels", ["ABCD", "ABCDE"])
def test_every_label_is_found(labels: str) -> None:
    for letter in labels:
        for form in (
            "{}",
            "答案：{}",
            "故选{}。",
            "\\boxed{{{}}}",
            "The answer is {}.",
            "{}. 冠心病",
            "【答案】{}",
        ):
            assert find_choice(form.format(letter), dict.fromkeys(labels, "")).answer == letter, form.format(
                letter
            )


@pytest.mark.parametrize(
    "unit",
    [
        "A",
        "A、",
        "A ",
        "选A",
        "不选A",
        "答案",
        "答案：A\n",
        "(",
        "*",
        " ",
        "\n",
        "<think>",
        "</think>",
        "\\boxed{",
        "A或",
        "除A",
        "心绞痛",
    ],
)
def test_a_megabyte_of_anything_is_read(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    found = find_choice(text, {"A": "心绞痛", "B": "心绞痛发作", "C": "", "D": ""})
    start, end = found.span
    assert 0 <= start <= end <= len(text)


def test_a_long_reply_is_read_at_both_ends() -> None:
    filler = "患者病情平稳。" * (HEAD_CHARS + TAIL_CHARS)
    end = find_choice(f"{filler}\n答案：B", ABCD)
    assert end == Found("B", "ok", "line", (len(filler) + 4, len(filler) + 5))
    assert find_choice(f"C\n{filler}", ABCD) == Found("C", "ok", "line", (0, 1))


def test_same_text_same_answer() -> None:
    replies = load_replies()
    assert [find(reply) for reply in replies] == [find(reply) for reply in replies]


def test_words_are_strings() -> None:
    assert all(
        words and all(word == word.lower() or not word.isascii() or word == "finalAnswer" for word in words)
        for words in load_words().values()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("答案：B", Thinking(None, "答案：B", True)),
        ("<think>先看A</think>\n\nB", Thinking("先看A", "B", True)),
        ("先看A</think>B", Thinking("先看A", "B", True)),
        ("<think>先看A", Thinking("先看A", "", False)),
        ("好的。<think>先看A", Thinking("先看A", "好的。", False)),
        ("<think>一</think>甲<think>二</think>乙", Thinking("一\n\n二", "甲\n\n乙", True)),
        ("<think><think>一</think>甲", Thinking("<think>一", "甲", True)),
        ("<think>一</think>甲</think>乙", Thinking("一", "甲\n\n乙", True)),
        ("<think>\n\n</think>\n\nD", Thinking("", "D", True)),
        ("<THINKING>x</THINKING>y", Thinking("x", "y", True)),
        ("◁think▷x◁/think▷y", Thinking("x", "y", True)),
        ("", Thinking(None, "", True)),
    ],
)
def test_thinking_is_split(text: str, expected: Thinking) -> None:
    assert split_thinking(text) == expected
    assert len(mask_thinking(text)[0]) == len(text)
