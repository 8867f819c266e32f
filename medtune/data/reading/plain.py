"""Plain text -> rows: question and answer blocks, consultations turn by turn, or stretches of prose."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from medtune.data.reading.blocks import Lines
from medtune.data.reading.jsons import spoken
from medtune.data.reading.rows import Fault

Line = tuple[int, str | Fault]
Numbered = tuple[int, dict[str, Any] | Fault]
"""The line where a row starts, and its values or what is wrong with it."""

MAX_DOCUMENT_CHARS = 4000
CONSULTATION = re.compile(r"id\s*=\s*\d+")
SENTENCE_END = re.compile(r"(?<=[\u3002\uff01\uff1f!?;\uff1b])")
QUESTION_END = re.compile(r"[?\uff1f][\"'\u201d\u2019)\uff09]?$")


def is_consultation_text(head: str) -> bool:
    """Whether it is text as MedDialog has it: `id=1`, then sections, the last with the turns."""
    return (
        CONSULTATION.fullmatch(head.lstrip().partition("\n")[0].strip()) is not None and "\nDialogue" in head
    )


def is_question_text(head: str) -> bool:
    """Whether it is made of blocks of a question line and an answer line.

    Prose may have its headings above single paragraphs, but these ask nothing and hold no `title,ask`.
    """
    blocks = [block.strip().split("\n") for block in re.split(r"\n\s*\n", head.strip())]
    pairs = [block for block in (blocks[:-1] if len(blocks) > 2 else blocks) if len(block) == 2]
    if len(pairs) < 1 or len(pairs) < 0.8 * max(1, len(blocks) - 1):
        return False
    asking = [
        first for first, _ in pairs if "," in first or QUESTION_END.search(first.strip()) or spoken(first)
    ]
    return len(asking) * 2 >= len(pairs)


def read_questions(lines: Iterable[Line]) -> Iterator[Numbered]:
    """One row a block: its first line is `title,ask` or the question, the others the answer."""
    for number, block in _blocks(lines):
        faults = [line for line in block if isinstance(line, Fault)]
        texts = [line.strip() for line in block if isinstance(line, str)]
        if faults:
            yield number, faults[0]
        elif len(texts) < 2:
            yield number, Fault("question without an answer", texts[0])
        else:
            title, comma, ask = texts[0].partition(",")
            if not comma:
                title, ask = "", _unlabelled(texts[0])
            yield number, {"title": title, "ask": ask, "answer": _unlabelled("\n".join(texts[1:]))}


def _unlabelled(text: str) -> str:
    found = spoken(text)
    return found[1] if found else text


def _blocks(lines: Iterable[Line]) -> Iterator[tuple[int, list[str | Fault]]]:
    """Neighbouring lines that are not blank, with the number of the first."""
    block, first = list[str | Fault](), 0
    for number, line in lines:
        if isinstance(line, Fault) or line.strip():
            first = first if block else number
            block.append(line)
        elif block:
            yield first, block
            block = []
    if block:
        yield first, block


def read_consultations(lines: Iterable[Line]) -> Iterator[Numbered]:
    """One row an `id=…`: the turns of its section `Dialogue`, each with its speaker."""
    first, name, turns, is_talk = 0, "", list[str](), False
    fault: Fault | None = None
    for number, line in lines:
        if isinstance(line, Fault):
            fault = fault or line
            continue
        text = line.strip()
        if CONSULTATION.fullmatch(text):
            if first:
                yield first, _consultation(name, turns, fault)
            first, name, turns, is_talk, fault = number, text.partition("=")[2].strip(), [], False, None
        elif text == "Dialogue":
            is_talk = True
        elif is_talk and text:
            if spoken(text) or not turns:
                turns.append(text)
            else:
                turns[-1] += f"\n{text}"
    if first:
        yield first, _consultation(name, turns, fault)


def _consultation(name: str, turns: list[str], fault: Fault | None) -> dict[str, Any] | Fault:
    return fault or {"id": name, "utterances": turns}


def read_prose(lines: Iterable[Line]) -> Iterator[Numbered]:
    """Documents of whole paragraphs; one is cut at a sentence's end only when it is too long by itself."""
    held, size, first = list[str](), 0, 0
    for number, line in lines:
        if isinstance(line, Fault):
            yield number, line
            continue
        for piece in _pieces(line.rstrip()):
            if size + len(piece) > MAX_DOCUMENT_CHARS and size:
                yield first, {"text": "\n".join(held).strip()}
                held, size = [], 0
            if not size:
                if not piece:
                    continue
                held, first = [], number
            held.append(piece)
            size += len(piece) + 1
    if size:
        yield first, {"text": "\n".join(held).strip()}


def _pieces(line: str) -> Iterator[str]:
    """The line, or when it is too long stretches of whole sentences."""
    if len(line) <= MAX_DOCUMENT_CHARS:
        yield line
        return
    held = ""
    for sentence in SENTENCE_END.split(line):
        for start in range(0, len(sentence), MAX_DOCUMENT_CHARS):
            part = sentence[start : start + MAX_DOCUMENT_CHARS]
            if len(held) + len(part) > MAX_DOCUMENT_CHARS:
                yield held
                held = ""
            held += part
    if held:
        yield held


def number_lines(blocks: Iterable[Lines]) -> Iterator[Line]:
    """The lines one by one with their numbers."""
    for block in blocks:
        for at, text in enumerate(block.texts):
            yield block.first + at, block.faults.get(at) or text
