"""A record without personal values: each is replaced by a typed placeholder, the same for the same value."""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from medtune.records import (
    Dialogue,
    Document,
    Meta,
    Preference,
    Question,
    content_id,
    dialogue_id,
)
from medtune.scorers.personal import Span, find_names, find_personal_data, settle

__all__ = ["Deidentified", "FoundSpan", "Span", "deidentify", "find_personal_data", "mask"]

AnyRecord = Document | Dialogue | Preference | Question
CONTEXT_CHARS = 12
PLACEHOLDER = re.compile(r"\[([A-Z_]+)_(\d+)\]")
NO_PART_OF_VALUE = re.compile(r"[\W_]+")


class FoundSpan(NamedTuple):
    """A place where a personal value stood, for review: never the value itself."""

    where: str
    """The text inside the record, such as `messages.1` or `chosen`."""
    start: int
    end: int
    type: str
    placeholder: str
    before: str
    """Up to 12 characters before the place, other values replaced."""
    after: str


class Deidentified(NamedTuple):
    """A record after the step, and what was replaced in it."""

    record: AnyRecord
    spans: list[FoundSpan]


class Placeholders:
    """The placeholders of one record: `[TYPE_n]`, counted by type in order of appearance."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Begin to count after the placeholders that the texts hold already."""
        self.by_value: dict[tuple[str, str], str] = {}
        self.counts: dict[str, int] = {}
        for text in texts:
            for kind, number in PLACEHOLDER.findall(text):
                self.counts[kind] = max(self.counts.get(kind, 0), int(number))

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value; blanks, hyphens, case and width make no other value of it."""
        key = kind, NO_PART_OF_VALUE.sub("", unicodedata.normalize("NFKC", value).lower())
        if key not in self.by_value:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.by_value[key] = f"[{kind}_{self.counts[kind]}]"
        return self.by_value[key]


def search(texts: Sequence[str]) -> list[list[Span]]:
    """The spans of each text; a full name found in one is looked for in all."""
    found = [find_personal_data(text) for text in texts]
    full = {
        text[span.start : span.end]
        for text, spans in zip(texts, found, strict=True)
        for span in spans
        if span.type == "NAME" and span.end - span.start > 1
    }
    if not full or len(texts) == 1:
        return found
    return [settle(text, [*spans, *find_names(text, full)]) for text, spans in zip(texts, found, strict=True)]


def replace(
    text: str, spans: Sequence[Span], placeholders: Placeholders, *, where: str = ""
) -> tuple[str, list[FoundSpan]]:
    """The text with placeholders, and what stood where."""
    pieces: list[str] = []
    done = 0
    for span in spans:
        pieces += [text[done : span.start], placeholders.of(span.type, text[span.start : span.end])]
        done = span.end
    pieces.append(text[done:])
    found = [
        FoundSpan(
            where,
            *span,
            placeholder=pieces[2 * number + 1],
            before="".join(pieces[max(0, 2 * number - 4) : 2 * number + 1])[-CONTEXT_CHARS:],
            after="".join(pieces[2 * number + 2 : 2 * number + 7])[:CONTEXT_CHARS],
        )
        for number, span in enumerate(spans)
    ]
    return "".join(pieces), found


def mask(text: str) -> str:
    """The text with placeholders for its personal values."""
    spans = find_personal_data(text)
    return replace(text, spans, Placeholders([text]))[0] if spans else text


def parts_of(record: Document | Dialogue | Preference) -> dict[str, str]:
    """The texts of a record by where they stand in it."""
    match record:
        case Document():
            return {"text": record.text}
        case Dialogue():
            parts = {f"messages.{number}": turn.content for number, turn in enumerate(record.messages)}
            return parts if record.reference is None else {**parts, "reference": record.reference}
        case Preference():
            parts = {f"prompt.{number}": turn.content for number, turn in enumerate(record.prompt)}
            return {**parts, "chosen": record.chosen, "rejected": record.rejected}


def with_parts(record: Document | Dialogue | Preference, parts: dict[str, str], meta: Meta) -> AnyRecord:
    """The record with other texts, and the id that belongs to them."""
    match record:
        case Document():
            text = parts["text"]
            return record.model_copy(update={"id": content_id("document", text), "text": text, "meta": meta})
        case Dialogue():
            turns = tuple(
                turn.model_copy(update={"content": parts[f"messages.{number}"]})
                for number, turn in enumerate(record.messages)
            )
            changed = {"id": dialogue_id(turns), "messages": turns, "reference": parts.get("reference")}
            return record.model_copy(update={**changed, "meta": meta})
        case Preference():
            turns = tuple(
                turn.model_copy(update={"content": parts[f"prompt.{number}"]})
                for number, turn in enumerate(record.prompt)
            )
            chosen, rejected = parts["chosen"], parts["rejected"]
            name = content_id("preference", [(turn.role, turn.content) for turn in turns], chosen, rejected)
            changed = {"id": name, "prompt": turns, "chosen": chosen, "rejected": rejected}
            return record.model_copy(update={**changed, "meta": meta})


def deidentify(record: AnyRecord) -> Deidentified:
    """The record with placeholders for personal values, marked so; exam items stay as they are."""
    if isinstance(record, Question):
        return Deidentified(record, [])
    meta = record.meta.model_copy(update={"deidentified": True})
    parts = parts_of(record)
    texts = list(parts.values())
    spans = search(texts)
    if not any(spans):
        return Deidentified(record.model_copy(update={"meta": meta}), [])
    placeholders = Placeholders(texts)
    found: list[FoundSpan] = []
    for where, places in zip(list(parts), spans, strict=True):
        parts[where], here = replace(parts[where], places, placeholders, where=where)
        found += here
    return Deidentified(with_parts(record, parts, meta), found)
