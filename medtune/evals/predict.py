"""Answers of a model to records, in blocks.

What a killed run had finished is kept, and the rest comes out the same.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from medtune.artifact import CHECKPOINTS, Counts, read_jsonl, write_jsonl
from medtune.engines.base import Engine, Prompt, open_engine
from medtune.errors import UserError
from medtune.evals.config import PredictConfig
from medtune.evals.prompt import cloze_choices, last_user_turn, letter_choices, word_question
from medtune.records import RECORD, Dialogue, Prediction, Question, Way

BLOCK_ROWS = 256
"""Rows written at once. Batches are made inside a block, so that a resumed run makes the same ones."""

Asked = Question | Dialogue


def run(config: PredictConfig) -> Counts:
    """The counts of `predictions.jsonl` in `config.out`: one row per record and way, in record order."""
    records = read_asked(config)
    blocks: list[tuple[Way, int]] = [
        (way, start) for way in config.ways for start in range(0, len(records), BLOCK_ROWS)
    ]
    engine: Engine | None = None
    with tqdm(
        total=len(records) * len(config.ways), desc=config.out.name, unit="answer", disable=None, leave=False
    ) as bar:
        for way, start in blocks:
            file = block_file(config.out, way, start)
            part = records[start : start + BLOCK_ROWS]
            if file.exists():
                bar.update(len(part))
                continue
            engine = engine or open_engine(config.engine, config.runtime)
            answers: dict[int, Prediction] = {}
            for index, prediction in answer(engine, part, way, config):
                answers[index] = prediction
                bar.update()
            write_jsonl(file, (answers[index] for index in range(len(part))))
    files = [block_file(config.out, way, start) for way, start in blocks]
    rows = [row for file in files for row in read_jsonl(file, Prediction)]
    write_jsonl(config.out / "predictions.jsonl", rows)
    shutil.rmtree(config.out / CHECKPOINTS)
    counts: Counts = {"records": len(records), "predictions": len(rows)}
    completions = [row.completion for row in rows if row.completion]
    if completions:
        counts["completion_tokens"] = sum(completion.completion_tokens for completion in completions)
        counts["cut_at_max_new_tokens"] = sum(completion.finish == "length" for completion in completions)
        counts["prompt_tokens"] = sum(completion.prompt_tokens for completion in completions)
    return counts


def block_file(out: Path, way: Way, start: int) -> Path:
    """Where a block's answers wait for the others."""
    return out / CHECKPOINTS / f"{way}-{start:08d}.jsonl"


def read_asked(config: PredictConfig) -> list[Asked]:
    """The records to answer; what a way cannot answer is refused before any work."""
    records: list[Asked] = []
    for number, record in enumerate(read_jsonl(config.records.path, RECORD), 1):
        place = f"{config.records}:{number}"
        if not isinstance(record, Question | Dialogue):
            raise UserError(f"{place}: questions or dialogues are wanted; this is a {record.kind}")
        if isinstance(record, Dialogue) and all(turn.role != "user" for turn in record.messages):
            raise UserError(f"{place}: a dialogue without a message of the user asks nothing")
        if isinstance(record, Dialogue) and config.ways != ("generate",):
            raise UserError(f"{place}: a dialogue can only be answered by ways: [generate]")
        if isinstance(record, Question) and record.is_multiple and "cloze" in config.ways:
            raise UserError(
                f"{place}: cloze picks one option and this item has {len(record.answer)}; "
                "prepare with answers: single"
            )
        records.append(record)
    if not records:
        raise UserError(f"{config.records}: no records in it")
    if len({record.id for record in records}) < len(records):
        raise UserError(f"{config.records}: holds a record twice; prepare drops duplicates")
    return records


def answer(
    engine: Engine, records: Sequence[Asked], way: Way, config: PredictConfig
) -> Iterator[tuple[int, Prediction]]:
    """(index, prediction) of each record, batch by batch."""
    if way == "generate":
        prompts = [word_record(record, config) for record in records]
        for index, completion in engine.generate(prompts, config.sampling):
            asked = prompts[index].messages[-1].content
            yield index, Prediction(id=records[index].id, way=way, prompt=asked, completion=completion)
        return
    questions = [record for record in records if isinstance(record, Question)]
    choices = [
        cloze_choices(question) if way == "cloze" else letter_choices(question, config.preset)
        for question in questions
    ]
    for index, candidates in engine.rank(choices):
        prompt = choices[index].prompt.messages[-1].content
        yield index, Prediction(id=questions[index].id, way=way, prompt=prompt, candidates=candidates)


def word_record(record: Asked, config: PredictConfig) -> Prompt:
    """What a record puts to the model: a question in words, or a talk with the tools that it offers."""
    if isinstance(record, Question):
        return Prompt(word_question(record, config.preset))
    return Prompt(last_user_turn(record.messages), record.tools)
