"""Each format is told by its keys and read into the right record; rows that do not fit stop with a reason."""

from pathlib import Path

import orjson
import pytest

from medtune.config import Input
from medtune.data.config import Source
from medtune.data.formats import FORMATS, find_format, join_title, tell_format
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Document, Message, Meta, Preference, Question, dialogue_id

SOURCE = Source(path=Input("set.jsonl"), license="CC0-1.0", subject="内科", split="test")
TALK = (Message(role="user", content="头痛"), Message(role="assistant", content="休息"))
OTHER = (Message(role="user", content="发热"), Message(role="assistant", content="就医"))
OWN = Meta(source="旧", risk="high", deidentified=True)
OPTIONS = "下列哪项，头痛者先做？ 选项: A. 休息 B. 手术 C. 输血"
FEVER = "发热三天的孩子，应当先做什么？\nA、就医\nB、手术\nC、输血\nD、不管"

FIXTURES: dict[str, list[dict]] = {
    "medtune": [
        Dialogue(id=dialogue_id(turns), messages=turns, meta=OWN).model_dump()
        for turns in (TALK, OTHER)
    ],
    "preference": [
        {"conversations": [{"from": "human", "value": "头痛"}], "chosen": "休息", "rejected": "不管"},
        {"question": "发热", "system": "你是医生", "history": [], "response_chosen": "就医",
         "response_rejected": "忍着"},
    ],
    "preference-list": [
        {"instruction": "头痛", "input": "", "output": ["休息", "不管"]},
        {"instruction": "回答", "input": "发热", "output": ["就医", "忍着"]},
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "头痛"}, {"from": "gpt", "value": "休息"}]},
        {"conversations": [{"from": "system", "value": "你是医生"}, {"from": "user", "value": "发热"},
                           {"from": "assistant", "value": "就医"}]},
    ],
    "messages": [
        {"messages": [{"role": "user", "content": "头痛"}, {"role": "assistant", "content": "休息"}]},
        {"messages": [{"role": "system", "content": "你是医生"}, {"role": "user", "content": "发热"},
                      {"role": "assistant", "content": "就医"}]},
    ],
    "meddialog": [
        {"utterances": ["病人：头痛", "医生：休息"]},
        {"description": "疾病", "utterances": ["病人：发热", "三天", "医生：就医", "病人：谢谢"]},
    ],
    "exam": [
        {"question": "头痛者先", "A": "休息", "B": "乙", "C": "", "answer": "a"},
        {"": "1", "Question": "发热者先", "A": "甲", "B": "乙", "C": "就医", "Answer": "C"},
    ],
    "cmb-exam": [
        {"exam_type": "医师考试", "exam_class": "执业医师", "exam_subject": "神经内科",
         "question": "头痛者先", "answer": "A", "question_type": "单项选择题",
         "option": {"A": "休息", "B": "乙", "C": "丙", "F": ""}},
        {"exam_subject": "儿科", "question": "发热者可", "answer": "ACF", "question_type": "多项选择题",
         "option": {"A": "就医", "B": "乙", "C": "丙", "D": "丁", "E": "戊", "F": "己"}},
    ],
    "medqa-exam": [
        {"question": "头痛者先", "options": {"A": "休息", "B": "乙"}, "answer": "休息", "answer_idx": "A"},
        {"question": "发热者先", "options": [{"key": "A", "value": "甲"}, {"key": "B", "value": "就医"}],
         "answer": "就医"},
    ],
    "cmexam": [
        {"Question": "头痛者先", "Options": "A 休息\nB 手术\nC 输血", "Answer": "A", "Explanation": "无"},
        {"Question": "发热者可", "Options": "A．就医\nB．手术\nC．喝水", "Answer": "AC", "Explanation": "无"},
    ],
    "inline-exam": [
        {"instruction": OPTIONS, "input": "", "output": "休息"},
        {"instruction": "请回答下面的选择题", "input": FEVER, "output": "A"},
    ],
    "alpaca": [
        {"instruction": "头痛", "input": "", "output": "休息"},
        {"instruction": "回答患者", "input": "发热", "output": "就医", "history": [["在吗", "您好"]]},
    ],
    "consultation": [
        {"department": "内科", "title": "反复头痛怎么办", "ask": "如题", "answer": "休息"},
        {"department": "内科", "title": "发热", "question": "发热三天了，要去医院吗", "answer": "就医"},
    ],
    "question-think-answer": [
        {"question": "头痛", "think": "先想", "answer": "休息"},
        {"Question": "发热", "Complex_CoT": "先量体温", "Response": "就医"},
    ],
    "question-answer": [
        {"question": "头痛", "answer": "休息"},
        {"问": "发热", "答": "就医"},
    ],
    "text-answer": [{"text": "头痛", "answer": "休息"}, {"text": "发热", "answer": "就医"}],
    "context-target": [
        {"context": "Instruction: 头痛\nAnswer: ", "target": "休息"},
        {"context": "发热", "target": "就医"},
    ],
    "prompt-completion": [
        {"prompt": "头痛", "completion": "休息"},
        {"prompt": "发热", "response": "就医"},
    ],
    "query-response": [{"query": "头痛", "response": "休息"}, {"query": "发热", "response": "就医"}],
    "question-response": [{"question": "头痛", "response": "休息"}, {"problem": "发热", "answer": "就医"}],
    "open-question": [{"question": "头痛", "reference": "休息"}, {"question": "发热", "reference": "就医"}],
    "document": [{"text": "头痛是常见症状。"}, {"title": "发热", "content": "发热是常见症状。"}],
}  # fmt: skip

