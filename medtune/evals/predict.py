"""Answers of a model to records, in blocks.

What a killed run had finished is kept, and the rest comes out the same.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from medtune.artifact import CHECKPOINTS, Counts, read_jsonl, write_jsonl
from medtune.engines.base import Engine, Prompt, check_choices, open_engine
from medtune.engines.workers import spread
from medtune.evals.asking import Asking, Posed, Record, list_askings, read_asked, style_of
from medtune.evals.config import PredictConfig
from medtune.evals.orders import turn, turn_back
from medtune.evals.prompt import BASE, Style, ask, cloze_choices, last_user_turn, letter_choices, read_verdict
from medtune.records import Completion, Likelihood, Prediction, Question, Way

BLOCK_ROWS = 256
"""Rows written at once. Batches are made inside a block, so that a resumed run makes the same ones."""
OPEN, CLOSE = "<think>", "</think>"


class Block(NamedTuple):
    """Askings that are answered and written together."""

    is_base: bool
    way: Way
    start: int
    askings: list[Asking]

    def file(self, out: Path, kind: str) -> Path:
        """Where its rows wait for the others."""
        side = f"{BASE}-" if self.is_base else ""
        return out / CHECKPOINTS / f"{side}{self.way}-{self.start:08d}.{kind}.jsonl"


def run(config: PredictConfig) -> Counts:
    """The counts of `predictions.jsonl` in `config.out`: a row per way, record and order of its options."""
    records = read_asked(config)
    style = style_of(config, records)
    blocks = [
        Block(is_base, way, start, askings[start : start + BLOCK_ROWS])
        for is_base in ((False, True) if config.with_base else (False,))
        for way in config.ways
        for askings in [list_askings(records, way, config.orders)]
        for start in range(0, len(askings), BLOCK_ROWS)
    ]
    left = [block for block in blocks if not block.file(config.out, "answers").exists()]
    if left:
        check_letters(config, records, style)
    runtime = config.runtime
    is_here = runtime.workers.type == "local"
    total, num_left = (sum(len(block.askings) for block in some) for some in (blocks, left))
    with tqdm(
        total=total, initial=total - num_left, desc=config.out.name, unit="answer", disable=None, leave=False
    ) as bar:
        answer_all = partial(answer_block, config=config, style=style, tick=bar.update if is_here else None)
        open_own = partial(open_engine, config.engine, runtime)
        for number, answered in spread(
            left,
            runtime.workers,
            hold=open_own,
            work=answer_all,
            device=runtime.device,
            num_threads=runtime.num_threads,
        ):
            write_jsonl(left[number].file(config.out, "prompts"), (one.posed for one in answered))
            write_jsonl(left[number].file(config.out, "answers"), (one.prediction for one in answered))
            bar.update(0 if is_here else len(answered))
    return {"records": len(records), **gather(blocks, config.out)}


def check_letters(config: PredictConfig, records: Sequence[Record], style: Style) -> None:
    """Nothing, or a UserError where letters melt into the end of the prompt. No weights are loaded."""
    first = next((record for record in records if isinstance(record, Question)), None)
    if first and "letter" in config.ways:
        check_choices(config.engine, letter_choices(first, style))


def gather(blocks: Sequence[Block], out: Path) -> Counts:
    """The counts of the answers; the blocks become one file a side."""
    counts: Counts = {"predictions": 0}
    for is_base in dict.fromkeys(block.is_base for block in blocks):
        own = [block for block in blocks if block.is_base == is_base]
        home = out / BASE if is_base else out
        rows = [row for block in own for row in read_jsonl(block.file(out, "answers"), Prediction)]
        prompts = (row for block in own for row in read_jsonl(block.file(out, "prompts"), Posed))
        write_jsonl(home / "prompts.jsonl", prompts)
        write_jsonl(home / "predictions.jsonl", rows)
        counts["predictions"] += len(rows)
        completions = [row.completion for row in rows if row.completion]
        if completions:
            told = {
                "completion_tokens": sum(completion.completion_tokens for completion in completions),
                "cut_at_max_new_tokens": sum(completion.finish == "length" for completion in completions),
                "prompt_tokens": sum(completion.prompt_tokens for completion in completions),
            }
            counts |= {f"{BASE}_{name}" if is_base else name: count for name, count in told.items()}
    shutil.rmtree(out / CHECKPOINTS)
    return counts


class Answered(NamedTuple):
    """An answer and what was asked for it."""

    prediction: Prediction
    posed: Posed


def answer_block(
    engine: Engine,
    block: Block,
    *,
    config: PredictConfig,
    style: Style,
    tick: Callable[[], object] | None = None,
) -> list[Answered]:
    """The answer to each asking of a block, in their order; `tick` is called at each."""
    answers: dict[int, Answered] = {}
    with engine.without_adapter() if block.is_base else nullcontext():
        for index, answered in answer(engine, block.askings, block.way, config, style):
            answers[index] = answered
            if tick:
                tick()
    return [answers[index] for index in range(len(block.askings))]


def answer(
    engine: Engine, askings: Sequence[Asking], way: Way, config: PredictConfig, style: Style
) -> Iterator[tuple[int, Answered]]:
    """(index, answer) of each asking, batch by batch."""
    if way == "generate":
        prompts = [word_asking(asking, style) for asking in askings]
        for index, completion in engine.generate(prompts, config.sampling):
            yield index, note(engine, askings[index], way, prompts[index], completion=completion)
        return
    thoughts = think(engine, askings, config, style) if way == "letter" and config.think_tokens else {}
    leads = [thoughts[index].lead if index in thoughts else "" for index in range(len(askings))]
    questions = [
        turn(asking.record, asking.order) for asking in askings if isinstance(asking.record, Question)
    ]
    choices = [
        cloze_choices(question, style) if way == "cloze" else letter_choices(question, style, lead=lead)
        for question, lead in zip(questions, leads, strict=True)
    ]
    for index, candidates in engine.rank(choices):
        asking, letters = askings[index], list(questions[index].options)
        told = {turn_back(key, letters, asking.order): value for key, value in candidates.items()}
        thought = thoughts[index].completion if index in thoughts else None
        yield index, note(engine, asking, way, choices[index].prompt, completion=thought, candidates=told)


def note(
    engine: Engine,
    asking: Asking,
    way: Way,
    prompt: Prompt,
    *,
    completion: Completion | None,
    candidates: dict[str, Likelihood] | None = None,
) -> Answered:
    """What was answered to an asking, and what was put to the model for it."""
    asked = engine.show(prompt)
    name, order = asking.record.id, asking.order
    return Answered(
        Prediction(
            id=name,
            way=way,
            order=order,
            prompt=prompt.messages[-1].content,
            completion=completion,
            candidates=candidates,
        ),
        Posed(id=name, way=way, order=order, text=asked.text, ids=asked.ids),
    )


class Thought(NamedTuple):
    """What a model thought before its letter is read."""

    completion: Completion
    lead: str
    """How its answer begins then: the thought, closed where it was cut off, and what a letter follows."""


def think(
    engine: Engine, askings: Sequence[Asking], config: PredictConfig, style: Style
) -> dict[int, Thought]:
    """The thought before each answer, at most `think_tokens` long."""
    prompts = [word_asking(asking, style) for asking in askings]
    sampling = config.sampling.model_copy(update={"max_new_tokens": config.think_tokens})
    thoughts: dict[int, Thought] = {}
    for index, completion in engine.generate(prompts, sampling, until=CLOSE):
        if completion.reasoning is None:
            begin = f"{completion.text}\n"
        else:
            begin = f"{OPEN}\n{completion.reasoning or completion.text}\n{CLOSE}\n\n"
        thoughts[index] = Thought(completion, begin + read_verdict())
    return thoughts


def word_asking(asking: Asking, style: Style) -> Prompt:
    """What an asking puts to the model: a question in words, or a talk with the tools that it offers."""
    if isinstance(asking.record, Question):
        return ask(turn(asking.record, asking.order), style)
    return Prompt(last_user_turn(asking.record.messages), asking.record.tools)
