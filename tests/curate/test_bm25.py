"""The two measures by words against their formulas, computed one gram at a time."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.curate.bm25 import Bm25Nearness
from medtune.curate.importance import SMOOTHING, Importance
from medtune.curate.leaks import read_questions
from medtune.curate.recall_config import Bm25, Dsir
from medtune.curate.texts import text_for
from medtune.records import Dialogue
from medtune.scorers.overlap import bare


def grams(text: str) -> Counter[str]:
    whole = bare(text)
    return Counter([*whole, *(whole[at : at + 2] for at in range(len(whole) - 1))])


def bm25(asked: str, said: str, pool: list[str], k1: float, b: float) -> float:
    held = [grams(text) for text in pool]
    mean = sum(len(bare(text)) for text in pool) / len(pool)
    own, total = grams(said), 0.0
    for gram, times in grams(asked).items():
        holders = sum(gram in one for one in held)
        idf = math.log(1 + (len(pool) - holders + 0.5) / (holders + 0.5))
        saturated = own[gram] * (k1 + 1) / (own[gram] + k1 * (1 - b + b * len(bare(said)) / mean))
        total += times * idf * saturated
    return total


@pytest.fixture(scope="module")
def talks(sample_dir: Path) -> list[Dialogue]:
    return list(read_jsonl(sample_dir / "train.jsonl", Dialogue))[:60]


@pytest.mark.parametrize("text", ["whole", "asked"])
def test_bm25_is_the_published_formula_over_what_the_question_itself_would_get(
    talks: list[Dialogue], sample_dir: Path, text: str
) -> None:
    questions = read_questions(Input(sample_dir / "val.jsonl"))[:6]
    config = Bm25.model_validate({"text": text, "k1": 1.5, "b": 0.6})
    measure = Bm25Nearness(config, questions)
    measure.learn(measure.count(talks[:25]) + measure.count(talks[25:]))
    found = measure.score(talks)
    pool = [text_for(talk, config.text) for talk in talks]
    for number, question in enumerate(questions):
        asked = text_for(question, config.text)
        own = bm25(asked, asked, pool, 1.5, 0.6)
        wanted = [bm25(asked, said, pool, 1.5, 0.6) / own for said in pool]
        assert found[number] == pytest.approx(wanted, abs=1e-5)


def test_what_says_the_question_itself_is_a_whole(talks: list[Dialogue], sample_dir: Path) -> None:
    (question, *_) = read_questions(Input(sample_dir / "val.jsonl"))
    measure = Bm25Nearness(Bm25(), [question])
    measure.learn(measure.count(talks))
    assert measure.score([question])[0, 0] == pytest.approx(1, abs=1e-5)
    assert measure.score(talks).max() < 1


@pytest.mark.parametrize("draw", ["best", "sampled"])
def test_dsir_is_the_log_ratio_of_two_bags(talks: list[Dialogue], sample_dir: Path, draw: str) -> None:
    questions = read_questions(Input(sample_dir / "val.jsonl"))[:30]
    measure = Importance(Dsir.model_validate({"draw": draw, "num_buckets": 1_000_000}), questions)
    measure.learn(measure.count(talks))
    wanted, had = Counter[str](), Counter[str]()
    for question in questions:
        wanted.update(grams(text_for(question, "whole")))
    for talk in talks:
        had.update(grams(text_for(talk, "whole")))
    found = measure.score(talks[:10])[0]
    for talk, weight in zip(talks, found, strict=False):
        own = grams(text_for(talk, "whole"))
        ratio = sum(
            times
            * math.log((wanted[gram] / wanted.total() + SMOOTHING) / (had[gram] / had.total() + SMOOTHING))
            for gram, times in own.items()
        )
        # Few of these n-grams share a bucket of a million.
        assert weight == pytest.approx(ratio / own.total() if draw == "best" else ratio, rel=0.05, abs=0.05)
    assert np.isfinite(found).all()