KINDS = {"preference": Preference, "preference-list": Preference, "document": Document}


def read(
    row: dict, name: str = "auto", source: Source = SOURCE
) -> Dialogue | Document | Preference | Question:
    return find_format(row, name, "set.jsonl:1")[1](row, source)


def turns(row: dict, name: str = "auto", source: Source = SOURCE) -> list[tuple[str, str]]:
    record = read(row, name, source)
    assert isinstance(record, Dialogue)
    return [(turn.role, turn.content) for turn in record.messages]


def test_every_format_has_a_fixture_of_two_rows() -> None:
    assert list(FIXTURES) == list(FORMATS)
    assert {len(rows) for rows in FIXTURES.values()} == {2}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_by_its_keys_and_reads_its_rows(name: str) -> None:
    kind = KINDS.get(name, Question if "exam" in name else Dialogue)
    for row in FIXTURES[name]:
        given = orjson.dumps(row)
        told, reader = find_format(row, "auto", "set.jsonl:1")
        record = reader(row, SOURCE)
        assert (told, tell_format(row)) == (name, name)
        assert type(record) is kind
        if name != "medtune":
            assert (record.meta.source, record.meta.license) == ("set.jsonl", "CC0-1.0")
        assert orjson.dumps(row) == given, "a row must not be changed by reading it"
        assert RECORD.validate_python(record.model_dump()) == record
    one, other = (read(row) for row in FIXTURES[name])
    assert one.id != other.id
    assert one.id == read(FIXTURES[name][0]).id == read(FIXTURES[name][0], name).id


@pytest.mark.parametrize(("name", "row"), [(name, row) for name in FORMATS for row in FIXTURES[name]])
def test_every_text_of_the_fixtures_arrives(name: str, row: dict) -> None:
    said = orjson.dumps(read(row, name).model_dump(exclude={"id", "meta"})).decode()
    for text in ("头痛", "休息") if row is FIXTURES[name][0] else ("发热", "就医"):
        if text in orjson.dumps(row).decode():
            assert text in said


