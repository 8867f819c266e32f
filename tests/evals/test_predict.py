"""Answers come once for every record, in order, and the same whether or not the run was interrupted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError

from medtune.artifact import CHECKPOINTS, read_jsonl, write_jsonl
from medtune.commands import run_command
from medtune.config import Input
from medtune.engines.base import Asked, Choices, Engine, Prompt
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.hf import HfInProcess
from medtune.engines.loading import load_model
from medtune.engines.rendering.parity import learnt_stretches
from medtune.engines.rendering.render import render_dialogue, render_prompt
from medtune.engines.tokenizing import open_tokenizer
from medtune.errors import UserError
from medtune.evals import answering, predict
from medtune.evals.answering import word_asking
from medtune.evals.asking import Asking, Posed
from medtune.evals.config import EvaluateConfig, PredictConfig
from medtune.evals.prompt import Style
from medtune.evals.prompt import ask as word_question
from medtune.records import (
    Completion,
    Dialogue,
    Document,
    Likelihood,
    Message,
    Prediction,
    Question,
    Report,
    dialogue_id,
    question_id,
)
from medtune.train.config import TokenizerConfig

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
    assert set(manifest.files) == {"predictions.jsonl", "prompts.jsonl"}
    assert not (config.out / CHECKPOINTS).exists()
    assert (manifest.counts["records"], manifest.counts["predictions"]) == (7, 21)


def test_a_way_holds_what_it_should_and_the_prompt_that_was_put(configure: Configure) -> None:
    config = configure("out", QUESTIONS[:2], ways=ALL_WAYS)
    run_command("predict", config)
    written, lettered, clozed = (row for row in predictions(config) if row.id == QUESTIONS[0].id)
    assert written.candidates is None and written.completion is not None
    assert written.prompt == lettered.prompt == word_question(QUESTIONS[0], Style()).messages[0].content
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
    asked = word_asking(Asking(record), Style())
    assert asked == Prompt(record.messages[:1], tools)
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


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_workers_of_a_cluster_write_the_bytes_of_one_process(
    configure: Configure, tiny_model_dir: Path, adapter_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BLOCK_ROWS", 2)
    values = {
        "ways": ALL_WAYS,
        "orders": 2,
        "sampling": {"max_new_tokens": 4, "temperature": 1.0},
        "engine": {"model": str(tiny_model_dir), "adapter": str(adapter_dir)},
        "with_base": True,
    }
    runtime = {"device": "cpu", "num_threads": 1, "workers": {"type": "ray", "num": 2}}
    alone = run_command("predict", configure("alone", QUESTIONS, **values))
    shared = run_command("predict", configure("shared", QUESTIONS, **values, runtime=runtime))
    assert shared.files == alone.files and len(shared.files) == 4
    assert (shared.key, shared.counts) == (alone.key, alone.counts)


# ---- shots, orders, the base beside its adapter, thinking ----


def shown(config: PredictConfig) -> list[Posed]:
    return list(read_jsonl(config.out / "prompts.jsonl", Posed))


def test_what_the_model_got_is_kept_word_by_word_and_token_by_token(configure: Configure) -> None:
    config = configure("out", QUESTIONS[:2], ways=ALL_WAYS, preset="lm-eval")
    run_command("predict", config)
    tokenizer = open_tokenizer(config.engine)
    rows = shown(config)
    assert [(row.way, row.id) for row in rows] == [(row.way, row.id) for row in predictions(config)]
    for row in rows:
        assert tokenizer.decode(row.ids) == row.text
    assert rows[2].text.endswith("\n答案：")
    assert QUESTIONS[0].options["B"] in rows[2].text


def test_shots_of_the_own_subject_stand_before_each_question(configure: Configure, tmp_path: Path) -> None:
    shots = [ask(90 + number).model_copy(update={"split": "dev"}) for number in range(3)]
    other = ask(99).model_copy(update={"split": "dev", "subject": "外科"})
    write_jsonl(tmp_path / "dev.jsonl", [other, *shots])
    values = {"preset": "lm-eval", "ways": ("letter",), "sampling": {"max_new_tokens": 1}}
    told = {"questions": str(tmp_path / "dev.jsonl"), "num": 2}
    config = configure("out", QUESTIONS[:3], shots=told, **values)
    run_command("predict", config)
    for row in shown(config):
        assert row.text.index(shots[0].stem) < row.text.index(shots[1].stem)
        assert shots[2].stem not in row.text and other.stem not in row.text
    with pytest.raises(UserError, match=r"dev.jsonl: 3 questions of '内科学' and shots.num is 4"):
        run_command("predict", configure("few", QUESTIONS[:3], shots={**told, "num": 4}, **values))
    with pytest.raises(UserError, match=r"dev.jsonl:2: is asked too, so its answer would be shown"):
        run_command("predict", configure("leak", [shots[0]], shots=told, **values))


def test_each_order_of_the_options_is_asked_and_turned_back(configure: Configure) -> None:
    config = configure("out", QUESTIONS[:2], ways=("letter", "cloze"), orders=8)
    run_command("predict", config)
    rows = [row for row in predictions(config) if row.way == "letter"]
    assert [(row.id, row.order) for row in rows] == [
        (question.id, order) for question in QUESTIONS[:2] for order in (None, "BCA", "CAB")
    ]
    assert [row.order for row in predictions(config) if row.way == "cloze"] == [None, None]
    turned = QUESTIONS[0].model_copy(
        update={"options": {"A": QUESTIONS[0].options["B"], "B": "熬夜", "C": QUESTIONS[0].options["A"]}}
    )
    alone = configure("alone", [turned], ways=("letter",))
    run_command("predict", alone)
    (plain,) = predictions(alone)
    assert plain.candidates and rows[1].candidates
    for published, place in (("B", "A"), ("C", "B"), ("A", "C")):
        assert rows[1].candidates[published].logprob == pytest.approx(
            plain.candidates[place].logprob, abs=1e-4
        )


def test_splits_of_an_exam_are_not_mixed(configure: Configure) -> None:
    mixed = [QUESTIONS[0], QUESTIONS[1].model_copy(update={"split": "val"})]
    with pytest.raises(UserError, match=r"mixes splits of an exam \(1 of test, 1 of val\)"):
        run_command("predict", configure("out", mixed))


@pytest.fixture
def adapter_dir(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """An adapter with weights of its own over the tiny model."""
    torch.manual_seed(1)
    settings = LoraConfig(target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(load_model(Input(tiny_model_dir), "float32"), settings)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_the_base_is_asked_beside_its_adapter(
    configure: Configure, tiny_model_dir: Path, adapter_dir: Path
) -> None:
    ways = ("generate", "letter")
    engine = {"model": str(tiny_model_dir), "adapter": str(adapter_dir)}
    both = configure("both", QUESTIONS, ways=ways, engine=engine, with_base=True)
    run_command("predict", both)
    for name, alone in (("tuned", {"engine": engine}), ("plain", {})):
        run_command("predict", configure(name, QUESTIONS, ways=ways, **alone))
    told = {
        name: (both.out.parent / name / "predictions.jsonl").read_bytes()
        for name in ("both", "both/base", "tuned", "plain")
    }
    assert told["both"] == told["tuned"] != told["plain"]
    assert told["both/base"] == told["plain"]
    for name, folder in (("base", both.out / "base"), ("tuned", both.out)):
        values = {"out": both.out.parent / f"evaluated-{name}", "predictions": str(folder)}
        questions = str(both.records)
        run_command("evaluate", EvaluateConfig.model_validate({**values, "questions": questions}))
    report = Report.model_validate_json((both.out.parent / "evaluated-base" / "report.json").read_bytes())
    assert "predict.engine.adapter" not in report.provenance
    assert "predict.engine.model" in report.provenance


def test_a_model_thinks_before_its_letter_is_read(configure: Configure) -> None:
    config = configure("out", QUESTIONS[:2], ways=("letter",), preset="think", think_tokens=3)
    run_command("predict", config)
    for row, asked in zip(predictions(config), shown(config), strict=True):
        assert row.completion and row.candidates
        assert row.completion.completion_tokens <= 3
        assert asked.text.endswith(f"{row.completion.text}\n答案：")
    at_once = configure("at-once", QUESTIONS[:2], ways=("letter",), preset="think")
    run_command("predict", at_once)
    assert predictions(at_once)[0].completion is None
    assert predictions(at_once)[0].candidates != predictions(config)[0].candidates


@pytest.mark.parametrize(
    ("thought", "lead"),
    [
        ({"text": "乙对。", "reasoning": None}, "乙对。\n答案："),
        ({"text": "选乙", "reasoning": "想"}, "<think>\n想\n</think>\n\n答案："),
        ({"text": "", "reasoning": "没想完"}, "<think>\n没想完\n</think>\n\n答案："),
    ],
)
def test_a_thought_is_closed_before_the_letter(
    configure: Configure, thought: dict[str, Any], lead: str
) -> None:
    class Thinker:
        def generate(
            self, prompts: Sequence[Prompt], sampling: Sampling, *, until: str = ""
        ) -> Iterator[tuple[int, Completion]]:
            assert (sampling.max_new_tokens, until) == (9, "</think>")
            yield 0, Completion(**thought, finish="length", prompt_tokens=1, completion_tokens=9)

    config = configure("out", QUESTIONS[:1], ways=("letter",), think_tokens=9)
    found = answering.think(Thinker(), [Asking(QUESTIONS[0])], config, Style())  # type: ignore[arg-type]
    assert found[0].lead == lead


def test_a_thought_that_the_prompt_opens_is_closed_before_the_letter(
    configure: Configure, opening_dir: Path
) -> None:
    values = {"engine": {"model": str(opening_dir)}, "sampling": {"max_new_tokens": 3}}
    config = configure("out", QUESTIONS[:2], ways=("letter",), preset="think", think_tokens=3, **values)
    run_command("predict", config)
    for row, asked in zip(predictions(config), shown(config), strict=True):
        assert row.completion and row.completion.reasoning and row.completion.text == ""
        assert asked.text.endswith(f"assistant\n<think>\n{row.completion.reasoning}\n</think>\n\n答案：")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"with_base": True}, "name engine.adapter"),
        ({"think_tokens": 5}, "add ways"),
        ({"think_tokens": 5, "ways": ("letter",), "form": "text"}, "needs form: chat"),
        ({"orders": 4, "ways": ("cloze",)}, "cloze shows no options"),
        ({"preset": "ceval"}, "preset"),
    ],
)
def test_settings_that_could_not_act_are_refused(
    configure: Configure, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        configure("out", QUESTIONS, **values)


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

    def show(self, prompt: Prompt) -> Asked:
        return self.engine.show(prompt)

    def without_adapter(self) -> AbstractContextManager[None]:
        return self.engine.without_adapter()

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, until: str = ""
    ) -> Iterator[tuple[int, Completion]]:
        for answer in self.engine.generate(prompts, sampling, until=until):
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


@pytest.fixture
def merging_dir(make_model: Callable[..., Path], tmp_path: Path) -> Path:
    """A model whose tokenizer has a token for a half-width colon or a space with a letter, as Qwen's has."""
    texts = [Message(role="user", content=f"答案:{letter} 答案: {letter} " * 30) for letter in "ABCD"]
    write_jsonl(tmp_path / "texts.jsonl", [Dialogue(id="1", messages=tuple(texts))])
    text = Input(tmp_path / "texts.jsonl")
    run_command("tokenizer", TokenizerConfig(out=tmp_path / "tokenizer", texts=(text,), vocab_size=320))
    return make_model(tmp_path / "tokenizer")


