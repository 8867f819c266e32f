"""Personal values are found where they stand, and medicine is left alone."""

import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtune.scorers.personal import RANK, Span, find_names, find_personal_data
from medtune.scorers.personal_numbers import is_identity, is_luhn
from medtune.scorers.personal_words import COMMON, EVERYDAY, NEVER, Starts, any_of

DEV = Path(__file__).parent.parent / "data" / "personal_dev.jsonl"
ROWS = [orjson.loads(line) for line in DEV.read_text(encoding="utf-8").splitlines()]
TYPES = set(RANK)


def found_in(text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.type) for span in find_personal_data(text)]


def test_development_set_is_found_with_exact_places() -> None:
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for row in ROWS:
        wanted = {Span(*span) for span in row["spans"]}
        found = set(find_personal_data(row["text"]))
        right.update(span.type for span in wanted & found)
        wrong.update(span.type for span in found - wanted)
        missed.update(span.type for span in wanted - found)
    assert len(ROWS) >= 120 and set(right) == TYPES
    assert right.total() / (right.total() + wrong.total()) >= 0.98, wrong
    assert right.total() / (right.total() + missed.total()) >= 0.98, missed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("患者李小明因咳嗽入院", [("李小明", "NAME")]),
        ("谢谢王医生", [("王", "NAME")]),
        ("王建国医生和李女士", [("王建国", "NAME"), ("李", "NAME")]),
        ("我叫阿依古丽·买买提，", [("阿依古丽·买买提", "NAME")]),
        ("欧阳主任您好", [("欧阳", "NAME")]),
        ("签名：赵敏", [("赵敏", "NAME")]),
        ("我是张伟，请问", [("张伟", "NAME")]),
        ("手机+86-13800138000", [("13800138000", "PHONE")]),
        ("手机１３８００１３８０００", [("１３８００１３８０００", "PHONE")]),
        ("手机一三八零零一三八零零零", [("一三八零零一三八零零零", "PHONE")]),
        ("座机010-66778899转801", [("010-66778899转801", "PHONE")]),
        ("身份证11010519491231002x", [("11010519491231002x", "ID_CARD")]),
        ("身份证号110105491231002", [("110105491231002", "ID_CARD")]),
        ("发到ab.c＠163.com吧", [("ab.c＠163.com", "EMAIL")]),
        ("加薇zhang_88，谢谢", [("zhang_88", "WECHAT_QQ")]),
        ("粤B·D12345挪车", [("粤B·D12345", "PLATE")]),
        ("病案号：ZY0012345", [("ZY0012345", "RECORD_NO")]),
        ("生于一九八五年三月十二日", [("一九八五年三月十二日", "DATE_OF_BIRTH")]),
        ("1990年5月1日出生", [("1990年5月1日", "DATE_OF_BIRTH")]),
        ("心内科3病区12床", [("心内科3病区12床", "HOSPITAL_BED")]),
        ("家住绿园小区3栋2单元501室", [("绿园小区3栋2单元501室", "ADDRESS")]),
        ("住昆山市玉山镇同心村12组", [("昆山市玉山镇同心村12组", "ADDRESS")]),
        ("寄到南京市鼓楼区学院路9号翠园大厦1504", [("南京市鼓楼区学院路9号翠园大厦1504", "ADDRESS")]),
        ("转至12病区3A床", [("12病区3A床", "HOSPITAL_BED")]),
        ("泌尿外一科3床", [("泌尿外一科3床", "HOSPITAL_BED")]),
        ("病 历 号：B0012", [("B0012", "RECORD_NO")]),
        ("住院号多少？\n家属：记得，ZY20391", [("ZY20391", "RECORD_NO")]),
        ("编号ZY20391这个住院号", [("ZY20391", "RECORD_NO")]),
        ("加您微信吗？我的是 kk_9981a", [("kk_9981a", "WECHAT_QQ")]),
        ("1966年10月3日生，汉族", [("1966年10月3日", "DATE_OF_BIRTH")]),
        ("座机０１０－６６７７８８９９", [("０１０－６６７７８８９９", "PHONE")]),
        ("王建国，男，50岁。今晨王建国体温正常。", [("王建国", "NAME"), ("王建国", "NAME")]),
    ],
)
def test_value_alone_is_found(text: str, wanted: list[tuple[str, str]]) -> None:
    assert found_in(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "高血压、黄疸、白带异常、石淋、余热未清",
        "何首乌、白术、黄芪各10克",
        "任何医生都会和医生讨论，于是找医生",
        "主任医师出诊，检查医生、处方医生另有其人",
        "国药准字H20013107，标本号：13812345678",
        "白细胞6.5×10^9/L，血压120/80mmHg，0.5g每日3次",
        "张仲景与李时珍，希波克拉底誓言",
        "急救120，热线400-161-9995，卫生热线12320",
        "医院地址：北京市东城区帅府园1号",
        "我院地址：北京市东城区帅府园1号",
        "病理号：B2023-0188，检验单号20391",
        "事故发生于2021年12月24日，2020年3月5日生化检查",
        "病毒载量13812345678copies/mL，一人一床",
        "我在北京，老家是河南",
        "2023年3月5日入院，末次月经2023年1月8日",
        "卧床3天，临床症状好转，开放500张床位",
        "患者张某，李某某，电话138****1234，姓名：王**",
        "姓名：[NAME_1]，电话：<PHONE>，住址：***，QQ：XXX",
        "生于忧患；出生3个月；出生体重3200g",
    ],
)
def test_medicine_public_matter_and_masked_values_are_left_alone(text: str) -> None:
    assert found_in(text) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("申领人纽小波，已核对", []),
        ("申领人钮小波，已核对", ["钮小波"]),
        ("随访对象：漆立新，血压偏高", ["漆立新"]),
        ("护士扎西卓玛测了血糖", ["扎西卓玛"]),
        ("患者热娜·吐尔逊说她头晕", ["热娜·吐尔逊"]),
        ("@杜鹃 明天换班", ["杜鹃"]),
        ("名单：芦苇、章华、鲁小菊；其余请假", ["芦苇", "章华", "鲁小菊"]),
        ("责任护士小吕已做宣教", ["吕"]),
        ("姓 名：方 小 丽，复诊", ["方 小 丽"]),
        ("班主任练老师陪同", ["练"]),
        ("盛夏，男，19岁", ["盛夏"]),
        ("听说陈秀英住院了", ["陈秀英"]),
        ("今天赵丽华复查血糖", ["赵丽华"]),
        ("找周文静看病的人多", ["周文静"]),
        ("产妇罗健顺利分娩", ["罗健"]),
        ("幼儿韩超误服药物", ["韩超"]),
        ("持卡人王悦挂失", ["王悦"]),
        ("马红梅小朋友的疫苗", ["马红梅"]),
        ("电话13800138000，柳玲", ["柳玲"]),
        ("患者家属（赵明）表示理解", ["赵明"]),
        ("平安，女，44岁，因咳嗽入院", ["平安"]),
        ("医师：江南\n日期略", ["江南"]),
        ("外婆高秀兰八十三岁", ["高秀兰"]),
        ("老伍昨天摔了一跤", ["伍"]),
        ("张姐，药到了", ["张"]),
    ],
)
def test_names_are_weighed_by_shape_and_neighbours(text: str, wanted: list[str]) -> None:
    assert [value for value, kind in found_in(text) if kind == "NAME"] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "患者应积极治疗，医生曾建议复查，孩子马上就要出生",
        "小汤匙、老黄历、小周天，老年人多见",
        "白术、黄芪、柴胡、安宫牛黄丸",
        "邵逸夫医院、武汉协和医院都可以去",
        "患者江西人，宝宝安静时心率130",
        "窦性心律，左精索静脉曲张，康力星颗粒，上高三",
        "治疗药物包括丁溴东莨菪碱、白消安，以及庆大霉素",
        "谢谢医生，看了许多医生，包括医生的建议",
        "祝医生工作顺利，一名患者经医生检查后出院",
        "葛大伟, 徐永平. 内科学[M]. 北京: 人民卫生出版社, 2018.",
    ],
)
def test_words_that_look_like_names_are_left_alone(text: str) -> None:
    assert found_in(text) == []


