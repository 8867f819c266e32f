"""Rows that travel between commands: strict, frozen, named by their content."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from pydantic import BaseModel, ValidationError

from medtune.records import (
    RECORD,
    Completion,
    Dialogue,
    Document,
    Message,
    Meta,
    Phrase,
    Prediction,
    Preference,
    Question,
    content_id,
    dialogue_id,
    question_id,
)


def question(answer: str = "AC", case: str | None = None, **options: str) -> Question:
    return Question(
        id="q1",
        stem="下列正确的是",
        case=case,
        options=options or {"A": "甲", "B": "乙", "C": "丙"},
        answer=answer,
        subject="内科",
        split="val",
    )


RECORDS: list[Document | Dialogue | Preference | Question] = [
    Document(id="d", text="正文", meta=Meta(source="s", license="CC0-1.0")),
    Dialogue(
        id="t",
        messages=(Message(role="user", content="问"), Message(role="assistant", content="答")),
        reference="答",
    ),
    Preference(id="p", prompt=(Message(role="user", content="问"),), chosen="好", rejected="差"),
    question(),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_record_comes_back_from_json_as_what_it_was(record: BaseModel) -> None:
    assert RECORD.validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("kind", ["dialog", "", None])
def test_record_of_unknown_kind_is_refused(kind: str | None) -> None:
    with pytest.raises(ValidationError, match="kind"):
        RECORD.validate_python({"kind": kind, "id": "x", "text": "y"})


def test_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        RECORD.validate_python({"kind": "document", "id": "x", "text": "y", "txt": "z"})


def test_rows_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RECORDS[0].id = "other"


# ---- questions ----


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "not among the options"),
        ("D", "not among the options"),
        ("CA", "each letter once, in order"),
        ("AA", "each letter once, in order"),
    ],
)
def test_answer_must_be_letters_of_the_options_each_once_in_order(answer: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        question(answer)


@pytest.mark.parametrize("letter", ["a", "AB", "1", "甲"])
def test_option_letters_are_single_capitals(letter: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        Question(id="q", stem="x", options={letter: "y"}, answer=letter, subject="s", split="val")


def test_question_with_several_right_letters_is_multiple() -> None:
    assert question("AC").is_multiple
    assert not question("A").is_multiple


def test_items_of_one_case_form_a_cluster_and_others_stand_alone() -> None:
    one, other = question(case="患者男"), question(case="患者男").model_copy(update={"id": "q2"})
    assert one.cluster == other.cluster
    assert question().cluster == "q1"
    assert question(case="患者女").cluster != one.cluster


# ---- ids ----


def test_id_of_a_question_does_not_depend_on_the_order_of_its_options() -> None:
    assert question_id("s", None, {"A": "1", "B": "2"}) == question_id("s", None, {"B": "2", "A": "1"})


@pytest.mark.parametrize(
    "other",
    [("t", None, {"A": "1"}), ("s", "case", {"A": "1"}), ("s", None, {"A": "2"}), ("s", None, {"B": "1"})],
)
def test_id_of_a_question_depends_on_stem_case_and_options(
    other: tuple[str, str | None, dict[str, str]],
) -> None:
    assert question_id(*other) != question_id("s", None, {"A": "1"})


def test_id_of_a_talk_depends_on_roles_texts_and_where_one_turn_ends() -> None:
    def talk(*turns: tuple[str, str]) -> str:
        return dialogue_id(
            tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns)
        )

    ids = {
        talk(("user", "ab")),
        talk(("user", "a"), ("user", "b")),
        talk(("system", "ab")),
        talk(("user", "ba")),
    }
    assert len(ids) == 4


def test_ids_are_the_same_in_every_process() -> None:
    program = (
        "from medtune.records import question_id; print(question_id('题干', None, {'B': '乙', 'A': '甲'}))"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert ids == {question_id("题干", None, {"A": "甲", "B": "乙"})}


def test_id_is_16_hexadecimal_digits() -> None:
    assert len(content_id("x")) == 16
    int(content_id("x"), 16)


# ---- what a model's run leaves ----


@pytest.mark.parametrize(
    "make",
    [
        lambda: Completion.model_validate(
            {"text": "", "finish": "eos", "prompt_tokens": 1, "completion_tokens": 1}
        ),
        lambda: Prediction.model_validate({"id": "x", "way": "guess", "prompt": ""}),
        lambda: Message.model_validate({"role": "doctor", "content": ""}),
    ],
)
def test_word_outside_the_vocabulary_is_refused(make: Callable[[], BaseModel]) -> None:
    with pytest.raises(ValidationError, match="Input should be"):
        make()


def test_phrases_nest() -> None:
    phrase = Phrase(key="outer", values={"inner": Phrase(key="inner", values={"n": 3})})
    assert Phrase.model_validate_json(phrase.model_dump_json()) == phrase


# ---- weights ----

TURNS = (Message(role="user", content="头痛"), Message(role="assistant", content="休息"))


def test_a_file_without_weights_is_read_and_weights_are_no_part_of_the_id() -> None:
    line = b'{"kind": "dialogue", "id": "1", "messages": [{"role": "user", "content": "x"}]}'
    record = RECORD.validate_json(line)
    assert isinstance(record, Dialogue) and record.weights is None
    weighed = Dialogue(id=dialogue_id(TURNS), messages=TURNS, weights=(1, 0.5))
    assert RECORD.validate_json(weighed.model_dump_json()) == weighed
    assert weighed.id == dialogue_id(weighed.messages)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((1,), "has 1 weights for 2 messages"),
        ((1, -1), "each is a number from 0 on"),
        ((1, float("inf")), "each is a number from 0 on"),
        ((1, float("nan")), "each is a number from 0 on"),
    ],
)
def test_weights_that_do_not_fit_the_messages_are_refused(weights: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Dialogue(id="1", messages=TURNS, weights=weights)
