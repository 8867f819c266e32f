"""The command that looks for exam questions in training data, and gives the data without them."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tqdm import tqdm

from medtune.artifact import Counts, digest_of, read_jsonl, write_jsonl
from medtune.errors import UserError
from medtune.evals.audit_report import STATUSES, Candidate, Finding, Status, clip, report_on
from medtune.evals.candidates import find_candidates, make_gauge
from medtune.evals.config import AuditConfig
from medtune.evals.exam import Audited
from medtune.places import AnyRecord, Place, read_places, text_of
from medtune.records import RECORD, Question
from medtune.reports.report import write_reports
from medtune.scorers.contamination import (
    CONTAMINATED,
    SUSPECT,
    Index,
    Kind,
    is_unscannable,
    make_probe,
    strongest,
)


def run(config: AuditConfig) -> Counts:
    """How many items were found. Writes the findings, each item's status, the data without them, a report."""
    items = list(read_exams(config))
    index = Index([make_probe(item.id, item.stem, item.options, item.answer) for item in items])
    gauge = make_gauge(items, follow(config, "gauge")) if config.candidates else None
    unwanted = CONTAMINATED | (SUSPECT if config.drop == "suspect" else frozenset())
    findings: list[Finding] = []
    dropped: list[dict[str, str | int]] = []

    def keep() -> Iterator[AnyRecord]:
        for place in follow(config, "audit"):
            text = text_of(place.record)
            found = [
                Finding(items[match.probe], match, place.file, place.line, place.record.id, clip(text))
                for match in index.find(text)
            ]
            findings.extend(found)
            worst = strongest(finding.match.kind for finding in found)
            if worst in unwanted:
                what = ", ".join(f.item.id for f in found if f.match.kind in unwanted)
                dropped.append({"file": place.file, "line": place.line, "reason": str(worst), "items": what})
            else:
                yield place.record

    num_kept = write_jsonl(config.out / "clean.jsonl", keep())
    num_records = num_kept + len(dropped)
    kinds = defaultdict[str, set[Kind]](set)
    for finding in findings:
        kinds[finding.item.id].add(finding.match.kind)
    statuses: dict[str, Status] = {item.id: status_of(item, kinds[item.id]) for item in items}
    write_jsonl(config.out / "dropped.jsonl", dropped)
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
        "kept": num_kept,
        "dropped": len(dropped),
        "items": len(items),
        **{status: counts[status] for status in STATUSES},
        **({"candidates": len(candidates.near)} if candidates else {}),
    }


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
    probe = make_probe(item.id, item.stem, item.options, item.answer)
    return "unscannable" if is_unscannable(probe) else "clean"


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