@pytest.mark.parametrize("name", FORMATS)
def test_question_and_answer_do_not_change_places(name: str) -> None:
    record = read(FIXTURES[name][1], name)
    if isinstance(record, Dialogue):
        asked = [turn.content for turn in record.messages if turn.role == "user"][-1]
        answer = record.reference or record.messages[-1].content
        assert asked.startswith("发热") and answer.endswith("就医")
    elif isinstance(record, Preference):
        assert (record.prompt[-1].role, record.chosen, record.rejected) == ("user", "就医", "忍着")
    elif isinstance(record, Question):
        assert "就医" in [record.options[letter] for letter in record.answer]


def test_an_alpaca_instruction_is_the_question_or_with_an_input_the_systems() -> None:
    plain, full = FIXTURES["alpaca"]
    assert turns(plain) == [("user", "头痛"), ("assistant", "休息")]
    assert turns(full) == [
        ("system", "回答患者"), ("user", "在吗"), ("assistant", "您好"), ("user", "发热"),
        ("assistant", "就医"),
    ]  # fmt: skip
    row = {"system": "你是医生", "instruction": "总结病历", "input": "发热三天", "output": "发热待查"}
    assert turns(row)[:2] == [("system", "你是医生\n总结病历"), ("user", "发热三天")]


def test_a_sharegpt_system_beside_the_turns_opens_the_talk() -> None:
    row = {"system": "你是医生", **FIXTURES["sharegpt"][0]}
    assert turns(row) == [("system", "你是医生"), ("user", "头痛"), ("assistant", "休息")]


def test_tools_and_their_calls_are_kept_in_sharegpt() -> None:
    row = {
        "tools": [{"name": "dose", "parameters": {}}],
        "conversations": [
            {"from": "human", "value": "算剂量"},
            {"from": "function_call", "value": '{"name": "dose", "arguments": {"kg": 20}}'},
            {"from": "observation", "value": "5ml"},
            {"from": "gpt", "value": "每次五毫升"},
        ],
    }
    record = read(row)
    assert isinstance(record, Dialogue)
    assert [turn.role for turn in record.messages] == ["user", "tool_call", "tool", "assistant"]
    assert orjson.loads(record.tools or "") == row["tools"]


def test_tools_and_their_calls_are_kept_in_messages() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "dose", "arguments": '{"kg": 20}'}}
    row = {
        "tools": '[{"name": "dose"}]',
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "算剂量"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": {"ml": 5}, "tool_call_id": "1"},
            {"role": "assistant", "content": "再算", "tool_calls": [call, call]},
            {"role": "assistant", "content": "每次五毫升"},
        ],
    }
    written = {"name": "dose", "arguments": {"kg": 20}}
    said = turns(row)
    assert [role for role, _ in said] == ["user", "tool_call", "tool", "assistant", "tool_call", "assistant"]
    assert (said[0][1], orjson.loads(said[1][1]), said[2][1]) == ("算剂量", written, '{"ml":5}')
    assert orjson.loads(said[4][1]) == [written, written]


def test_what_ms_swift_calls_a_tools_response_is_the_tools() -> None:
    row = {"messages": [{"role": "user", "content": "算"}, {"role": "tool_response", "content": "5ml"}, GOOD]}
    assert [role for role, _ in turns(row)] == ["user", "tool", "assistant"]


def test_roles_and_keys_of_ones_own_are_translated() -> None:
    source = Source(path=Input("x"), tags={"user": "甲", "assistant": "乙", "role": "谁", "content": "话"})
    row = {"conversations": [{"谁": "甲", "话": "头痛"}, {"谁": "乙", "话": "休息"}]}
    assert turns(row, source=source) == [("user", "头痛"), ("assistant", "休息")]


def test_in_a_consultation_the_patient_asks_and_the_doctor_answers() -> None:
    assert turns(FIXTURES["meddialog"][1]) == [("user", "发热\n三天"), ("assistant", "就医")]
    talk = ["病人：头痛", "医生：多久了？", "病人：三天", "医生：休息"]
    assert [role for role, _ in turns({"dialogue": talk})] == ["user", "assistant"] * 2


