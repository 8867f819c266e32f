"""What is known of data sets, models and finished directories, as lines for a terminal."""

from collections.abc import Iterator
from pathlib import Path
from shutil import get_terminal_size

from medtune.artifact import Counts, product_files, read_manifest
from medtune.data.benchmarks import Benchmark, read_benchmarks
from medtune.data.catalog import Row, find_row, read_catalog
from medtune.errors import UserError
from medtune.lineage import Ancestor, ancestors
from medtune.reports.wording import width_of

KINDS = ("dataset", "exam", "model")
KEYS = ("kind", "language", "commercial")
"""What `medtune catalog KEY=VALUE` chooses by."""


def fit(text: str, width: int) -> str:
    """The text in exactly that many columns, cut with an ellipsis or filled with blanks."""
    if width_of(text) > width:
        while text and width_of(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - width_of(text))


def catalog_lines(name: str, choice: dict[str, str]) -> Iterator[str]:
    """The lines of `medtune catalog`: one row in full, or the table of those that fit the choice."""
    strange = [key for key in choice if key not in KEYS]
    if strange:
        raise UserError(f"catalog: {strange[0]}: unknown key; known here: {', '.join(KEYS)}")
    if choice.get("kind", KINDS[0]) not in KINDS:
        raise UserError(f"catalog: kind: {choice['kind']}: unknown; known: {', '.join(KINDS)}")
    yield from row_lines(name, find_row(name)) if name else table_lines(choice)


def _fits(row: Row, choice: dict[str, str]) -> bool:
    is_spoken = choice.get("language", row.language) in (row.language, *row.language.split(", "))
    return is_spoken and row.kind == choice.get("kind", row.kind) and (
        row.commercial == choice.get("commercial", row.commercial)
    )  # fmt: skip


def table_lines(choice: dict[str, str]) -> Iterator[str]:
    """A line for each row that fits, with a heading for each kind."""
    rows = [(name, row) for name, row in read_catalog().items() if _fits(row, choice)]
    if not rows:
        raise UserError("catalog: no row is so; see  medtune catalog")
    last = max(get_terminal_size((120, 24)).columns - 88, 28)
    for kind in KINDS:
        of_kind = [(name, row) for name, row in rows if row.kind == kind]
        if of_kind:
            yield f"{_cells(kind, 'size', 'lang', 'licence', 'commercial', lead=28)} address"
        for name, row in of_kind:
            licence = row.license if row.license != "not stated" else "?"
            cells = _cells(name, row.size or "?", row.language, licence, row.commercial, lead=26)
            yield f"  {cells} {fit(row.address or 'by hand', last).rstrip()}"
    yield ""
    yield f"{len(rows)} rows. All that is known of one:  medtune catalog NAME"


def _cells(name: str, size: str, language: str, licence: str, commercial: str, *, lead: int) -> str:
    widths = (lead, 22, 6, 17, 10)
    cells = zip((name, size, language, licence, commercial), widths, strict=True)
    return " ".join(fit(text, width) for text, width in cells)


def row_lines(name: str, row: Row) -> Iterator[str]:
    """All that is known of a row, and the command to run."""
    yield f"{name}: {row.title}"
    addresses = {
        "hugging face": row.hf, "modelscope": row.modelscope, "git": row.git
    }  # fmt: skip
    facts = {
        "kind": row.kind,
        **addresses,
        "files": row.files,
        "size": row.size or "not known",
        "language": row.language,
        "fields": ", ".join(row.fields),
        "format": row.format if row.kind != "model" else "",
        "columns": ", ".join(f"{ours}: {theirs}" for ours, theirs in row.columns.items()),
        "licence": row.license,
        "commercial": row.commercial,
        "note": row.note,
    }
    yield from (f"  {fit(key, 14)}{value}" for key, value in facts.items() if value)
    benchmark = read_benchmarks().get(name)
    if benchmark:
        yield from benchmark_lines(benchmark)
    yield ""
    if not row.address:
        yield "  Fetch its files by hand, then name their path"
        address = "DIR" if row.kind == "model" else "PATH"
    else:
        address = f"catalog:{name}"
        yield f"  medtune download source={address} out=data/{name}"
    if benchmark:
        source = f"benchmark:{name}" if row.address else f"'{{path: PATH, benchmark: {name}}}'"
        yield f"  medtune prepare source={source} out=runs/{name}"
    elif row.kind != "model":
        yield f"  medtune prepare source={address} out=runs/{name}"


def benchmark_lines(benchmark: Benchmark) -> Iterator[str]:
    """How many questions a known exam has, by subject and split; those taken unless told are marked."""
    chosen = benchmark.choose(())
    subjects = benchmark.subjects
    splits = benchmark.splits
    yield ""
    yield f"  {fit(benchmark.unit, 58)}" + "".join(f"{split:>9}" for split in splits)
    for key, subject in subjects.items():
        counts = "".join(f"{subject.count_of(split) or '?':>9}" for split in splits)
        mark = "*" if key in chosen and len(chosen) < len(subjects) else " "
        yield f"{mark} {fit(key, 42)}{fit(subject.zh, 16)}{counts}"
    if benchmark.totals:
        totals = "".join(f"{benchmark.totals.get(split, '?'):>9}" for split in splits)
        yield f"  {fit('all together', 58)}{totals}"
    yield f"  {fit('numbers from', 14)}{benchmark.counts_from}"
    if benchmark.note:
        yield f"  {fit('note', 14)}{benchmark.note}"
    if len(chosen) < len(subjects):
        yield "  * taken unless `subjects` names others"


def counts_line(counts: Counts) -> str:
    """The first counts of a manifest, short enough for a line."""
    short = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in counts.items()
        if isinstance(value, str | int | float)
    ]
    return "  " + " · ".join(short[:4]) if short else ""


def lineage_lines(folder: Path, *, verify: bool) -> Iterator[str]:
    """A tree of what the directory came from. With `verify`, changed files end it with an error."""
    top = read_manifest(folder)
    if not top:
        raise UserError(f"{folder}: no manifest.json in it; it is no finished medtune directory")
    yield f"{folder}  {top.command} v{top.version}  {top.key[:8]}{counts_line(top.counts)}"
    changed = [folder] if verify and product_files(folder) != top.files else []
    told: set[str] = set()
    depth_told = None
    for node in ancestors(folder):
        if depth_told is not None and node.depth > depth_told:
            continue  # what a directory came from is told once
        what = f"{node.manifest.command} {node.manifest.key[:8]}" if node.manifest else "raw"
        is_told = node.manifest is not None and node.manifest.key in told
        depth_told = node.depth if is_told else None
        mark = "  CHANGED since" if node.is_changed else "  as above" if is_told else ""
        yield f"{'   ' * node.depth}└─ {node.field}: {node.path}  ({what}){mark}"
        told.update([node.manifest.key] if node.manifest else [])
        if verify and _has_changed(node):
            changed.append(Path(node.path))
    if changed:
        raise UserError(
            f"files differ from their manifest in: {', '.join(sorted({str(path) for path in changed}))}"
        )


def _has_changed(node: Ancestor) -> bool:
    home = Path(node.path)
    is_other = node.manifest and home.is_dir() and product_files(home) != node.manifest.files
    return node.is_changed or bool(is_other)
