"""A chunk of raw rows -> the records that stay, and the rows that do not: what a worker process does."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from medtune.data.annotate import annotate
from medtune.data.benchmarks import EXAM_SPLITS, Split
from medtune.data.boilerplate import cut_tail
from medtune.data.clean import find_fault
from medtune.data.columns import columns_of, part_of, short_hash
from medtune.data.config import Part, PrepareConfig
from medtune.data.deidentify import deidentify, mask
from medtune.data.facts import facts_of, write_facts
from medtune.data.fields import AnyRecord, Reader
from medtune.data.formats import find_format, tell_format
from medtune.data.mend import mend_answers
from medtune.data.reading.rows import Bad, Raw
from medtune.data.reading.text import mend_row
from medtune.data.table import Table
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Question


class Chunk(NamedTuple):
    """Neighbouring rows of one file."""

    source: int
    """Place of the source in the config."""
    file: int
    """Number of the file."""
    format: str
    """What the file's first row reads as."""
    rows: Sequence[Raw | Bad]
    splits: Sequence[Split] | None
    """The split of each row, where the source or the file tells it."""


class Lost(NamedTuple):
    """A row that is left out."""

    file: int
    line: int
    reason: str
    detail: str
    row: Any
    """What stood there, masked when personal data is to be replaced."""
    is_unwanted: bool = False
    """Whether it is only not asked for, not unfit."""


class Batch(NamedTuple):
    """What became of a chunk."""

    table: Table
    """The records that stay; offset and length are to be filled in."""
    lines: list[bytes]
    """Each record as a line of JSON, and behind it what the statistics want to know, as another."""
    lost: list[Lost]
    formats: Counter[str]
    repairs: Counter[str]
    personal: list[dict[str, Any]]
    """Personal data that was replaced: where it stood, never what it was."""
    tails: Counter[str]
    """Boilerplate that was cut off."""


class Stay(NamedTuple):
    """A record that stays, and where it came from."""

    record: AnyRecord
    source: int
    file: int
    line: int


class Tailed(NamedTuple):
    """A record that ends in boilerplate, as it stands on disk."""

    text: bytes
    source: int
    file: int
    line: int


def read_chunk(chunk: Chunk, config: PrepareConfig) -> Batch:
    """The chunk's rows as records: mended, read, de-identified, judged, annotated, sketched.

    Each step takes all rows before the next begins: its lexicon then stays in the processor's cache.
    """
    lost, personal = dict[int, Lost](), list[dict[str, Any]]()
    formats, repairs = Counter[str](), Counter[str]()
    records = _read_rows(chunk, config, lost, formats, repairs)
    if config.deidentify:
        for number, whole in records.items():
            record, spans = deidentify(whole)
            if spans:
                place = {"id": record.id, "file": chunk.file, "line": chunk.rows[number].line}
                personal += [place | span._asdict() for span in spans]
            records[number] = record
    fit = dict[int, AnyRecord]()
    for number, whole in records.items():
        record, counts = mend_answers(whole, config.clean)
        if counts:
            repairs.update(counts.keys())
        if fault := find_fault(record, config.clean):
            lost[number] = _lose(chunk, number, fault.rule, fault.detail, config)
        else:
            fit[number] = record
    if config.annotate:
        for number, record in fit.items():
            fit[number] = annotate(record)
    stays = [
        Stay(record, chunk.source, chunk.file, chunk.rows[number].line) for number, record in fit.items()
    ]
    in_order = [lost[number] for number in sorted(lost)]
    return Batch(*describe(stays, config), in_order, formats, repairs, personal, Counter())


def _read_rows(
    chunk: Chunk,
    config: PrepareConfig,
    lost: dict[int, Lost],
    formats: Counter[str],
    repairs: Counter[str],
) -> dict[int, AnyRecord]:
    """The wanted records by the number of their row; what is lost and what was done is noted."""
    source = config.source[chunk.source]
    records = dict[int, AnyRecord]()
    known: dict[str, Reader] = {}
    for number, raw in enumerate(chunk.rows):
        if isinstance(raw, Bad):
            text = mask(raw.text) if config.deidentify else raw.text
            lost[number] = Lost(chunk.file, raw.line, raw.reason, "", text)
            continue
        try:
            values, repaired = mend_row(raw.values)
            if chunk.splits:
                values = with_split(values, chunk.splits[number])
            name = chunk.format if source.format != "auto" else tell_format(values) or chunk.format
            if name not in known:
                known[name] = find_format(values, name, raw.place)[1]
            record = known[name](values, source)
        except ValidationError as error:
            detail = error.errors()[0]["msg"].removeprefix("Value error, ")
            lost[number] = _lose(chunk, number, "unreadable row", detail, config)
            continue
        except ValueError as error:
            lost[number] = _lose(chunk, number, "unreadable row", str(error), config)
            continue
        if repaired:
            repairs.update(repaired.keys())
        formats[name] += 1
        if is_wanted(record, config):
            records[number] = record
        else:
            lost[number] = Lost(chunk.file, raw.line, "not asked for", "", None, is_unwanted=True)
    return records


