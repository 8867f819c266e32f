"""Raw rows -> records: read, cleaned, told apart, divided. Every row is kept, or dropped with its reason."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
from tqdm import tqdm

from medtune.artifact import LOGS, Counts, write_json, write_lines
from medtune.data.benchmarks import check_whole, find_benchmark
from medtune.data.boilerplate import find_boilerplate
from medtune.data.card import write_card
from medtune.data.chunks import Batch, Chunk, Tailed, cut_chunk, read_chunk
from medtune.data.columns import asks
from medtune.data.config import Held, PrepareConfig, Source, Split
from medtune.data.dedup import Indices
from medtune.data.exams import plan_splits
from medtune.data.facts import read_facts
from medtune.data.formats import EXAM_FORMATS, find_format, tell_format
from medtune.data.ledger import File, Ledger, short_name
from medtune.data.parallel import map_in_order
from medtune.data.reading.rows import Bad, Raw
from medtune.data.reading.sources import read_files
from medtune.data.repeats import drop_repeats, keep_chosen
from medtune.data.split import Parts, divide, group, hold
from medtune.data.statistics import HeldSet, write_statistics
from medtune.data.table import KINDS, OPEN, PARTS, Spool, Table, stack
from medtune.data.whole import Placed, read_whole
from medtune.errors import UserError
from medtune.records import RECORD, Question

CHUNK_ROWS = 1000
EXAM = KINDS.index("question")


def run(config: PrepareConfig) -> Counts:
    """The counts of the records in `config.out`: one file a part, `dropped.jsonl`, the data card."""
    config.out.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=".spool", dir=config.out) as folder,
        Spool(Path(folder) / "records") as records,
        Spool(Path(folder) / "lost") as lost,
    ):
        ledger, watch = Ledger(lost), Watch(config.out)
        table = read_sources(config, records, ledger)
        watch.note("read and clean", ledger.tally.rows)
        table = cut_tails(config, table, records, ledger)
        ledger.check_share(config)
        check_exams(config, ledger)
        watch.note("boilerplate", len(table))
        num_rows = len(table)
        table = drop_repeats(config, table, records, ledger)
        table = keep_chosen(config, table, ledger)
        watch.note("duplicates", num_rows)
        parts = place(config, table, records, ledger)
        watch.note("split", len(table))
        write_parts(config, table, parts, records, ledger)
        watch.note("write", len(table))
    return count(config, ledger)


class Watch:
    """Seconds and rows of each step, in `logs/steps.json`."""

    def __init__(self, out: Path) -> None:
        self._path = out / LOGS / "steps.json"
        self._steps: list[dict[str, str | int | float]] = []
        self._last = time.perf_counter()

    def note(self, step: str, num_rows: int) -> None:
        """Nothing; the step that ends now is noted."""
        now = time.perf_counter()
        self._steps.append({"step": step, "rows": num_rows, "seconds": round(now - self._last, 3)})
        self._last = now
        write_json(self._path, self._steps)


def read_sources(config: PrepareConfig, records: Spool, ledger: Ledger) -> Table:
    """Every row that reads as a record fit to keep."""
    batches = map_in_order(
        partial(read_chunk, config=config), chunks_of(config, ledger), workers=config.runtime.workers
    )
    return gather(batches, records, ledger)


def chunks_of(config: PrepareConfig, ledger: Ledger) -> Iterator[Chunk]:
    """The rows of every file of every source, some at a time."""
    bar = tqdm(desc="prepare", unit="row", disable=None, leave=False)
    for place, source in enumerate(config.source):
        for file, counts, num_other in read_placed(source):
            number = len(ledger.files)
            name = short_name(file.name, source.path)
            ledger.files.append(File(name, file.name, place))
            ledger.tally.encodings[name] = file.encoding
            ledger.count_exam(number, source.benchmark, counts, num_other=num_other)
            rows, form, splits = begin(file.rows, source)
            done = 0
            while block := list(islice(rows, CHUNK_ROWS)):
                ledger.count_rows(number, len(block))
                bar.update(len(block))
                yield Chunk(place, number, form, block, splits[done : done + len(block)] if splits else None)
                done += len(block)
    bar.close()


def read_placed(source: Source) -> Iterator[Placed]:
    """The files of a source; those of a known exam have only the rows that are asked for."""
    if source.benchmark:
        return read_whole(source)
    return (Placed(file, Counter(), 0) for file in read_files(source))


def check_exams(config: PrepareConfig, ledger: Ledger) -> None:
    """Nothing, or a UserError when a known exam is not whole."""
    for name in dict.fromkeys(source.benchmark for source in config.source if source.benchmark):
        own = [source for source in config.source if source.benchmark == name]
        chosen = find_benchmark(name).choose
        check_whole(
            name,
            subjects=[subject for source in own for subject in chosen(source.subjects)],
            splits=[split for source in own for split in source.splits],
            found=ledger.exams[name],
        )


def begin(
    rows: Iterator[Raw | Bad], source: Source
) -> tuple[Iterator[Raw | Bad], str, Sequence[Split] | None]:
    """A file's rows, the format of its first, and the splits of its rows where they are exam items."""
    head = list(islice(rows, CHUNK_ROWS))
    whole = chain(head, rows)
    first = next((row for row in head if isinstance(row, Raw)), None)
    if not first:
        return whole, "", None
    if source.format == "auto":  # a first row that is out of line does not speak for the file
        first = next((row for row in head if isinstance(row, Raw) and tell_format(row.values)), first)
    name, _ = find_format(first.values, source.format, first.place)
    if name not in EXAM_FORMATS and ":" not in name:
        if source.split or source.subject:
            raise UserError(f"{first.file}: split and subject are for exam items; this file reads as {name}")
        return whole, name, None
    items = list(whole)
    return iter(items), name, plan_splits(items, source)


