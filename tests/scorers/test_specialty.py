"""Departments from evidence: weights, the patient's age and state, the answer as second witness."""

import pytest

from medtune.lexicon import read_table
from medtune.scorers.specialty import find_specialty, find_terms
from medtune.scorers.words import Finder


@pytest.mark.parametrize(
    ("question", "department"),
    [
        ("血压总是降不下来，要不要换氨氯地平", "心血管内科"),
        ("夜里一躺下就反酸，胃镜说有点糜烂", "消化内科"),
        ("咳嗽有黄痰，拍片说是支气管炎", "呼吸内科"),
        ("糖化血红蛋白8.2，二甲双胍要加量吗", "内分泌科"),
        ("右手写字发抖，走路迈不开步，是帕金森吗", "神经内科"),
        ("两对半查出来是小三阳", "感染科"),
        ("智齿发炎，半边脸都肿了", "口腔科"),
        ("早上起来手指僵硬，类风湿因子高", "风湿免疫科"),
        ("打球把半月板伤了", "骨科"),
        ("孕28周糖耐没过", "产科"),
        ("得了乳腺癌，化疗几次合适", "肿瘤科"),
        ("误喝了一口农药", "急诊科"),
        ("舌苔厚腻，湿气重，喝四君子汤行吗", "中医科"),
        ("HIV 抗体什么时候查才准", "感染科"),
    ],
)
def test_department_of_a_plain_question(question: str, department: str) -> None:
    found = find_specialty(question)
    assert found.label == department
    assert found.evidence and all(word.lower() in question.lower() for word in found.evidence)


def test_without_evidence_there_is_no_department() -> None:
    assert find_specialty("请问这份报告什么时候能取") == (None, ())
    assert find_specialty("").label is None


def test_evenly_matched_departments_are_left_open() -> None:
    assert find_specialty("请帮我写一首关于春天的诗").label is None


@pytest.mark.parametrize(
    ("question", "department"),
    [
        ("宝宝八个月，拉肚子三天了", "儿科"),
        ("3岁，发烧咳嗽", "儿科"),
        ("孩子5岁，近视加散光", "眼科"),
        ("小孩手臂骨折打了石膏", "骨科"),
        ("三十岁，发烧咳嗽有痰", "呼吸内科"),
        ("腹泻3个月了", "消化内科"),
        ("怀孕3个月感冒咳嗽", "产科"),
        ("孕妇智齿疼", "口腔科"),
    ],
)
def test_patient_decides_unless_an_organ_does(question: str, department: str) -> None:
    assert find_specialty(question).label == department


def test_answer_is_heard_only_when_the_question_does_not_tell() -> None:
    assert find_specialty("这个结果正常吗", "甲功里促甲状腺激素偏高，考虑甲减").label == "内分泌科"
    assert find_specialty("糖尿病能吃柚子吗", "注意心脏，做心电图、心脏彩超，排除冠心病").label == "内分泌科"


def test_longest_word_counts_and_latin_words_stand_alone() -> None:
    finder = Finder({"糖尿病": 1, "糖尿病足": 2, "CEA": 3})
    assert [meaning for *_, meaning in finder.find("糖尿病足，cea 升高")] == [2, 3]
    assert finder.find("ocean") == []
    assert finder.find("\ud800糖尿病")[0][2] == 1


def test_every_department_has_code_source_and_words() -> None:
    table = read_table("specialties")
    assert len(table["departments"]) >= 28
    for name, about in table["departments"].items():
        assert about["code"] and about["source"], name
        assert set(about) - {"code", "source"} <= set(table["weights"]), name
        assert any(about.get(kind) for kind in table["weights"]), name
    for who in ("child", "pregnant"):
        assert {table[who]["department"], *table[who]["keeps"]} <= set(table["departments"])


def test_words_that_only_hide_others_weigh_nothing() -> None:
    assert find_specialty("急性病容，恶性循环").label is None
    assert all(
        entry.endswith("=0") for entry in read_table("specialties")["departments"]["综合"]["hint"].split()
    )


def test_every_word_of_the_lexicon_is_found() -> None:
    for about in read_table("specialties")["departments"].values():
        for kind in read_table("specialties")["weights"]:
            for entry in about.get(kind, "").split():
                word = entry.partition("=")[0]
                assert any(meaning.text == word for *_, meaning in find_terms(word)), word
