"""Inline SVG for reports: positions in percent, so that a chart narrows to a phone while its text stays."""

import math
from html import escape
from typing import NamedTuple

from medtune.records import Cell, Estimate, Table
from medtune.reports.phrases import Language, fill, phrase
from medtune.reports.wording import word_cell, word_interval, word_value

ROW_PIXELS, AXIS_PIXELS, TOP_PIXELS, BAR_PIXELS = 46, 34, 6, 23
MARGIN = 2.0
"""Free space left and right, in percent of the width."""
SQUARE_PIXELS = 280
"""Side of a square chart."""
BAR_START, BAR_WIDTH = 31, 54
"""Where bars begin and how long the longest is, in percent of the width; its count stands behind it."""


class Axis(NamedTuple):
    """A linear scale with its ticks."""

    low: float
    high: float
    ticks: list[float]

    def place(self, value: float) -> float:
        """Percent of the chart's width."""
        return MARGIN + (100 - 2 * MARGIN) * (value - self.low) / (self.high - self.low)


def draw(table: Table, language: Language) -> str:
    """The table's chart as an SVG element, empty when it asks for none."""
    match table.chart:
        case "intervals":
            return draw_intervals(table, language)
        case "heatmap":
            return draw_heatmap(table, language)
        case "bars":
            return draw_bars(table, language)
        case "reliability":
            return draw_reliability(table, language)
        case None:
            return ""


def choose_axis(values: list[float]) -> Axis:
    """A scale around all values with four to seven round ticks."""
    low, high = min(values), max(values)
    spread = max(high - low, 0.02)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if spread / step <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(step * index, 6) for index in range(first, max(last, first + 1) + 1)]
    return Axis(ticks[0], ticks[-1], ticks)


def draw_intervals(table: Table, language: Language) -> str:
    """A line for each row: dot at its first Estimate, whisker over the interval, label and value above."""
    drawn = [(row, estimate) for row in table.rows if (estimate := first_estimate(row)) is not None]
    if not drawn:
        return ""
    is_points = drawn[0][1].unit == "points"
    reference = 0.0 if is_points else table.reference
    ends = [end for _, estimate in drawn for end in (estimate.low, estimate.high)]
    axis = choose_axis(ends + ([reference] if reference is not None else []))
    bottom = TOP_PIXELS + ROW_PIXELS * len(drawn)
    parts: list[str] = []
    for index, tick in enumerate(axis.ticks):
        x = f"{axis.place(tick):.2f}%"
        anchor = "start" if index == 0 else "end" if index == len(axis.ticks) - 1 else "middle"
        text = f"{100 * tick:+.0f}".replace("-", "−").replace("+0", "0") if is_points else f"{tick:.2f}"
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP_PIXELS}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 16}" text-anchor="{anchor}">{text}</text>')
    if reference is not None:
        x = f"{axis.place(reference):.2f}%"
        parts.append(f'<line class="reference" x1="{x}" x2="{x}" y1="{TOP_PIXELS}" y2="{bottom}"/>')
    for index, (row, estimate) in enumerate(drawn):
        parts += draw_row(row, estimate, axis, top=TOP_PIXELS + ROW_PIXELS * index, language=language)
    return wrap(table, parts, height=bottom + AXIS_PIXELS - 10, language=language)


def draw_row(
    row: tuple[Cell, ...], estimate: Estimate, axis: Axis, *, top: int, language: Language
) -> list[str]:
    """Label, value, whisker and dot of one row."""
    y = top + 32
    low, high = f"{axis.place(estimate.low):.2f}%", f"{axis.place(estimate.high):.2f}%"
    x = f"{axis.place(estimate.value):.2f}%"
    side = ""
    if estimate.unit == "points":
        side = " up" if estimate.low > 0 else " down" if estimate.high < 0 else " open"
    label, value = shorten(word_cell(row[0], language).main), word_value(estimate)
    hint = f"{word_cell(row[0], language).main}: {value}, {word_interval(estimate, language)}"
    return [
        f'<g class="row{side}"><title>{escape(hint)}</title>',
        f'<text class="label" x="{MARGIN}%" y="{top + 18}">{escape(label)}</text>',
        f'<text class="value" x="{100 - MARGIN}%" y="{top + 18}" text-anchor="end">{escape(value)}</text>',
        f'<line class="whisker" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>',
        *(f'<line class="cap" x1="{end}" x2="{end}" y1="{y - 5}" y2="{y + 5}"/>' for end in (low, high)),
        f'<circle class="dot" cx="{x}" cy="{y}" r="5.5"/></g>',
    ]


