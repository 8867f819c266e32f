"""What may be chosen from: every row once, none that holds an exam item, each with the tokens of training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.curate import mix, shards
from medtune.curate.config import MixConfig
from medtune.curate.pool import Pool, count_tokens, read_pool, take
from medtune.curate.shards import list_shards, read_shard
from medtune.data.config import PrepareConfig, Source
from medtune.data.prepare import run as prepare
from medtune.engines.rendering.dress import dress
from medtune.engines.rendering.render import render_dialogue
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.places import text_of
from medtune.records import Dialogue, Document, Preference, Question

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="wants the public data in ../shared/data")

Talk = Callable[[str, str], Dialogue]
Ask = Callable[..., Question]
Put = Callable[..., Input]

STEM = "稳定型心绞痛患者急性发作时应首先使用的药物是____"


@pytest.fixture
def open_pool(tmp_path: Path) -> Callable[..., Pool]:
    def read(*files: Input, **settings: Any) -> Pool:
        return read_pool(MixConfig.model_validate({"out": tmp_path / "out", "pool": files, **settings}))[0]

    return read


# ---- shards ----


def test_shards_cover_every_row_of_every_file_once(
    talk: Talk, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 3)
    talks = [talk(f"问题{number}，{'很' * number}长", "答案") for number in range(11)]
    files = [put("a.jsonl", talks[:7]), put("b.jsonl", []), put("c.jsonl", talks[7:])]
    found = list_shards(files)
    assert [(shard.file, shard.first, shard.line, shard.rows) for shard in found] == [
        (0, 0, 1, 3), (0, 3, 4, 3), (0, 6, 7, 1), (2, 7, 1, 3), (2, 10, 4, 1),
    ]  # fmt: skip
    assert [row.record for shard in found for row in read_shard(files, shard)] == talks


def test_a_row_is_read_again_where_it_stands(
    talk: Talk, put: Put, open_pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 4)
    talks = [talk(f"问题{number}", "答案" * number) for number in range(10)]
    pool = open_pool(put("a.jsonl", talks[:6]), put("b.jsonl", talks[6:]))
    assert list(pool.read([9, 0, 5, 6])) == [talks[9], talks[0], talks[5], talks[6]]
    assert [pool.place(row) for row in (0, 5, 6, 9)] == ["a.jsonl:1", "a.jsonl:6", "b.jsonl:1", "b.jsonl:4"]
    assert pool.num_chars.tolist() == [len(text_of(record)) for record in talks]


def test_a_fault_in_the_pool_names_file_and_line(talk: Talk, ask_row: str, put: Put, tmp_path: Path) -> None:
    source = put("a.jsonl", [talk("头痛怎么办", "多休息")])
    with source.path.open("a", encoding="utf-8") as file:
        file.write(ask_row)
    with pytest.raises(UserError, match=r"a\.jsonl:2: "):
        read_pool(MixConfig.model_validate({"out": tmp_path / "out", "pool": [source]}))


@pytest.fixture(params=["question", "damaged", "blank"])
def ask_row(request: pytest.FixtureRequest, question: Ask) -> str:
    return {
        "question": question(STEM, "甲", "乙").model_dump_json() + "\n",
        "damaged": '{"kind": ',
        "blank": "\n",
    }[request.param]


def test_a_record_that_stands_twice_is_there_once(
    talk: Talk, put: Put, open_pool: Callable[..., Pool]
) -> None:
    one, other = talk("头痛怎么办", "多休息"), talk("发热怎么办", "多喝水")
    pool = open_pool(put("a.jsonl", [one, other]), put("b.jsonl", [one]))
    assert (len(pool), pool.is_free.tolist(), pool.num_repeats) == (3, [True, True, False], 1)


def test_an_empty_pool_is_refused(put: Put, open_pool: Callable[..., Pool]) -> None:
    with pytest.raises(UserError, match="no records in the pool"):
        open_pool(put("a.jsonl", []))


# ---- leaks ----


def test_a_record_with_stem_and_right_option_may_not_be_chosen(
    talk: Talk, question: Ask, put: Put, open_pool: Callable[..., Pool]
) -> None:
    item = question(STEM, "硝酸甘油", "阿司匹林")
    leak = talk("请问：稳定型心绞痛患者，急性发作时应首先使用的药物是？", "应当选硝酸甘油。")
    reworded = talk("稳定型心绞痛的病人在急性发作的时候应首先使用的药物是？", "应当选硝酸甘油。")
    clean = [
        talk("稳定型心绞痛患者急性发作时应首先使用的药物是", "应当选别的。"),
        talk("心绞痛发作时含什么药", "硝酸甘油"),
        talk("头痛怎么办", "多休息"),
    ]
    pool, exam = put("a.jsonl", [leak, reworded, *clean]), put("exam.jsonl", [item])
    found = open_pool(pool, decontaminate=[exam])
    assert [(one.place, one.record, one.question, one.kind) for one in found.leaks] == [
        ("a.jsonl:1", leak.id, item.id, "same question"), ("a.jsonl:2", reworded.id, item.id, "reworded"),
    ]  # fmt: skip
    assert found.is_free.tolist() == [False, False, True, True, True]
    assert found.num_leaking == 2


def test_a_shared_case_counts_as_part_of_the_stem(
    talk: Talk, question: Ask, put: Put, open_pool: Callable[..., Pool]
) -> None:
    case = "男，24岁，脐周疼痛10小时，4小时前转移至右下腹并持续加重，伴恶心、低热。"
    exam = put("exam.jsonl", [question("最可能的诊断是", "急性阑尾炎", "急性胰腺炎", case=case)])
    talks = [talk("最可能的诊断是什么病呢医生", "急性阑尾炎"), talk(case + "最可能的诊断是？", "急性阑尾炎")]
    assert open_pool(put("a.jsonl", talks), decontaminate=[exam]).is_free.tolist() == [True, False]


def test_no_talk_of_the_samples_holds_an_exam_item_for_certain(
    sample_dir: Path, open_pool: Callable[..., Pool]
) -> None:
    exams = [str(sample_dir / f"{name}.jsonl") for name in ("val", "test")]
    found = open_pool(Input(sample_dir / "train.jsonl"), decontaminate=exams, drop="contaminated")
    assert found.leaks == []


@needs_data
def test_the_ceval_items_in_a_public_set_are_found(tmp_path: Path, open_pool: Callable[..., Pool]) -> None:
    exam = Source(
        path=Input(DATA / "ceval_medical" / "physician.jsonl"),
        subject="physician",
        split={"val": 49, "test": 443},
    )
    prepare(PrepareConfig(out=tmp_path / "exam", source=(exam,), valid=0, test=0))
    pool = Source(path=Input(DATA / "medalpaca_mcq_999.jsonl"), format="alpaca")
    prepare(PrepareConfig(out=tmp_path / "pool", source=(pool,), valid=0, test=0))
    tested = tmp_path / "exam" / "test.jsonl"
    found = open_pool(Input(tmp_path / "pool" / "train.jsonl"), decontaminate=[str(tested)])
    rows = exam.path.path.read_text(encoding="utf-8").splitlines()[49:]
    stems = [json.loads(row)["question"].strip() for row in rows]
    items = {item.id: stems.index(item.stem) for item in read_jsonl(tested, Question)}
    certain = {items[leak.question] for leak in found.leaks if leak.kind.startswith("same")}
    assert certain == {87, 125, 231}
    assert {84, 112} <= {items[leak.question] for leak in found.leaks} - certain


def test_a_pool_that_is_all_leaks_is_refused(
    talk: Talk, question: Ask, put: Put, open_pool: Callable[..., Pool]
) -> None:
    exam = put("exam.jsonl", [question(STEM, "硝酸甘油", "阿司匹林")])
    with pytest.raises(UserError, match="no records left of 1 after decontamination"):
        open_pool(put("a.jsonl", [talk(STEM, "硝酸甘油")]), decontaminate=[exam])


# ---- tokens ----


def test_tokens_are_counted_with_the_chat_templates_own(talk: Talk, tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    record = talk("头痛怎么办", "多休息")
    whole = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in record.messages], tokenize=False
    )
    assert count_tokens(tokenizer, record) == len(tokenizer(whole, add_special_tokens=False)["input_ids"])
    assert count_tokens(tokenizer, record) > len(tokenizer(text_of(record))["input_ids"])


def test_tools_count_and_answers_that_are_not_learnt_do_not(talk: Talk, tiny_tokenizer_dir: Path) -> None:
    tokenizer = dress(load_tokenizer(Input(tiny_tokenizer_dir)), template="qwen")
    record = talk("头痛怎么办", "多休息")
    tools = '[{"name": "bp", "description": "血压", "parameters": {"type": "object", "properties": {}}}]'
    offered = record.model_copy(update={"tools": tools})
    (sequence,) = render_dialogue(tokenizer, record.messages, tools=tools)
    assert count_tokens(tokenizer, offered) == len(sequence.ids) > count_tokens(tokenizer, record)
    assert count_tokens(tokenizer, record.model_copy(update={"weights": (1.0, 0.0)})) == 0


def test_documents_and_preferences_have_tokens_too(talk: Talk, tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    good, bad = talk("头痛怎么办", "多休息"), talk("头痛怎么办", "不用管它，会好的")
    pair = Preference(id="p", prompt=good.messages[:1], chosen="多休息", rejected="不用管它，会好的")
    assert count_tokens(tokenizer, pair) == count_tokens(tokenizer, good) + count_tokens(tokenizer, bad)
    text = "头痛时应当多休息"
    assert count_tokens(tokenizer, Document(id="d", text=text)) == len(tokenizer(text)["input_ids"])


def test_a_choice_keeps_the_weights(talk: Talk, put: Put, tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    record = talk("头痛怎么办", "多休息").model_copy(update={"weights": (1.0, 0.5)})
    settings = {"pool": [str(put("a.jsonl", [record]))], "tokenizer": str(tiny_tokenizer_dir)}
    config = MixConfig.model_validate({"out": tmp_path / "out", "budget_tokens": 1, **settings})
    config.out.mkdir()
    mix.run(config)
    assert list(read_jsonl(config.out / "train.jsonl", Dialogue)) == [record]


# ---- spending the budget ----


@pytest.fixture
def spend(talk: Talk, put: Put, tmp_path: Path, tiny_tokenizer_dir: Path) -> Callable[..., list[int]]:
    talks = [talk("问" * length, "答案") for length in (30, 70, 50)]

    def rows(order: list[int], **budget: int) -> list[int]:
        if "budget_tokens" in budget:
            budget["tokenizer"] = str(tiny_tokenizer_dir)  # pyright: ignore[reportArgumentType]
        settings = {"out": tmp_path / "out", "pool": [str(put("a.jsonl", talks))], **budget}
        config = MixConfig.model_validate(settings)
        return [one.row for one in take(read_pool(config)[0], order, config)]

    return rows


def test_rows_are_taken_in_order_until_the_budget_is_reached(
    spend: Callable[..., list[int]], talk: Talk, tiny_tokenizer_dir: Path
) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    first, _, third = (count_tokens(tokenizer, talk("问" * length, "答案")) for length in (30, 70, 50))
    assert spend([2, 0, 1], budget_tokens=1) == spend([2, 0, 1], budget_tokens=third) == [2]
    assert (
        spend([2, 0, 1], budget_tokens=third + 1) == spend([2, 0, 1], budget_tokens=third + first) == [2, 0]
    )
    assert spend([2, 0, 1], budget_rows=2) == [2, 0]
    assert spend([2, 0, 1]) == [2, 0, 1]
    with pytest.raises(UserError, match="only 3 of budget_rows 4 could be chosen from 3 records"):
        spend([2, 0, 1], budget_rows=4)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"budget_tokens": 5}, "budget_tokens says nothing without tokenizer"),
        ({"tokenizer": "x"}, "tokenizer says nothing without budget_tokens"),
        ({"tokenizer": "x", "budget_tokens": 5, "budget_rows": 5}, "two budgets; give one"),
    ],
)
def test_budgets_that_do_not_go_together_are_refused(budget: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MixConfig.model_validate({"out": "x", "pool": ["a.jsonl"], **budget})


def test_a_pool_keeps_few_bytes_a_row(talk: Talk, put: Put, open_pool: Callable[..., Pool]) -> None:
    pool = open_pool(put("a.jsonl", [talk(f"问题{number}", "答" * 200) for number in range(3000)]))
    held = [value.nbytes for value in vars(pool).values() if isinstance(value, np.ndarray)]
    assert sum(held) / len(pool) < 32
