"""The command that looks for exam questions in training data, and says which items are clean."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from medtune.artifact import Counts, digest_of, read_jsonl, write_jsonl
from medtune.errors import UserError
from medtune.evals.audit_report import STATUSES, Candidate, Finding, Status, clip, report_on
from medtune.evals.candidates import find_candidates, make_gauge
from medtune.evals.config import AuditConfig
from medtune.evals.exam import Audited
from medtune.places import Place, read_places, text_of
from medtune.records import RECORD, Question
from medtune.reports.report import write_reports
from medtune.scorers.contamination import (
    CONTAMINATED,
    SUSPECT,
    Index,
    Kind,
    is_unscannable,
    probe_of,
)


def run(config: AuditConfig) -> Counts:
    """How many items were found. Writes the findings, each item's status, a report."""
    items = list(read_exams(config))
    gauge = make_gauge(items, follow(config, "gauge")) if config.candidates else None
    num_records, findings = find_items(config, items)
    kinds = defaultdict[str, set[Kind]](set)
    for finding in findings:
        kinds[finding.item.id].add(finding.match.kind)
    statuses: dict[str, Status] = {item.id: status_of(item, kinds[item.id]) for item in items}
    write_jsonl(config.out / "findings.jsonl", (tell(finding) for finding in findings))
    write_jsonl(
        config.out / "items.jsonl",
        (Audited(id=item.id, subject=item.subject, status=statuses[item.id]) for item in items),
    )
    candidates = None
    if gauge:
        known = {(finding.item.id, finding.file, finding.line) for finding in findings}
        places = follow(config, "candidates")
        candidates = find_candidates(gauge, items, places, most=config.candidates, known=known)
        write_jsonl(config.out / "candidates.jsonl", map(tell_candidate, candidates.near))
    provenance = {str(source): digest_of(source)[:16] for source in (*config.train, *config.exams)}
    report = report_on(
        items, statuses, findings, num_records=num_records, provenance=provenance, candidates=candidates
    )
    write_reports(report, config.out)
    counts = Counter(statuses.values())
    return {
        "records": num_records,
        "items": len(items),
        **{status: counts[status] for status in STATUSES},
        **({"candidates": len(candidates.near)} if candidates else {}),
    }


def find_items(config: AuditConfig, items: Sequence[Question]) -> tuple[int, list[Finding]]:
    """How many training records there are, and every item that stands in one."""
    index = Index([probe_of(item) for item in items])
    findings: list[Finding] = []
    num_records = 0
    for place in follow(config, "audit"):
        num_records += 1
        text = text_of(place.record)
        findings += [
            Finding(items[match.probe], match, place.file, place.line, place.record.id, clip(text))
            for match in index.find(text)
        ]
    return num_records, findings


def read_exams(config: AuditConfig) -> Iterator[Question]:
    """The items of all exams, each once."""
    seen: set[str] = set()
    for source in config.exams:
        for number, record in enumerate(read_jsonl(source.path, RECORD), 1):
            if not isinstance(record, Question):
                raise UserError(f"{source}:{number}: an exam holds questions; this is a {record.kind}")
            if record.id not in seen:
                seen.add(record.id)
                yield record
    if not seen:
        raise UserError(f"{', '.join(config.exams)}: no questions in it")


def follow(config: AuditConfig, what: str) -> Iterator[Place]:
    """The training records, with a bar that shows how far they were read."""
    return iter(tqdm(read_places(config.train), desc=what, unit="record", disable=None, leave=False))


def status_of(item: Question, kinds: set[Kind]) -> Status:
    """What the findings make of an item. A short one that was not found is not thereby clean."""
    if kinds & CONTAMINATED:
        return "contaminated"
    if kinds & SUSPECT:
        return "suspect"
    return "unscannable" if is_unscannable(probe_of(item)) else "clean"


def tell(finding: Finding) -> dict[str, str | int | float]:
    """The finding as a row."""
    return {
        "item": finding.item.id,
        "record": finding.record,
        "file": finding.file,
        "line": finding.line,
        "kind": finding.match.kind,
        "share": finding.match.share,
        "options_found": finding.match.options_found,
    }


def tell_candidate(candidate: Candidate) -> dict[str, str | int | float]:
    """The candidate as a row."""
    return {
        "item": candidate.item.id,
        "record": candidate.record,
        "file": candidate.file,
        "line": candidate.line,
        "similarity": candidate.similarity,
    }
