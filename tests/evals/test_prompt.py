"""How a question is put to a model."""

from typing import get_args

import pytest

from medtune.engines.base import Prompt
from medtune.evals.config import Preset
from medtune.evals.prompt import Form, Style, ask, cloze_choices, last_user_turn, letter_choices
from medtune.records import Message, Question

OPTIONS = {"A": "少盐", "B": "多盐", "C": "戒烟", "D": "熬夜"}


def make(answer: str = "A", **values: object) -> Question:
    base = {
        "id": "1",
        "stem": "高血压患者应",
        "options": OPTIONS,
        "answer": answer,
        "subject": "内科学",
        "split": "test",
    }
    return Question.model_validate({**base, **values})


def text_of(prompt: Prompt) -> str:
    return prompt.messages[-1].content


@pytest.mark.parametrize("preset", get_args(Preset))
@pytest.mark.parametrize("form", ["text", "chat"])
@pytest.mark.parametrize("case", [None, "男，六十岁，头晕。"])
def test_every_preset_shows_case_stem_and_all_options_once_and_in_order(
    preset: Preset, form: Form, case: str | None
) -> None:
    prompt = ask(make(case=case), Style(preset, form))
    text = text_of(prompt)
    parts = [*([case] if case else []), "高血压患者应", *OPTIONS.values()]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert [text.count(part) for part in parts] == [1] * len(parts)
    assert all(f"{key}. {option}" in text or f"{key}) {option}" in text for key, option in OPTIONS.items())
    assert prompt.messages[-1].role == "user"
    assert prompt.is_text == (form == "text")
    assert "None" not in text
    assert "{" not in text


BODY = "高血压患者应\nA. 少盐\nB. 多盐\nC. 戒烟\nD. 熬夜"
WORDED: dict[Preset, str] = {
    "plain": BODY,
    "chat": f"{BODY}\n请选出正确答案，只回答选项字母。",
    "think": f"{BODY}\n请先逐步分析，再在最后一行写出“答案：”和选项字母。",
    "ceval-official": f"以下是中国关于内科学考试的单项选择题，请选出其中的正确答案。\n\n{BODY}\n答案：",
    "lm-eval": f"以下是中国关于内科学的单项选择题，请选出其中的正确答案。\n\n{BODY}\n答案：",
    "opencompass-gen": f"以下是中国关于内科学考试的单项选择题，请选出其中的正确答案。\n{BODY}\n答案: ",
    "cmb-official": "以下是中国内科学考试的一道单项选择题，不需要做任何分析和解释，"
    f"直接输出答案选项。\n{BODY}",
    "evalscope": "以下是中国关于内科学的单项选择题，请选出其中的正确答案。"
    "你的回答的最后一行应该是这样的格式："
    '"答案：[LETTER]"（不带引号），其中 [LETTER] 是 A、B、C、D 中的一个。\n\n'
    f"问题：高血压患者应\n选项：\n{BODY.partition(chr(10))[2].replace('. ', ') ')}\n",
}


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_preset_words_a_question_as_its_evaluator_does(preset: Preset) -> None:
    assert text_of(ask(make(), Style(preset))) == WORDED[preset]


def test_a_question_with_several_answers_is_called_one() -> None:
    assert "一道多项选择题，" in text_of(ask(make("AC"), Style("cmb-official")))
    assert "关于内科学考试的多项选择题，" in text_of(ask(make("AC"), Style("ceval-official")))


@pytest.mark.parametrize("preset", get_args(Preset))
def test_the_right_answer_is_not_shown(preset: Preset) -> None:
    assert ask(make("A"), Style(preset)) == ask(make("C"), Style(preset))


def test_signs_of_a_template_in_a_question_stay_what_they_are() -> None:
    prompt = ask(make(stem="{stem} {0} {{x}} %s", options={"A": "{options}"}), Style("plain"))
    assert text_of(prompt) == "{stem} {0} {{x}} %s\nA. {options}"


# ---- shots ----

SHOTS = {"内科学": (make("C", stem="先问一", split="dev"), make("B", stem="先问二", split="dev"))}


def test_shots_of_a_text_stand_before_the_question_as_lm_eval_has_them() -> None:
    prompt = ask(make(), Style("lm-eval", shots=SHOTS))
    head = "以下是中国关于内科学的单项选择题，请选出其中的正确答案。"
    shots = [
        f"{BODY.replace('高血压患者应', stem)}\n答案： {answer}"
        for stem, answer in (("先问一", "C"), ("先问二", "B"))
    ]
    assert text_of(prompt) == "\n\n".join([head, *shots, f"{BODY}\n答案："])
    assert letter_choices(make(), Style("lm-eval", shots=SHOTS)).candidates["A"] == " A"


def test_shots_of_a_chat_are_turns() -> None:
    prompt = ask(make(), Style("ceval-official", "chat", SHOTS))
    assert [message.role for message in prompt.messages] == [
        "system", "user", "assistant", "user", "assistant", "user"
    ]  # fmt: skip
    assert prompt.messages[0].content == "以下是中国关于内科学考试的单项选择题，请选出其中的正确答案。"
    assert [prompt.messages[at].content for at in (2, 4)] == ["C", "B"]
    assert text_of(prompt) == f"{BODY}\n答案："


def test_an_answer_of_a_shot_has_the_form_that_the_preset_asks_for() -> None:
    chat = ask(make(), Style("evalscope", shots=SHOTS))
    assert chat.messages[1].content == "答案：C"
    text = text_of(ask(make(), Style("opencompass-gen", shots=SHOTS)))
    assert "答案: \nC\n以下是" in text


# ---- what is ranked ----


def test_letters_are_the_candidates_of_a_question_with_one_answer() -> None:
    choices = letter_choices(make(), Style())
    assert choices.candidates == {"A": "A", "B": "B", "C": "C", "D": "D"}
    assert not choices.is_closed
    assert choices.prior is None
    assert choices.prompt == ask(make(), Style())


def test_a_letter_after_thinking_follows_no_space() -> None:
    choices = letter_choices(make(), Style("lm-eval"), lead="想过了。答案：")
    assert choices.candidates["A"] == "A"
    assert choices.prompt.lead == "想过了。答案："


def test_sets_of_two_letters_and_more_are_the_candidates_of_a_question_with_several() -> None:
    choices = letter_choices(make("AC"), Style())
    assert list(choices.candidates) == [
        "AB", "AC", "AD", "BC", "BD", "CD", "ABC", "ABD", "ACD", "BCD", "ABCD"
    ]  # fmt: skip
    assert choices.is_closed, "A set may begin another, so the end must count"


def test_cloze_asks_the_stem_alone_and_ranks_the_texts() -> None:
    choices = cloze_choices(make(case="男，六十岁。"), Style())
    assert choices.prompt.messages == [Message(role="user", content="男，六十岁。\n高血压患者应")]
    assert choices.candidates == OPTIONS
    assert choices.prior == Prompt([Message(role="user", content="")])
    assert text_of(cloze_choices(make(), Style()).prompt) == "高血压患者应"
    text = cloze_choices(make(), Style("lm-eval"))
    assert text_of(text.prompt) == "高血压患者应\n答案："
    assert text.prior == Prompt([Message(role="user", content="答案：")], is_text=True)


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
