"""What is known of a prepared set in numbers: `statistics.json`, from which card and terminal tell."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate, chain
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from medtune.artifact import write_json
from medtune.data.facts import TEXTS, TRAITS, UNKNOWN, Facts, Trait, Traits, facts_of
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Preference, Question

STATISTICS = "statistics.json"

EDGES = (0, 10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10000)
"""Where the bins of a length histogram begin, in characters; the last has no end."""


class Facet(BaseModel):
    """Base of all parts: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Step(Facet):
    """Rows that one step left out for one reason."""

    step: str
    reason: str
    count: int


class Origin(Facet):
    """What one source gave."""

    name: str
    license: str
    """Empty when neither the config nor the catalog states it."""
    rows: int
    kept: int
    not_wanted: int = 0
    dropped: dict[str, int] = {}
    """By reason."""


class Lengths(Facet):
    """How long texts are, in characters."""

    n: int
    median: int
    p95: int
    longest: int
    bins: dict[int, int]
    """Number of texts by the lower edge of the bin; bins without texts are left out."""


class Kind(Facet):
    """The records of one kind."""

    records: int
    turns: dict[int, int]
    """Number of records by number of turns that ask."""
    lengths: dict[str, Lengths]
    """By what the texts are, see `facts.TEXTS`."""


class Clusters(Facet):
    """Sets of rows that say the same; one of each set is kept."""

    sizes: dict[int, int] = {}
    """Number of clusters by number of rows in it, the kept one counted."""

    @property
    def dropped(self) -> int:
        """Rows that were left out."""
        return sum((size - 1) * count for size, count in self.sizes.items())


class Tail(Facet):
    """Words in which many answers ended, cut off."""

    text: str
    count: int


class HeldSet(Facet):
    """A set apart for evaluation."""

    records: int
    pool: tuple[str, ...]
    """Parts that it was taken from."""


class DataStatistics(Facet):
    """All that the card and `medtune inspect` tell."""

    rows: int
    """Rows read."""
    not_wanted: int
    """Exam items of other subjects or kinds than asked for, and records beyond what weights and max_samples
    let in."""
    kept: int
    funnel: tuple[Step, ...]
    """What was left out, in the order of the steps."""
    repairs: dict[str, int] = {}
    """Rows that were mended, by what."""
    formats: dict[str, int] = {}
    """Rows by format."""
    encodings: dict[str, str] = {}
    """Encoding by file."""
    sources: tuple[Origin, ...] = ()
    splits: dict[str, int]
    """Records by file written."""
    kinds: dict[str, Kind]
    tallies: dict[Trait, dict[str, dict[str, int]]]
    """Records by trait, value and split."""
    deidentified: bool
    """Whether de-identification ran."""
    personal_data: dict[str, int] = {}
    """Spans replaced, by type."""
    exact: Clusters = Clusters()
    near: Clusters = Clusters()
    tails: tuple[Tail, ...] = ()
    groups: int = 0
    """Groups of records that ask the same; each stands in one split."""
    gold: HeldSet | None = None
    red_team: HeldSet | None = None
    seed: int

    @model_validator(mode="after")
    def _adds_up(self) -> "DataStatistics":
        told = f"{self.kept} kept, {self.not_wanted} not wanted and {self.dropped} dropped"
        if self.rows != self.kept + self.not_wanted + self.dropped:
            raise ValueError(f"{self.rows} rows are not {told}")
        if self.kept != sum(self.splits.values()):
            raise ValueError(f"{self.kept} records are kept, {sum(self.splits.values())} stand in the splits")
        return self

    @property
    def dropped(self) -> int:
        """Rows left out for a reason."""
        return sum(step.count for step in self.funnel)


class KindTally(NamedTuple):
    """What is counted of the records of one kind."""

    turns: Counter[int]
    asked: Counter[int]
    told: Counter[int]

    @classmethod
    def empty(cls) -> "KindTally":
        """Nothing counted yet."""
        return cls(Counter(), Counter(), Counter())

    def tell(self, kind: str) -> Kind:
        """The counts as statistics."""
        named = zip(TEXTS[kind], (self.asked, self.told), strict=True)
        return Kind(
            records=sum(self.turns.values()),
            turns=dict(sorted(self.turns.items())),
            lengths={name: measure_lengths(counts) for name, counts in named if counts},
        )