@pytest.mark.parametrize(
    ("title", "ask", "question"),
    [
        ("反复头痛怎么办", "如题", "反复头痛怎么办"),
        ("反复头痛怎么办", "", "反复头痛怎么办"),
        ("反复头痛怎么办", "头痛怎么办", "反复头痛怎么办"),
        ("", "头痛怎么办", "头痛怎么办"),
        ("发热", "发热三天了，要去医院吗", "发热三天了，要去医院吗"),
        ("高血压能吃党参吗？", "我有高血压，请问能吃党参吗？", "我有高血压，请问能吃党参吗？"),
        ("反复头痛怎么办", "三天了", "反复头痛怎么办\n三天了"),
        (
            "胃炎能喝咖啡吗",
            "最近工作很忙，总是不舒服，想问问可以吗",
            "胃炎能喝咖啡吗\n最近工作很忙，总是不舒服，想问问可以吗",
        ),
    ],
)
def test_a_title_joins_the_ask_when_it_says_what_the_ask_does_not(
    title: str, ask: str, question: str
) -> None:
    assert join_title(title, ask) == question
    row = {"department": "心内科", "title": title, "ask": ask, "answer": "休息"}
    assert turns(row)[0] == ("user", question)
    assert read(row).meta.specialty == "心内科"


def test_thinking_goes_before_the_answer_in_a_think_block_once() -> None:
    assert turns(FIXTURES["question-think-answer"][1])[1] == ("assistant", "<think>先量体温</think>\n就医")
    row = {"problem": "发热", "reasoning": "想", "response": "<think>想</think>\n就医"}
    assert turns(row)[1] == ("assistant", "<think>想</think>\n就医")
    assert turns({"question": "发热", "think": "", "answer": "就医"})[1] == ("assistant", "就医")


def test_the_words_around_a_converted_question_are_left_out() -> None:
    row = {"context": "Instruction: 回答患者\nInput: 发热\nAnswer: ", "target": "就医"}
    for context in (row["context"], row["context"].strip()):
        assert turns({**row, "context": context}) == [
            ("system", "回答患者"),
            ("user", "发热"),
            ("assistant", "就医"),
        ]


PROMPT = [{"role": "user", "content": "头痛"}]
GOOD, POOR = {"role": "assistant", "content": "休息"}, {"role": "assistant", "content": "不管"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "头痛", "chosen": "休息", "rejected": "不管"},
        {"prompt": PROMPT, "chosen": [GOOD], "rejected": [POOR]},
        {"chosen": [*PROMPT, GOOD], "rejected": [*PROMPT, POOR]},
        {"prompt": "头痛", "chosen": [*PROMPT, GOOD], "rejected": [*PROMPT, POOR]},
        {"messages": PROMPT, "chosen": GOOD, "rejected": POOR},
        {"messages": [*PROMPT, GOOD], "rejected_response": "不管"},
        {"conversations": [{"from": "human", "value": "头痛"}], "chosen": {"from": "gpt", "value": "休息"},
         "rejected": {"from": "gpt", "value": "不管"}},
        {"system": "", "history": [], "question": "头痛", "response_chosen": "休息",
         "response_rejected": "不管"},
        {"instruction": "头痛", "input": "", "chosen": "休息", "rejected": "不管"},
        {"instruction": "头痛", "output": ["休息", "不管"]},
        {"question": "头痛", "answer": ["休息", "不管"]},
    ],
)  # fmt: skip
def test_every_way_to_write_a_preference_gives_the_same_record(row: dict) -> None:
    record = read(row)
    assert isinstance(record, Preference)
    assert [(turn.role, turn.content) for turn in record.prompt] == [("user", "头痛")]
    assert (record.chosen, record.rejected) == ("休息", "不管")
    assert record.id == read({"prompt": "头痛", "chosen": "休息", "rejected": "不管"}).id


def test_a_preference_keeps_system_and_history() -> None:
    row = {
        "system": "你是医生",
        "history": [["在吗", "您好"]],
        "question": "头痛",
        "chosen": "休",
        "rejected": "不",
    }
    record = read(row)
    assert isinstance(record, Preference)
    assert [turn.content for turn in record.prompt] == ["你是医生", "在吗", "您好", "头痛"]


