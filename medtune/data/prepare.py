"""Raw rows -> records: read, told apart, cleaned, deduplicated, split. Every row in is kept or dropped with its reason."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError
from tqdm import tqdm

from medtune.artifact import Counts, write_jsonl, write_text
from medtune.data.clean import find_fault
from medtune.data.config import PrepareConfig, Source
from medtune.data.formats import AnyRecord, Reader, find_format, group_of, split_sizes
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


def run(config: PrepareConfig) -> Counts:
    """The counts of the records in `config.out`: one file a split, `dropped.jsonl`, `card.md`."""
    found, formats = read_sources(config)
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
        "reasons": dict(sorted(Counter(item.reason.partition(" of ")[0] for item in dropped).items())),
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
        for number, raw in enumerate(rows):
            file = str(raw.file)
            if file not in readers:
                readers[file] = find_format(raw.values, source.format, raw.place)
            name, reader = readers[file]
            formats[name] += 1
            values = {**raw.values, "split": splits[number]} if splits else raw.values
            found.append(Found(raw, _record(raw._replace(values=values), source, reader)))
    return found, dict(sorted(formats.items()))


def _record(raw: Raw, source: Source, reader: Reader) -> AnyRecord:
    try:
        return reader(raw.values, source)
    except ValidationError as error:
        raise UserError(f"{raw.place}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise UserError(f"{raw.place}: {error}") from None


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
        if not reason and item.record.id in first_seen:
            reason = f"duplicate of {first_seen[item.record.id].place}"
        if reason:
            dropped.append(Dropped(item.raw, reason))
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
            f"{first.raw.place}: {first.reason}; with it {len(dropped)} of {num_rows} rows would be dropped, more than "
            f"max_dropped {config.max_dropped:.0%} allows; mend the rows or raise max_dropped"
        )


def divide(kept: list[Found], config: PrepareConfig) -> dict[str, list[AnyRecord]]:
    """The records by split: exam items by their own, the others by groups that ask the same."""
    groups = [group_of(item.record) for item in kept]
    others = [
        group for group, item in zip(groups, kept, strict=True) if not isinstance(item.record, Question)
    ]
    places = split_groups(others, valid=config.valid, test=config.test, seed=config.seed)
    parts: dict[str, list[AnyRecord]] = {}
    for group, item in zip(groups, kept, strict=True):
        name = item.record.split if isinstance(item.record, Question) else places[group]
        parts.setdefault(name, []).append(item.record)
    return dict(sorted(parts.items()))


def _dropped_row(item: Dropped) -> dict[str, Any]:
    return {"file": item.raw.file.name, "line": item.raw.line, "reason": item.reason, "row": item.raw.values}


def card(config: PrepareConfig, counts: Counts, kept: list[Found]) -> str:
    """A data card in Markdown: what came in, what was dropped and why, what there is."""
    return "\n".join(_card_lines(config, counts, kept)) + "\n"


def _card_lines(config: PrepareConfig, counts: Counts, kept: list[Found]) -> Iterator[str]:
    yield from ("# Data card", "", "| source | licence |", "|---|---|")
    licences = {item.record.meta.license or "not stated" for item in kept}
    yield f"| {', '.join(source.path.path.name for source in config.sources)} | {', '.join(sorted(licences))} |"
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
    for title, key in (("split", None), ("specialty", "specialty")):
        tally = Counter(
            item.record.subject if isinstance(item.record, Question) else item.record.meta.specialty or "unknown" for item in kept
        ) if key else {name: counts[name] for name in ("train", "valid", "dev", "val", "test") if name in counts}  # fmt: skip
        yield from ("", f"| {title} | records |", "|---|---|")
        yield from (f"| {name} | {count} |" for name, count in sorted(tally.items()))
    yield from ("", "De-identification did not run on these records. For research; no medical advice.")
