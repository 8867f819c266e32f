"""A training set with the ledger of what became of each record and token."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, NotRequired, TypedDict

from datasets import Dataset

from medtune.errors import UserError

IGNORED = -100
"""The label that torch's cross-entropy skips."""
TOO_LONG = "too long"
NOT_DRAWN = "not drawn for replay"
UNLEARNT = "no answer to learn"
"""Every answer that would be learnt has a weight of 0."""
WEIGHTS: Final = "loss_weights"
"""The column with the weight of each token's loss; only where some weigh neither 0 nor 1."""


class Row(TypedDict):
    """One row to train on. Its columns are of one length, save `seq_lengths`."""

    input_ids: list[int]
    labels: list[int]
    seq_lengths: NotRequired[list[int]]
    """When several sequences share the row."""
    loss_weights: NotRequired[list[float]]
    """The weight of each token's loss, 0 where it has no label; all rows have it or none."""


class Misfit(NamedTuple):
    """A record of which not all is trained on."""

    file: str
    line: int
    id: str
    num_tokens: int
    num_kept: int
    """Tokens of what is left of it, the system prompts that `split` repeats included; 0: left out."""
    reason: str


class Ledger(NamedTuple):
    """What became of records and tokens. Both sums add up, or the run stops."""

    records: int
    """Read: those trained on and those dropped."""
    trained: int
    dropped: dict[str, int]
    """By reason."""
    shortened: dict[str, int]
    """Of those trained on, by what was done to them."""
    tokens: int
    """Of the records as they were read. With those repeated, the sum of the trained, prompt and cut ones."""
    trained_tokens: int
    prompt_tokens: int
    """In the rows, but not learnt: what answers follow, and the first token of a row of documents."""
    cut_tokens: int
    """In no row."""
    repeated_tokens: int
    """System prompts that `split` put before more than one piece."""
    trained_by_weight: dict[str, int]
    """The trained tokens by the weight of their loss; empty where all weigh 1."""


class Columns(NamedTuple):
    """A training set and what became of the records."""

    dataset: Dataset
    """Rows of one sequence, or packed ones."""
    num_records: int
    """Asked for: those read, without what replay did not draw."""
    misfits: list[Misfit]
    num_tokens: int
    num_trained_tokens: int
    ledger: Ledger

    @property
    def too_long(self) -> list[Misfit]:
        """The records left out as too long."""
        return [misfit for misfit in self.misfits if misfit.reason == TOO_LONG]


def balance(
    rows: list[Row],
    *,
    num_records: int,
    num_trained: int,
    num_tokens: int,
    misfits: Sequence[Misfit],
    undrawn: int,
    where: str,
) -> Columns:
    """The columns of rows; records and tokens are counted where they come from and where they end up."""
    dropped = Counter(misfit.reason for misfit in misfits if not misfit.num_kept)
    if not rows:
        raise UserError(
            f"{where}: nothing to train on "
            f"({num_records} records, {dropped[TOO_LONG]} of them over max_length)"
            f"{'; raise max_length' if dropped[TOO_LONG] else ''}"
        )
    in_rows = sum(len(row["input_ids"]) for row in rows)
    trained = sum(label != IGNORED for row in rows for label in row["labels"])
    ledger = Ledger(
        records=num_records + undrawn,
        trained=num_trained,
        dropped=dict(dropped + Counter({NOT_DRAWN: undrawn})),
        shortened=dict(Counter(misfit.reason for misfit in misfits if misfit.num_kept)),
        tokens=num_tokens,
        trained_tokens=trained,
        prompt_tokens=in_rows - trained,
        cut_tokens=sum(max(misfit.num_tokens - misfit.num_kept, 0) for misfit in misfits),
        repeated_tokens=sum(max(misfit.num_kept - misfit.num_tokens, 0) for misfit in misfits),
        trained_by_weight=count_weights(
            weight
            for row in rows
            for weight, label in zip(row.get(WEIGHTS, []), row["labels"], strict=False)
            if label != IGNORED
        ),
    )
    assert ledger.records == ledger.trained + sum(ledger.dropped.values()), ledger
    assert ledger.tokens + ledger.repeated_tokens == in_rows + ledger.cut_tokens, ledger
    dataset = Dataset.from_list([{**row} for row in rows])
    return Columns(dataset, num_records, list(misfits), in_rows, trained, ledger)


def count_weights(weights: Iterable[float]) -> dict[str, int]:
    """How often each weight stands, the lightest first."""
    return {f"{weight:g}": count for weight, count in sorted(Counter(weights).items())}
