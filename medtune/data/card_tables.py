"""The tables of a data card that tell where the rows went: funnel, sources, splits, privacy, duplicates."""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate

from medtune.data.facts import UNKNOWN
from medtune.data.licences import find_terms, name_licence, say_terms
from medtune.data.statistics import Clusters, DataStatistics
from medtune.records import Cell, Phrase, Table
from medtune.reports.charts import shorten
from medtune.reports.phrases import find_phrase, phrase

ORDERS: dict[str, tuple[str, ...]] = {
    "part": ("train", "dev", "valid", "val", "test", "gold", "red_team"),
    "risk": ("low", "medium", "high", "critical"),
    "complexity": ("1", "2", "3", "4", "5"),
    "style": ("standard", "colloquial"),
    "language": ("zh", "mixed", "other"),
}
"""The values that have an order of their own; others go by number of records."""
SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 30), (31, 100), (101, 0))
"""Sizes of duplicate sets that are told together, from and to; 0: without end."""
MAX_TAIL_WIDTH, MAX_NAME_WIDTH = 60, 48
"""Longest ending and longest source shown, Chinese characters counted double."""
MAX_TAILS = 20
"""Most endings shown."""


def name_value(kind: str, value: str) -> Phrase | str:
    """The value's name for readers, itself when the phrases have none."""
    if value == UNKNOWN:
        return phrase("value_unknown")
    return find_phrase(f"{kind}_{value.lower().replace(' ', '_').replace('-', '_')}") or value