def draw_heatmap(table: Table, language: Language) -> str:
    """A matrix of counts, each row shaded by its shares: right answers in one colour, wrong in another."""
    heads = [word_cell(column, language).main for column in table.columns]
    first, height = 12.0, 38
    width = (100 - first) / max(len(heads) - 1, 1)
    parts = [
        f'<text class="tick middle" x="{first + width * (index + 0.5):.2f}%" y="18">{escape(head)}</text>'
        for index, head in enumerate(heads[1:])
    ]
    for number, row in enumerate(table.rows):
        top = 26 + height * number
        label = word_cell(row[0], language).main
        counts = [cell if isinstance(cell, int) else 0 for cell in row[1:]]
        total = max(sum(counts), 1)
        parts.append(
            f'<text class="label middle" x="{first / 2}%" y="{top + height / 2 + 5}">{escape(label)}</text>'
        )
        for index, count in enumerate(counts):
            share = count / total
            kind = "right" if index == number else "wrong" if index < len(table.rows) else "unread"
            strong = " strong" if share > 0.5 else ""
            x = first + width * index
            parts.append(
                f'<rect class="{kind}" x="{x:.2f}%" y="{top}" width="{width - 0.5:.2f}%" '
                f'height="{height - 3}" rx="3" fill-opacity="{0.06 + 0.94 * share:.3f}"/>'
                f'<text class="cell middle{strong}" x="{x + width / 2:.2f}%" '
                f'y="{top + height / 2 + 4}">{count}</text>'
            )
    return wrap(table, parts, height=30 + height * len(table.rows), language=language)


def draw_bars(table: Table, language: Language) -> str:
    """A bar for each row as long as its first count, label before and count behind."""
    drawn = [(row, count) for row in table.rows if (count := first_count(row)) is not None]
    longest = max((count for _, count in drawn), default=0)
    parts: list[str] = []
    for index, (row, count) in enumerate(drawn):
        top = TOP_PIXELS + BAR_PIXELS * index
        width = BAR_WIDTH * count / longest if longest else 0.0
        label = word_cell(row[0], language).main
        parts.append(
            f'<g class="row"><title>{escape(f"{label}: {count:,}")}</title>'
            f'<text class="cell" x="{BAR_START - 1}%" y="{top + 16}" text-anchor="end">'
            f"{escape(shorten(label, max_width=16))}</text>"
            f'<rect class="bar" x="{BAR_START}%" y="{top + 3}" width="{width:.2f}%" '
            f'height="{BAR_PIXELS - 7}" rx="2"/>'
            f'<text class="value" x="{BAR_START + width + 1:.2f}%" y="{top + 16}">{count:,}</text></g>'
        )
    return wrap(table, parts, height=TOP_PIXELS + BAR_PIXELS * len(drawn) + 2, language=language)


def draw_reliability(table: Table, language: Language) -> str:
    """Estimates over the share in front of them, with the diagonal on which the two are equal."""
    drawn = [(row[0], found) for row in table.rows if (found := first_estimate(row)) is not None]
    size, left = SQUARE_PIXELS, 34
    parts: list[str] = []

    def across(share: float) -> str:
        return f"{left + size * share:.1f}"

    def down(share: float) -> str:
        return f"{TOP_PIXELS + size * (1 - share):.1f}"

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = across(tick), down(tick)
        parts += [
            f'<line class="grid" x1="{x}" x2="{x}" y1="{down(0)}" y2="{down(1)}"/>',
            f'<line class="grid" x1="{across(0)}" x2="{across(1)}" y1="{y}" y2="{y}"/>',
            f'<text class="tick" x="{x}" y="{down(-16 / size)}" text-anchor="middle">{tick:.2f}</text>',
            f'<text class="tick" x="{left - 5}" y="{y}" dy="4" text-anchor="end">{tick:.2f}</text>',
        ]
    start, end = (across(0), down(0)), (across(1), down(1))
    parts.append(f'<line class="reference" x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}"/>')
    for share, estimate in drawn:
        assert isinstance(share, float)
        x, low, high = across(share), down(estimate.low), down(estimate.high)
        hint = f"{share:.3f}: {word_value(estimate)}, {word_interval(estimate, language)}"
        parts += [
            f'<g class="row"><title>{escape(hint)}</title>',
            f'<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>',
            f'<circle class="dot" cx="{x}" cy="{down(estimate.value)}" r="4.5"/></g>',
        ]
    return wrap(table, parts, height=TOP_PIXELS + size + AXIS_PIXELS - 10, language=language)


def wrap(table: Table, parts: list[str], *, height: int, language: Language) -> str:
    """The SVG element around its parts, with a name for screen readers."""
    name = escape(fill(table.title, language), quote=True)
    head = f'<svg class="{table.chart}" role="img" aria-label="{name}" width="100%" height="{height}">'
    return head + "".join(parts) + "</svg>"


def first_estimate(row: tuple[Cell, ...]) -> Estimate | None:
    """The row's first Estimate."""
    return next((cell for cell in row if isinstance(cell, Estimate)), None)


def first_count(row: tuple[Cell, ...]) -> int | None:
    """The row's first whole number."""
    return next((cell for cell in row if isinstance(cell, int)), None)


def shorten(text: str, *, max_width: int = 30) -> str:
    """The text cut to a width in which Chinese characters count double."""
    width = 0
    for index, letter in enumerate(text):
        width += 2 if ord(letter) > 0x2E7F else 1
        if width > max_width:
            return text[: max(index - 1, 1)] + "…"
    return text


def name_reference(table: Table, language: Language) -> str:
    """What the dashed line of an `intervals` chart stands for."""
    if table.chart != "intervals":
        return ""
    estimates = [first_estimate(row) for row in table.rows]
    if any(estimate and estimate.unit == "points" for estimate in estimates):
        return fill(phrase("reference_zero"), language)
    return (
        fill(phrase("reference_chance", value=table.reference), language)
        if table.reference is not None
        else ""
    )
