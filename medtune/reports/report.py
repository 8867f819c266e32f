"""Reports as JSON, Markdown and one web page that needs nothing else: pure functions of a Report."""

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from medtune.artifact import write_bytes
from medtune.records import Phrase, Report, Table
from medtune.reports.charts import draw, name_reference
from medtune.reports.phrases import LANGUAGES, Language, fill
from medtune.reports.wording import Words, word_cell

TEMPLATE = "report.html.jinja"
WORDS = {
    name: Phrase(key=f"page_{name}")
    for name in ("warning", "provenance", "disclaimer", "verdict", "figures", "interval", "switch", "browse")
}
"""The words around every report. Another kind of report gives its own: `{**WORDS, "verdict": phrase(…)}`."""


class TableView(NamedTuple):
    """A table in one language, ready to be laid out."""

    title: str
    columns: list[str]
    rows: list[list[Words]]
    notes: list[str]
    chart: Markup
    reference: str
    is_matrix: bool
    has_bars: bool
    is_detail: bool


class SectionView(NamedTuple):
    """Neighbouring tables under one heading."""

    heading: str
    tables: list[TableView]


class ReportView(NamedTuple):
    """A report in one language, ready to be laid out."""

    language: Language
    title: str
    verdict: list[str]
    details: list[str]
    warnings: list[str]
    sections: list[SectionView]
    has_bars: bool
    provenance: list[tuple[str, str]]
    words: dict[str, str]


def write_reports(report: Report, out: Path) -> None:
    """Nothing; `out` then holds the files of the report."""
    for name, content in render_reports(report).items():
        write_bytes(out / name, content)


def render_reports(report: Report, *, items_page: str = "") -> dict[str, bytes]:
    """The report by file name: JSON, Markdown (Chinese, English) and a web page of both.

    The web page leads to `items_page`, a file beside it, where one is named.
    """
    return {
        "report.json": render_json(report),
        "report.md": render_markdown(report, "zh").encode("utf-8"),
        "report.en.md": render_markdown(report, "en").encode("utf-8"),
        "report.html": render_html(report, items_page=items_page).encode("utf-8"),
    }


def render_json(report: Report) -> bytes:
    """The report itself: phrases as keys and values, numbers unrounded."""
    return orjson.dumps(report.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n"


def render_html(report: Report, *, words: Mapping[str, Phrase] = WORDS, items_page: str = "") -> str:
    """One page with both languages and a switch, no scripts and nothing to fetch."""
    room = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = Environment(
        loader=room, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        views=[view(report, language, words=words) for language in LANGUAGES], items_page=items_page
    )


def render_markdown(report: Report, language: Language, *, words: Mapping[str, Phrase] = WORDS) -> str:
    """The report as Markdown in one language."""
    seen = view(report, language, words=words)
    lines = [f"# {escape_markdown(seen.title)}", ""]
    lines += [f"> **{seen.words['warning']}** {escape_markdown(warning)}\n" for warning in seen.warnings]
    lines += [f"- **{escape_markdown(sentence)}**" for sentence in seen.verdict]
    lines += [f"- {escape_markdown(sentence)}" for sentence in seen.details]
    for section in seen.sections:
        lines += ["", f"## {escape_markdown(section.heading)}"] if section.heading else []
        for table in section.tables:
            lines += ["", f"### {escape_markdown(table.title)}", "", *lay_out(table)]
            lines += ["", *(f"- {escape_markdown(note)}" for note in table.notes)] if table.notes else []
    lines += ["", f"## {seen.words['provenance']}", ""]
    lines += [f"- `{name}`: {escape_markdown(value)}" for name, value in seen.provenance]
    return "\n".join([*lines, "", "---", "", seen.words["disclaimer"], ""])


def lay_out(table: TableView) -> list[str]:
    """The lines of a Markdown table."""
    cells = [
        [f"{word.main} [{word.interval}]" if word.interval else word.main for word in row]
        for row in table.rows
    ]
    marks = [
        "---:" if all(row[index].is_number for row in table.rows) else "---"
        for index in range(len(table.columns))
    ]
    rows = [table.columns, *cells]
    texts = ["| " + " | ".join(escape_markdown(cell) for cell in row) + " |" for row in rows]
    return [texts[0], "|" + "|".join(marks) + "|", *texts[1:]]


def escape_markdown(text: str) -> str:
    """The text on one line, with what would break a table or open a tag made harmless."""
    line = " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace("`", "\\`")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)


def view(report: Report, language: Language, *, words: Mapping[str, Phrase] = WORDS) -> ReportView:
    """The report in one language, framed by `words`."""
    headings = [(fill(table.section, language) if table.section else "", table) for table in report.tables]
    return ReportView(
        language=language,
        title=fill(report.title, language),
        verdict=[fill(sentence, language) for sentence in report.verdict],
        details=[fill(sentence, language) for sentence in report.details],
        warnings=[fill(sentence, language) for sentence in report.warnings],
        sections=[
            SectionView(heading, [view_table(table, language) for _, table in group])
            for heading, group in groupby(headings, key=lambda pair: pair[0])
        ],
        has_bars=any(table.chart == "bars" for table in report.tables),
        provenance=sorted(report.provenance.items()),
        words={name: fill(word, language) for name, word in words.items()},
    )


def view_table(table: Table, language: Language) -> TableView:
    """The table in one language."""
    return TableView(
        title=fill(table.title, language),
        columns=[fill(column, language) for column in table.columns],
        rows=[[word_cell(cell, language) for cell in row] for row in table.rows],
        notes=[fill(note, language) for note in table.notes],
        chart=Markup(draw(table, language)),  # drawn and escaped by us
        reference=name_reference(table, language),
        is_matrix=table.chart == "heatmap",
        has_bars=table.chart == "bars",
        is_detail=table.is_detail,
    )
