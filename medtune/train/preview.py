"""`medtune preview`: the rows that a run trains on, token by token, as lines and as a web page."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from medtune.train.plan_config import read_plan
from medtune.train.preview_page import write_page
from medtune.train.preview_rows import Piece, PreviewRow, make_preview

LEARNT, CONTROL_LEARNT, CONTROL, DIM, BOLD, WARN = "30;42", "1;30;43", "35", "2", "1", "33"
"""ANSI colours: learnt text, a learnt control token, one that is not learnt, what stands around."""
WEIGHT = "1;36"
"""The colour of a weight before what it weighs."""
MAX_IDS = 16
"""Ids of a row that a terminal shows at each end; the page has all."""


class Painter(NamedTuple):
    """How a row is marked: by colours, or by brackets where there are none."""

    has_colours: bool

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, line by line so that no colour runs on."""
        if not self.has_colours:
            return text
        return "\n".join(f"\x1b[{colour}m{line}\x1b[0m" if line else "" for line in text.split("\n"))


def preview_lines(
    path: Path | None, overrides: Sequence[str], *, number: int, has_colours: bool
) -> Iterator[str]:
    """The lines of `medtune preview`; `html=FILE` among the overrides writes the page too."""
    page = [word.partition("=")[2] for word in overrides if word.startswith("html=")]
    config = read_plan(path, [word for word in overrides if not word.startswith("html=")]).config
    preview = make_preview(config, number=number)
    painter = Painter(has_colours)
    yield painter.paint(preview.title, BOLD)
    for name, value in preview.facts:
        yield f"  {name:<10} {value}"
    yield f"  {'marks':<10} {_legend(painter)}"
    for row in preview.rows:
        yield ""
        yield painter.paint(f"── {row.title}", BOLD)
        yield paint_row(row, painter)
        yield painter.paint(
            f"{row.num_tokens} tokens, {row.num_learnt} learnt ({_share(row.num_learnt, row.num_tokens)})"
            f"{weights_line(row)}  ids {_ids_line(row.pieces)}",
            DIM,
        )
        for warning in row.warnings:
            yield painter.paint(f"! {warning}", WARN)
    total = sum(row.num_tokens for row in preview.rows)
    learnt = sum(row.num_learnt for row in preview.rows)
    yield ""
    yield f"{len(preview.rows)} rows, {total} tokens, {learnt} learnt ({_share(learnt, total)})"
    if page:
        write_page(Path(page[-1]), preview)
        yield f"page: {Path(page[-1]).resolve()}"


def paint_row(row: PreviewRow, painter: Painter) -> str:
    """A row with what is learnt in colour, or in ⟦ ⟧ where there is none, a weight other than 1 before it."""
    parts: list[str] = []
    left, right = ("", "") if painter.has_colours else ("⟦", "⟧")
    weight = 0.0
    for piece in row.pieces:
        if piece.weight != weight:
            told = f"×{piece.weight:g}" if piece.weight not in (0, 1) else ""
            parts += [right if weight else "", painter.paint(told, WEIGHT) if told else ""]
            parts.append(left if piece.weight else "")
            weight = piece.weight
        text = make_harmless(piece.text)
        if piece.is_control:
            text = painter.paint(text, CONTROL_LEARNT if piece.is_learnt else CONTROL)
        elif piece.is_learnt:
            text = painter.paint(text, LEARNT)
        parts.append(text)
    return "".join(parts) + (right if weight else "")


def weights_line(row: PreviewRow) -> str:
    """How many learnt tokens have which weight; empty where all weigh 1."""
    return "".join(f", {count} ×{weight}" for weight, count in row.learnt_by_weight.items())


def make_harmless(text: str) -> str:
    """The text with control characters as pictures; line ends stay, and are seen."""
    return "".join(
        "↵\n" if char == "\n" else chr(0x2400 + ord(char)) if ord(char) < 32 else char for char in text
    ).replace("\x7f", "␡")


def _legend(painter: Painter) -> str:
    if not painter.has_colours:
        return "⟦learnt⟧  ×2⟦learnt with weight 2⟧  the rest is context"
    return "  ".join(
        [
            painter.paint(" learnt ", LEARNT),
            painter.paint(" learnt control token ", CONTROL_LEARNT),
            painter.paint("control token", CONTROL),
            painter.paint("×2", WEIGHT) + " weight of what follows",
            "context",
        ]
    )


def _ids_line(pieces: Sequence[Piece]) -> str:
    ids = [str(id) for piece in pieces for id in piece.ids]
    if len(ids) <= 2 * MAX_IDS:
        return " ".join(ids)
    return " ".join([*ids[:MAX_IDS], "…", *ids[-MAX_IDS:]])


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"
