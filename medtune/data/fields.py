"""What the readers of all formats share: texts and metadata of a row, the names of its columns, dialogues."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from medtune.config import Input
from medtune.data.config import Source
from medtune.lexicon import read_table
from medtune.records import Dialogue, Document, Message, Meta, Preference, Question, dialogue_id

Row = Mapping[str, Any]
AnyRecord = Document | Dialogue | Preference | Question
Reader = Callable[[Row, Source], AnyRecord]
"""Row -> record; a row that does not fit raises a ValueError."""

NO_VALUE = ("", "unknown", "none", "null", "nan")


def text_of(row: Row, key: str) -> str:
    """The text under a key without blank ends; a row without the key, or with no text there, is a fault."""
    if key not in row:
        raise ValueError(f"has no {key!r} (keys: {', '.join(row)})")
    value = row[key]
    if isinstance(value, str):
        return value.strip()
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key!r} is a {type(value).__name__}; text is wanted")
    return str(value)


def text_if_any(row: Row, key: str) -> str:
    """The text under a key that a row may lack."""
    return text_of(row, key) if key in row else ""


def meta_of(row: Row, source: Source) -> Meta:
    """The metadata that a row brings, under the names that public sets use.

    That a row calls itself de-identified counts for nothing: only our own step can say so.
    """
    given = row.get("meta") or row.get("metadata")
    get = ({**row, **given} if isinstance(given, dict) else row).get
    complexity = str(get("complexity"))
    return _meta(
        str(get("source") or "") or _name_of(source.path),
        str(get("license") or source.license),
        _given(get("specialty") or get("department")),
        _given(get("risk_level") or get("risk")),
        int(complexity) if complexity.isdecimal() else None,
        _given(get("lang_style") or get("style")),
    )


def _given(value: object) -> str:
    text = str(value or "").strip()
    return "" if text.lower() in NO_VALUE else text


@lru_cache(256)
def _name_of(path: Input) -> str:
    return str(path) if path.scheme else path.path.name


@lru_cache(4096)
def _meta(source: str, license: str, specialty: str, risk: str, complexity: int | None, style: str) -> Meta:
    return Meta(
        source=source,
        license=license,
        specialty=specialty or None,
        risk=risk if risk in ("low", "medium", "high", "critical") else None,
        complexity=complexity,
        style=style if style in ("standard", "colloquial") else None,
    )


def dialogue(
    messages: list[Message],
    row: Row,
    source: Source,
    *,
    tools: str | None = None,
    weights: tuple[float, ...] | None = None,
) -> Dialogue:
    """A dialogue record."""
    if row.get("kto_tag") in (False, 0, "false", "False"):
        raise ValueError("is marked as a bad answer, with no better one beside it")
    turns = tuple(messages)
    meta = meta_of(row, source)
    return Dialogue(id=dialogue_id(turns), messages=turns, tools=tools, weights=weights, meta=meta)


def talk(question: str, answer: str, row: Row, source: Source, *, system: str = "") -> Dialogue:
    """A dialogue of one question and one answer, behind the history of the row if it has one."""
    turns = [Message(role="system", content=system)] if system else []
    turns += read_history(row)
    turns += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return dialogue(turns, row, source)


def read_history(row: Row) -> list[Message]:
    """The earlier turns that a row gives as `history: [[question, answer], …]`."""
    messages: list[Message] = []
    given = row.get("history") or []
    for pair in given if isinstance(given, list) else [given]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError("has a 'history' that is no list of [question, answer] pairs")
        messages += [
            Message(role="user", content=pair[0].strip()),
            Message(role="assistant", content=pair[1].strip()),
        ]
    return messages


def think_first(thought: str, answer: str) -> str:
    """The answer behind its thinking in a think block; an answer that has one already keeps it."""
    return f"<think>{thought}</think>\n{answer}" if thought and "<think>" not in answer else answer


def under_known_names(row: Row) -> Row:
    """The row with its columns under the names that the readers know."""
    names = known_names(tuple(row))
    return dict(zip(names, row.values(), strict=True)) if names else row


@lru_cache(4096)
def known_names(keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """The known names for these columns; None when they are known as they stand."""
    names = list[str]()
    for key in keys:
        name = _spellings().get(key.strip().lower(), key)
        names.append(key if name in keys or name in names else name)
    if {"a", "b", "c"} <= set(names) and "A" not in names:
        names = [name.upper() if len(name) == 1 else name for name in names]
    return tuple(names) if tuple(names) != keys else None


@cache
def _spellings() -> dict[str, str]:
    """Every spelling of a column's name in lower case, with the name the readers know."""
    table = read_table("columns")
    spellings = {name.lower(): known for known, names in table.items() for name in names}
    return {**spellings, **{known.lower(): known for known in table if len(known) > 1}}
