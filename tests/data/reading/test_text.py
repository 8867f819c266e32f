"""Every repair of a text does its own work, is counted by its name, and leaves clean text alone."""

import pytest

from medtune.data.reading.text import is_clean, mend, mend_row
from medtune.scorers.overlap import bare


@pytest.mark.parametrize(
    ("raw", "mended", "repairs"),
    [
        ("  头痛\r\n发热\r咳嗽 \n", "头痛\n发热\n咳嗽", ["line ends"]),
        ("一\u2028二", "一\n二", ["line ends"]),
        ("一\n\n\n\n二", "一\n\n二", []),
        ("一\n \t\n \n二", "一\n\n二", []),
        ("头\x01痛\u200b发\ufeff热\x7f", "头痛发热", ["control characters"]),
        ("剂量\t5mg", "剂量\t5mg", []),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧", []),
        (" \x01 ", "", ["control characters"]),
        ("体温&nbsp;38&#39;C", "体温 38'C", ["HTML"]),
        ("白细胞&amp;nbsp;高", "白细胞 高", ["HTML"]),
        ("<p>先休息</p><p>再复诊</p>", "先休息\n\n再复诊", ["HTML"]),
        ("第一<br/>第二<BR>第三", "第一\n第二\n第三", ["HTML"]),
        ("计数 10<sup>9</sup>/L", "计数 10^9/L", ["HTML"]),
        ('<span class="x">发热</span><!-- 注 -->', "发热", ["HTML"]),
        ("<b>注意</b>休息", "注意休息", ["HTML"]),
        ("血钾&lt;3.5 要复查", "血钾<3.5 要复查", ["HTML"]),
        ("ＣＴ检查２次（正常）：好", "CT检查2次（正常）：好", ["full-width"]),
        ("头痛\u3000发热", "头痛 发热", ["full-width"]),
        ("患有é«˜è¡€åŽ‹三年", "患有高血压三年", ["mojibake"]),
        ("高血压，已服药。".encode().decode("latin-1"), "高血压，已服药。", ["mojibake"]),
        ("他说“é«˜è¡€åŽ‹”", "他说“高血压”", ["mojibake"]),
    ],
)
def test_a_repair_does_its_work_and_is_named(raw: str, mended: str, repairs: list[str]) -> None:
    assert mend(raw) == (mended, tuple(repairs))
    assert mend(mended) == (mended, ())


@pytest.mark.parametrize(
    "text",
    [
        "<think>先想\n再想</think>\n多休息",
        "<think>\n\n</think>\n\n好",
        "血钾<3.5，血钠>145",
        "若a<b>c则停药",
        "p<0.05 & r>0.3",
        "AT&T;",
        "37.5°C，5×3cm，±2，µg",
        "café，naïve，Sjögren，Ménière",
        "先休息，再复诊。（一）“好”",
        "β受体阻滞剂，1～2片，５年前"[:12],
    ],
)
def test_text_that_only_looks_odd_stays(text: str) -> None:
    assert mend(text) == (text, ())


def test_mojibake_that_does_not_decode_strictly_stays() -> None:
    assert mend("é«˜è¡").text == "高è¡" or mend("é«˜è¡").text == "é«˜è¡"
    assert mend("ÄãºÃ").repairs == ()


def test_clean_text_is_told_without_trying_the_repairs() -> None:
    assert is_clean("患者胸闷三天，心电图正常。\n需要住院吗？")
    assert not is_clean("ＣＴ")


def test_a_row_is_mended_however_deep_and_counted() -> None:
    row = {
        "id": 3,
        "a": "ＣＴ",
        "turns": [{"value": "一\r\n二&nbsp;三"}, None],
        "n": {"x": " 好 "},
        "b": "Ａ",
    }
    given = repr(row)
    values, counts = mend_row(row)
    assert values == {"id": 3, "a": "CT", "turns": [{"value": "一\n二 三"}, None], "n": {"x": "好"}, "b": "A"}
    assert counts == {"full-width": 2, "line ends": 1, "HTML": 1}
    assert repr(row) == given


def test_a_row_of_clean_texts_only_loses_its_blank_ends() -> None:
    assert mend_row({"a": " 头痛\n三天 ", "b": "休息"}) == ({"a": "头痛\n三天", "b": "休息"}, {})


def test_bare_text_ignores_case_blanks_and_punctuation() -> None:
    assert bare("  CT 检查，\n是否_必要？") == bare("ct检查是否必要") == "ct检查是否必要"
