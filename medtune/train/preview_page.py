"""The web page of a preview: one file, nothing fetched."""

from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from medtune.artifact import write_text
from medtune.train.preview_rows import Preview


def write_page(path: Path, preview: Preview) -> None:
    """Nothing; the preview as a page."""
    room = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    num_tokens = sum(row.num_tokens for row in preview.rows)
    num_learnt = sum(row.num_learnt for row in preview.rows)
    page = room.get_template("preview.html.jinja").render(
        preview=preview,
        harmless=harmless_parts,
        num_tokens=num_tokens,
        num_learnt=num_learnt,
        share=f"{num_learnt / num_tokens:.0%}",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def harmless_parts(text: str) -> Iterator[str]:
    """The text between line ends, and each line end; control characters as pictures."""
    for at, line in enumerate(text.split("\n")):
        if at:
            yield "\n"
        yield "".join(chr(0x2400 + ord(char)) if ord(char) < 32 else char for char in line)