def test_metadata_under_public_names_is_kept_and_a_claim_is_not() -> None:
    meta = {
        "source": "教材", "risk_level": "high", "specialty": "cardiology", "complexity": 2,
        "lang_style": "colloquial", "is_deidentified": True,
    }  # fmt: skip
    found = read({**FIXTURES["alpaca"][0], "meta": meta}).meta
    assert (found.source, found.risk, found.specialty) == ("教材", "high", "cardiology")
    assert (found.complexity, found.style, found.deidentified) == (2, "colloquial", False)
    found = read({**FIXTURES["alpaca"][0], "meta": {"specialty": "unknown", "risk_level": "?"}}).meta
    assert (found.specialty, found.risk, found.source) == (None, None, "set.jsonl")


def test_a_record_of_medtunes_own_is_read_back_unchanged() -> None:
    for row in FIXTURES["medtune"]:
        assert read(row).model_dump() == row
    with pytest.raises(ValueError, match="is no whole record: messages: Field required"):
        read({"kind": "dialogue", "id": "x"})
    assert tell_format({"kind": "other", "id": 1, "question": "头痛", "answer": "休息"}) == "question-answer"


def test_a_hub_source_is_named_in_full() -> None:
    source = Source(path=Input("hf:owner/set@main"))
    assert read(FIXTURES["question-answer"][0], source=source).meta.source == "hf:owner/set@main"


EXAM, QA = FIXTURES["exam"][0], FIXTURES["question-answer"][0]
ALPACA, SHAREGPT = FIXTURES["alpaca"][0], FIXTURES["sharegpt"][0]