def gather(batches: Iterable[Batch], records: Spool, ledger: Ledger) -> Table:
    """The tables of all batches as one, their lines on disk, their rows that are left out in the ledger."""
    tables = list[Table]()
    for batch in batches:
        batch.table["offset"] = records.append(batch.lines)
        tables.append(batch.table)
        ledger.refuse(batch.lost)
        ledger.tally.formats.update(batch.formats)
        ledger.tally.repairs.update(batch.repairs)
        ledger.note_personal(batch.personal)
        ledger.tails.update(batch.tails)
    return stack(tables)


def cut_tails(config: PrepareConfig, table: Table, records: Spool, ledger: Ledger) -> Table:
    """The table, where answers end in what many end in read again without it."""
    boilerplate = find_boilerplate(table["tails"], config.clean)
    if not boilerplate:
        return table
    ends_so = np.isin(table["tails"][:, 0], np.array(sorted(boilerplate), dtype=np.uint64))
    rows = table[ends_so]
    tailed = (
        Tailed(line, int(row["source"]), int(row["file"]), int(row["line"]))
        for line, row in zip(records.read(rows), rows, strict=True)
    )
    blocks = iter(lambda: list(islice(tailed, CHUNK_ROWS)), [])
    work = partial(cut_chunk, config=config, boilerplate=boilerplate)
    cut = gather(map_in_order(work, blocks, workers=config.runtime.workers), records, ledger)
    return stack([table[~ends_so], cut])


def place(config: PrepareConfig, table: Table, records: Spool, ledger: Ledger) -> Parts:
    """(n,): the part of each row."""

    def read_asked(rows: Table) -> list[str]:
        return [asks(RECORD.validate_json(line)) for line in records.read(rows)]

    groups = group(table, config.dedup.group, read_asked)
    ledger.tally.groups = len(np.unique(groups))
    parts = divide(table, groups, valid=config.valid, test=config.test, seed=config.seed)
    check_parts(config, table, parts, ledger.tally.groups)
    parts, ledger.tally.red_team = hold_out(config.red_team, "red_team", table, groups, parts, config.seed)
    parts, ledger.tally.gold = hold_out(config.gold, "gold", table, groups, parts, config.seed)
    is_valid_item = (table["kind"] == EXAM) & (parts == PARTS.index("valid"))
    return np.where(is_valid_item, PARTS.index("val"), parts).astype(np.int8)


