"""How a question is put to a model."""

from typing import get_args

import pytest

from medtune.engines.base import Prompt
from medtune.evals.config import Preset
from medtune.evals.prompt import cloze_choices, last_user_turn, letter_choices, read_preset, word_question
from medtune.records import Message, Question

OPTIONS = {"A": "少盐", "B": "多盐", "C": "戒烟", "D": "熬夜"}


def ask(answer: str = "A", **values: object) -> Question:
    base = {
        "id": "1",
        "stem": "高血压患者应",
        "options": OPTIONS,
        "answer": answer,
        "subject": "内科学",
        "split": "test",
    }
    return Question.model_validate({**base, **values})


@pytest.mark.parametrize("preset", get_args(Preset))
@pytest.mark.parametrize("case", [None, "男，六十岁，头晕。"])
def test_every_preset_shows_case_stem_and_all_options_once_and_in_order(
    preset: Preset, case: str | None
) -> None:
    (message,) = word_question(ask(case=case), preset)
    parts = [*([case] if case else []), "高血压患者应", *(f"{key}. {text}" for key, text in OPTIONS.items())]
    places = [message.content.index(part) for part in parts]
    assert places == sorted(places)
    assert [message.content.count(part) for part in parts] == [1] * len(parts)
    assert message.role == "user"
    assert "None" not in message.content
    assert "{" not in message.content


def test_presets_word_a_question_as_their_files_say() -> None:
    body = "高血压患者应\nA. 少盐\nB. 多盐\nC. 戒烟\nD. 熬夜"
    assert word_question(ask(), "plain")[0].content == body
    assert word_question(ask(), "chat")[0].content == f"{body}\n请选出正确答案，只回答选项字母。"
    head = "以下是中国关于内科学考试的单项选择题，请选出其中的正确答案。"
    assert word_question(ask(), "ceval-official")[0].content == f"{head}\n\n{body}\n答案："


@pytest.mark.parametrize("preset", get_args(Preset))
def test_the_right_answer_is_not_shown(preset: Preset) -> None:
    assert word_question(ask("A"), preset) == word_question(ask("C"), preset)


def test_signs_of_a_template_in_a_question_stay_what_they_are() -> None:
    (message,) = word_question(ask(stem="{stem} {0} {{x}} %s", options={"A": "{options}"}), "plain")
    assert message.content == "{stem} {0} {{x}} %s\nA. {options}"


def test_a_preset_has_no_line_end_of_its_file() -> None:
    assert all(not read_preset(preset).endswith("\n") for preset in get_args(Preset))


def test_letters_are_the_candidates_of_a_question_with_one_answer() -> None:
    choices = letter_choices(ask(), "chat")
    assert choices.candidates == {"A": "A", "B": "B", "C": "C", "D": "D"}
    assert not choices.is_closed
    assert choices.prior is None
    assert choices.prompt.messages == word_question(ask(), "chat")


def test_sets_of_two_letters_and_more_are_the_candidates_of_a_question_with_several() -> None:
    choices = letter_choices(ask("AC"), "chat")
    assert list(choices.candidates) == [
        "AB", "AC", "AD", "BC", "BD", "CD", "ABC", "ABD", "ACD", "BCD", "ABCD"
    ]  # fmt: skip
    assert choices.is_closed, "A set may begin another, so the end must count"


def test_cloze_asks_the_stem_alone_and_ranks_the_texts() -> None:
    choices = cloze_choices(ask(case="男，六十岁。"))
    assert choices.prompt.messages == [Message(role="user", content="男，六十岁。\n高血压患者应")]
    assert choices.candidates == OPTIONS
    assert choices.prior == Prompt([Message(role="user", content="")])
    assert cloze_choices(ask()).prompt.messages[0].content == "高血压患者应"


def test_a_talk_is_asked_up_to_its_last_message_of_the_user() -> None:
    talk = [
        Message(role="system", content="短答"),
        Message(role="user", content="头痛"),
        Message(role="assistant", content="多久了？"),
        Message(role="user", content="三天"),
        Message(role="assistant", content="请就诊。"),
    ]
    assert last_user_turn(talk) == talk[:4]
    assert last_user_turn(talk[:4]) == talk[:4]
    assert last_user_turn(talk[:3]) == talk[:2]
