"""Sentences with which too many answers end -> found from the data, and cut off."""

import re
from functools import cache
from hashlib import blake2b
from itertools import islice
from math import ceil

import numpy as np
from numpy.typing import NDArray

from medtune.data.config import Clean
from medtune.lexicon import read_words
from medtune.records import Dialogue, Record, dialogue_id
from medtune.scorers.overlap import bare

NUM_TAILS = 3
"""Sentences at the end of an answer that are looked at."""

MIN_CHARS = 4
"""A shorter sentence is an ending of many true answers, such as `yes, you can`."""

SHORT = 1

MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd number that keeps the hash of a pair apart from that of its parts in the other order."""

ENDS = "\u3002\uff01\uff1f!?\n"
STOP = re.compile(rf"[{ENDS}.](?:(?<!\.)[{ENDS}]*|(?<=\.)\.*(?=[\u4e00-\u9fff]))")
"""The end of a sentence in a text that is turned round: only its last sentences are looked for.

That it begins with one set of signs makes the search fast.
"""


def starts_of(text: str) -> list[int]:
    """Where the last sentences begin, the last one first; none is the whole answer or in its reasoning."""
    end = len(text.rstrip("\u3002\uff01\uff1f!?.~ \n"))
    start = 0
    if "</think>" in text:
        thought = len(text) - len(text.rpartition("</think>")[2].lstrip())
        start = min(thought, end)
    length = len(text)
    stops = STOP.finditer(text[::-1], length - end, length - start)
    return [length - stop.start() for stop in islice(stops, NUM_TAILS)]


def hash_of(sentence: str) -> int:
    """A number that names a sentence, letters and digits only; SHORT where it is too short to be told."""
    told = bare(sentence)
    if len(told) < MIN_CHARS:
        return SHORT
    key = int.from_bytes(blake2b(told.encode(errors="replace"), digest_size=8).digest(), "big")
    return key if key > SHORT else SHORT + 1


def answer_of(record: Record) -> str:
    """The last answer of a talk, empty where there is none."""
    if isinstance(record, Dialogue) and record.messages and record.messages[-1].role == "assistant":
        return record.messages[-1].content
    return ""


def tail_keys(record: Record) -> tuple[int, ...]:
    """The hashes of the last three sentences of the last answer, last first; 0 where there are fewer.

    An answer of one sentence has none: it is no tail.
    """
    text = answer_of(record)
    starts = starts_of(text)
    if not starts:
        return (0,) * NUM_TAILS
    if len(starts) < NUM_TAILS:
        starts.append(0)
    ends = [len(text), *starts]
    keys = [hash_of(text[start:end]) for start, end in zip(starts, ends, strict=False)]
    return (*keys, *(0,) * (NUM_TAILS - len(keys)))


def find_boilerplate(keys: NDArray[np.uint64], clean: Clean) -> frozenset[int]:
    """The hashes of sentences with which too many answers end. `keys` is (answers, 3), from tail_keys.

    A sentence counts once for each different sentence before it, so that an answer which many rows repeat is
    none; where the sentence before is boilerplate itself, it counts each time.
    """
    enough = max(clean.boilerplate_count, ceil(clean.boilerplate_share * len(keys)))
    sentences, before = keys[:, :-1].ravel(), keys[:, 1:].ravel()
    is_tail = (sentences > SHORT) & (before != 0)
    sentences, before = sentences[is_tail], before[is_tail]
    found = np.zeros(0, dtype=np.uint64)
    while True:
        counts_once = ~np.isin(before, found)
        _, first = np.unique(sentences[counts_once] ^ (before[counts_once] * MIX), return_index=True)
        counted = np.concatenate([sentences[counts_once][first], sentences[~counts_once]])
        keys_found, counts = np.unique(counted, return_counts=True)
        more = keys_found[counts >= enough]
        if len(more) == len(found):
            return frozenset(more.tolist())
        found = more


@cache
def referral() -> re.Pattern[str]:
    """What advice to see a doctor says."""
    return re.compile("|".join(map(re.escape, sorted(read_words("referral")))))


def cut_tail(record: Record, boilerplate: frozenset[int]) -> Record | None:
    """The record without the boilerplate at its end, None where there is none.

    Sentences go one by one from the end; advice to see a doctor stays, and what stands before it too.
    """
    text = answer_of(record)
    end = len(text)
    for start in starts_of(text):
        sentence = text[start:end]
        if hash_of(sentence) not in boilerplate or referral().search(sentence):
            break
        end = start
    kept = text[:end].rstrip()
    if end == len(text) or not bare(kept) or not isinstance(record, Dialogue):
        return None
    last = record.messages[-1].model_copy(update={"content": kept})
    turns = (*record.messages[:-1], last)
    return record.model_copy(update={"id": dialogue_id(turns), "messages": turns})
