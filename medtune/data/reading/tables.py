"""CSV and TSV -> rows; a damaged row is told with the line it starts at, and the next line is read on."""

import csv
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medtune.data.reading.blocks import MAX_LINE_BYTES, Lines
from medtune.data.reading.rows import Fault
from medtune.errors import UserError

Cells = list[str]
Numbered = tuple[int, dict[str, str] | Fault]
"""The line where a row starts, and its values or what is wrong with it."""

DELIMITERS = (",", "\t", ";", "|")
MAX_ROW_LINES = 1000
"""Lines of one row, in a cell with line ends; a quotation mark open for longer was left open by mistake."""


class Row(NamedTuple):
    """Cells that a quoted line begins, or what is wrong with it, and where the next row begins."""

    cells: Cells | Fault
    end: int


def read_table(blocks: Iterable[Lines], place: str, *, is_tabbed: bool = False) -> Iterator[Numbered]:
    """One row a line after the header; quoted cells may hold line ends."""
    csv.field_size_limit(MAX_LINE_BYTES)
    header, width, delimiter = Cells(), 0, "\t" if is_tabbed else ""
    for lines, is_last in _join_open_rows(blocks):
        texts, first, resume = lines.texts, lines.first, 0
        for at, line in enumerate(texts):
            if at < resume:
                continue
            if '"' not in line:  # the usual row, at a fraction of the csv module's time
                cells = line.split(delimiter) if delimiter else []
                if len(cells) == width > 1:
                    yield first + at, dict(zip(header, cells))  # noqa: B905
                    continue
            if not line:
                if at in lines.faults:
                    yield first + at, lines.faults[at]
                continue
            delimiter = delimiter or find_delimiter(line)
            row = _read_row(lines, at, delimiter)
            if row is None and not is_last and len(texts) - at <= MAX_ROW_LINES:
                del texts[:at]
                break
            cells, resume = row or Row(Fault("quotation mark left open", line), at + 1)
            if isinstance(cells, Fault):
                yield first + at, cells
            elif not header:
                header = _check_header(cells, f"{place}:{first + at}")
                width = len(header)
            elif len(cells) == width:
                yield first + at, dict(zip(header, cells, strict=True))
            elif resume > at + 1:  # it swallowed the rows behind it
                yield first + at, Fault("quotation mark left open", line)
                resume = at + 1
            else:
                yield first + at, Fault("wrong number of cells", line)
        else:
            texts.clear()


def _join_open_rows(blocks: Iterable[Lines]) -> Iterator[tuple[Lines, bool]]:
    """Each block behind what its reader left of the one before, and whether it is the last.

    The reader deletes from the front of the texts what it has read.
    """
    held: Lines | None = None
    for block in blocks:
        if held is not None:
            size, end = len(held.texts), held.first + len(held.texts)
            yield held, False
            if held.texts:
                gone = size - len(held.texts)
                shift = block.first - (held.first + gone)
                faults = {at - gone: fault for at, fault in held.faults.items() if at >= gone}
                faults |= {at + shift: fault for at, fault in block.faults.items()}
                assert end == block.first
                block = Lines(held.first + gone, held.texts + block.texts, faults)
        held = block
    if held is not None:
        yield held, True


def _read_row(lines: Lines, at: int, delimiter: str) -> Row | None:
    """The row that starts at a line; None when it goes on behind the last one."""
    texts = lines.texts
    if cells := _split_line(texts[at], delimiter):
        return Row(cells, at + 1)
    stop = min(len(texts), at + MAX_ROW_LINES)
    reader = csv.reader((texts[index] + "\n" for index in range(at, stop)), delimiter=delimiter, strict=True)
    try:
        cells = next(reader)
    except csv.Error:
        is_open = reader.line_num == stop - at and _is_open(texts[at:stop])
        if is_open and stop == len(texts):
            return None
        return Row(Fault("quotation mark left open", texts[at]), at + 1)
    end = at + reader.line_num
    broken = [lines.faults[index] for index in range(at, end) if index in lines.faults]
    if broken:
        return Row(broken[0], end)
    return Row(cells, end)


def _split_line(line: str, delimiter: str) -> Cells | None:
    """The cells of a line with none or one of them quoted, which are nearly all; None for any other."""
    before, *quoted = line.split('"')
    if not quoted:
        return line.split(delimiter)
    if len(quoted) != 2 or (before and before[-1] != delimiter) or (quoted[1] and quoted[1][0] != delimiter):
        return None
    return [*before.split(delimiter)[:-1], quoted[0], *quoted[1].split(delimiter)[1:]]


def _is_open(texts: list[str]) -> bool:
    """Whether a quoted cell goes on behind these lines: quotation marks come in pairs otherwise."""
    return sum(text.count('"') for text in texts) % 2 == 1


def find_delimiter(header: str) -> str:
    """The sign that the header's names stand between: the most frequent of the usual ones."""
    return max(DELIMITERS, key=header.count)


def _check_header(cells: Cells, place: str) -> Cells:
    """The column names without blanks; a name that stands twice is refused."""
    names = [cell.strip().strip("\ufeff") for cell in cells]
    given = [name for name in names if name]
    if len(set(given)) < len(given):
        raise UserError(f"{place}: a column name stands twice in the header {', '.join(names)}")
    return [name or (f"column {at + 1}" if at else "") for at, name in enumerate(names)]
