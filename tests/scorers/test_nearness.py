"""Nearness sees the same characters in another order, passage by passage, whatever the size of a block."""

from math import log, sqrt
from random import Random

import pytest

from medtune.scorers import nearness
from medtune.scorers.nearness import (
    draw_sample,
    fit_wording,
    measure_nearness,
    nearest_passage,
    passages_of,
    vectors_of,
)

STEM = "血管外溶血红细胞破坏的场所主要是____"
REWORDED = "血管外溶血时，红细胞破坏的主要场所是（　　）。"
OTHER = "烧伤最常见的死亡原因是（　　）。"


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("你好！\n急性肾衰竭的主要死因是？", ["急性肾衰竭的主要死因是？"]),
        (
            "男，45岁，腹痛三天。首选的检查是什么？",
            ["男，45岁，腹痛三天。首选的检查是什么？", "男，45岁，腹痛三天", "首选的检查是什么"],
        ),
        ("首选的检查是 A. 胃镜检查及活检 B. 腹部超声检查", ["首选的检查是"]),
        ("A. 营养性缺铁性贫血\nB、再生障碍性贫血\n（C）地中海贫血", []),
        ("维生素A、维生素D同时缺乏", ["维生素A、维生素D同时缺乏"]),
        ("", []),
    ],
)
def test_passages_are_lines_and_sentences_without_options(text: str, passages: list[str]) -> None:
    assert list(passages_of(text)) == passages


def test_nearness_is_the_cosine_of_weighted_grams() -> None:
    wording = fit_wording(["甲乙丙丁戊己", "甲乙庚辛壬癸"])
    (cell,) = measure_nearness(wording, vectors_of(wording, ["甲乙丙丁戊己"]), ["甲乙庚辛壬癸"])[0]
    rare = (1 + log(3 / 2)) ** 2  # a gram of one text of two, ln((1 + n) / (1 + df)) + 1; of both it weighs 1
    num_common, num_rare = 3, 8  # 甲, 乙, 甲乙; the other characters and pairs of each text
    assert cell == pytest.approx(num_common / (num_common + num_rare * rare), rel=1e-6)
    assert sqrt(vectors_of(wording, ["甲乙丙"]).power(2).sum()) == pytest.approx(1)


def test_a_question_in_another_order_is_nearer_than_another_question() -> None:
    wording = fit_wording([STEM, REWORDED, OTHER])
    near, far, none = measure_nearness(wording, vectors_of(wording, [STEM]), [REWORDED, OTHER, "你好"])[0]
    assert near > 0.6 > 0.3 > far > none == 0


def test_a_text_is_as_near_as_its_nearest_passage() -> None:
    wording = fit_wording([STEM, REWORDED, OTHER])
    asked = vectors_of(wording, [STEM])
    (alone, within) = measure_nearness(wording, asked, [REWORDED, f"{OTHER}\n{REWORDED}\n{OTHER}"])[0]
    assert alone == within
    assert nearest_passage(wording, asked, f"{OTHER}\n{REWORDED}") == REWORDED
    assert nearest_passage(wording, asked, "你好") == ""


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{OTHER}{REWORDED}", "你好", STEM, f"{STEM}\n{OTHER}"]
    wording = fit_wording(texts)
    asked = vectors_of(wording, [STEM, OTHER])
    whole = measure_nearness(wording, asked, texts)
    monkeypatch.setattr(nearness, "BLOCK_PASSAGES", 2)
    assert (measure_nearness(wording, asked, texts) == whole).all()


def test_a_sample_is_drawn_fairly() -> None:
    texts = [str(number) for number in range(100)]
    assert draw_sample(texts, 200, Random(0)) == texts
    assert draw_sample(texts, 5, Random(3)) == draw_sample(iter(texts), 5, Random(3))
    drawn = [text for seed in range(400) for text in draw_sample(texts, 10, Random(seed))]
    assert sum(int(text) for text in drawn) / len(drawn) == pytest.approx(49.5, abs=1.5)
