"""What may be chosen from: no record that holds an exam item, each with the tokens that training sees."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.curate import mix
from medtune.curate.config import MixConfig
from medtune.curate.pool import (
    Pool,
    count_tokens,
    find_leaks,
    read_dialogues,
    read_pool,
    read_questions,
    take,
    text_of,
)
from medtune.data.config import PrepareConfig, Source
from medtune.data.prepare import run as prepare
from medtune.engines.dress import dress
from medtune.engines.hf import load_tokenizer
from medtune.engines.render import render_dialogue
from medtune.errors import UserError
from medtune.records import Dialogue, Message, Question, dialogue_id

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="wants the public data in ../shared/data")

Talk = Callable[[str, str], Dialogue]
Ask = Callable[..., Question]
Put = Callable[..., Input]

STEM = "稳定型心绞痛患者急性发作时应首先使用的药物是____"


# ---- leaks ----


def test_a_record_with_stem_and_right_option_is_a_leak(talk: Talk, question: Ask) -> None:
    item = question(STEM, "硝酸甘油", "阿司匹林")
    leak = talk("请问：稳定型心绞痛患者，急性发作时应首先使用的药物是？", "应当选硝酸甘油。")
    found = find_leaks([talk("头痛怎么办", "多休息"), leak], [item])
    assert [(one.record, one.question, one.covered) for one in found] == [(leak.id, item.id, 1.0)]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("稳定型心绞痛患者急性发作时应首先使用的药物是", "应当选阿司匹林。"),
        ("心绞痛发作时含什么药", "硝酸甘油"),
        ("稳定型心绞痛患者急性发作时怎么办", "含硝酸甘油"),
    ],
    ids=["wrong option only", "answer without the stem", "half of the stem"],
)
def test_less_than_stem_and_answer_is_no_leak(talk: Talk, question: Ask, asked: str, answered: str) -> None:
    assert find_leaks([talk(asked, answered)], [question(STEM, "硝酸甘油", "阿司匹林")]) == []


def test_case_blanks_and_punctuation_hide_no_leak(talk: Talk, question: Ask) -> None:
    item = question("诊断COPD最有价值的检查，应该首选下列哪项", "肺功能检查", "胸片")
    dose = question("成人原发性高血压的诊断界值为诊室血压", "140/90mmHg", "120/80mmHg")
    assert find_leaks([talk("成人原发性高血压的诊断界值为诊室血压多少？", "140 / 90 mmHg。")], [dose])
    assert find_leaks([talk("诊断 copd 最有价值的检查——应该首选，下列哪项？", "肺功能检查")], [item])


def test_a_stem_shorter_than_a_gram_is_found_too(talk: Talk, question: Ask) -> None:
    item = question("附睾精液囊肿____", "囊肿液中可见精子", "囊肿为质硬的包块")
    leak = talk("医生，附睾精液囊肿是怎么回事，要紧吗？", "一般不要紧，囊肿液中可见精子。")
    other = talk("医生，肾囊肿是怎么回事，要紧吗？", "一般不要紧，囊肿液中可见精子。")
    assert [one.record for one in find_leaks([other, leak], [item])] == [leak.id]


def test_a_shared_case_counts_as_part_of_the_stem(talk: Talk, question: Ask) -> None:
    case = "男，24岁，脐周疼痛10小时，4小时前转移至右下腹并持续加重，伴恶心、低热。"
    item = question("最可能的诊断是", "急性阑尾炎", "急性胰腺炎", case=case)
    assert find_leaks([talk("最可能的诊断是什么病呢医生", "急性阑尾炎")], [item]) == []
    assert find_leaks([talk(case + "最可能的诊断是？", "急性阑尾炎")], [item])


def test_a_system_instruction_is_not_searched(question: Ask) -> None:
    turns = (
        Message(role="system", content=STEM + "硝酸甘油"),
        Message(role="user", content="头痛怎么办"),
        Message(role="assistant", content="多休息"),
    )
    record = Dialogue(id=dialogue_id(turns), messages=turns)
    assert text_of(record) == "头痛怎么办\n多休息"
    assert find_leaks([record], [question(STEM, "硝酸甘油", "阿司匹林")]) == []


def test_no_talk_of_the_samples_holds_an_exam_item(sample_dir: Path) -> None:
    items = [item for name in ("val", "test") for item in read_questions(Input(sample_dir / f"{name}.jsonl"))]
    assert find_leaks(list(read_dialogues([Input(sample_dir / "train.jsonl")])), items) == []


@needs_data
@pytest.mark.parametrize("file", ["medalpaca_mcq_999.jsonl", "medalpaca_cot_999.jsonl"])
def test_the_word_for_word_ceval_items_in_a_public_set_are_found(tmp_path: Path, file: str) -> None:
    exam = Source(
        path=Input(DATA / "ceval_medical" / "physician.jsonl"),
        subject="physician",
        split={"val": 49, "test": 443},
    )
    prepare(PrepareConfig(out=tmp_path / "exam", source=(exam,), valid=0, test=0))
    form = "alpaca" if "mcq" in file else "auto"
    pool = Source(path=Input(DATA / file), format=form)
    prepare(PrepareConfig(out=tmp_path / "pool", source=(pool,), valid=0, test=0))
    items = {item.id: item for item in read_questions(Input(tmp_path / "exam" / "test.jsonl"))}
    leaks = find_leaks(list(read_dialogues([Input(tmp_path / "pool" / "train.jsonl")])), list(items.values()))
    rows = exam.path.path.read_text(encoding="utf-8").splitlines()[49:]
    stems = [json.loads(row)["question"].strip() for row in rows]
    assert sorted(stems.index(items[leak.question].stem) for leak in leaks) == [87, 125, 231]


# ---- reading the pool ----


def test_a_pool_is_read_in_file_order_without_its_leaks(
    talk: Talk, question: Ask, put: Put, tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    one, leak, other = talk("头痛怎么办", "多休息"), talk(STEM, "硝酸甘油"), talk("发热怎么办", "多喝水")
    config = MixConfig(
        out=tmp_path / "out", pool=(put("a.jsonl", [one, leak]), put("b.jsonl", [other])),
        decontaminate=(put("exam.jsonl", [question(STEM, "硝酸甘油", "阿司匹林")]),),
        tokenizer=Input(tiny_tokenizer_dir), budget_tokens=1,
    )  # fmt: skip
    pool = read_pool(config)
    assert pool.records == [one, other]
    assert [found.record for found in pool.leaks] == [leak.id]
    assert pool.num_all == 3
    assert pool.texts == ["头痛怎么办\n多休息", "发热怎么办\n多喝水"]


def test_a_pool_that_is_all_leaks_is_refused(
    talk: Talk, question: Ask, put: Put, tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    config = MixConfig(
        out=tmp_path / "out", pool=(put("a.jsonl", [talk(STEM, "硝酸甘油")]),),
        decontaminate=(put("exam.jsonl", [question(STEM, "硝酸甘油", "阿司匹林")]),),
        tokenizer=Input(tiny_tokenizer_dir), budget_tokens=1,
    )  # fmt: skip
    with pytest.raises(UserError, match="no records left of 1 after decontamination"):
        read_pool(config)


def test_another_kind_of_record_in_the_pool_is_refused_with_its_place(
    talk: Talk, question: Ask, put: Put
) -> None:
    source = put("a.jsonl", [talk("头痛怎么办", "多休息"), question(STEM, "甲", "乙")])
    with pytest.raises(UserError, match=r"a\.jsonl:2: a dialogue is wanted; this is a question"):
        list(read_dialogues([source]))


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


def test_a_choice_keeps_the_weights(
    talk: Talk, put: Callable[..., Input], tmp_path: Path, tiny_tokenizer_dir: Path
) -> None:
    record = talk("头痛怎么办", "多休息").model_copy(update={"weights": (1.0, 0.5)})
    settings = {"pool": [str(put("a.jsonl", [record]))], "tokenizer": str(tiny_tokenizer_dir)}
    config = MixConfig.model_validate({"out": tmp_path / "out", "budget_tokens": 1, **settings})
    config.out.mkdir()
    mix.run(config)
    assert list(read_jsonl(config.out / "train.jsonl", Dialogue)) == [record]


# ---- spending the budget ----


def pool_of(talk: Talk, *num_tokens: int) -> Pool:
    records = [talk(f"问题{number}", "答案") for number in range(len(num_tokens))]
    return Pool(records, [text_of(record) for record in records], list(num_tokens), [], len(records))


@pytest.mark.parametrize(
    ("budget", "taken"), [(1, [2]), (5, [2]), (6, [2, 0]), (8, [2, 0]), (9, [2, 0, 1]), (15, [2, 0, 1])]
)
def test_records_are_taken_in_order_until_the_budget_is_reached(
    talk: Talk, budget: int, taken: list[int]
) -> None:
    assert take(pool_of(talk, 3, 7, 5), [2, 0, 1], budget) == taken


def test_a_budget_beyond_the_pool_is_refused(talk: Talk) -> None:
    with pytest.raises(UserError, match="only 15 of budget_tokens 16 could be chosen from 3 records"):
        take(pool_of(talk, 3, 7, 5), [2, 0, 1], 16)
