"""Each format is told by its keys and read into the right record; rows that do not fit stop with a reason."""

from pathlib import Path

import orjson
import pytest

from medtune.config import Input
from medtune.data.config import Source
from medtune.data.formats import FORMATS, find_format, group_of, split_sizes
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Preference, Question

SOURCE = Source(path=Input("set.jsonl"), license="CC0-1.0", subject="内科", split="test")

FIXTURES: dict[str, list[dict]] = {
    "preference": [
        {"conversations": [{"from": "human", "value": "头痛"}], "chosen": "休息", "rejected": "不管"},
        {"conversations": [{"from": "human", "value": "发热"}], "chosen": "就医", "rejected": "忍着"},
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
    "exam": [
        {"question": "下列哪项", "A": "甲", "B": "乙", "C": "", "answer": "b"},
        {"question": "诊断是", "A": "甲", "B": "乙", "C": "丙", "answer": "CA", "subject": "外科",
         "split": "val", "case": "男，三十岁"},
    ],
    "alpaca": [
        {"instruction": "头痛", "input": "", "output": "休息"},
        {"instruction": "回答患者", "input": "发热", "output": "就医", "history": [["在吗", "您好"]]},
    ],
    "consultation": [
        {"department": "内科", "title": "反复头痛怎么办", "ask": "如题", "answer": "休息"},
        {"department": "内科", "title": "发热", "ask": "发热三天了，要去医院吗", "answer": "就医"},
    ],
    "question-answer": [
        {"question": "头痛", "answer": "休息"},
        {"question": "发热", "answer": "就医", "think": "先量体温"},
    ],
    "text-answer": [{"text": "头痛", "answer": "休息"}, {"text": "发热", "answer": "就医"}],
    "document": [{"text": "头痛是常见症状。"}, {"text": "发热是常见症状。"}],
}  # fmt: skip


def read(name: str, row: dict, source: Source = SOURCE) -> Dialogue | Document | Preference | Question:
    return FORMATS[name].read(row, source)


def turns(row: dict, name: str) -> list[tuple[str, str]]:
    record = read(name, row)
    assert isinstance(record, Dialogue)
    return [(turn.role, turn.content) for turn in record.messages]


def test_every_format_has_a_fixture_of_two_rows() -> None:
    assert FIXTURES.keys() == FORMATS.keys()
    assert {len(rows) for rows in FIXTURES.values()} == {2}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_by_its_keys_and_reads_its_rows(name: str) -> None:
    kinds = {"preference": Preference, "exam": Question, "document": Document}
    for row in FIXTURES[name]:
        given = orjson.dumps(row)
        told, reader = find_format(row, "auto", "set.jsonl:1")
        record = reader(row, SOURCE)
        assert told == name
        assert type(record) is kinds.get(name, Dialogue)
        assert (record.meta.source, record.meta.license) == ("set.jsonl", "CC0-1.0")
        assert orjson.dumps(row) == given, "a row must not be changed by reading it"
    one, other = (read(name, row) for row in FIXTURES[name])
    assert one.id != other.id
    assert one.id == read(name, FIXTURES[name][0]).id


@pytest.mark.parametrize(("name", "row"), [(name, row) for name in FORMATS for row in FIXTURES[name]])
def test_every_turn_of_the_fixtures_arrives(name: str, row: dict) -> None:
    record = read(name, row)
    said = orjson.dumps(record.model_dump(exclude={"id", "meta"})).decode()
    for text in ("头痛", "休息") if row is FIXTURES[name][0] else ("发热", "就医"):
        if text in orjson.dumps(row).decode():
            assert text in said


def test_an_alpaca_instruction_is_the_question_or_with_an_input_the_systems() -> None:
    plain, full = FIXTURES["alpaca"]
    assert turns(plain, "alpaca") == [("user", "头痛"), ("assistant", "休息")]
    assert turns(full, "alpaca") == [
        ("system", "回答患者"),
        ("user", "在吗"),
        ("assistant", "您好"),
        ("user", "发热"),
        ("assistant", "就医"),
    ]


def test_an_alpaca_instruction_survives_beside_a_system_text() -> None:
    row = {"system": "你是医生", "instruction": "总结病历", "input": "发热三天", "output": "发热待查"}
    assert turns(row, "alpaca")[:2] == [("system", "你是医生\n总结病历"), ("user", "发热三天")]


def test_a_sharegpt_system_beside_the_turns_opens_the_talk() -> None:
    row = {"system": "你是医生", **FIXTURES["sharegpt"][0]}
    assert turns(row, "sharegpt") == [("system", "你是医生"), ("user", "头痛"), ("assistant", "休息")]


def test_a_consultation_title_speaks_only_for_a_vague_ask() -> None:
    vague, clear = FIXTURES["consultation"]
    assert turns(vague, "consultation")[0] == ("user", "反复头痛怎么办")
    assert turns(clear, "consultation")[0] == ("user", "发热三天了，要去医院吗")
    assert read("consultation", vague).meta.specialty == "内科"


def test_thinking_goes_before_the_answer_in_a_think_block() -> None:
    assert turns(FIXTURES["question-answer"][1], "question-answer")[1] == (
        "assistant",
        "<think>先量体温</think>\n就医",
    )


def test_an_exam_row_gives_letters_case_subject_and_split() -> None:
    one, other = (read("exam", row) for row in FIXTURES["exam"])
    assert isinstance(one, Question)
    assert isinstance(other, Question)
    assert (one.options, one.answer, one.subject, one.split) == ({"A": "甲", "B": "乙"}, "B", "内科", "test")
    assert (other.answer, other.subject, other.split, other.case) == ("AC", "外科", "val", "男，三十岁")


def test_an_exam_items_identity_does_not_change_with_its_key() -> None:
    row = FIXTURES["exam"][0]
    assert read("exam", row).id == read("exam", {**row, "answer": "A"}).id
    assert read("exam", row).id != read("exam", {**row, "B": "丁"}).id


def test_metadata_under_public_names_is_kept() -> None:
    meta = {
        "source": "教材",
        "risk_level": "high",
        "specialty": "心内科",
        "complexity": 2,
        "lang_style": "colloquial",
    }
    found = read("alpaca", {**FIXTURES["alpaca"][0], "meta": meta}).meta
    assert (found.source, found.risk, found.specialty, found.complexity, found.style) == (
        "教材",
        "high",
        "心内科",
        2,
        "colloquial",
    )
    assert not found.deidentified


EXAM, QA = FIXTURES["exam"][0], FIXTURES["question-answer"][0]
ALPACA, TALK = FIXTURES["alpaca"][0], FIXTURES["sharegpt"][0]


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
        ("alpaca", {**ALPACA, "history": [["在吗"]]}, "no list of .question, answer. pairs"),
        ("alpaca", {**ALPACA, "history": [["在吗", None]]}, "no list of .question, answer. pairs"),
        ("sharegpt", {"id": 1}, "holds no turns"),
        ("sharegpt", {"conversations": []}, "holds no turns"),
        ("sharegpt", {"conversations": "头痛"}, "holds no turns"),
        ("sharegpt", {"conversations": ["头痛"]}, "a turn that is a str"),
        ("sharegpt", {"conversations": [{"from": "tool", "value": "x"}]}, "a turn of role 'tool'"),
        ("sharegpt", {"conversations": [{"from": "human"}]}, "has no 'value'"),
        ("messages", {"messages": None}, "holds no turns"),
        ("exam", {**EXAM, "answer": ""}, "has an empty 'answer'"),
        ("exam", {**EXAM, "answer": "C"}, "answer 'C' is not among the options AB"),
        ("exam", {**EXAM, "answer": "A,B"}, "is not among the options"),
        ("exam", {**EXAM, "split": "train"}, "names no split"),
        ("exam", {**EXAM, "A": ["甲"]}, "'A' is a list"),
        ("preference", {"prompt": "头痛", "chosen": None, "rejected": ["x"]}, "'rejected' is a list"),
    ],
)
def test_a_row_that_does_not_fit_is_a_fault(name: str, row: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read(name, row)


def test_an_exam_source_must_say_subject_and_split() -> None:
    with pytest.raises(ValueError, match="names no split"):
        read("exam", EXAM, Source(path=Input("x"), subject="内科"))
    with pytest.raises(ValueError, match="names no subject"):
        read("exam", EXAM, Source(path=Input("x"), split="test"))


def test_numbers_are_text_and_null_is_empty() -> None:
    assert turns({"question": 5, "answer": None}, "question-answer") == [("user", "5"), ("assistant", "")]


def test_a_row_that_fits_no_format_names_its_place_and_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"set\.jsonl:3: keys question, A, B fit no format .*answer missing"):
        find_format({"question": "x", "A": "甲", "B": "乙"}, "auto", "set.jsonl:3")
    with pytest.raises(UserError, match="format alpacca: unknown; known: auto, preference"):
        find_format({}, "alpacca", "set.jsonl:1")


