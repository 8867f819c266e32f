"""Repetition, cut ends, language and advertisements are told from sound wording."""

import pytest

from medtune.scorers.wording import find_cut_end, find_words, han_share, mend_words, repeated_share


def test_looped_text_repeats_itself_and_prose_does_not() -> None:
    prose = "高血压要低盐饮食，坚持服药，每天测量血压，并且记下来给医生看。情绪激动时先坐下休息。"
    assert repeated_share(prose) == 0
    assert repeated_share(prose + prose) == pytest.approx(0.5, abs=0.05)
    assert repeated_share("好好休息吧" * 100) > 0.95
    assert repeated_share("啊" * 6000) > 0.99
    assert repeated_share("好好休息") == 0


def test_a_long_text_is_judged_in_linear_time() -> None:
    text = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(300_000))
    assert repeated_share(text) < 0.95
    assert repeated_share(text + "头痛要休息" * 100_000) > 0.5


@pytest.mark.parametrize(("text", "share"), [
    ("头痛", 1), ("38.5", 1), ("", 1), ("abcd", 0), ("服用aspirin", 2 / 9),
])  # fmt: skip
def test_share_of_chinese(text: str, share: float) -> None:
    assert han_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", [
    "平时少吃盐，", "常见的原因有：", "包括高血压、", "医生说“多休息", "要查血常规（白细胞",
    "头痛的常见原因有熬夜、紧张、感冒、颈椎不适等，这是因为",
])  # fmt: skip
def test_a_cut_end_is_found(text: str) -> None:
    assert find_cut_end(text)


@pytest.mark.parametrize("text", [
    "多休息", "以上全包括", "这样做是可以的", "查血常规（白细胞）", "他说“多休息”。这样就好",
    "见《内科学》", "", "1)",
])  # fmt: skip
def test_a_whole_end_is_left_alone(text: str) -> None:
    assert find_cut_end(text) is None


def test_lone_surrogates_do_no_harm() -> None:
    assert find_words("头痛\ud800点击咨询").advertisement == "点击咨询"
    assert mend_words("\ud800") == ("\ud800", 0)


def test_overlapping_pairs_are_mended_in_turn() -> None:
    assert mend_words("不定期监测数据血压")[0] == "定期监测血压"
