"""The data card: what a prepared set is, where it is from and what it may be used for, as pages.

A pure function of the statistics. No record is quoted in it.
"""

from pathlib import Path

from medtune.artifact import write_text
from medtune.data.card_content import tabulate_content
from medtune.data.card_tables import (
    in_order,
    name_source,
    name_value,
    tabulate_funnel,
    tabulate_privacy,
    tabulate_repeats,
    tabulate_sources,
    tabulate_splits,
)
from medtune.data.licences import list_phrases, mix_licences
from medtune.data.statistics import DataStatistics, HeldSet
from medtune.records import Phrase, Report
from medtune.reports.phrases import phrase
from medtune.reports.report import WORDS, render_html, render_markdown

CARD_WORDS = {**WORDS, "verdict": Phrase(key="page_summary"), "disclaimer": Phrase(key="disclaimer_data")}
"""The words around a card."""
MAX_NAMED = 3
"""Most sources that the title names."""


def write_card(statistics: DataStatistics, out: Path) -> None:
    """Nothing; `out` then holds the card as a web page of both languages and as Markdown of each."""
    report = card_from(statistics)
    write_text(out / "card.html", render_html(report, words=CARD_WORDS))
    write_text(out / "card_zh.md", render_markdown(report, "zh", words=CARD_WORDS))
    write_text(out / "card.md", render_markdown(report, "en", words=CARD_WORDS))


def card_from(statistics: DataStatistics) -> Report:
    """The card as data."""
    licences = mix_licences(count_licences(statistics))
    warnings = list(licences.warnings)
    if not statistics.deidentified:
        warnings.insert(0, phrase("warn_not_deidentified"))
    return Report(
        task="prepare",
        n=statistics.kept,
        title=phrase("title_card", sources=name_sources(statistics), n=statistics.kept),
        verdict=tuple(summarise(statistics, licences.verdict)),
        details=tuple(explain(statistics)),
        metrics={},
        tables=(
            *tabulate_funnel(statistics),
            *tabulate_sources(statistics),
            *tabulate_splits(statistics),
            *tabulate_content(statistics),
            *tabulate_privacy(statistics),
            *tabulate_repeats(statistics),
        ),
        warnings=tuple(warnings),
        provenance={"seed": str(statistics.seed)},
    )


def name_sources(statistics: DataStatistics) -> Phrase:
    """The sources by name, or their number when that would be long."""
    names = [phrase("name", text=name_source(one.name)) for one in statistics.sources]
    few = 1 <= len(names) <= MAX_NAMED
    return list_phrases(names, between="and_then") if few else phrase("num_sources", count=len(names))


def count_licences(statistics: DataStatistics) -> dict[str, int]:
    """The number of records by licence."""
    stated = statistics.tallies.get("license", {})
    return {licence: sum(parts.values()) for licence, parts in stated.items()}


def summarise(statistics: DataStatistics, licences: Phrase) -> list[Phrase]:
    """The sentences that are read first."""
    told = [
        phrase("part_count", part=name_value("part", part), count=count)
        for part, count in in_order("part", statistics.splits)
    ]
    found = [
        phrase(
            "card_funnel",
            rows=statistics.rows,
            kept=statistics.kept,
            dropped=statistics.dropped,
            not_wanted=statistics.not_wanted,
        )
    ]
    if told:
        splits = list_phrases(told, between="and_then")
        found.insert(0, phrase("card_kept", rows=statistics.rows, kept=statistics.kept, splits=splits))
    if statistics.deidentified:
        found.append(phrase("card_deidentified", count=sum(statistics.personal_data.values())))
    return [*found, phrase("card_licence", mix=licences)]


def explain(statistics: DataStatistics) -> list[Phrase]:
    """What stands behind the summary."""
    found = [
        phrase("card_repeats", exact=statistics.exact.dropped, near=statistics.near.dropped),
        phrase("card_groups", groups=statistics.groups),
    ]
    held: list[tuple[str, HeldSet | None]] = [("gold", statistics.gold), ("red_team", statistics.red_team)]
    for part, one in held:
        if one:
            pool = list_phrases([phrase(f"part_{place}") for place in one.pool], between="and_then")
            found.append(phrase("card_held", part=name_value("part", part), count=one.records, pool=pool))
    return found
