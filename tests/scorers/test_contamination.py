"""Exam questions are found in texts in whatever dress, and other questions are left alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from medtune.scorers.contamination import Index, Probe, compare_item, is_unscannable, lay_over, make_probe
from medtune.scorers.overlap import bare

SHARED = Path(__file__).parents[3] / "shared" / "data"
ITEM = make_probe(
    "1",
    "糖尿病酮症酸中毒患者补液时，首先应使用的液体是____",
    {"A": "生理盐水", "B": "百分之五葡萄糖液", "C": "碳酸氢钠溶液", "D": "低分子右旋糖酐"},
    "A",
)
STEM = "糖尿病酮症酸中毒患者补液时，首先应使用的液体是"


def kind_in(text: str, probe: Probe = ITEM) -> str | None:
    (match,) = [*Index([probe]).find(text)] or [None]
    return match.kind if match else None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            f"{STEM}（ ）。A. 低分子右旋糖酐 B. 生理盐水 C. 碳酸氢钠溶液 D. 百分之五葡萄糖液 答案：B",
            "same item",
        ),
        ("糖尿病酮症酸中毒患者补液时首先应使用的液体是？\n生理盐水。", "same question"),
        (f"问：{STEM}什么？\n答：应当先用生理盐水扩容。", "same question"),
        ("糖尿病酮症酸中毒病人补液的时候，首先应使用的液体是什么？生理盐水。", "reworded"),
        ("糖尿病酮症酸中毒的病人，首先该用的液体是哪一种？一般是生理盐水。", "alike"),
        (f"{STEM}：A. 羟乙基淀粉 B. 白蛋白 C. 血浆", "twin"),
        ("高渗高血糖状态患者补液时，首先应使用的液体是复方氯化钠。", None),
        ("糖尿病患者要注意什么？生理盐水不是饮料。", None),
        ("", None),
    ],
)
def test_kinds(text: str, kind: str | None) -> None:
    assert kind_in(text) == kind


def test_width_case_and_punctuation_do_not_matter() -> None:
    probe = make_probe("2", "Auer小体最常见于", {"A": "AML", "B": "ALL", "C": "CML", "D": "CLL"}, "A")
    assert kind_in("AUER 小体，最常见于（　）：AML／ALL／CML／CLL", probe) == "same item"


def test_a_mere_name_is_no_question() -> None:
    probe = make_probe("3", "胃泌素瘤____", {"A": "多发性溃疡", "B": "黄疸", "C": "腹水", "D": "便血"}, "A")
    assert is_unscannable(probe)
    assert kind_in("首先应考虑胃泌素瘤的可能性", probe) is None
    assert kind_in("胃泌素瘤的特点是多发性溃疡", probe) == "same question"


def test_the_right_answer_must_stand_near_the_question() -> None:
    book = f"{STEM}哪一种。{'今日天气晴朗，宜出门散步。' * 200}生理盐水"
    assert kind_in(book) == "twin"


def test_where_a_text_lies() -> None:
    laid = lay_over("首先应使用的液体", "补液时首先要使用的液体是")
    assert (laid.share, laid.start, laid.end) == (7 / 8, 3, 11)
    assert lay_over("甲乙丙", "丁戊己").share == 0


def test_several_items_are_told_apart() -> None:
    other = make_probe("4", "糖尿病酮症酸中毒患者最常见的诱因是", {"A": "感染", "B": "饮酒"}, "A")
    found = {match.probe: match.kind for match in Index([ITEM, other]).find(f"{STEM}生理盐水")}
    assert found == {0: "same question"}


def rows_of(name: str) -> Iterator[dict[str, str]]:
    for line in (SHARED / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def exam_of(name: str, num_val: int) -> list[Probe]:
    rows = list(rows_of(f"ceval_medical/{name}.jsonl"))[num_val:]
    return [
        make_probe(f"{name} {row['id']}", row["question"], {key: row[key] for key in "ABCD"}, row["answer"])
        for row in rows
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="wants ../shared/data")
def test_leaks_of_real_data_are_found() -> None:
    probes = [*exam_of("physician", 49), *exam_of("clinical_medicine", 22), *exam_of("basic_medicine", 19)]
    index = Index(probes)
    found: dict[str, str] = {}
    for row in rows_of("medalpaca_mcq_999.jsonl"):
        for match in index.find(f"{row['instruction']}\n{row['output']}"):
            found[probes[match.probe].id] = match.kind
    same = {name for name, kind in found.items() if kind.startswith("same")}
    assert same == {"physician 87", "physician 125", "physician 231"}
    assert found["physician 84"] == found["physician 112"] == "reworded"
    assert "clinical_medicine 115" not in found
    assert len(found) <= 12
    knowledge = [f"{row}" for row in list(rows_of("huatuo_knowledge_8k.jsonl"))[:3000]]
    assert sum(match.kind != "twin" for text in knowledge for match in index.find(text)) <= 2


def test_comparison_is_of_bare_texts() -> None:
    match = compare_item(ITEM, bare(f"{STEM}生理盐水"))
    assert match is not None and match.share == 1 and match.options_found == 1
