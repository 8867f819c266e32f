"""Answers whose damage shows what they must have been -> the same answers, mended."""

import re
from typing import NamedTuple

from medtune.data.config import Clean
from medtune.records import Dialogue, Message, Record, dialogue_id
from medtune.scorers.wording import mend_words

SAME_CLOSING = re.compile(r"(</think>)(?:\s*</think>)+")
"""A closing tag said more than once."""

CLOSING_AT_END = re.compile(r"(<think>.*</think>.*\S)\s*</think>\s*$", re.DOTALL)
"""A closing tag at the very end of an answer, after a whole block and the answer proper."""


class Mended(NamedTuple):
    """A record with a new id, and how often each rule was applied instead of dropping it."""

    record: Record
    counts: dict[str, int]


def mend_answers(record: Record, clean: Clean) -> Mended:
    """The record with its answers mended; the same one where there is nothing to mend.

    Only what has one possible reading is put right: word pairs that Chinese does not have, and closing tags
    too many. Each is named as the rule that would else drop the record, and goes off with it.
    """
    if not isinstance(record, Dialogue):
        return Mended(record, {})
    counts: dict[str, int] = {}
    turns = tuple([_mend(turn, clean, counts) for turn in record.messages])
    if not counts:
        return Mended(record, counts)
    return Mended(record.model_copy(update={"id": dialogue_id(turns), "messages": turns}), counts)


def _mend(turn: Message, clean: Clean, counts: dict[str, int]) -> Message:
    if turn.role != "assistant":
        return turn
    text = turn.content
    if "flipped words" not in clean.skip:
        text, num_words = mend_words(text)
        if num_words:
            counts["flipped words"] = counts.get("flipped words", 0) + num_words
    if "</think>" in text and "broken think block" not in clean.skip:
        whole = CLOSING_AT_END.sub(r"\1", SAME_CLOSING.sub(r"\1", text))
        if whole.count("<think>") == whole.count("</think>") == 1 != text.count("</think>"):
            counts["broken think block"] = counts.get("broken think block", 0) + 1
            text = whole
    return turn if text is turn.content else turn.model_copy(update={"content": text})
