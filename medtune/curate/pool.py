"""The pool that training data is chosen from: where each row stands; records are read when wanted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from medtune.artifact import Counts, write_json, write_jsonl
from medtune.curate.config import SelectionConfig
from medtune.curate.leaks import Leak
from medtune.curate.shards import Shard, Trainable, list_shards, parse_row, work_through
from medtune.curate.survey import Counting, Survey, Surveyor
from medtune.engines.rendering.render import encode, render_dialogue
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.lineage import EXAM_ITEMS
from medtune.records import Dialogue, Document, Message


class Pool:
    """All rows of the pool's files, numbered from 0; 30 bytes each stay in memory."""

    def __init__(self, config: SelectionConfig, shards: Sequence[Shard], seen: Sequence[Survey]) -> None:
        self.files = config.pool
        self.shards = shards
        self._firsts = [shard.first for shard in shards]
        self._offsets = np.concatenate([survey.offsets for survey in seen])
        self.num_chars = np.concatenate([survey.num_chars for survey in seen])
        """Characters of each record."""
        names = dict.fromkeys(str(name) for survey in seen for name in survey.sources)
        self.sources = list(names)
        numbers = {name: number for number, name in enumerate(self.sources)}
        self.source = np.concatenate(
            [
                np.array([numbers[str(name)] for name in one.sources], dtype=np.int32)[one.source]
                for one in seen
            ]
        )
        """Which of `sources` each record is from."""
        self.leaks = [
            Leak(self.place(int(row)), record, question, kind, float(share))
            for survey in seen
            for row, record, question, kind, share in survey.leaks.tolist()
        ]
        self.prints = np.concatenate([survey.prints for survey in seen])
        """Fingerprints of the ids."""
        self.is_free = np.zeros(len(self.prints), dtype=bool)
        """Whether a row may be chosen: it holds no exam question, and is not there a second time."""
        self.is_free[np.unique(self.prints, return_index=True)[1]] = True
        self.num_repeats = int((~self.is_free).sum())
        leaking = sorted({int(row) for survey in seen for row in survey.leaks[:, 0].tolist()})
        self.num_leaking = int(self.is_free[leaking].sum())
        self.is_free[leaking] = False

    def __len__(self) -> int:
        return len(self._offsets)

    def place(self, row: int) -> str:
        """`file:line` of a row."""
        shard = self._shard_of(row)
        return f"{self.files[shard.file].path.name}:{shard.line + row - shard.first}"

    def read(self, rows: Iterable[int]) -> Iterator[Trainable]:
        """The records of some rows, in the order asked."""
        for row in rows:
            shard = self._shard_of(row)
            with self.files[shard.file].path.open("rb") as lines:
                lines.seek(int(self._offsets[row]))
                yield parse_row(self.files[shard.file], shard.line + row - shard.first, lines.readline())

    def _shard_of(self, row: int) -> Shard:
        return self.shards[int(np.searchsorted(self._firsts, row, side="right")) - 1]


def read_pool(config: SelectionConfig, counting: Counting | None = None) -> tuple[Pool, NDArray[np.float64]]:
    """The pool, and what `counting` wants to know of all its rows."""
    shards = list_shards(config.pool)
    seen = list(
        work_through(
            shards,
            out=config.out,
            stage="survey",
            kind=Survey,
            workers=config.runtime.workers,
            hold=partial(Surveyor, config, counting),
            work=Surveyor.look,
        )
    )
    if not seen:
        raise UserError(f"{', '.join(config.pool)}: no records in the pool")
    pool = Pool(config, shards, seen)
    if not pool.is_free.any():
        raise UserError(f"{', '.join(config.pool)}: no records left of {len(pool)} after decontamination")
    return pool, np.sum([survey.counts for survey in seen], axis=0)


Gauge = Callable[[Trainable], int]
"""Tells the tokens of a record."""


def make_gauge(config: SelectionConfig) -> Gauge:
    """What tells the tokens of a record as training will see them; 0 where no tokenizer is given."""
    if config.tokenizer is None:
        return lambda record: 0
    tokenizer = load_tokenizer(config.tokenizer)
    return lambda record: count_tokens(tokenizer, record)


def count_tokens(tokenizer: PreTrainedTokenizerBase, record: Trainable) -> int:
    """Tokens that training will see of a record; of a preference the prompt twice, once with each answer."""
    if isinstance(record, Document):
        return len(encode(tokenizer, record.text))
    if isinstance(record, Dialogue):
        sequences = render_dialogue(tokenizer, record.messages, tools=record.tools, weights=record.weights)
        return sum(len(sequence.ids) for sequence in sequences)
    answers = (Message(role="assistant", content=text) for text in (record.chosen, record.rejected))
    return sum(
        len(sequence.ids)
        for answer in answers
        for sequence in render_dialogue(tokenizer, (*record.prompt, answer))
    )


class Chosen(NamedTuple):
    """A row that is taken."""

    row: int
    record: Trainable
    num_tokens: int
    """0 where no tokenizer was given."""


def take(pool: Pool, order: Iterable[int], config: SelectionConfig) -> list[Chosen]:
    """The rows in the given order until the budget is spent; all of them without a budget."""
    budget, in_tokens = config.budget_tokens or config.budget_rows, config.budget_tokens is not None
    taken = list(fill(pool, order, make_gauge(config), budget=budget, in_tokens=in_tokens))
    if budget and (spent := count_spent(taken, in_tokens=in_tokens)) < budget:
        name = "budget_tokens" if in_tokens else "budget_rows"
        raise UserError(
            f"only {spent} of {name} {budget} could be chosen from {int(pool.is_free.sum())} records; "
            "lower the budget or widen the choice"
        )
    if not taken:
        raise UserError(f"{', '.join(config.pool)}: nothing was chosen; widen the choice")
    return taken


def fill(
    pool: Pool, order: Iterable[int], gauge: Gauge, *, budget: int | None = None, in_tokens: bool = False
) -> Iterator[Chosen]:
    """The rows in the given order until the budget, rows or tokens, is spent; the last row may run over."""
    spent = 0
    for row in order:
        if budget is not None and spent >= budget:
            return
        (record,) = pool.read([row])
        one = Chosen(row, record, gauge(record))
        spent += one.num_tokens if in_tokens else 1
        yield one


def count_spent(taken: Sequence[Chosen], *, in_tokens: bool) -> int:
    """What was taken, in tokens or rows."""
    return sum(one.num_tokens for one in taken) if in_tokens else len(taken)


def write_choice(
    config: SelectionConfig, pool: Pool, chosen: Sequence[Chosen], *, exam_ids: Sequence[str]
) -> Counts:
    """The counts of a choice written to `config.out`: its records, the leaks, the exam items behind it."""
    write_jsonl(config.out / "train.jsonl", (one.record for one in chosen))
    write_jsonl(config.out / "leaks.jsonl", (leak._asdict() for leak in pool.leaks))
    if exam_ids:
        write_json(config.out / EXAM_ITEMS, sorted(exam_ids))
    return {
        "chosen": len(chosen),
        "tokens": sum(one.num_tokens for one in chosen),
        "pool": len(pool),
        "leaks_removed": pool.num_leaking,
        "repeats_removed": pool.num_repeats,
    }
