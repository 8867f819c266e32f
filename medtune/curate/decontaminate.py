"""The records that hold no exam question, in their order."""

from collections import Counter
from collections.abc import Iterator

from tqdm import tqdm

from medtune.artifact import Counts, write_jsonl
from medtune.curate.config import DecontaminateConfig
from medtune.curate.leaks import Guard, Leak
from medtune.errors import UserError
from medtune.places import AnyRecord, read_places, text_of
from medtune.scorers.contamination import KINDS, strongest


def run(config: DecontaminateConfig) -> Counts:
    """How many records were kept in `train.jsonl`, how many each exam removed; `leaks.jsonl` names these."""
    guard = Guard(config.exams, drop=config.drop)
    leaks: list[dict[str, object]] = []
    by_kind: Counter[str] = Counter()
    by_exam: Counter[str] = Counter()

    def keep() -> Iterator[AnyRecord]:
        places = read_places(config.records)
        for place in tqdm(places, desc="decontaminate", unit="record", disable=None, leave=False):
            found = list(guard.find(text_of(place.record)))
            if not found:
                yield place.record
                continue
            where = f"{place.file}:{place.line}"
            for one in found:
                leak = Leak(where, place.record.id, one.question, one.kind, one.share)
                leaks.append({**leak._asdict(), "exam": one.exam})
            by_kind[str(strongest(one.kind for one in found))] += 1
            by_exam.update({one.exam for one in found})

    num_kept = write_jsonl(config.out / "train.jsonl", keep())
    write_jsonl(config.out / "leaks.jsonl", leaks)
    num_dropped = by_kind.total()
    num_records = num_kept + num_dropped
    if not num_kept:
        raise UserError(f"{', '.join(config.records)}: no records left of {num_records}")
    if num_dropped > config.max_dropped * num_records:
        most = ", ".join(f"{exam} ({count})" for exam, count in by_exam.most_common(3))
        raise UserError(
            f"{', '.join(config.records)}: {num_dropped} of {num_records} records "
            f"({num_dropped / num_records:.1%}) hold exam questions, most of them of {most}; more than "
            f"max_dropped={config.max_dropped}. Look at them with `medtune audit`, then raise max_dropped"
        )
    return {
        "records": num_records,
        "kept": num_kept,
        "dropped": num_dropped,
        "questions": len(guard),
        "by_kind": {kind: by_kind[kind] for kind in KINDS if by_kind[kind]},
        "by_exam": {str(exam): by_exam[str(exam)] for exam in config.exams},
    }
