"""Records from several sets by shares, or at random: the controls of a choice."""

import shutil
from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from medtune.artifact import CHECKPOINTS, Counts, write_jsonl
from medtune.curate.config import MixConfig
from medtune.curate.control import draw_control
from medtune.curate.exchange import write_formats
from medtune.curate.mix_config import MixSet
from medtune.curate.mix_report import report_on_control, report_on_sets
from medtune.curate.pool import (
    Chosen,
    Gauge,
    Pool,
    count_spent,
    fill,
    make_gauge,
    read_pool,
    take,
    write_choice,
)
from medtune.errors import UserError
from medtune.reports.report import write_reports


class Drawn(NamedTuple):
    """A row that is taken, and what `origin.jsonl` says of it besides its place."""

    one: Chosen
    origin: Mapping[str, str]


def run(config: MixConfig) -> Counts:
    """The counts of the mixed records in `config.out`; `origin.jsonl` says where each is from."""
    pool, _ = read_pool(config.model_copy(update={"pool": config.files}))
    drawn, counts = draw(config, pool, np.random.default_rng(config.seed))
    chosen = [one for one, _ in drawn]
    write_formats(config.formats, [(pool.place(one.row), one.record) for one in chosen], config.out)
    counts = write_choice(config, pool, chosen, exam_ids=()) | counts
    write_jsonl(
        config.out / "origin.jsonl",
        ({"record": one.record.id, "place": pool.place(one.row), **origin} for one, origin in drawn),
    )
    if config.sets:
        write_reports(report_on_sets(config, counts), config.out)
    elif config.like is not None:
        write_reports(report_on_control(config, counts), config.out)
    shutil.rmtree(config.out / CHECKPOINTS)
    return counts


def draw(config: MixConfig, pool: Pool, chance: Generator) -> tuple[list[Drawn], Counts]:
    """The records in random order, and what is to be told of them."""
    if config.sets:
        return draw_sets(config, pool, chance)
    if config.like is not None:
        control = draw_control(config, config.like, pool, chance)
        return [Drawn(one, control.tell(one.row)) for one in control.chosen], control.counts
    order = chance.permutation(np.flatnonzero(pool.is_free)).tolist()
    return [Drawn(one, {}) for one in take(pool, order, config)], {}


def draw_sets(config: MixConfig, pool: Pool, chance: Generator) -> tuple[list[Drawn], Counts]:
    """The records of all sets in random order, and what each set gave."""
    gauge, in_tokens = make_gauge(config), config.budget_tokens is not None
    rows = rows_of_sets(config, pool)
    given: dict[str, list[Chosen]] = {
        name: list(fill(pool, rows[name].tolist(), gauge))
        for name, own in config.sets.items()
        if own.draw == "all"
    }
    budget = config.budget_tokens or config.budget_rows or 0
    left = budget - sum(count_spent(taken, in_tokens=in_tokens) for taken in given.values())
    shared = {name: own for name, own in config.sets.items() if own.share is not None}
    if shared and left <= 0:
        raise UserError(
            f"{', '.join(given)}: taken whole, {budget - left} of the budget of {budget}, which leaves "
            "nothing for the other sets; raise the budget, or give a share instead of draw=all"
        )
    total, before, over = sum(own.share or 0 for own in shared.values()), 0.0, 0
    for name, own in shared.items():
        part = round(left * (before + (own.share or 0)) / total) - round(left * before / total)
        taken = draw_set(config, pool, gauge, name=name, rows=rows[name], wanted=part - over, chance=chance)
        # What the last record of a set runs over comes off the next one: the whole runs over by one record.
        over = max(0, count_spent(taken, in_tokens=in_tokens) - (part - over))
        before += own.share or 0
        given[name] = taken
    drawn = [Drawn(one, {"set": name}) for name in config.sets for one in given[name]]
    mixed = [drawn[place] for place in chance.permutation(len(drawn))]
    return mixed, {"sets": {name: count_set(own, given[name]) for name, own in config.sets.items()}}


def rows_of_sets(config: MixConfig, pool: Pool) -> dict[str, NDArray[np.int64]]:
    """The rows that may be drawn, by set."""
    numbers = count()
    rows: dict[str, NDArray[np.int64]] = {}
    for name, own in config.sets.items():
        files = {next(numbers) for _ in own.pool}
        parts = [
            np.arange(shard.first, shard.first + shard.rows) for shard in pool.shards if shard.file in files
        ]
        held = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        rows[name] = held[pool.is_free[held]]
        if not len(rows[name]):
            raise UserError(
                f"sets.{name}: none of its {len(held)} records is left: they hold exam questions or stand in "
                "an earlier set; name the narrower set first"
            )
    return rows


def draw_set(
    config: MixConfig,
    pool: Pool,
    gauge: Gauge,
    *,
    name: str,
    rows: NDArray[np.int64],
    wanted: int,
    chance: Generator,
) -> list[Chosen]:
    """Records of one set, as many tokens or rows as are wanted of it."""
    own = config.sets[name]
    in_tokens = config.budget_tokens is not None
    order = go_through(own, rows, chance)
    taken = list(fill(pool, order, gauge, budget=wanted, in_tokens=in_tokens))
    spent = count_spent(taken, in_tokens=in_tokens)
    if spent < wanted and own.if_short == "fail":
        raise UserError(
            f"sets.{name}: holds {spent} of the {wanted} {'tokens' if in_tokens else 'rows'} that are its "
            f"share, in {len(rows)} records; lower its share or the budget, or say if_short=take_less or "
            "if_short=repeat"
        )
    return taken


def go_through(own: MixSet, rows: NDArray[np.int64], chance: Generator) -> Iterator[int]:
    """The rows of a set in the order in which they are drawn, again and again where it may repeat."""
    while True:
        yield from (rows if own.draw == "in_order" else chance.permutation(rows)).tolist()
        if own.if_short != "repeat":
            return


def count_set(own: MixSet, taken: list[Chosen]) -> Counts:
    """What a set gave."""
    return {
        "records": len(taken),
        "tokens": sum(one.num_tokens for one in taken),
        "repeated": len(taken) - len({one.row for one in taken}),
        **({"share": own.share} if own.share else {}),
    }
