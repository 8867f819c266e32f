"""The report of an audit: which exam items stand in training data, each beside what was found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from medtune.records import Cell, Question, Report, Table
from medtune.reports.phrases import phrase
from medtune.scorers.contamination import KINDS, Match
from medtune.scorers.stats import wilson

Status = Literal["contaminated", "suspect", "unscannable", "clean"]
STATUSES: tuple[Status, ...] = ("contaminated", "suspect", "unscannable", "clean")
MOST_PAIRS = 200
"""Pairs shown side by side; all of them stand in findings.jsonl."""
SHOWN_CHARS = 240


class Finding(NamedTuple):
    """An item that stands in a training record."""

    item: Question
    match: Match
    file: str
    line: int
    record: str
    text: str
    """What is shown of the record, see `clip`."""


class Candidate(NamedTuple):
    """A training record that comes near an item in other words."""

    item: Question
    file: str
    line: int
    record: str
    similarity: float
    text: str
    """What is shown of the record."""


class Candidates(NamedTuple):
    """All of them, and how it came about which are near."""

    near: Sequence[Candidate]
    cut: float
    share: float
    """Of the measured items, those whose nearest neighbour in the exam lies below the cut."""
    num_measured: int


def report_on(
    items: Sequence[Question],
    statuses: Mapping[str, Status],
    findings: Sequence[Finding],
    *,
    num_records: int,
    provenance: Mapping[str, str],
    candidates: Candidates | None = None,
) -> Report:
    """What was found, by status and subject, and side by side."""
    counts = Counter(statuses.values())
    n = len(items)
    verdict = phrase(
        "verdict_audit" if counts["contaminated"] or counts["suspect"] else "verdict_audit_clean",
        contaminated=counts["contaminated"],
        suspect=counts["suspect"],
        unscannable=counts["unscannable"],
        records=num_records,
        n=n,
    )
    return Report(
        task="audit",
        n=n,
        title=phrase("title_audit", n=n, records=num_records),
        verdict=(verdict,),
        details=(phrase("audit_limits"),),
        metrics={status: wilson(counts[status], n) for status in STATUSES},
        tables=(
            tabulate_statuses(items, statuses),
            tabulate_kinds(findings),
            *([tabulate_pairs(findings)] if findings else []),
            *([tabulate_candidates(candidates)] if candidates else []),
        ),
        provenance=dict(provenance),
    )


def tabulate_statuses(items: Sequence[Question], statuses: Mapping[str, Status]) -> Table:
    """The items of each subject by status."""
    by_subject: dict[str, Counter[Status]] = {}
    for item in items:
        by_subject.setdefault(item.subject, Counter())[statuses[item.id]] += 1
    rows = [(subject, counts.total(), *_by_status(counts)) for subject, counts in sorted(by_subject.items())]
    whole = Counter(statuses.values())
    return Table(
        name="statuses",
        title=phrase("title_audit_statuses"),
        columns=(
            phrase("column_subject"),
            phrase("column_items"),
            *(phrase(f"audit_{status}") for status in STATUSES),
        ),
        rows=(*rows, (phrase("row_micro"), whole.total(), *_by_status(whole))),
        notes=(phrase("note_audit_statuses"),),
    )


def _by_status(counts: Counter[Status]) -> list[int]:
    return [counts[status] for status in STATUSES]


def tabulate_kinds(findings: Sequence[Finding]) -> Table:
    """How items were found: how often, and of how many items."""
    rows: list[tuple[Cell, ...]] = []
    for kind in KINDS:
        own = [finding for finding in findings if finding.match.kind == kind]
        name = f"audit_{kind.replace(' ', '_')}"
        rows.append(
            (phrase(name), len(own), len({finding.item.id for finding in own}), phrase(f"{name}_means"))
        )
    columns = ("column_found_as", "column_places", "column_items", "column_meaning")
    return Table(
        name="kinds",
        title=phrase("title_audit_kinds"),
        columns=tuple(phrase(column) for column in columns),
        rows=tuple(rows),
    )


def tabulate_pairs(findings: Sequence[Finding]) -> Table:
    """Each item beside the record that holds it, the most telling first."""
    ordered = sorted(findings, key=lambda finding: (KINDS.index(finding.match.kind), -finding.match.share))
    shown = ordered[:MOST_PAIRS]
    rows: list[tuple[Cell, ...]] = [
        (
            phrase(f"audit_{finding.match.kind.replace(' ', '_')}"),
            _told(finding.item),
            f"{finding.file}:{finding.line}: {finding.text}",
            finding.match.share,
        )
        for finding in shown
    ]
    notes = [phrase("note_audit_pairs", count=len(shown), total=len(ordered))]
    return Table(
        name="pairs",
        title=phrase("title_audit_pairs"),
        columns=(
            phrase("column_found_as"),
            phrase("column_exam_item"),
            phrase("column_training_record"),
            phrase("column_stem_share"),
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _told(item: Question) -> str:
    options = " ".join(f"{letter}. {text}" for letter, text in item.options.items())
    return f"{item.subject}: {item.stem} {options} [{item.answer}]"


def tabulate_candidates(candidates: Candidates) -> Table:
    """Each item beside the records that come near it in other words, the nearest first."""
    ordered = sorted(candidates.near, key=lambda candidate: -candidate.similarity)
    shown = ordered[:MOST_PAIRS]
    return Table(
        name="candidates",
        title=phrase("title_audit_candidates"),
        columns=(
            phrase("column_exam_item"),
            phrase("column_training_record"),
            phrase("column_similarity"),
        ),
        rows=tuple(
            (_told(near.item), f"{near.file}:{near.line}: {near.text}", near.similarity) for near in shown
        ),
        notes=(
            phrase("note_audit_candidates", count=len(shown), total=len(ordered)),
            phrase(
                "note_audit_cut",
                cut=f"{candidates.cut:.4f}",
                share=f"{candidates.share:.0%}",
                n=candidates.num_measured,
            ),
        ),
    )


def clip(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}…"
