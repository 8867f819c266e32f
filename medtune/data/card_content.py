"""The tables of a data card that tell what the records hold: kinds, lengths, departments, risk."""

from collections.abc import Iterator

from medtune.data.card_tables import columns_of, in_order, name_value
from medtune.data.facts import TRAITS, UNKNOWN, Trait
from medtune.data.statistics import EDGES, DataStatistics, Lengths
from medtune.records import Cell, Phrase, Table
from medtune.reports.phrases import phrase

MAX_VALUES = 40
"""Most values of a trait that have a row of their own; the rest is told together."""


def tabulate_content(statistics: DataStatistics) -> list[Table]:
    """Kinds and turns, annotations, lengths."""
    kinds = Table(
        name="kinds",
        title=phrase("title_record_kinds"),
        columns=columns_of("record_kind", "records"),
        rows=tuple((name_value("kind", kind), own.records) for kind, own in statistics.kinds.items()),
        section=phrase("section_content"),
    )
    traits = [tabulate_trait(statistics, trait) for trait in TRAITS if trait != "license"]
    found = [kinds, *traits, *tabulate_turns(statistics), *tabulate_lengths(statistics)]
    return [table for table in found if table.rows]


def tabulate_trait(statistics: DataStatistics, trait: Trait) -> Table:
    """Records by value and split."""
    values = statistics.tallies.get(trait, {})
    parts = [part for part, _ in in_order("part", statistics.splits)]
    totals = {value: sum(counts.values()) for value, counts in values.items()}
    ordered = in_order(trait, totals)
    rows: list[tuple[Cell, ...]] = [
        (name_value(trait, value), total, *(values[value].get(part, 0) for part in parts))
        for value, total in ordered[:MAX_VALUES]
    ]
    if rest := [value for value, _ in ordered[MAX_VALUES:]]:
        sums = [sum(values[value].get(part, 0) for value in rest) for part in parts]
        rows.append((phrase("row_others", count=len(rest)), sum(sums), *sums))
    is_stated = any(value != UNKNOWN for value in values)
    return Table(
        name=trait,
        title=phrase(f"title_{trait}"),
        columns=(*columns_of("value", "total"), *(name_column(part) for part in parts)),
        rows=tuple(rows) if is_stated else (),
        notes=(phrase("note_unknown_values"),) if UNKNOWN in values else (),
        section=phrase("section_content"),
        chart="bars" if len(rows) > 1 else None,
    )


def name_column(part: str) -> Phrase:
    """A split as column head."""
    name = name_value("part", part)
    return name if isinstance(name, Phrase) else phrase("column_part", part=str(name))


def tabulate_turns(statistics: DataStatistics) -> Iterator[Table]:
    """How many turns ask, for kinds in which some record has more than one."""
    for kind, own in statistics.kinds.items():
        if max(own.turns) > 1:
            yield Table(
                name=f"turns_{kind}",
                title=phrase("title_turns", kind=phrase(f"kind_{kind}")),
                columns=columns_of("turns", "records"),
                rows=tuple((str(turns), count) for turns, count in own.turns.items()),
                section=phrase("section_content"),
                chart="bars",
            )


def tabulate_lengths(statistics: DataStatistics) -> Iterator[Table]:
    """A histogram for each kind of text."""
    for kind, own in statistics.kinds.items():
        for name, lengths in own.lengths.items():
            told = phrase("note_lengths", **lengths.model_dump(include={"n", "median", "p95", "longest"}))
            yield Table(
                name=f"lengths_{kind}_{name}",
                title=phrase("title_lengths", kind=phrase(f"kind_{kind}"), text=phrase(f"text_{name}")),
                columns=columns_of("chars", "texts"),
                rows=tuple(bin_rows(lengths)),
                notes=(told,),
                section=phrase("section_lengths"),
                chart="bars",
            )


def bin_rows(lengths: Lengths) -> Iterator[tuple[Cell, ...]]:
    """Number of texts by bin, from the first bin that holds any to the last."""
    used = [EDGES.index(edge) for edge in lengths.bins]
    for place in range(min(used), max(used) + 1):
        low = EDGES[place]
        is_open = place == len(EDGES) - 1
        span = {} if is_open else {"high": EDGES[place + 1] - 1}
        yield phrase("range_from" if is_open else "range_between", low=low, **span), lengths.bins.get(low, 0)
