"""What must be known of each record to tell repeats and to divide the set, as columns."""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from medtune.data.boilerplate import tail_keys
from medtune.data.config import Part
from medtune.data.dedup import hash_grams, sketch
from medtune.data.fields import AnyRecord
from medtune.data.table import KINDS, OPEN, PARTS, RISKS, ROW, Table
from medtune.records import Dialogue, Document, Preference, Question
from medtune.scorers.overlap import bare


class Texts(NamedTuple):
    """What a record says, as it is compared with others."""

    asked: str
    """What it asks: records that ask the same must stand on one side of a split."""
    answered: str
    """What it says besides."""
    same: int
    """Equal for records that say the same but for case and punctuation."""


def columns_of(records: Sequence[AnyRecord], lines: Sequence[bytes], *, on: str) -> Table:
    """(n,) of ROW, all columns but where the record came from, its part and stratum."""
    table = np.zeros(len(records), dtype=ROW)
    texts = [texts_of(record) for record in records]
    asked = sketch(hash_grams([text.asked for text in texts]))
    answered = sketch(hash_grams([text.answered for text in texts]))
    has_answer = np.array([bool(text.answered) for text in texts], dtype=bool)[:, None]
    whole = {
        "pair": np.minimum(asked, answered),
        "question": asked,
        "answer": np.where(has_answer, answered, asked),
    }[on]
    table["asked"], table["whole"] = asked.astype(np.uint16), whole.astype(np.uint16)
    table["id"] = [int(record.id, 16) for record in records]
    table["same"] = [text.same for text in texts]
    table["content"] = [short_hash(line) for line in lines]
    table["key"] = [near_key(record) for record in records]
    for place, record in enumerate(records):
        if isinstance(record, Question):
            table["gold"][place] = short_hash(record.answer.encode())
            table["case"][place] = short_hash(record.case.encode()) if record.case else 0
    table["length"] = [len(line) for line in lines]
    table["kind"] = [KINDS.index(record.kind) for record in records]
    table["risk"] = [RISKS.index(record.meta.risk) if record.meta.risk else OPEN for record in records]
    table["tails"] = [tail_keys(record) for record in records] if records else 0
    return table


def short_hash(text: bytes) -> int:
    """64 bits that stand for a text."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def texts_of(record: AnyRecord) -> Texts:
    """What the record asks and says, letters and digits only.

    Exam items that name their split are only the same as those of their id: a benchmark stays whole.
    """
    match record:
        case Dialogue():
            asked, rest, parts = None, list[str](), list[str]()
            for turn in record.messages:
                role, text = turn.role, bare(turn.content)
                # a turn without letters, such as `?`, is told by its signs
                parts.append(f"{role}:{text or turn.content}")
                if role == "user" and asked is None:
                    asked = text
                elif role != "system":
                    rest.append(text)
            asked, told = asked or "", "".join(rest)
        case Preference():
            turns = [bare(turn.content) for turn in record.prompt]
            asked, told = turns[-1], bare(record.chosen + record.rejected)
            parts = [*turns, bare(record.chosen) or record.chosen, bare(record.rejected) or record.rejected]
        case Document():
            asked, told = bare(record.text), ""
            parts = [asked]
        case Question():
            asked = asks(record)
            options = sorted(bare(text) or text for text in record.options.values())
            told = "".join(options)
            parts = [record.id] if record.split != "open" else [asked, *options]
    return Texts(asked, told, short_hash("\0".join([record.kind, *parts]).encode(errors="replace")))


def asks(record: AnyRecord) -> str:
    """What the record asks, letters and digits only."""
    match record:
        case Question():
            return bare(f"{record.case or ''}{record.stem}")
        case Dialogue():
            return next((bare(turn.content) for turn in record.messages if turn.role == "user"), "")
        case _:
            return texts_of(record).asked


def near_key(record: AnyRecord) -> int:
    """Differs between records that are no near duplicates however alike.

    Exam items repeat another only with the same options and the same right answer.
    """
    if not isinstance(record, Question):
        return _kind_hash(record.kind)
    texts = {letter: bare(text) or text for letter, text in record.options.items()}
    right = sorted(texts[letter] for letter in record.answer)
    return short_hash("\0".join([*sorted(texts.values()), "", *right]).encode())


@cache
def _kind_hash(kind: str) -> int:
    return short_hash(kind.encode())


def part_of(record: AnyRecord, bound: Part | None) -> int:
    """The part that a record must go to: its source's, an exam item's own; OPEN when its hash decides."""
    if bound:
        return PARTS.index(bound)
    return PARTS.index(record.split) if isinstance(record, Question) and record.split != "open" else OPEN
