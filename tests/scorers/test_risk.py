"""Levels of danger: red flags, denial, history, knowledge questions, drugs that endanger."""

import re
from pathlib import Path

import orjson
import pytest

from medtune.lexicon import read_table
from medtune.scorers.risk import LEVELS, find_risk

LABELLED = Path(__file__).parents[1] / "data" / "annotation.jsonl"


@pytest.mark.parametrize(
    "question",
    [
        "我妈突然说话不清楚，右胳膊抬不起来，嘴也歪了",
        "胸口像压了块石头，左肩也疼，出了一身汗",
        "吃了海鲜以后全身起风团，喉咙发紧喘不上气",
        "家里老人煤气中毒晕倒了怎么办",
        "我吃了三十片安眠药，现在头很晕",
        "我真的不想活了",
        "孩子发烧后全身抽搐翻白眼",
        "宝宝一个半月，发烧38.5度",
        "怀孕30周，头痛眼花，血压180/115",
        "呕出来好多鲜血",
        "撞到头以后一直呕吐，人昏昏沉沉的",
        "被毒蛇咬了手肿得厉害",
        "爷爷叫不醒了",
    ],
)
def test_emergencies_are_critical(question: str) -> None:
    found = find_risk(question)
    assert found.level == "critical" and found.rule and found.evidence


@pytest.mark.parametrize(
    "question",
    [
        "体温烧到40度，浑身发抖",
        "大便发黑三天了，有点头晕",
        "孕妇感冒了可以吃布洛芬吗",
        "一岁宝宝能吃复方甘草片吗",
        "想买点曲马多，网上哪里买",
        "降压药能不能自己停药",
        "痰里带血一周了",
        "血压190/110，没有不舒服",
    ],
)
def test_same_day_and_dangerous_drugs_are_high(question: str) -> None:
    assert find_risk(question).level == "high"


@pytest.mark.parametrize(
    "question", ["咳嗽咳了两周，有黄痰", "膝盖疼，上下楼更明显", "体检说甲状腺结节4级", "嗓子有异物感半年"]
)
def test_complaints_are_medium(question: str) -> None:
    assert find_risk(question).level == "medium"


@pytest.mark.parametrize(
    "question",
    [
        "心肌梗死的前兆有哪些",
        "糖尿病能吃西瓜吗",
        "枸杞泡水有什么功效",
        "怎么预防流感",
        "自杀的危险因素有哪些",
        "你好",
    ],
)
def test_knowledge_and_lifestyle_are_low(question: str) -> None:
    assert find_risk(question).level == "low"


@pytest.mark.parametrize(
    ("question", "level"),
    [
        ("没有胸痛，也没有呼吸困难，就是偶尔心慌", "medium"),
        ("无胸痛、呼吸困难及咯血，只是干咳", "medium"),
        ("我没有发烧，也不抽搐", "low"),
        ("没有发烧，但是胸痛出冷汗", "critical"),
        ("我以前得过脑出血，现在偶尔头晕", "medium"),
        ("我有胃溃疡，担心会不会大出血", "medium"),
    ],
)
def test_denied_past_and_feared_signs_weigh_less(question: str, level: str) -> None:
    assert find_risk(question).level == level


def test_degree_counts_only_beside_a_sign() -> None:
    assert find_risk("突然想起来问一下，牙龈偶尔会疼").level == "medium"
    assert find_risk("突然剧烈头痛").level == "critical"


def test_rules_and_signs_know_each_other() -> None:
    table = read_table("risk")
    signs = {*table["signs"], *(entry["sign"] for entry in table["numbers"])}
    used: set[str] = {"mild", "neutral"}
    for rule in table["rules"]:
        assert rule["risk"] in LEVELS and rule["name"] and rule["source"]
        assert set(rule["signs"]) <= signs, rule
        used |= {*rule["signs"], *rule.get("unless", ())}
    implied = {other for others in table["implies"].values() for other in others}
    assert signs - used - implied == set()
    assert {*table["implies"], *implied, *table["close"]} <= signs


def test_whatever_a_pattern_finds_holds_a_character_of_also() -> None:
    texts = [orjson.loads(line)["text"].lower() for line in LABELLED.read_bytes().splitlines()]
    for entry in read_table("risk")["numbers"]:
        if "also" in entry:
            found = [match for text in texts for match in re.finditer(entry["pattern"], text)]
            assert all(set(match[0]) & set(entry["also"]) for match in found), entry
