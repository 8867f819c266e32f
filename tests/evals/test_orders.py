"""Other orders of the options: asked as they should be, turned back, and told apart from knowledge."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medtune.errors import UserError
from medtune.evals.exam import item_of, score_all
from medtune.evals.exam_report import report_from
from medtune.evals.orders import can_turn, list_orders, turn, turn_back
from medtune.records import Completion, Estimate, Likelihood, Prediction, Question, Score, question_id

OPTIONS = {"A": "少盐", "B": "多盐", "C": "戒烟", "D": "熬夜"}


def make(number: int = 0, answer: str = "B", options: dict[str, str] = OPTIONS) -> Question:
    stem = f"第{number}题"
    return Question(
        id=question_id(stem, None, options),
        stem=stem,
        options=options,
        answer=answer,
        subject="内科",
        split="test",
    )


def test_options_go_round_and_the_answer_with_them() -> None:
    question = make(answer="AC")
    assert list_orders(question, 4) == [None, "BCDA", "CDAB", "DABC"]
    assert list_orders(question, 2) == [None, "BCDA"]
    assert list_orders(make(options={"A": "是", "B": "否"}), 4) == [None, "BA"]
    shown = turn(question, "BCDA")
    assert shown.options == {"A": "多盐", "B": "戒烟", "C": "熬夜", "D": "少盐"}
    assert (shown.answer, shown.id) == ("BD", question.id)
    assert turn_back("BD", "ABCD", "BCDA") == "AC"
    for order in list_orders(question, 4):
        assert turn_back(turn(question, order).answer, "ABCD", order) == "AC"


@pytest.mark.parametrize("text", ["以上都对", "上述均不是", "A和C", "A、B、D", "B+C", "all of the above"])
def test_options_that_speak_of_others_stay_where_they_are(text: str) -> None:
    question = make(options={**OPTIONS, "D": text})
    assert not can_turn(question)
    assert list_orders(question, 4) == [None]


@pytest.mark.parametrize("text", ["60岁以上", "维生素A和维生素C", "HBsAg", "ABO血型", "A型与B型"])
def test_other_letters_and_words_are_no_reference(text: str) -> None:
    assert can_turn(make(options={**OPTIONS, "D": text}))


# ---- models whose answers are known ----

QUESTIONS = {question.id: question for question in [make(number, "ABCD"[number % 4]) for number in range(20)]}
Answerer = Callable[[Question], str]


def score(answer: Answerer, *, num_orders: int = 4) -> list[Score]:
    """The scores of a model that says `answer` to a question as it is shown to it."""
    predictions = [
        Prediction(
            id=name, way="generate", order=order, prompt="", completion=say(answer(turn(question, order)))
        )
        for name, question in QUESTIONS.items()
        for order in list_orders(question, num_orders)
    ]
    return score_all(predictions, QUESTIONS, cloze_norm="chars", where="here")


def say(text: str) -> Completion:
    return Completion(text=text, finish="stop", prompt_tokens=1, completion_tokens=1)


def measure(answer: Answerer) -> dict[str, Estimate]:
    items = [item_of(question) for question in QUESTIONS.values()]
    return report_from(score(answer), items, name="x").metrics


def test_a_model_that_always_says_a_is_found_out() -> None:
    found = measure(lambda shown: "A")
    assert found["generate.order_mean"].value == 0.25, "each gold stands once at each place"
    assert found["generate.order_flip"].value == 1
    assert found["generate.order_all"].value == 0
    assert found["generate.order_mean"].n == 20, "an item is one observation, not four"
    assert found["generate.accuracy"].n == 20


def test_a_model_that_knows_stays_right_in_every_order() -> None:
    found = measure(lambda shown: shown.answer)
    assert found["generate.order_mean"].value == found["generate.order_vote"].value == 1
    assert found["generate.order_all"].value == 1
    assert found["generate.order_flip"].value == 0


def test_a_vote_needs_a_majority_and_counts_no_unread_answer() -> None:
    # Three times the right answer, once nothing that could be read.
    found = measure(lambda shown: "" if shown.options["A"] == "多盐" else shown.answer)
    assert found["generate.order_vote"].value == 1
    assert found["generate.order_all"].value == 0
    assert found["generate.order_flip"].value == 1


def test_the_report_tells_of_places() -> None:
    items = [item_of(question) for question in QUESTIONS.values()]
    report = report_from(score(lambda shown: "A"), items, name="x")
    places = next(table for table in report.tables if table.name == "generate_places")
    recalls = [row[1] for row in places.rows]
    assert [cell.value for cell in recalls if isinstance(cell, Estimate)] == [1, 0, 0, 0]
    assert places.notes[0].values["spread"] == "0.433"


def test_letters_of_a_turned_question_are_compared_as_published() -> None:
    question = make()
    likely = {letter: Likelihood(logprob=-float(ord(letter)), num_tokens=1, num_chars=1) for letter in "ABCD"}
    predictions = [
        Prediction(id=question.id, way="letter", order=order, prompt="", candidates=likely)
        for order in (None, "BCDA")
    ]
    scores = score_all(predictions, {question.id: question}, cloze_norm="chars", where="here")
    assert [(one.order, one.answer) for one in scores] == [(None, "A"), ("BCDA", "A")]


def test_an_order_that_is_missing_for_one_question_is_named() -> None:
    last = list(QUESTIONS)[-1]
    predictions = [
        Prediction(id=name, way="generate", order=order, prompt="", completion=say("A"))
        for name in QUESTIONS
        for order in ([None] if name == last else [None, "BCDA"])
    ]
    with pytest.raises(
        UserError, match=f"1 of 20 questions have no `generate` prediction in each order, first {last}"
    ):
        score_all(predictions, QUESTIONS, cloze_norm="chars", where="here")


def test_nothing_is_told_of_orders_where_there_is_one(tmp_path: Path) -> None:
    items = [item_of(question) for question in QUESTIONS.values()]
    report = report_from(score(lambda shown: "A", num_orders=1), items, name="x")
    assert not [name for name in report.metrics if "order" in name]
    assert not [table.name for table in report.tables if table.name.endswith(("orders", "places"))]
