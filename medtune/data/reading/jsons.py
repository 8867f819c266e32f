"""JSON lines and JSON arrays -> objects, each broken one apart from its neighbours."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import orjson

from medtune.data.reading.blocks import Block, decode_block, decode_line, too_long
from medtune.data.reading.rows import Fault
from medtune.lexicon import read_table

Object = dict[str, Any]
Numbered = tuple[int, Object | Fault]
"""Line or element number, and the row or what is wrong with it."""

DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
"""Takes line ends inside strings, and NaN, which pandas writes, for null."""
BLANKS = re.compile(r"[\s,\ufeff]*")
NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)|\n\s*(?=\{)")
"""Where an array is read on behind a broken element that shares its line with others."""


def read_json_lines(blocks: Iterable[Block], codec: str) -> Iterator[Numbered]:
    """One row a line; blank lines are no rows."""
    for block in blocks:
        if block.is_too_long:
            yield block.line, too_long(block, codec)
            continue
        has_nul = b"\\u0000" in block.data
        if codec == "utf-8":
            lines = block.data.split(b"\n")
        else:
            decoded = decode_block(block, codec)
            lines = [decoded.faults.get(at, text) for at, text in enumerate(decoded.texts)]
        for number, line in enumerate(lines, block.line):
            if isinstance(line, Fault):
                yield number, line
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                if line.strip():
                    yield number, _read_odd(line)
                continue
            if type(value) is dict and not has_nul:
                yield number, value
            else:
                yield number, _row_of(value, line)


def read_json_values(content: bytes, codec: str) -> Iterator[Numbered]:
    """The elements of an array, or objects one behind the other; of `{"data": […]}` those of its one list."""
    try:
        value = orjson.loads(content if codec == "utf-8" else content.decode(codec))
    except (orjson.JSONDecodeError, UnicodeDecodeError):
        yield from _read_piecewise(content, codec)
        return
    has_nul = b"\\u0000" in content
    for number, item in enumerate(_elements(value), 1):
        yield number, item if type(item) is dict and not has_nul else _row_of(item, "")


def _elements(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    lists = [item for item in value.values() if isinstance(item, list)] if isinstance(value, dict) else []
    rows = lists[0] if len(lists) == 1 else []
    is_wrapped = rows and all(isinstance(row, dict) for row in rows) and _as_object(rows) is None
    return rows if is_wrapped else [value]


def _read_piecewise(content: bytes, codec: str) -> Iterator[Numbered]:
    """The elements one by one; behind a broken one at the next object that can be read."""
    text = content.decode(codec, errors="replace")
    is_damaged = "\ufffd" in text
    at = _skip_blanks(text, 0)
    is_array = text.startswith("[", at)
    at = _skip_blanks(text, at + is_array)
    number, is_whole = 0, True
    while at < len(text):
        if is_array and text[at] == "]" and not text[at + 1 :].strip():
            return
        number += 1
        try:
            value, end = DECODER.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end, is_whole = _find_next(text, at), False
            yield number, name_damage(text[at:end])
        else:
            is_whole = True
            broken = is_damaged and "\ufffd" in text[at:end]
            yield number, name_damage(text[at:end]) if broken else _row_of(value, text[at:end])
        at = _skip_blanks(text, end)
    if is_array and is_whole:
        yield number + 1, Fault("JSON cut or broken", "the array has no end")


def _find_next(text: str, at: int) -> int:
    """Where the next element may start: an object indented like this one, or behind a closed one."""
    indent = text[text.rfind("\n", 0, at) + 1 : at]
    following = re.compile(rf"\n{indent}(?=\{{)") if not indent.strip() and "\n" in text[:at] else NEXT_OBJECT
    found = following.search(text, at + 1)
    return found.end() if found else len(text)


def _skip_blanks(text: str, at: int) -> int:
    match = BLANKS.match(text, at)
    return match.end() if match else at


def _read_odd(line: bytes | str) -> Object | Fault:
    """The row of a line that strict JSON refuses: what can be read after all, or what is wrong."""
    text = decode_line(line, "utf-8") if isinstance(line, bytes) else line
    if isinstance(text, Fault):
        return text
    text = text.strip().strip("\ufeff").rstrip(",")
    try:
        value = DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError):
        return name_damage(text)
    return _row_of(value, text)


def name_damage(text: str) -> Fault:
    """What is wrong with a text that is no JSON."""
    if "\0" in text:
        return Fault("NUL character", text)
    return Fault("not in UTF-8" if "\ufffd" in text else "JSON cut or broken", text)


def _row_of(value: object, line: bytes | str) -> Object | Fault:
    """The row that a value is; a talk given as a bare list of its turns becomes one."""
    row = _as_object(value)
    shown = line if isinstance(line, str) else line.decode("utf-8", errors="replace")
    if row is None:
        return Fault("not an object", shown or json.dumps(value, ensure_ascii=False))
    fault = find_text_fault(row)
    return Fault(fault, (shown or str(row)).encode("utf-8", "replace").decode()) if fault else row


def _as_object(value: object) -> Object | None:
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(turn, dict) for turn in value):
        keys = {"messages": ("role", "content"), "conversations": ("from", "value")}
        names = [name for name, wanted in keys.items() if all(turn.keys() >= set(wanted) for turn in value)]
        return {names[0]: value} if names else None
    is_talk = all(isinstance(turn, str) for turn in value) and spoken(value[0])
    return {"utterances": value} if is_talk else None


def find_text_fault(value: object) -> str:
    """NUL characters and lone surrogates inside a value however deep; empty when there are none."""
    if isinstance(value, str):
        if "\0" in value:
            return "NUL character"
        return "" if value.isascii() or _is_encodable(value) else "lone surrogate"
    if isinstance(value, dict):
        items: list[object] = [*value, *value.values()]
    else:
        items = value if isinstance(value, list) else []
    return next((fault for item in items if (fault := find_text_fault(item))), "")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _speaker() -> re.Pattern[str]:
    words = read_table("speakers")
    user, assistant = ("|".join(map(re.escape, words[role])) for role in ("user", "assistant"))
    return re.compile(rf"\s*(?:(?P<user>{user})|(?P<assistant>{assistant}))\s*[:\uff1a]\s*", re.I)


def spoken(turn: str) -> tuple[str, str] | None:
    """Who speaks, user or assistant, and what, of a turn such as `doctor: …`; None without such a label."""
    match = _speaker().match(turn)
    return (match.lastgroup or "", turn[match.end() :]) if match else None