def hold_out(
    held: Held, name: str, table: Table, groups: Indices, parts: Parts, seed: int
) -> tuple[Parts, HeldSet | None]:
    """The parts with the set `name` taken out, and what the card tells of it."""
    before = int((parts == PARTS.index(name)).sum())
    parts = hold(table, groups, parts, held, name=name, seed=seed)
    found = int((parts == PARTS.index(name)).sum())
    if found - before < held.size:
        raise UserError(
            f"{name}: {held.size} records are wanted, {', '.join(held.pool)} give only {found - before}; "
            f"lower {name}.size, widen {name}.pool or {name}.risk"
        )
    return parts, HeldSet(records=found, pool=held.pool) if found else None


def check_parts(config: PrepareConfig, table: Table, parts: Parts, num_groups: int) -> None:
    """Nothing, or a UserError when a part that was asked for would be empty, or train would."""
    is_open = table["part"] == OPEN
    if not is_open.any():
        return
    asked = {"valid": config.valid, "test": config.test, "train": 1.0}
    wanted = {name: share for name, share in asked.items() if name in {*config.model_fields_set, "train"}}
    missing = [name for name, share in wanted.items() if share and PARTS.index(name) not in parts[is_open]]
    if missing:
        raise UserError(
            f"{is_open.sum()} records, with {num_groups} different questions, are too few for "
            f"valid {config.valid:g} and test {config.test:g}: {', '.join(missing)} would be empty; "
            "give valid and test smaller values, such as valid=0 test=0"
        )


def write_parts(config: PrepareConfig, table: Table, parts: Parts, records: Spool, ledger: Ledger) -> None:
    """Nothing; every part stands in its file, by the hash of the records, and the ledger is written."""
    kept: Counter[int] = Counter(table["source"].tolist())
    for number, part in enumerate(PARTS):
        rows = table[parts == number]
        rows = rows[np.argsort(rows["id"], kind="stable")]
        if len(rows):
            write_lines(config.out / f"{part}.jsonl", tell_records(rows, part, records, ledger))
    write_lines(config.out / "dropped.jsonl", ledger.tell_dropped())
    if config.deidentify:
        write_lines(config.out / "personal_data.jsonl", ledger.tell_personal())
    ledger.tally.sources = ledger.origins(config, kept)
    ledger.tally.tails = ledger.told_tails()
    statistics = ledger.tally.statistics(seed=config.seed, deidentified=config.deidentify)
    write_statistics(statistics, config.out)
    write_card(statistics, config.out)


def tell_records(rows: Table, part: str, records: Spool, ledger: Ledger) -> Iterator[bytes]:
    """The records of a part as lines; exam items without a split get the part's, repeated ones their id."""
    split = part if part in ("train", "dev", "val") else "test"
    for start in range(0, len(rows), CHUNK_ROWS):
        some = rows[start : start + CHUNK_ROWS]
        lines, facts = records.read_with_facts(some)
        ledger.tally.count(read_facts(facts), part)
        for place in np.flatnonzero(some["kind"] == EXAM).tolist():
            record = Question.model_validate_json(lines[place])
            own = {
                "id": f"{some['id'][place]:016x}",
                "split": split if record.split == "open" else record.split,
            }
            if own != {"id": record.id, "split": record.split}:
                told = record.model_copy(update=own)
                lines[place] = orjson.dumps(told.model_dump(), option=orjson.OPT_APPEND_NEWLINE)
        yield from lines


def count(config: PrepareConfig, ledger: Ledger) -> Counts:
    """The manifest's counts."""
    statistics = ledger.tally.statistics(seed=config.seed, deidentified=config.deidentify)
    reasons: Counter[str] = Counter()
    for step in statistics.funnel:
        reasons[step.reason] += step.count
    counts: Counts = {
        "rows": statistics.rows,
        "kept": statistics.kept,
        "dropped": statistics.dropped,
        **statistics.splits,
        "not_wanted": statistics.not_wanted,
        "reasons": dict(sorted(reasons.items())),
        "formats": statistics.formats,
        "encodings": statistics.encodings,
        "repairs": statistics.repairs,
        "personal_data": statistics.personal_data,
        "boilerplate": sum(tail.count for tail in statistics.tails),
        "groups": statistics.groups,
    }
    if ledger.exams:
        counts["benchmarks"] = ledger.tell_exams()
    return counts
