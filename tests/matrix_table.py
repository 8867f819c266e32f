"""The table of the training matrix for the end of a test run: stage x method x family, each cell marked."""

from typing import NamedTuple

OK = "ok"
FAILED = "FAILED"
STAGES = "pt new: pre-training of a new model · pt: pre-training continued · sft: fine-tuning on dialogues"
LEGEND = """\
ok    three steps trained; the weights of the method changed and no others; saved, loaded, equal logits
a, b  refused before anything is trained, with the way out:"""


class Cell(NamedTuple):
    """What became of a method in a stage, on a family."""

    number: int
    """Its place in the table, however the tests were shared out."""
    stage: str
    method: str
    family: str
    mark: str
    """OK, FAILED, or why it is refused and what to do instead."""


def as_table(cells: list[Cell]) -> str:
    """The matrix in Markdown, its columns under each other, with the reasons below it."""
    cells = sorted(cells)
    marks = {cell[1:4]: cell.mark for cell in cells}
    families = list(dict.fromkeys(cell.family for cell in cells))
    reasons = list(dict.fromkeys(cell.mark for cell in cells if cell.mark not in (OK, FAILED)))
    letters = {reason: chr(ord("a") + place) for place, reason in enumerate(reasons)}
    rows = [["stage", "method", *families]]
    for stage, method in dict.fromkeys(cell[1:3] for cell in cells):
        found = [marks.get((stage, method, family), "not run") for family in families]
        rows.append([stage, method, *(letters.get(mark, mark) for mark in found)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"| {' | '.join(word.ljust(width) for word, width in zip(row, widths, strict=True))} |"
        for row in rows
    ]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    counts = [sum(cell.mark == mark for cell in cells) for mark in (OK, FAILED)]
    told = [
        f"{len(cells)} cells: {counts[0]} trained, {len(cells) - sum(counts)} refused, {counts[1]} failed"
    ]
    notes = [f"{letter}     {reason}" for reason, letter in letters.items()]
    return "\n".join([STAGES, "", *lines, "", *told, LEGEND, *notes])