class Tally:
    """Facts of records and rows, added up one after the other; `statistics` tells them.

    The public counters are the caller's to count up.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.not_wanted = 0
        self.dropped: dict[tuple[str, str], int] = {}
        """By step and reason; steps are told in the order in which they came first."""
        self.repairs: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.encodings: dict[str, str] = {}
        self.sources: list[Origin] = []
        self.personal_data: Counter[str] = Counter()
        self.exact_sizes: Counter[int] = Counter()
        self.near_sizes: Counter[int] = Counter()
        self.tails: list[Tail] = []
        self.groups = 0
        self.gold: HeldSet | None = None
        self.red_team: HeldSet | None = None
        self._records: Counter[tuple[str, str, Traits]] = Counter()
        self._kinds: defaultdict[str, KindTally] = defaultdict(KindTally.empty)

    def add(self, record: Document | Dialogue | Preference | Question, part: str) -> None:
        """Nothing; the record is counted as one of `part`."""
        self.count([facts_of(record)], part)

    def count(self, facts: Iterable[Facts], part: str) -> None:
        """Nothing; the records with these facts are counted as some of `part`."""
        by_kind = defaultdict[str, list[Facts]](list)
        for one in facts:
            by_kind[one.kind].append(one)
        for kind, own in by_kind.items():
            self._records.update([(part, kind, one.traits) for one in own])
            turns, asked, told = self._kinds[kind]
            turns.update([len(one.asked) for one in own])
            asked.update(chain.from_iterable([one.asked for one in own]))
            told.update(chain.from_iterable([one.told for one in own]))

    def statistics(self, *, seed: int, deidentified: bool) -> DataStatistics:
        """Everything counted so far."""
        splits: Counter[str] = Counter()
        for (part, _, _), count in self._records.items():
            splits[part] += count
        return DataStatistics(
            rows=self.rows,
            not_wanted=self.not_wanted,
            kept=splits.total(),
            funnel=self._funnel(),
            repairs=dict(sorted(self.repairs.items())),
            formats=dict(sorted(self.formats.items())),
            encodings=dict(sorted(self.encodings.items())),
            sources=tuple(self.sources),
            splits=dict(sorted(splits.items())),
            kinds={kind: counted.tell(kind) for kind, counted in sorted(self._kinds.items())},
            tallies={trait: self._trait(number) for number, trait in enumerate(TRAITS)},
            deidentified=deidentified,
            personal_data=dict(sorted(self.personal_data.items())),
            exact=Clusters(sizes=dict(sorted(self.exact_sizes.items()))),
            near=Clusters(sizes=dict(sorted(self.near_sizes.items()))),
            tails=tuple(self.tails),
            groups=self.groups,
            gold=self.gold,
            red_team=self.red_team,
            seed=seed,
        )

    def _funnel(self) -> tuple[Step, ...]:
        """Steps in their order, each with its most frequent reasons first, whatever the order of rows."""
        steps = list(dict.fromkeys(step for step, _ in self.dropped))
        found = [
            Step(step=step, reason=reason, count=count) for (step, reason), count in self.dropped.items()
        ]
        return tuple(sorted(found, key=lambda one: (steps.index(one.step), -one.count, one.reason)))

    def _trait(self, number: int) -> dict[str, dict[str, int]]:
        counts: dict[str, Counter[str]] = {}
        for (part, _, traits), count in self._records.items():
            value = traits[number]
            counts.setdefault(UNKNOWN if value is None else str(value), Counter())[part] += count
        return {value: dict(sorted(parts.items())) for value, parts in sorted(counts.items())}


def measure_lengths(counts: Mapping[int, int]) -> Lengths:
    """What the numbers of texts by length tell."""
    ordered = sorted(counts.items())
    reached = list(accumulate(count for _, count in ordered))
    bins: Counter[int] = Counter()
    for length, count in ordered:
        bins[EDGES[bisect_right(EDGES, length) - 1]] += count
    n = reached[-1]
    return Lengths(
        n=n,
        median=ordered[bisect_right(reached, (n - 1) // 2)][0],
        p95=ordered[bisect_right(reached, (n - 1) * 95 // 100)][0],
        longest=ordered[-1][0],
        bins=dict(bins),
    )


def write_statistics(statistics: DataStatistics, out: Path) -> None:
    """Nothing; `out` then holds `statistics.json`."""
    write_json(out / STATISTICS, statistics.model_dump(mode="json"))


def read_statistics(folder: Path) -> DataStatistics | None:
    """The statistics in a prepared directory, None where there are none."""
    path = folder / STATISTICS
    if not path.is_file():
        return None
    try:
        return DataStatistics.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"{path}: {first}; was it written by another version? run prepare again") from None
