"""A control: as much as a choice holds, drawn at random, like it in length and source where wanted."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from medtune.artifact import Counts, digest_of, read_jsonl, read_manifest
from medtune.config import Input
from medtune.curate.config import MixConfig
from medtune.curate.mix_config import Aspect
from medtune.curate.pool import Chosen, Gauge, Pool, count_spent, fill, make_gauge
from medtune.curate.survey import fingerprint
from medtune.errors import Advice, UserError
from medtune.places import text_of
from medtune.records import RECORD, Question

BINS_PER_OCTAVE = 4
"""Lengths of one bin differ by a fifth at most."""
NEAR_BINS = 2
"""How far off in length, half an octave, a record of the source comes before one of another source."""
MOST_INEXACT = 0.05

Level = Literal["exact", "near", "elsewhere"]
"""Of the same source and bin of length; of the source and a bin near it; any other, the nearest in length."""
Cell = tuple[int, int]
"""Number of the source in the pool (-1: not there) and bin of length; 0 for what is not matched."""


class Reference(NamedTuple):
    """The choice that a control is drawn for."""

    ids: list[str]
    sources: list[str]
    num_chars: NDArray[np.int32]
    num_tokens: int
    """0 where no tokenizer is given."""


class Match(NamedTuple):
    """The record of the choice for which a row is drawn, and how like it that is."""

    record: str
    level: Level


class Control(NamedTuple):
    """What was drawn."""

    chosen: list[Chosen]
    matches: Mapping[int, Match]
    """By row; empty where nothing is matched."""
    counts: Counts

    def tell(self, row: int) -> dict[str, str]:
        """What `origin.jsonl` says of a row."""
        match = self.matches.get(row)
        return {"like": match.record, "match": match.level} if match else {}


def draw_control(config: MixConfig, like: Input, pool: Pool, chance: Generator) -> Control:
    """As many tokens (or rows) as the choice holds."""
    gauge = make_gauge(config)
    check_choice(config, like)
    choice = read_choice(like, gauge)
    in_tokens = config.tokenizer is not None
    budget = choice.num_tokens if in_tokens else len(choice.ids)
    matches: dict[int, Match] = {}
    order = draw_like(choice, pool, config.match, chance, matches=matches)
    chosen = list(fill(pool, order, gauge, budget=budget, in_tokens=in_tokens))
    spent = count_spent(chosen, in_tokens=in_tokens)
    if spent < budget:
        raise UserError(
            f"{like}: holds {budget} {'tokens' if in_tokens else 'records'}; the pool has only {spent}. A "
            "control is drawn from the pool that the choice was made from"
        )
    rows = [one.row for one in chosen]
    levels = Counter(matches[row].level for row in rows)
    own = np.array([fingerprint(record) for record in choice.ids], dtype=np.uint64)
    counts: Counts = {
        "like_records": len(choice.ids),
        "like_tokens": choice.num_tokens,
        "in_both": int(np.isin(pool.prints[rows], own).sum()),
    }
    if config.match:
        counts |= {level: levels[level] for level in ("exact", "near", "elsewhere")}
        inexact = 1 - levels["exact"] / len(chosen)
        if inexact > MOST_INEXACT:
            warnings.warn(
                Advice(
                    f"{inexact:.1%} of the records are not of the {' and '.join(config.match)} of the record "
                    f"of {like} for which they stand; a larger pool, or less in `match`, brings it nearer"
                ),
                stacklevel=2,
            )
    return Control(chosen, matches if config.match else {}, counts)


def check_choice(config: MixConfig, like: Input) -> None:
    """Nothing; what no control can be drawn for is refused, what makes an unfair one is told."""
    manifest = read_manifest(like.path)
    if not manifest or manifest.command not in ("recall", "mix"):
        raise UserError(f"{like}: is no directory that recall or mix made")
    if manifest.counts["tokens"] and config.tokenizer is None:
        raise UserError(
            f"{like}: was chosen by {manifest.counts['tokens']} tokens; give the same tokenizer, so that the "
            "control holds as many"
        )
    theirs = {
        digest for field, digest in manifest.inputs.items() if field.partition(".")[0] == "decontaminate"
    }
    if theirs != {digest_of(exam) for exam in config.decontaminate}:
        warnings.warn(
            Advice(
                f"{like} was chosen with another `decontaminate` than this control; with the same exams, "
                "choice and control differ in the choice alone"
            ),
            stacklevel=2,
        )


def read_choice(like: Input, gauge: Gauge) -> Reference:
    """What the records of a choice are like."""
    choice = Reference([], [], np.zeros(0, dtype=np.int32), 0)
    num_chars: list[int] = []
    num_tokens = 0
    for record in read_jsonl(like.path / "train.jsonl", RECORD):
        assert not isinstance(record, Question), "no choice holds questions"
        choice.ids.append(record.id)
        choice.sources.append(record.meta.source)
        num_chars.append(len(text_of(record)))
        num_tokens += gauge(record)
    return choice._replace(num_chars=np.array(num_chars, dtype=np.int32), num_tokens=num_tokens)


# ---- rows like those of the choice ----


class Cells:
    """The rows of a pool that may be drawn, by cell, each given once."""

    def __init__(self, pool: Pool, by: Sequence[Aspect], chance: Generator) -> None:
        rows = chance.permutation(np.flatnonzero(pool.is_free))
        sources = pool.source[rows] if "source" in by else np.zeros(len(rows), dtype=np.int32)
        bins = bins_of(pool.num_chars[rows]) if "length" in by else np.zeros(len(rows), dtype=np.int64)
        order = np.lexsort((bins, sources))
        sources, bins, rows = sources[order], bins[order], rows[order]
        is_first = np.r_[True, (np.diff(sources) != 0) | (np.diff(bins) != 0)]
        starts = np.flatnonzero(is_first)
        self._rows = rows
        self._next: dict[Cell, int] = {
            (int(sources[start]), int(bins[start])): int(start) for start in starts
        }
        self._ends = dict(zip(self._next, [*starts[1:].tolist(), len(rows)], strict=True))
        self._by_bin: dict[int, list[Cell]] = {}
        for cell in self._next:
            self._by_bin.setdefault(cell[1], []).append(cell)

    def draw(self, cell: Cell) -> int | None:
        """A row of the cell; None when there is no more."""
        place = self._next.get(cell)
        if place is None or place == self._ends[cell]:
            return None
        self._next[cell] += 1
        return int(self._rows[place])

    def draw_near(self, cell: Cell) -> int | None:
        """A row of the same source and a near bin, the nearest first, the shorter before the longer."""
        source, own = cell
        near = ((source, own + side * far) for far in range(1, NEAR_BINS + 1) for side in (-1, 1))
        return next((row for one in near if (row := self.draw(one)) is not None), None)

    def draw_elsewhere(self, cell: Cell) -> int | None:
        """A row of whatever source, the nearest in length first, of the source that has the most left."""
        for far in range(max(abs(cell[1] - own) for own in self._by_bin) + 1):
            cells = [one for own in {cell[1] - far, cell[1] + far} for one in self._by_bin.get(own, ())]
            fullest = max(cells, key=lambda one: (self._ends[one] - self._next[one], one), default=None)
            if fullest is not None and (row := self.draw(fullest)) is not None:
                return row
        return None


def bins_of(num_chars: NDArray[np.int32]) -> NDArray[np.int64]:
    """The bins of lengths."""
    return np.floor(BINS_PER_OCTAVE * np.log2(np.maximum(num_chars, 1))).astype(np.int64)


def draw_like(
    choice: Reference, pool: Pool, by: Sequence[Aspect], chance: Generator, *, matches: dict[int, Match]
) -> Iterator[int]:
    """Rows like the records of the choice, all of these once, then once more, until the pool has no more.

    Each row's match is told in `matches` before the row comes.
    """
    numbers = {name: number for number, name in enumerate(pool.sources)}
    wanted = [numbers.get(name, -1) if "source" in by else 0 for name in choice.sources]
    bins = bins_of(choice.num_chars).tolist() if "length" in by else [0] * len(choice.ids)
    cells = Cells(pool, by, chance)
    while True:
        order = chance.permutation(len(choice.ids)).tolist()
        rows: dict[int, int] = {}
        steps: tuple[tuple[Level, Callable[[Cell], int | None]], ...] = (
            ("exact", cells.draw),
            ("near", cells.draw_near),
            ("elsewhere", cells.draw_elsewhere),
        )
        for level, draw in steps:  # no record takes from a cell what another has an exact claim to
            for place in order:
                if place not in rows and (row := draw((wanted[place], bins[place]))) is not None:
                    rows[place] = row
                    matches[row] = Match(choice.ids[place], level)
        if not rows:
            return
        yield from (rows[place] for place in order if place in rows)