@pytest.mark.parametrize(
    ("name", "row", "complaint"),
    [
        ("question-answer", {"question": "头痛"}, r"has no 'answer' \(keys: question\)"),
        ("question-answer", {**QA, "answer": ["休息"]}, "'answer' is a list; text is wanted"),
        ("question-answer", {**QA, "answer": {"text": "休息"}}, "'answer' is a dict"),
        ("question-answer", {**QA, "answer": True}, "'answer' is a bool"),
        ("question-answer", {**QA, "think": ["想"]}, "'think' is a list"),
        ("alpaca", {**ALPACA, "input": ["发热"]}, "'input' is a list"),
        ("alpaca", {**ALPACA, "history": ["在吗"]}, "no list of .question, answer. pairs"),
        ("alpaca", {**ALPACA, "history": "在吗"}, "no list of .question, answer. pairs"),
        ("alpaca", {**ALPACA, "history": [["在吗"]]}, "no list of .question, answer. pairs"),
        ("alpaca", {**ALPACA, "history": [["在吗", None]]}, "no list of .question, answer. pairs"),
        ("sharegpt", {"id": 1}, "holds no turns"),
        ("sharegpt", {"conversations": []}, "holds no turns"),
        ("sharegpt", {"conversations": "头痛"}, "holds no turns"),
        ("sharegpt", {"conversations": ["头痛"]}, "a turn that is a str"),
        ("sharegpt", {"conversations": [{"from": "nurse", "value": "x"}]}, "a turn of role 'nurse'"),
        ("sharegpt", {"conversations": [{"from": "human"}]}, "has no 'value'"),
        ("messages", {"messages": None}, "holds no turns"),
        ("messages", {"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "a tool without a name"),
        ("messages", {"messages": [{"role": "assistant", "function_call": {"name": "x", "arguments": "{"}}]},
         "arguments are no JSON"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
         "'content' is a list"),
        ("meddialog", {"utterances": ["头痛", "医生：休息"]}, "says not who speaks"),
        ("meddialog", {"utterances": ["病人：头痛"]}, "no talk of a patient and a doctor"),
        ("meddialog", {"utterances": ["医生：您好"]}, "no talk of a patient and a doctor"),
        ("meddialog", {"utterances": "病人：头痛"}, "no list of texts"),
        ("preference", {"prompt": "头痛", "chosen": None, "rejected": ["x", "y"]}, "'rejected' is a list"),
        ("preference", {"chosen": "休息", "rejected": "不管"}, "has no prompt"),
        ("preference", {"chosen": [*PROMPT, GOOD], "rejected": [POOR]}, "with different beginnings"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_a_fault(name: str, row: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read(row, name)


def test_numbers_are_text_and_null_is_empty() -> None:
    row = {"question": 5, "answer": None, "think": float("nan")}
    assert turns(row, "question-answer") == [("user", "5"), ("assistant", "")]


def test_a_row_that_fits_no_format_names_its_place_and_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"set\.jsonl:3: keys question, A, B fit no format .*answer missing"):
        find_format({"question": "x", "A": "甲", "B": "乙"}, "auto", "set.jsonl:3")
    with pytest.raises(UserError, match="format alpacca: unknown; known: auto, medtune, preference"):
        find_format({}, "alpacca", "set.jsonl:1")


def test_a_format_can_be_a_function_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hospital_notes.py").write_text(
        "from medtune.data.fields import talk, text_of\n"
        "def read(row, source):\n"
        "    return talk(text_of(row, '问'), text_of(row, '答'), row, source)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    name, reader = find_format({}, "hospital_notes:read", "x:1")
    record = reader({"问": "头痛", "答": "休息"}, SOURCE)
    assert name == "hospital_notes:read"
    assert isinstance(record, Dialogue)
    assert record.messages[1].content == "休息"
    for wrong in ("hospital_notes:write", "hospital_nots:read", ":read"):
        with pytest.raises(UserError, match=f"format {wrong}: no such function can be imported"):
            find_format({}, wrong, "x:1")


# ---- weights ----


def weighted(key: str, weight: object) -> dict[str, object]:
    return {
        "messages": [
            {"role": "user", "content": "头痛"},
            {"role": "assistant", "content": "嗯", key: weight},
            {"role": "user", "content": "发热"},
            {"role": "assistant", "content": "就医"},
        ]
    }


@pytest.mark.parametrize(
    ("key", "weight", "read"),
    [("weight", 0, 0), ("weight", 0.5, 0.5), ("loss", False, 0), ("weight", 1, None), ("loss", None, None)],
)
def test_a_weight_of_a_turn_is_kept(key: str, weight: object, read: float | None) -> None:
    record = FORMATS["messages"].read(weighted(key, weight), SOURCE)
    assert isinstance(record, Dialogue)
    assert record.weights == (None if read is None else (1, read, 1, 1))
    assert record.id == dialogue_id(record.messages)


def test_weights_stand_with_their_messages_behind_a_system_prompt_and_calls_of_tools() -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    row = {
        "system": "你是医生",
        "conversations": [
            {"from": "human", "value": "头痛", "loss": False},
            {"from": "gpt", "value": "查一下", "tool_calls": [call], "loss": 0.5},
            {"from": "observation", "value": "正常"},
            {"from": "gpt", "value": "休息"},
        ],
    }
    record = FORMATS["sharegpt"].read(row, SOURCE)
    assert isinstance(record, Dialogue)
    roles = [turn.role for turn in record.messages]
    assert roles == ["system", "user", "assistant", "tool_call", "tool", "assistant"]
    assert record.weights == (1, 1, 0.5, 0.5, 1, 1)


@pytest.mark.parametrize("weight", ["0.5", -1, float("nan"), [1]])
def test_a_weight_that_is_none_is_a_fault_of_the_row(weight: object) -> None:
    with pytest.raises(ValueError, match="a number from 0 on, true or false is wanted"):
        FORMATS["messages"].read(weighted("weight", weight), SOURCE)


def test_only_answers_are_weighed() -> None:
    row = {"messages": [{"role": "user", "content": "头痛", "weight": 2}]}
    with pytest.raises(ValueError, match="only answers are weighed"):
        FORMATS["messages"].read(row, SOURCE)
