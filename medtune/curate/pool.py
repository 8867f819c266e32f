"""What there is to choose from: the pool without leaked exam items, each record with its tokens."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from medtune.artifact import Counts, read_jsonl, write_json, write_jsonl
from medtune.config import Input
from medtune.curate.config import SelectionConfig
from medtune.engines.hf import load_tokenizer
from medtune.engines.render import render_dialogue
from medtune.errors import UserError
from medtune.lineage import EXAM_ITEMS
from medtune.records import RECORD, Dialogue, Question
from medtune.scorers.overlap import bare, coverage, grams_of

GRAM_SIZE = 8
MIN_COVERAGE = 0.8
"""A record that holds this share of a stem's 8-grams, and the right option, holds the question.

evaluation.md 4: 13-grams find nothing here, most Chinese stems are too short.
"""


class Leak(NamedTuple):
    """A record that holds an exam question."""

    record: str
    question: str
    covered: float


class Pool(NamedTuple):
    """Records to choose from."""

    records: list[Dialogue]
    texts: list[str]
    num_tokens: list[int]
    leaks: list[Leak]
    num_all: int


def read_pool(config: SelectionConfig) -> Pool:
    """The pool after decontamination, in file order."""
    tokenizer = load_tokenizer(config.tokenizer)
    everything = list(read_dialogues(config.pool))
    leaks = find_leaks(
        everything, [item for source in config.decontaminate for item in read_questions(source)]
    )
    leaking = {leak.record for leak in leaks}
    records = [record for record in everything if record.id not in leaking]
    if not records:
        raise UserError(
            f"{', '.join(config.pool)}: no records left of {len(everything)} after decontamination"
        )
    return Pool(
        records=records,
        texts=[text_of(record) for record in records],
        num_tokens=[
            count_tokens(tokenizer, record)
            for record in tqdm(records, unit="record", disable=None, leave=False)
        ],
        leaks=leaks,
        num_all=len(everything),
    )


def read_dialogues(sources: Iterable[Input]) -> Iterable[Dialogue]:
    """The dialogues of several files; another kind of record is a fault."""
    for source in sources:
        for number, record in enumerate(read_jsonl(source.path, RECORD), 1):
            if not isinstance(record, Dialogue):
                raise UserError(f"{source}:{number}: a dialogue is wanted; this is a {record.kind}")
            yield record


def read_questions(source: Input) -> list[Question]:
    """The questions of a file."""
    return list(read_jsonl(source.path, Question))


def text_of(record: Dialogue) -> str:
    """What was said in a talk, instructions to the system apart."""
    return "\n".join(turn.content for turn in record.messages if turn.role != "system")


def count_tokens(tokenizer: PreTrainedTokenizerBase, record: Dialogue) -> int:
    """Tokens that training will see of a record."""
    sequences = render_dialogue(tokenizer, record.messages, tools=record.tools, weights=record.weights)
    return sum(len(sequence.ids) for sequence in sequences)


def find_leaks(records: Sequence[Dialogue], questions: Sequence[Question]) -> list[Leak]:
    """The records that hold a question together with its right answer, and how much of the stem they hold."""
    wanted = [
        (question, grams_of((question.case or "") + question.stem, GRAM_SIZE)) for question in questions
    ]
    holders: dict[str, list[int]] = {}
    for index, (_, grams) in enumerate(wanted):
        for gram in grams:
            holders.setdefault(gram, []).append(index)
    short = [gram for gram in holders if len(gram) < GRAM_SIZE]  # a short stem is one gram of its own length
    leaks: list[Leak] = []
    for record in records:
        text = text_of(record)
        whole = bare(text)
        found = grams_of(text, GRAM_SIZE).union(gram for gram in short if gram in whole)
        for index in sorted({index for gram in found & holders.keys() for index in holders[gram]}):
            question, grams = wanted[index]
            covered = coverage(grams, found)
            if covered >= MIN_COVERAGE and any(
                bare(question.options[letter]) in whole for letter in question.answer
            ):
                leaks.append(Leak(record.id, question.id, round(covered, 4)))
                break
    return leaks


def take(pool: Pool, order: Iterable[int], budget_tokens: int) -> list[int]:
    """Indices in the given order until their tokens reach the budget."""
    taken: list[int] = []
    left = budget_tokens
    for index in order:
        if left <= 0:
            break
        taken.append(index)
        left -= pool.num_tokens[index]
    if left > 0:
        raise UserError(
            f"only {budget_tokens - left} of budget_tokens {budget_tokens} could be chosen from "
            f"{len(pool.records)} records; lower the budget or widen the choice"
        )
    return taken


def write_choice(
    config: SelectionConfig, pool: Pool, chosen: Sequence[int], exam_ids: Sequence[str]
) -> Counts:
    """The counts of a choice written to `config.out`: its records, the leaks, the exam items behind it."""
    records = [pool.records[index] for index in chosen]
    write_jsonl(config.out / "train.jsonl", records)
    write_jsonl(config.out / "leaks.jsonl", (leak._asdict() for leak in pool.leaks))
    if exam_ids:
        write_json(config.out / EXAM_ITEMS, sorted(exam_ids))
    return {
        "chosen": len(records),
        "tokens": sum(pool.num_tokens[index] for index in chosen),
        "pool": pool.num_all,
        "leaks_removed": len(pool.leaks),
    }
