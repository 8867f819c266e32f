"""A model's visible reasoning, told apart from its answer."""

import re
from typing import NamedTuple

TAG = re.compile(
    r"<(?P<close>/)?(?:think|thinking|thought|reasoning)>|◁(?P<kimi>/)?think▷|\[(?P<magistral>/)?THINK\]",
    re.IGNORECASE,
)


class Thinking(NamedTuple):
    """A reply in two parts. `reasoning` is None where there is no tag at all; cut off, it is not closed."""

    reasoning: str | None
    answer: str
    is_closed: bool


class Block(NamedTuple):
    """Where one stretch of reasoning stands: with its tags, and without them."""

    start: int
    end: int
    inner_start: int
    inner_end: int


def locate_thinking(text: str) -> tuple[list[Block], bool]:
    """The stretches of reasoning in order, and whether the last one is closed.

    Many chat templates write the opening tag into the prompt: a first closing tag without one ends reasoning
    that began with the text. A second opening tag inside changes nothing; a stray closing tag later is
    an empty stretch.
    """
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    for tag in TAG.finditer(text):
        is_closing = bool(tag["close"] or tag["kimi"] or tag["magistral"])
        if not is_closing:
            opened = opened or tag
        elif opened:
            blocks.append(Block(opened.start(), tag.end(), opened.end(), tag.start()))
            opened = None
        elif not blocks:
            blocks.append(Block(0, tag.end(), 0, tag.start()))
        else:
            blocks.append(Block(tag.start(), tag.end(), tag.end(), tag.end()))
    if opened:
        blocks.append(Block(opened.start(), len(text), opened.end(), len(text)))
    return blocks, opened is None


def mask_thinking(text: str) -> tuple[str, bool]:
    """The text with its reasoning blanked, every offset kept; and whether the reasoning is closed."""
    blocks, is_closed = locate_thinking(text)
    parts: list[str] = []
    position = 0
    for block in blocks:
        parts += [text[position : block.start], " " * (block.end - block.start)]
        position = block.end
    return "".join([*parts, text[position:]]), is_closed


def split_thinking(text: str) -> Thinking:
    """The reasoning, the answer around it, and whether the reasoning is closed.

    Several stretches are joined by a blank line. Reasoning that was cut off leaves the answer that stood
    before it, most often nothing.
    """
    blocks, is_closed = locate_thinking(text)
    if not blocks:
        return Thinking(None, text.strip(), True)
    reasoning = [text[block.inner_start : block.inner_end].strip() for block in blocks]
    starts = [0, *(block.end for block in blocks)]
    ends = [*(block.start for block in blocks), len(text)]
    answer = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    return Thinking("\n\n".join(filter(None, reasoning)), "\n\n".join(filter(None, answer)), is_closed)