def in_order(kind: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The counts in the order of their kind, else the most first; what is unknown comes last."""
    places = {value: place for place, value in enumerate(ORDERS.get(kind, ()))}

    def place_of(item: tuple[str, int]) -> tuple[bool, int, int, str]:
        value, count = item
        return value == UNKNOWN, places.get(value, len(places)), -count, value

    return sorted(counts.items(), key=place_of)


def columns_of(*names: str) -> tuple[Phrase, ...]:
    """Column heads."""
    return tuple(phrase(f"column_{name}") for name in names)


def tabulate_counts(
    name: str, counts: Iterable[tuple[Cell, int]], *, section: str, columns: tuple[str, str]
) -> Table:
    """A table of two columns: what, and how many."""
    return Table(
        name=name,
        title=phrase(f"title_{name}"),
        columns=columns_of(*columns),
        rows=tuple(counts),
        section=phrase(section),
    )


def tabulate_funnel(statistics: DataStatistics) -> list[Table]:
    """Each step from rows to records, and what was mended on the way."""
    steps = statistics.funnel
    lost = [("", phrase("row_not_wanted"), statistics.not_wanted)] if statistics.not_wanted else []
    lost += [(name_value("step", step.step), name_value("reason", step.reason), step.count) for step in steps]
    left = accumulate(
        (count for *_, count in lost), lambda before, count: before - count, initial=statistics.rows
    )
    rows: list[tuple[Cell, ...]] = [(phrase("row_read"), "", statistics.rows, next(left))]
    rows += [(step, reason, -count, rest) for (step, reason, count), rest in zip(lost, left, strict=True)]
    rows.append((phrase("row_kept"), "", statistics.kept, statistics.kept))
    section = "section_funnel"
    tables = [
        Table(
            name="funnel",
            title=phrase("title_funnel"),
            columns=columns_of("step", "reason", "rows", "left"),
            rows=tuple(rows),
            notes=(phrase("note_funnel"),),
            section=phrase(section),
        )
    ]
    if statistics.repairs:
        named = ((name_value("repair", name), count) for name, count in statistics.repairs.items())
        tables.append(tabulate_counts("repairs", named, section=section, columns=("what", "rows")))
    formats = ((name, count) for name, count in statistics.formats.items())
    tables.append(tabulate_counts("formats", formats, section=section, columns=("format", "rows")))
    files = Table(
        name="files",
        title=phrase("title_files"),
        columns=columns_of("file", "encoding"),
        rows=tuple((name_source(file), encoding) for file, encoding in statistics.encodings.items()),
        section=phrase(section),
        is_detail=True,
    )
    return [*tables, files] if files.rows else tables


def tabulate_sources(statistics: DataStatistics) -> list[Table]:
    """Sources with what each gave, and licences with what follows from them."""
    section = phrase("section_sources")
    sources = Table(
        name="sources",
        title=phrase("title_sources"),
        columns=columns_of("source", "licence", "rows", "kept", "dropped", "not_wanted"),
        rows=tuple(
            (
                name_source(one.name),
                name_licence(one.license),
                one.rows,
                one.kept,
                sum(one.dropped.values()),
                one.not_wanted,
            )
            for one in statistics.sources
        ),
        section=section,
    )
    drops = Table(
        name="source_drops",
        title=phrase("title_source_drops"),
        columns=columns_of("source", "reason", "rows"),
        rows=tuple(
            (name_source(one.name), name_value("reason", reason), count)
            for one in statistics.sources
            for reason, count in one.dropped.items()
        ),
        section=section,
        is_detail=True,
    )
    stated = {name: sum(parts.values()) for name, parts in statistics.tallies.get("license", {}).items()}
    licences = Table(
        name="licences",
        title=phrase("title_licences"),
        columns=columns_of("licence", "records", "follows"),
        rows=tuple(
            (name_licence(name), count, say_terms(find_terms(name)))
            for name, count in in_order("license", stated)
        ),
        notes=(phrase("note_licences"),),
        section=section,
    )
    return [table for table in (sources, licences, drops) if table.rows]


def name_source(name: str) -> str:
    """The source without the folders it lies in, which are nobody's business; a hub's id as it is."""
    is_hub = re.match(r"[a-z]{2,}:", name)
    return shorten(name if is_hub else re.split(r"[/\\]", name.rstrip("/\\"))[-1], max_width=MAX_NAME_WIDTH)


def tabulate_splits(statistics: DataStatistics) -> list[Table]:
    """Records by split."""
    rows: list[tuple[Cell, ...]] = [
        (name_value("part", part), f"{part}.jsonl", count, f"{count / statistics.kept:.1%}")
        for part, count in in_order("part", statistics.splits)
    ]
    return [
        Table(
            name="splits",
            title=phrase("title_splits"),
            columns=columns_of("split", "file", "records", "share"),
            rows=tuple(rows),
            notes=(phrase("note_splits", seed=statistics.seed),),
            section=phrase("section_splits"),
        )
    ]


def tabulate_privacy(statistics: DataStatistics) -> list[Table]:
    """Personal data by type, when the step ran."""
    if not statistics.deidentified:
        return []
    found = in_order("personal", statistics.personal_data)
    return [
        Table(
            name="personal",
            title=phrase("title_personal"),
            columns=columns_of("type", "count"),
            rows=tuple((name_value("personal", name), count) for name, count in found),
            notes=(phrase("note_personal" if found else "note_no_personal"),),
            section=phrase("section_privacy"),
            chart="bars",
        )
    ]


def tabulate_repeats(statistics: DataStatistics) -> list[Table]:
    """Sizes of duplicate sets, and boilerplate endings."""
    section = phrase("section_repeats")
    tables = [
        Table(
            name=name,
            title=phrase(f"title_{name}"),
            columns=columns_of("size", "clusters"),
            rows=tuple(size_rows(clusters)),
            section=section,
            chart="bars",
        )
        for name, clusters in (("exact", statistics.exact), ("near", statistics.near))
        if clusters.sizes
    ]
    if statistics.tails:
        count, num_cut = len(statistics.tails), sum(tail.count for tail in statistics.tails)
        tails = Table(
            name="tails",
            title=phrase("title_tails"),
            columns=columns_of("tail", "answers"),
            rows=tuple(
                (name_tail(tail.text, is_shown=statistics.deidentified), tail.count)
                for tail in statistics.tails[:MAX_TAILS]
            ),
            notes=(phrase("note_tails", shown=min(count, MAX_TAILS), count=count, answers=num_cut),),
            section=section,
        )
        tables.append(tails)
    return tables


def name_tail(text: str, *, is_shown: bool) -> Cell:
    """The ending, cut; it may be somebody's signature, and is shown only after de-identification."""
    return shorten(text, max_width=MAX_TAIL_WIDTH) if is_shown else phrase("tail_hidden")


def size_rows(clusters: Clusters) -> list[tuple[Cell, ...]]:
    """Number of sets by size, sizes taken together; empty ones between the smallest and the largest stay."""
    rows: list[tuple[Cell, ...]] = []
    for low, high in SIZES:
        count = sum(
            number for size, number in clusters.sizes.items() if size >= low and (not high or size <= high)
        )
        span = phrase("range_from", low=low) if not high else phrase("range_between", low=low, high=high)
        rows.append((str(low) if low == high else span, count))
    while rows and not rows[-1][1]:
        rows.pop()
    return rows