def test_a_format_can_be_a_function_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hospital_notes.py").write_text(
        "from medtune.data.formats import talk, text_of\n"
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


def test_split_numbers_give_each_row_its_split_in_file_order() -> None:
    source = Source(path=Input("x"), split={"val": 2, "test": 3})
    assert split_sizes(source, 5) == ["val", "val", "test", "test", "test"]
    assert split_sizes(SOURCE, 5) is None
    for num_rows in (4, 6):
        with pytest.raises(UserError, match=f"{num_rows} rows where .* val 2 \\+ test 3 = 5"):
            split_sizes(source, num_rows)


def test_split_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Source(path=Input("x"), split={"val": -1, "test": 3})


def test_records_that_ask_the_same_form_a_group() -> None:
    one = read("question-answer", {"question": "头痛 怎么办？", "answer": "休息"})
    other = read("alpaca", {"instruction": "请回答", "input": "头痛怎么办", "output": "就医"})
    prefer = read("preference", {"prompt": "头痛怎么办!", "chosen": "就医", "rejected": "忍"})
    assert group_of(one) == group_of(other) == group_of(prefer)
    first, second = (read("exam", {**EXAM, "question": stem, "case": "男，五十岁"}) for stem in ("甲", "乙"))
    assert first.id != second.id
    assert group_of(first) == group_of(second)
