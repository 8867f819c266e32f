"""Records -> the columns that TRL trains on. Labels come from the renderer."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.engines.render import encode, end_id, render_dialogue, stop_ids
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Document

IGNORED = -100
"""The label that torch's cross-entropy skips."""


class TooLong(NamedTuple):
    """A record that was left out."""

    file: str
    line: int
    id: str
    num_tokens: int


class Columns(NamedTuple):
    """A training set and what became of the records: some gave rows, the others were too long."""

    dataset: Dataset
    """Columns input_ids and labels, one sequence a row."""
    num_records: int
    too_long: list[TooLong]
    num_tokens: int
    num_trained_tokens: int


def dialogue_columns(
    sources: Iterable[Input], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> Columns:
    """The sequences of dialogues, answers labelled.

    A dialogue with a sequence over max_length is left out and listed.
    """
    stops = set(stop_ids(tokenizer))
    rows: list[dict[str, list[int]]] = []
    too_long: list[TooLong] = []
    num_records = 0
    for source in sources:
        for number, record in enumerate(read_jsonl(source.path, RECORD), 1):
            if not isinstance(record, Dialogue) or record.messages[-1].role != "assistant":
                raise UserError(
                    f"{source}:{number}: sft wants dialogues that end with an answer; this is a {record.kind}"
                )
            num_records += 1
            sequences = render_dialogue(tokenizer, record.messages)
            longest = max(len(sequence.ids) for sequence in sequences)
            if longest > max_length:
                too_long.append(TooLong(source.path.name, number, record.id, longest))
                continue
            for sequence in sequences:
                labels = [token if is_answer else IGNORED for token, is_answer in zip(*sequence, strict=True)]
                assert any(label in stops for label in labels), "an answer without its end would never stop"
                rows.append({"input_ids": sequence.ids, "labels": labels})
    return _columns(rows, num_records, too_long, where=", ".join(sources))


def document_columns(
    sources: Iterable[Input], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> Columns:
    """Documents joined with end tokens and cut into blocks of max_length; every token is labelled."""
    stream: list[int] = []
    num_records = 0
    for source in sources:
        for number, record in enumerate(read_jsonl(source.path, RECORD), 1):
            if not isinstance(record, Document):
                raise UserError(f"{source}:{number}: pt wants documents; this is a {record.kind}")
            num_records += 1
            stream += [*encode(tokenizer, record.text), end_id(tokenizer)]
    cuts = [*range(0, len(stream), max_length), len(stream)]
    if len(cuts) > 2 and cuts[-1] - cuts[-2] == 1:
        cuts[-2] -= 1  # one token alone predicts nothing, so it takes another from its neighbour
    blocks = [stream[start:end] for start, end in pairwise(cuts)]
    rows = [{"input_ids": block, "labels": list(block)} for block in blocks if len(block) > 1]
    return _columns(rows, num_records, [], where=", ".join(sources))


def _columns(
    rows: list[dict[str, list[int]]], num_records: int, too_long: list[TooLong], *, where: str
) -> Columns:
    if not rows:
        raise UserError(
            f"{where}: nothing to train on ({num_records} records, {len(too_long)} of them over max_length)"
        )
    return Columns(
        dataset=Dataset.from_list(rows),
        num_records=num_records,
        too_long=too_long,
        num_tokens=sum(len(row["input_ids"]) for row in rows),
        num_trained_tokens=sum(label != IGNORED for row in rows for label in row["labels"]),
    )