def with_split(values: dict[str, Any], split: Split) -> dict[str, Any]:
    """The row with the split that its file tells; a row that names another is at fault."""
    own = values.get("split")
    if own and own != split:
        raise ValueError(f"names split {own} where its source says {split}")
    return {**values, "split": split}


def cut_chunk(rows: Sequence[Tailed], config: PrepareConfig, *, boilerplate: frozenset[int]) -> Batch:
    """Records without their boilerplate tails; one that says too little without is left out."""
    stays, lost, tails = list[Stay](), list[Lost](), Counter[str]()
    for row in rows:
        whole = RECORD.validate_json(row.text)
        record = cut_tail(whole, boilerplate) or whole
        tails.update(_cut_off(whole, record))
        fault = find_fault(record, config.clean)
        if fault:
            detail = f"without its boilerplate tail: {fault.detail}".removesuffix(": ")
            lost.append(Lost(row.file, row.line, fault.rule, detail, whole.model_dump()))
        else:
            stays.append(Stay(record, *row[1:]))
    return Batch(*describe(stays, config), lost, Counter(), Counter(), [], tails)


def _cut_off(whole: AnyRecord, record: AnyRecord) -> Iterator[str]:
    if isinstance(whole, Dialogue) and isinstance(record, Dialogue) and whole is not record:
        yield whole.messages[-1].content.removeprefix(record.messages[-1].content).strip()


def describe(stays: Sequence[Stay], config: PrepareConfig) -> tuple[Table, list[bytes]]:
    """The records as lines, with what must be known of each of them at once."""
    records = [stay.record for stay in stays]
    # As model_dump gives it, at half the time: a record's fields stand in order, and so do its parts'.
    lines = [orjson.dumps(vars(record), default=vars, option=orjson.OPT_APPEND_NEWLINE) for record in records]
    table = columns_of(records, lines, on=config.dedup.on)
    facts = [write_facts(facts_of(record)) for record in records]
    table["facts"] = [len(line) for line in facts]
    table["source"] = [stay.source for stay in stays]
    table["file"] = [stay.file for stay in stays]
    table["line"] = [stay.line for stay in stays]
    bound: list[Part | None] = [config.source[stay.source].part for stay in stays]
    table["part"] = [part_of(record, part) for record, part in zip(records, bound, strict=True)]
    if config.stratify:
        values = [str(record.meta.__dict__[config.stratify]) for record in records]
        table["stratum"] = [short_hash(value.encode()) for value in values]
    return table, [line + fact for line, fact in zip(lines, facts, strict=True)]


def is_wanted(record: AnyRecord, config: PrepareConfig) -> bool:
    """Whether an exam item is of the subjects and kind asked for; other records always are."""
    if not isinstance(record, Question):
        return True
    if config.subjects and record.subject not in config.subjects:
        return False
    return config.answers == "any" or record.is_multiple == (config.answers == "multiple")


def _lose(chunk: Chunk, number: int, reason: str, detail: str, config: PrepareConfig) -> Lost:
    """The row as one that is left out; a UserError where that would shorten a known exam."""
    raw = chunk.rows[number]
    row = raw.text if isinstance(raw, Bad) else raw.values
    benchmark = config.source[chunk.source].benchmark
    if benchmark and isinstance(raw, Raw) and raw.values["split"] in EXAM_SPLITS:
        raise UserError(
            f"{raw.place}: {reason}: {detail}".removesuffix(": ")
            + f"; not one question of {benchmark} may be lost: mend the row, or name the other `splits`"
        )
    return Lost(chunk.file, raw.line, reason, detail, mask_values(row) if config.deidentify else row)


def mask_values(value: Any) -> Any:
    """The same nested values without personal data; a number that is some becomes a text."""
    match value:
        case str():
            return mask(value)
        case Mapping():
            return {key: mask_values(item) for key, item in value.items()}
        case list() | tuple():
            return [mask_values(item) for item in value]
        case bool() | None:
            return value
        case _:
            masked = mask(str(value))
            return value if masked == str(value) else masked
