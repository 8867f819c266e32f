"""Raw rows -> records: read, told apart, cleaned, deduplicated, split.

Every row in is kept or dropped with its reason.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError
from tqdm import tqdm

from medtune.artifact import Counts, write_jsonl, write_text
from medtune.data.clean import find_fault
from medtune.data.config import PrepareConfig, Source, Split
from medtune.data.formats import AnyRecord, Reader, find_format, group_of, split_sizes, tell_format
from medtune.data.sources import Raw, read_rows
from medtune.data.split import split_groups
from medtune.errors import UserError
from medtune.records import Question


class Found(NamedTuple):
    """A record and the row it came from."""

    raw: Raw
    record: AnyRecord


class Dropped(NamedTuple):
    """A row that was left out."""

    raw: Raw
    reason: str
    first: Raw | None = None
    """The row that a duplicate repeats."""

    @property
    def why(self) -> str:
        """The reason, for a duplicate with the place of the first."""
        return f"{self.reason} of {self.first.file.name}:{self.first.line}" if self.first else self.reason


def run(config: PrepareConfig) -> Counts:
    """The counts of the records in `config.out`: one file a split, `dropped.jsonl`, `card.md`."""
    found, formats = read_sources(config)
    check_answers(found)
    kept, dropped, num_unwanted = sift(found, config)
    check_share(len(found) - num_unwanted, dropped, config)
    parts = divide(kept, config)
    for name, records in parts.items():
        write_jsonl(config.out / f"{name}.jsonl", records)
    write_jsonl(config.out / "dropped.jsonl", map(_dropped_row, dropped))
    counts: Counts = {
        "rows": len(found),
        "kept": len(kept),
        "dropped": len(dropped),
        **{name: len(records) for name, records in parts.items()},
        "not_wanted": num_unwanted,
        "reasons": dict(sorted(Counter(item.reason for item in dropped).items())),
        "formats": formats,
    }
    write_text(config.out / "card.md", card(config, counts, kept))
    return counts


def read_sources(config: PrepareConfig) -> tuple[list[Found], dict[str, int]]:
    """Every row of every source as a record, and the number of rows by format."""
    found: list[Found] = []
    formats: Counter[str] = Counter()
    for source in config.sources:
        rows = list(
            tqdm(read_rows(source), desc=source.path.path.name, unit="row", disable=None, leave=False)
        )
        splits = split_sizes(source, len(rows))
        readers: dict[str, tuple[str, Reader]] = {}
        num_exam = 0
        for number, raw in enumerate(rows):
            file = str(raw.file)
            if file not in readers:
                readers[file] = find_format(raw.values, source.format, raw.place)
            name, reader = readers[file]
            told = tell_format(raw.values)
            if source.format == "auto" and told and told != name:
                raise UserError(
                    f"{raw.place}: reads as {told}, the file's first row as {name}; name the source's format"
                )
            formats[name] += 1
            values = _with_split(raw, splits[number]) if splits else raw.values
            record = _record(raw._replace(values=values), source, reader)
            num_exam += isinstance(record, Question)
            found.append(Found(raw, record))
        if not num_exam and (source.split or source.subject):
            raise UserError(f"{source.path}: split and subject are for exam items; this source holds none")
    return found, dict(sorted(formats.items()))


def _with_split(raw: Raw, split: Split) -> dict[str, Any]:
    own = raw.values.get("split")
    if own and own != split:
        raise UserError(f"{raw.place}: names split {own} where the source's split says {split}")
    return {**raw.values, "split": split}


def _record(raw: Raw, source: Source, reader: Reader) -> AnyRecord:
    try:
        return reader(raw.values, source)
    except ValidationError as error:
        raise UserError(f"{raw.place}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise UserError(f"{raw.place}: {error}") from None


def check_answers(found: list[Found]) -> None:
    """Nothing, or a UserError when two rows are the same exam item with different right answers."""
    first_seen: dict[str, tuple[Raw, str]] = {}
    for raw, record in found:
        if isinstance(record, Question):
            first, answer = first_seen.setdefault(record.id, (raw, record.answer))
            if answer != record.answer:
                raise UserError(
                    f"{raw.place}: has answer {record.answer}, the same item at {first.place} "
                    f"answer {answer}; mend the wrong one"
                )


def sift(found: list[Found], config: PrepareConfig) -> tuple[list[Found], list[Dropped], int]:
    """What is kept, what is dropped and why, and how many exam items were not asked for."""
    kept: list[Found] = []
    dropped: list[Dropped] = []
    first_seen: dict[str, Raw] = {}
    num_unwanted = 0
    for item in found:
        if not is_wanted(item.record, config):
            num_unwanted += 1
            continue
        reason = find_fault(item.record, config)
        if reason:
            dropped.append(Dropped(item.raw, reason))
        elif item.record.id in first_seen:
            dropped.append(Dropped(item.raw, "duplicate", first_seen[item.record.id]))
        else:
            first_seen[item.record.id] = item.raw
            kept.append(item)
    return kept, dropped, num_unwanted


def is_wanted(record: AnyRecord, config: PrepareConfig) -> bool:
    """Whether an exam item is of the subjects and kind asked for; other records always are."""
    if not isinstance(record, Question):
        return True
    if config.subjects and record.subject not in config.subjects:
        return False
    return config.answers == "any" or record.is_multiple == (config.answers == "multiple")


def check_share(num_rows: int, dropped: list[Dropped], config: PrepareConfig) -> None:
    """Nothing, or a UserError when more was dropped than max_dropped allows, or nothing is left."""
    if num_rows == 0:
        raise UserError("no exam item is of the subjects and kind asked for; see subjects and answers")
    if len(dropped) > config.max_dropped * num_rows or len(dropped) == num_rows:
        first = dropped[0]
        raise UserError(
            f"{first.raw.place}: {first.why}; with it {len(dropped)} of {num_rows} rows would be dropped, "
            f"more than max_dropped {config.max_dropped:.0%} allows; mend the rows or raise max_dropped"
        )


def divide(kept: list[Found], config: PrepareConfig) -> dict[str, list[AnyRecord]]:
    """The records by split: exam items by their own, the others by groups that ask the same."""
    groups = [group_of(item.record) for item in kept]
    others = [
        group for group, item in zip(groups, kept, strict=True) if not isinstance(item.record, Question)
    ]
    places = split_groups(others, valid=config.valid, test=config.test, seed=config.seed)
    wanted = {"valid": config.valid, "test": config.test, "train": config.valid + config.test}
    missing = [name for name, share in wanted.items() if share and name not in places.values()]
    if missing:
        raise UserError(
            f"{len(others)} records besides exam items, with {len(places)} different questions, are too few "
            f"for valid {config.valid} and test {config.test}: {', '.join(missing)} would be empty"
        )
    parts: dict[str, list[AnyRecord]] = {}
    for group, item in zip(groups, kept, strict=True):
        name = item.record.split if isinstance(item.record, Question) else places[group]
        parts.setdefault(name, []).append(item.record)
    return dict(sorted(parts.items()))


def _dropped_row(item: Dropped) -> dict[str, Any]:
    return {"file": item.raw.file.name, "line": item.raw.line, "reason": item.why, "row": item.raw.values}


def card(config: PrepareConfig, counts: Counts, kept: list[Found]) -> str:
    """A data card in Markdown: what came in, what was dropped and why, what there is."""
    return "\n".join(_card_lines(config, counts, kept)) + "\n"


def _card_lines(config: PrepareConfig, counts: Counts, kept: list[Found]) -> Iterator[str]:
    yield from ("# Data card", "", "| source | licence |", "|---|---|")
    names = ", ".join(source.path.path.name for source in config.sources)
    licences = {item.record.meta.license or "not stated" for item in kept}
    yield f"| {names} | {', '.join(sorted(licences))} |"
    yield from (
        "",
        "| step | rows |",
        "|---|---|",
        f"| read | {counts['rows']} |",
        f"| not asked for | {counts['not_wanted']} |",
    )
    for reason, count in counts["reasons"].items():
        yield f"| dropped: {reason} | {count} |"
    yield f"| kept | {counts['kept']} |"
    splits = {name: counts[name] for name in ("train", "valid", "dev", "val", "test") if name in counts}
    specialties = Counter(_specialty(item.record) for item in kept)
    for title, tally in (("split", splits), ("specialty", specialties)):
        yield from ("", f"| {title} | records |", "|---|---|")
        yield from (f"| {name} | {count} |" for name, count in sorted(tally.items()))
    yield from ("", "De-identification did not run on these records. For research; no medical advice.")


def _specialty(record: AnyRecord) -> str:
    return record.subject if isinstance(record, Question) else record.meta.specialty or "unknown"