def test_identity_number_needs_region_birth_date_and_checksum_unless_labelled() -> None:
    assert is_identity("11010519491231002X")
    assert not is_identity("110105194912310021")
    assert not is_identity("110105194913310024")
    assert not is_identity("990105194912310021")
    assert found_in("编码110105194912310021") == []
    assert found_in("身份证：110105194912310021") == [("110105194912310021", "ID_CARD")]


def test_card_number_needs_its_check_digit_unless_labelled() -> None:
    assert is_luhn("4111111111111111") and not is_luhn("4111111111111112")
    assert found_in("转到6222020200112233445上") == []
    assert found_in("转到4111111111111111上") == [("4111111111111111", "BANK_CARD")]


def test_known_names_are_found_elsewhere_but_not_inside_other_words() -> None:
    assert find_names("王小明来了", ["王小明", "王"]) == [Span(0, 3, "NAME")]
    assert find_names("肌张力正常", ["张力"]) == []


def test_words_are_asked_for_by_where_they_stand() -> None:
    words = Starts(["提高", "高血压"])
    assert words.covers("提高医生", 1) and not words.covers("高医生", 0)
    assert words.longest("高血压", 0) == 3 and words.longest("高医生", 0) == 0
    assert any_of(["ab", "a", "b"]) == "a(?:b|)|b"


PIECES = st.sampled_from(
    [
        *(
            "患者",
            "姓名：",
            "张伟",
            "王医生",
            "，",
            "。",
            "\n",
            " ",
            "男",
            "45岁",
            "电话",
            "13800138000",
            "住址：",
            "北京市",
        ),
        *(
            "朝阳区",
            "建国路88号",
            "12床",
            "床号：",
            "微信",
            "abc_123",
            "QQ",
            "88997766",
            "出生",
            "1985年3月12日",
            "京A12345",
        ),
        *(
            "a@b.com",
            "身份证",
            "11010519491231002X",
            "住院号",
            "高血压",
            "的报告",
            "[NAME_1]",
            "一",
            "路",
            "1",
            "·",
            "李",
        ),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60))
def test_spans_are_in_order_disjoint_and_inside(text: str) -> None:
    spans = find_personal_data(text)
    assert all(0 <= span.start < span.end <= len(text) and span.type in TYPES for span in spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))
    assert spans == find_personal_data(text)


@pytest.mark.parametrize("unit", ["1 ", "村", "路1号", "王医生", "a@", "出生", "一号", "北京市", "住院号1-1"])
def test_long_lines_cost_no_more_than_their_length(unit: str) -> None:
    def seconds(count: int) -> float:
        start = time.process_time()
        find_personal_data(unit * count)
        return time.process_time() - start

    # Twelve times the length: linear cost gives 12, quadratic 144.
    assert seconds(12000) < 50 * max(seconds(1000), 0.004)


def test_everyday_words_come_from_the_installed_dictionary() -> None:
    assert "东京" in EVERYDAY.words and "付出" in EVERYDAY.words
    assert "坚持" in COMMON and "建国" not in COMMON  # a word that many people bear as a name
    assert len(COMMON) > 10_000 and len(EVERYDAY.words) > 5_000
    assert not any(set(word) & NEVER for word in COMMON)