def test_letters_that_melt_into_the_prompt_are_refused_before_weights_load(
    configure: Configure, merging_dir: Path, interrupt_after: Callable[[float], list[Interrupted]]
) -> None:
    opened = interrupt_after(float("inf"))
    values = {"engine": {"model": str(merging_dir)}, "ways": ("letter",)}
    with pytest.raises(UserError, match=r"the prompt's end .*答案: ' and the answer 'A' share a token ' A'"):
        run_command("predict", configure("bad", QUESTIONS[:1], preset="opencompass-gen", **values))
    assert opened == []
    for preset in ("lm-eval", "ceval-official", "chat"):
        run_command("predict", configure(preset, QUESTIONS[:1], preset=preset, **values))


def test_a_question_with_several_answers_is_ranked_by_sets_of_letters(configure: Configure) -> None:
    config = configure("out", [ask(1, "AB")], ways=("letter",))
    run_command("predict", config)
    (row,) = predictions(config)
    assert list(row.candidates or {}) == ["AB", "AC", "BC", "ABC"]


@pytest.mark.parametrize("ways", [(), ("letter", "letter"), ("guess",)])
def test_ways_that_are_none_twice_or_unknown_are_refused(configure: Configure, ways: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="ways"):
        configure("out", QUESTIONS, ways=ways)
