"""Each rule drops what it names and leaves the rest."""

from pathlib import Path

import pytest

from medtune.config import Input
from medtune.data.clean import RULES, find_fault
from medtune.data.config import PrepareConfig, Source
from medtune.data.formats import FORMATS

CONFIG = PrepareConfig(out=Path("out"), sources=(Source(path=Input("x")),), max_chars=20)
SOURCE = Source(path=Input("x"), subject="内科", split="test")
EXAM = {"question": "下列哪项正确", "A": "1", "B": "2", "answer": "A"}


def talk(*turns: tuple[str, str]) -> dict:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


CASES = [
    ("empty", "question-answer", {"question": "头痛", "answer": " \n"}),
    ("empty", "question-answer", {"question": None, "answer": "休息"}),
    ("empty", "preference", {"prompt": "头痛", "chosen": "休息", "rejected": ""}),
    ("empty", "document", {"text": "\x00"}),
    ("empty", "exam", {**EXAM, "B": " "}),
    ("placeholder answer", "question-answer", {"question": "头痛", "answer": "无"}),
    ("placeholder answer", "question-answer", {"question": "头痛", "answer": "NaN"}),
    ("placeholder answer", "preference", {"prompt": "头痛", "chosen": "休息", "rejected": "暂无"}),
    ("too short", "question-answer", {"question": "头痛", "answer": "好"}),
    ("too short", "document", {"text": "痛"}),
    ("too long", "question-answer", {"question": "头痛", "answer": "休" * 21}),
    ("too long", "exam", {**EXAM, "question": "问" * 21}),
    ("answer repeats question", "question-answer", {"question": "头痛怎么办", "answer": "头痛怎么办"}),
    ("turns out of order", "messages", talk(("user", "头痛"), ("user", "发热"), ("assistant", "休息"))),
    ("turns out of order", "messages", talk(("assistant", "您好"), ("user", "头痛"))),
    ("turns out of order", "messages", talk(("system", "你是医生"))),
    (None, "question-answer", {"question": "头痛", "answer": "休" * 20}),
    (None, "question-answer", {"question": "无事", "answer": "无需用药"}),
    (None, "exam", EXAM),
    (None, "messages", talk(("system", "长" * 50), ("user", "头痛"), ("assistant", "休息"))),
    (None, "messages", talk(("user", "头痛"), ("assistant", "休息"), ("user", "发热"))),
    (None, "preference", {"prompt": "头痛", "chosen": "休息", "rejected": "不管"}),
]


@pytest.mark.parametrize(("fault", "name", "row"), CASES)
def test_a_record_is_dropped_for_the_rule_it_breaks(fault: str | None, name: str, row: dict) -> None:
    assert find_fault(FORMATS[name].read(row, SOURCE), CONFIG) == fault


def test_every_rule_has_a_case() -> None:
    assert {fault for fault, _, _ in CASES if fault} == RULES.keys()


def test_min_chars_counts_inclusively() -> None:
    record = FORMATS["question-answer"].read({"question": "头痛吗", "answer": "休息吧"}, SOURCE)
    assert find_fault(record, CONFIG.model_copy(update={"min_chars": 3})) is None
    assert find_fault(record, CONFIG.model_copy(update={"min_chars": 4})) == "too short"
