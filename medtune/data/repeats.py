"""Records -> those that are kept and those that say the same as one that is kept."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import orjson
from numpy.typing import NDArray

from medtune.data.benchmarks import EXAM_SPLITS
from medtune.data.chunks import Lost
from medtune.data.config import PrepareConfig
from medtune.data.dedup import Indices, find_repeats, first_with
from medtune.data.ledger import Ledger
from medtune.data.split import choose
from medtune.data.table import KINDS, OPEN, PARTS, Spool, Table
from medtune.errors import UserError
from medtune.records import content_id

EXAM = KINDS.index("question")


def drop_repeats(config: PrepareConfig, table: Table, records: Spool, ledger: Ledger) -> Table:
    """The rows that are kept, in an order that depends on nothing but their content."""
    is_exam = find_exams(config, table)
    keys = (table["content"], table["source"], table["same"], -table["part"].astype(int), ~is_exam)
    # What is bound to a part comes first, and so is what stays; known exams come before all.
    order = np.lexsort(keys)
    table = tell_apart(table[order], is_exam[order])
    check_answers(table, ledger)
    firsts = first_with(table["same"])
    table = _drop("duplicate", table, firsts, records, ledger, ledger.tally.exact_sizes)
    if config.dedup.near:
        repeated = find_near(table, config.dedup.near, is_free=~find_exams(config, table))
        table = _drop("near duplicate", table, repeated, records, ledger, ledger.tally.near_sizes)
    return table


def find_exams(config: PrepareConfig, table: Table) -> NDArray[np.bool_]:
    """(n,): whether a row is a question of a known exam that is to be scored: all of them stay."""
    exams = [place for place, source in enumerate(config.source) if source.benchmark]
    parts = [PARTS.index(name) for name in EXAM_SPLITS]
    return np.isin(table["source"], exams) & np.isin(table["part"], parts)


def tell_apart(table: Table, is_exam: NDArray[np.bool_]) -> Table:
    """The table; an item that stands twice in a known exam counts twice, so each but the first gets an id of
    its own, made of the id and how many came before it.
    """
    places = np.flatnonzero(is_exam)
    seen, told = Counter[int](), table.copy()
    for place in places[first_with(table["same"][places]) != np.arange(len(places))].tolist():
        same = int(table["same"][place])
        seen[same] += 1
        told["id"][place] = int(content_id("repeat", int(table["id"][place]), seen[same]), 16)
        told["same"][place] = told["id"][place]
    return told


def check_answers(table: Table, ledger: Ledger) -> None:
    """Nothing, or a UserError when two rows are the same exam item with different right answers."""
    exam = table[table["kind"] == EXAM]
    if not len(exam):
        return
    firsts = first_with(exam["id"])
    wrong = np.flatnonzero(exam["gold"] != exam["gold"][firsts])
    if len(wrong):
        one, other = exam[firsts[wrong[0]]], exam[wrong[0]]
        raise UserError(
            f"{ledger.path_of(int(other['file']), int(other['line']))}: the same exam item stands at "
            f"{ledger.path_of(int(one['file']), int(one['line']))} with another answer; mend the wrong one"
        )


def find_near(table: Table, threshold: float, *, is_free: NDArray[np.bool_]) -> Indices:
    """(n,): the kept row that each nearly repeats, itself when it stays, as all do that are not free.

    Exam items that name their split all stay.
    """
    kept = np.arange(len(table))
    free = np.flatnonzero(is_free & ((table["kind"] != EXAM) | (table["part"] == OPEN)))
    order = free[np.argsort(table["key"][free], kind="stable")]
    borders = np.flatnonzero(np.diff(table["key"][order])) + 1
    for own in np.split(order, borders):
        if len(own) > 1:
            kept[own] = own[find_repeats(np.ascontiguousarray(table["whole"][own]), threshold)]
    return kept


def _drop(
    reason: str, table: Table, firsts: Indices, records: Spool, ledger: Ledger, sizes: Counter[int]
) -> Table:
    is_kept = firsts == np.arange(len(table))
    lost, found = table[~is_kept], table[firsts[~is_kept]]

    def tell() -> Iterator[Lost]:
        for row, first, line in zip(lost, found, records.read(lost), strict=True):
            detail = f"of {ledger.place_of(first['file'], first['line'])}"
            yield Lost(int(row["file"]), int(row["line"]), reason, detail, orjson.Fragment(line.rstrip()))

    ledger.drop("repeats", tell())
    counts = np.bincount(firsts, minlength=len(table))
    sizes.update(counts[counts > 1].tolist())
    return table[is_kept]


def keep_chosen(config: PrepareConfig, table: Table, ledger: Ledger) -> Table:
    """The rows that weights and max_samples of the sources let in."""
    stays = choose(
        table["id"],
        table["source"],
        most=[source.max_samples for source in config.source],
        weights=[source.weight for source in config.source],
        seed=config.seed,
    )
    ledger.leave(table[~stays])
    return table[stays]
