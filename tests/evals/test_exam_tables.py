"""Calibration, kinds of questions and sets of letters in an exam's report."""

import numpy as np
import pytest

from medtune.evals.breakdown_tables import measure_sets, tabulate_tags
from medtune.evals.confidence_tables import count_fragile, measure_confidence, tabulate_confidence
from medtune.evals.exam import Item, item_of, score_prediction
from medtune.evals.exam_tables import Marked
from medtune.records import Estimate, Likelihood, Meta, Phrase, Prediction, Question, Score

LETTERS = "ABCD"


def mark(index: int, shares: dict[str, float], *, gold: str = "A", tags: tuple[str, ...] = ()) -> Marked:
    logprobs = {letter: float(np.log(share)) for letter, share in shares.items()}
    answer = max(logprobs, key=logprobs.__getitem__)
    item = Item(
        id=str(index),
        subject="s",
        cluster=str(index),
        is_multiple=False,
        labels=LETTERS,
        gold=gold,
        tags=tags,
    )
    score = Score(
        id=str(index),
        scorer="letter",
        value=float(answer == gold),
        answer=answer,
        gold=gold,
        logprobs=logprobs,
    )
    return Marked(item, score)


def answered(answer: str | None, gold: str) -> Marked:
    item = Item(id=f"{answer}{gold}", subject="s", cluster="c", is_multiple=True, labels="ABCDE", gold=gold)
    return Marked(
        item, Score(id=item.id, scorer="generate", value=float(answer == gold), answer=answer, gold=gold)
    )


def test_a_model_that_is_too_sure_shows_it() -> None:
    rows = [mark(i, {"A": 0.1, "B": 0.7, "C": 0.1, "D": 0.1}, gold="B" if i % 2 else "C") for i in range(200)]
    metrics = measure_confidence(rows)
    assert metrics["letter.ece"].value == pytest.approx(0.2)
    assert metrics["letter.ece_by_chance"].value < 0.12
    assert metrics["letter.brier"].value == pytest.approx((0.09 + 3 * 0.01) / 2 + (0.49 + 0.81 + 0.02) / 2)
    assert metrics["letter.nll"].value == pytest.approx(-(np.log(0.7) + np.log(0.1)) / 2)
    assert metrics["letter.label_mass"].value == pytest.approx(1)
    assert metrics["letter.aurc"].value == pytest.approx(0.5)


def test_label_mass_is_what_the_model_leaves_to_the_letters() -> None:
    rows = [mark(i, dict.fromkeys(LETTERS, 0.05)) for i in range(10)]
    assert measure_confidence(rows)["letter.label_mass"].value == pytest.approx(0.2)


def test_answers_without_likelihoods_and_sets_have_no_confidence() -> None:
    assert measure_confidence([answered("AB", "AB")]) == {}
    assert tabulate_confidence([answered("AB", "AB")], {}) == []


def test_bins_of_the_reliability_table_add_up() -> None:
    rng = np.random.default_rng(3)
    rows = [mark(i, dict(zip(LETTERS, rng.dirichlet(np.ones(4)), strict=True))) for i in range(100)]
    _, table = tabulate_confidence(rows, measure_confidence(rows))
    assert sum(row[2] for row in table.rows) == 100  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_close_calls_are_counted() -> None:
    rows = [
        mark(0, {"A": 0.40, "B": 0.39, "C": 0.2, "D": 0.01}),
        mark(1, {"A": 0.5, "B": 0.3, "C": 0.1, "D": 0.1}),
    ]
    assert count_fragile(rows) == 1


def test_sets_are_measured_letter_by_letter() -> None:
    rows = [answered("AB", "AB"), answered("ABC", "AB"), answered("A", "AD"), answered(None, "BCD")]
    metrics = {
        name.removeprefix("generate.sets."): value for name, value in measure_sets("generate", rows).items()
    }
    assert metrics["exact"].count == 1
    assert metrics["jaccard"].value == pytest.approx((1 + 2 / 3 + 1 / 2 + 0) / 4)
    assert (metrics["option_recall"].count, metrics["option_recall"].n) == (5, 9)
    assert (metrics["option_precision"].count, metrics["option_precision"].n) == (5, 6)
    assert metrics["option_f1"].value == pytest.approx(2 * 5 / 15)
    assert metrics["over"].count == 1
    assert metrics["under"].count == 2


def test_kinds_are_compared_with_the_rest_where_there_are_enough() -> None:
    right = {"A": 0.7, "B": 0.1, "C": 0.1, "D": 0.1}
    wrong = {"A": 0.1, "B": 0.7, "C": 0.1, "D": 0.1}
    rows = [mark(i, wrong, tags=("negated",)) for i in range(40)] + [mark(40 + i, right) for i in range(60)]
    rows += [mark(100 + i, right, tags=("case",)) for i in range(5)]
    (table,) = tabulate_tags("letter", rows)
    by_kind = {row[0].key: row for row in table.rows if isinstance(row[0], Phrase)}
    share, told = by_kind["tag_negated"][1:]
    assert isinstance(share, Estimate) and (share.count, share.n) == (0, 40)
    assert isinstance(told, Phrase) and told.key == "p_small"
    assert by_kind["tag_case"][2] == Phrase(key="too_few", values={"few": 30})


def test_kinds_of_a_question() -> None:
    question = Question(
        id="1", stem="下列关于高血压的说法，错误的是", options=dict.fromkeys(LETTERS, "x"), answer="A",
        subject="内科学", split="test", meta=Meta(specialty="心血管内科"),
    )  # fmt: skip
    assert item_of(question).tags == ("negated", "specialty:心血管内科")
    case = question.model_copy(update={"stem": "首选的检查是", "case": "男，58岁，" + "胸痛" * 30})
    assert item_of(case).tags == ("long", "case", "specialty:心血管内科")


def test_scores_keep_what_was_compared() -> None:
    question = Question(id="1", stem="x", options={"A": "1", "B": "2"}, answer="B", subject="s", split="test")
    candidates = {
        "A": Likelihood(logprob=-2, num_tokens=2, num_chars=4),
        "B": Likelihood(logprob=-3, num_tokens=1, num_chars=12),
    }
    letter = score_prediction(
        Prediction(id="1", way="letter", prompt="", candidates=candidates), question, "chars"
    )
    cloze = score_prediction(
        Prediction(id="1", way="cloze", prompt="", candidates=candidates), question, "chars"
    )
    assert (letter.answer, letter.logprobs) == ("A", {"A": -2, "B": -3})
    assert (cloze.answer, cloze.logprobs) == ("B", {"A": -0.5, "B": -0.25})
