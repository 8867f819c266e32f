"""Answers come once for every record, in order, and the same whether or not the run was interrupted."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medtune.artifact import CHECKPOINTS, read_jsonl, write_jsonl
from medtune.commands import run_command
from medtune.engines.base import Choices, Engine, Prompt
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.hf import HfInProcess, open_tokenizer
from medtune.engines.parity import learnt_stretches
from medtune.engines.render import render_dialogue, render_prompt
from medtune.errors import UserError
from medtune.evals import predict
from medtune.evals.config import PredictConfig
from medtune.evals.predict import word_record
from medtune.evals.prompt import word_question
from medtune.records import (
    Completion,
    Dialogue,
    Document,
    Likelihood,
    Message,
    Prediction,
    Question,
    dialogue_id,
    question_id,
)

Configure = Callable[..., PredictConfig]
ALL_WAYS = ("generate", "letter", "cloze")


def ask(number: int, answer: str = "B") -> Question:
    options = {"A": "少盐" * (number % 3 + 1), "B": f"多动{number}", "C": "熬夜"}
    stem = "第{}题，高血压患者应{}".format(number, "注意" * (number % 4))
    values = {"stem": stem, "options": options, "answer": answer, "subject": "内科学", "split": "test"}
    return Question.model_validate({"id": question_id(stem, None, options), **values})


def talk(*contents: str) -> Dialogue:
    roles = ("user", "assistant")
    messages = tuple(
        Message.model_validate({"role": roles[place % 2], "content": content})
        for place, content in enumerate(contents)
    )
    return Dialogue(id=dialogue_id(messages), messages=messages)


QUESTIONS = [ask(number) for number in range(7)]


@pytest.fixture
def configure(tiny_model_dir: Path, tmp_path: Path) -> Configure:
    """configure(name, records, key=value, …): records are written, the answer goes to tmp_path/name."""

    def make(name: str, records: Sequence[Question | Dialogue | Document], **values: Any) -> PredictConfig:
        write_jsonl(tmp_path / "records.jsonl", records)
        base = {
            "out": tmp_path / name,
            "engine": {"model": str(tiny_model_dir)},
            "records": str(tmp_path / "records.jsonl"),
            "sampling": {"max_new_tokens": 4},
            "runtime": {"device": "cpu", "num_threads": 1},
        }
        return PredictConfig.model_validate({**base, **values})

    return make


def predictions(config: PredictConfig) -> list[Prediction]:
    return list(read_jsonl(config.out / "predictions.jsonl", Prediction))


# ---- what comes out ----


def test_each_question_is_answered_once_in_each_way_and_in_order(configure: Configure) -> None:
    config = configure("out", QUESTIONS, ways=ALL_WAYS)
    manifest = run_command("predict", config)
    rows = predictions(config)
    expected = [(way, question.id) for way in ALL_WAYS for question in QUESTIONS]
    assert [(row.way, row.id) for row in rows] == expected
    assert set(manifest.files) == {"predictions.jsonl"}
    assert not (config.out / CHECKPOINTS).exists()
    assert (manifest.counts["records"], manifest.counts["predictions"]) == (7, 21)


def test_a_way_holds_what_it_should_and_the_prompt_that_was_put(configure: Configure) -> None:
    config = configure("out", QUESTIONS[:2], ways=ALL_WAYS)
    run_command("predict", config)
    written, lettered, clozed = (row for row in predictions(config) if row.id == QUESTIONS[0].id)
    assert written.candidates is None and written.completion is not None
    assert written.prompt == lettered.prompt == word_question(QUESTIONS[0], "chat")[0].content
    assert lettered.completion is None and lettered.candidates is not None
    assert {key: value.num_chars for key, value in lettered.candidates.items()} == {"A": 1, "B": 1, "C": 1}
    assert clozed.prompt == QUESTIONS[0].stem
    assert clozed.candidates is not None
    assert all(value.prior_logprob is not None for value in clozed.candidates.values())


def test_counts_add_up_what_was_written(configure: Configure) -> None:
    config = configure("out", QUESTIONS)
    counts = run_command("predict", config).counts
    answers = [row.completion for row in predictions(config) if row.completion]
    assert counts["completion_tokens"] == sum(answer.completion_tokens for answer in answers)
    assert counts["prompt_tokens"] == sum(answer.prompt_tokens for answer in answers)
    assert counts["cut_at_max_new_tokens"] == sum(answer.finish == "length" for answer in answers) > 0


def test_a_dialogue_is_asked_up_to_its_last_message_of_the_user(configure: Configure) -> None:
    known, open_end = talk("头痛", "多久了？", "三天", "请就诊。"), talk("咳嗽怎么办")
    config = configure("out", [known, open_end])
    run_command("predict", config)
    assert [(row.id, row.prompt) for row in predictions(config)] == [
        (known.id, "三天"),
        (open_end.id, "咳嗽怎么办"),
    ]


def test_a_model_is_offered_the_tools_that_it_was_trained_with(
    configure: Configure, tiny_model_dir: Path
) -> None:
    tools = '[{"name": "bp", "description": "血压", "parameters": {"type": "object", "properties": {}}}]'
    record = talk("帮我查血压", "好的，正在查。").model_copy(update={"tools": tools})
    engine = {"model": str(tiny_model_dir), "template": "qwen"}
    config = configure("out", [record], engine=engine)
    tokenizer = open_tokenizer(config.engine)
    (trained,) = learnt_stretches(render_dialogue(tokenizer, record.messages, tools=tools))
    assert word_record(record, config) == Prompt(record.messages[:1], tools)
    asked = word_record(record, config)
    assert render_prompt(tokenizer, asked.messages, tools=asked.tools) == trained.before
    # The tiny model is too small for them, and says by how much.
    with pytest.raises(UserError, match=f"record 1: {len(trained.before)} prompt tokens"):
        run_command("predict", config)


def test_history_reaches_the_model(configure: Configure) -> None:
    answers: list[list[int]] = []
    for name, history in (("one", "多久了？"), ("two", "发烧吗，咳嗽吗，有痰吗？")):
        config = configure(name, [talk("头痛", history, "三天")])
        run_command("predict", config)
        answers.append([row.completion.prompt_tokens for row in predictions(config) if row.completion])
    assert answers[0] < answers[1]


def test_the_same_run_gives_the_same_bytes_and_another_seed_others(configure: Configure) -> None:
    hot = {"max_new_tokens": 4, "temperature": 1.0}
    one, two = (run_command("predict", configure(name, QUESTIONS, sampling=hot)) for name in ("one", "two"))
    other = run_command("predict", configure("other", QUESTIONS, sampling={**hot, "seed": 7}))
    assert one.files == two.files != other.files


def test_rows_per_batch_change_no_greedy_answer(configure: Configure) -> None:
    narrow = {"device": "cpu", "num_threads": 1, "max_batch_rows": 1}
    run_command("predict", configure("one", QUESTIONS, runtime=narrow))
    wide = configure("two", QUESTIONS)
    run_command("predict", wide)
    assert (wide.out.parent / "one" / "predictions.jsonl").read_bytes() == (
        wide.out / "predictions.jsonl"
    ).read_bytes()


# ---- interrupted ----


class Interrupted:
    """An engine that gives `num_answers` answers and then is interrupted; it notes what it was asked."""

    def __init__(self, engine: Engine, num_answers: float) -> None:
        self.engine = engine
        self.num_left = num_answers
        self.num_given = 0

    def count(self) -> None:
        if self.num_given == self.num_left:
            raise KeyboardInterrupt
        self.num_given += 1

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for answer in self.engine.generate(prompts, sampling):
            self.count()
            yield answer

    def rank(self, questions: Sequence[Choices]) -> Iterator[tuple[int, dict[str, Likelihood]]]:
        for answer in self.engine.rank(questions):
            self.count()
            yield answer


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[Interrupted]]:
    """interrupt_after(n): engines opened from now on stop after n answers; the list fills with them."""

    def prepare(num_answers: float) -> list[Interrupted]:
        opened: list[Interrupted] = []

        def open_interrupted(config: HfEngine, runtime: EngineRuntime) -> Interrupted:
            opened.append(Interrupted(HfInProcess(config, runtime), num_answers))
            return opened[-1]

        monkeypatch.setattr(predict, "open_engine", open_interrupted)
        return opened

    monkeypatch.setattr(predict, "BLOCK_ROWS", 2)
    return prepare


@pytest.mark.parametrize("num_answers", [1, 4, 11, 20])
def test_an_interrupted_run_ends_with_the_same_file(
    configure: Configure, interrupt_after: Callable[[float], list[Interrupted]], num_answers: int
) -> None:
    settings = {"ways": ALL_WAYS, "sampling": {"max_new_tokens": 4, "temperature": 1.0}}
    unbroken = run_command("predict", configure("unbroken", QUESTIONS, **settings))
    config = configure("broken", QUESTIONS, **settings)
    interrupt_after(num_answers)
    with pytest.raises(KeyboardInterrupt):
        run_command("predict", config)
    assert not (config.out / "manifest.json").exists()
    assert not (config.out / "predictions.jsonl").exists()
    opened = interrupt_after(float("inf"))
    resumed = run_command("predict", config)
    assert resumed.files == unbroken.files
    assert resumed.counts == unbroken.counts
    blocks_of_a_way = [2, 2, 2, 1]
    done = 0
    for size in blocks_of_a_way * 3:
        if done + size > num_answers:
            break
        done += size
    assert opened[0].num_given == 21 - done, "whole blocks are kept, the rest is asked once"
    keys = [(row.way, row.id) for row in predictions(config)]
    assert len(set(keys)) == len(keys) == 21


def test_a_run_that_had_answered_everything_opens_no_model(
    configure: Configure,
    interrupt_after: Callable[[float], list[Interrupted]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configure("out", QUESTIONS)
    opened = interrupt_after(float("inf"))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predict, "read_jsonl", read_records_then(fail))
        with pytest.raises(KeyboardInterrupt):
            run_command("predict", config)
    assert len(opened) == 1
    run_command("predict", config)
    assert len(opened) == 1
    assert len(predictions(config)) == 7


def read_records_then(fail: Callable[..., None]) -> Callable[..., Iterator[Any]]:
    """read_jsonl for the records, and an interruption when predictions are read."""

    def read(path: Path, kind: Any) -> Iterator[Any]:
        if kind is Prediction:
            fail()
        yield from read_jsonl(path, kind)

    return read


# ---- what is refused, before any model is loaded ----


@pytest.mark.parametrize(
    ("records", "ways", "message"),
    [
        ([*QUESTIONS[:2], ask(8, "AB")], ("cloze",), r"records.jsonl:3: cloze picks one option .* has 2"),
        ([talk("头痛")], ("generate", "letter"), r"records.jsonl:1: a dialogue can only be answered by"),
        ([Document(id="1", text="文")], ("generate",), r"records.jsonl:1: questions or dialogues are wanted"),
        ([QUESTIONS[0], QUESTIONS[1], QUESTIONS[0]], ("generate",), "holds a record twice"),
        ([], ("generate",), "no records in it"),
        (
            [Dialogue(id="1", messages=(Message(role="assistant", content="好"),))],
            ("generate",),
            r"records.jsonl:1: a dialogue without a message of the user",
        ),
    ],
)
def test_records_that_a_way_cannot_answer_are_refused_first(
    configure: Configure,
    interrupt_after: Callable[[float], list[Interrupted]],
    records: list[Any],
    ways: tuple[str, ...],
    message: str,
) -> None:
    opened = interrupt_after(0)
    with pytest.raises(UserError, match=message):
        run_command("predict", configure("out", records, ways=ways))
    assert opened == []


def test_a_question_with_several_answers_is_ranked_by_sets_of_letters(configure: Configure) -> None:
    config = configure("out", [ask(1, "AB")], ways=("letter",))
    run_command("predict", config)
    (row,) = predictions(config)
    assert list(row.candidates or {}) == ["AB", "AC", "BC", "ABC"]


@pytest.mark.parametrize("ways", [(), ("letter", "letter"), ("guess",)])
def test_ways_that_are_none_twice_or_unknown_are_refused(configure: Configure, ways: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="ways"):
        configure("out", QUESTIONS, ways=ways)
