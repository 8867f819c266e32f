"""Tails are found from the data and cut; advice to see a doctor and the answer itself stay."""

import numpy as np

from medtune.data.boilerplate import cut_tail, find_boilerplate, tail_keys
from medtune.data.config import Clean
from medtune.records import Dialogue, Message

CLEAN = Clean(boilerplate_count=5, boilerplate_share=0.01)
WISH = "祝您早日康复，天天开心！"
THANKS = "以上回答希望对您有用。"
REFERRAL = "如果一直不好，请尽快到医院就诊。"


def talk(answer: str) -> Dialogue:
    messages = (Message(role="user", content="头痛怎么办"), Message(role="assistant", content=answer))
    return Dialogue(id="0", messages=messages)


def keys_of(answers: list[str]) -> np.ndarray:
    return np.array([tail_keys(talk(answer)) for answer in answers], dtype=np.uint64)


def found_in(answers: list[str]) -> frozenset[int]:
    return find_boilerplate(keys_of(answers), CLEAN)


def cut(answer: str, boilerplate: frozenset[int]) -> str | None:
    record = cut_tail(talk(answer), boilerplate)
    return record.messages[-1].content if isinstance(record, Dialogue) else None


TAILED = [f"第{number}种情况要多休息。{WISH}" for number in range(5)]
TWICE = [f"先看病。第{number}种情况要多喝水。{THANKS}{WISH}" for number in range(5)]
OTHERS = [f"第{number}个问题的回答。说明{number}号。" for number in range(20)]


def test_a_tail_of_many_answers_is_found_and_cut() -> None:
    boilerplate = found_in(TAILED + OTHERS)
    assert boilerplate == {tail_keys(talk(TAILED[0]))[0]}
    assert cut(TAILED[3], boilerplate) == "第3种情况要多休息。"
    assert cut(OTHERS[0], boilerplate) is None


def test_one_answer_too_few_is_no_boilerplate() -> None:
    assert found_in(TAILED[:4] + OTHERS) == frozenset()


def test_the_share_decides_among_many() -> None:
    assert (
        find_boilerplate(keys_of(TAILED + OTHERS), CLEAN.model_copy(update={"boilerplate_share": 0.3}))
        == set()
    )


def test_tails_before_tails_are_cut_too() -> None:
    boilerplate = found_in(TWICE + OTHERS)
    assert cut(TWICE[2], boilerplate) == "先看病。第2种情况要多喝水。"


def test_punctuation_does_not_hide_a_tail() -> None:
    boilerplate = found_in(TAILED + OTHERS)
    assert cut("多喝水。祝您早日康复,天天开心", boilerplate) == "多喝水。"


def test_an_answer_given_many_times_is_no_boilerplate() -> None:
    assert found_in(["先看血压。再看化验。最后调整用药的剂量。"] * 30) == frozenset()


def test_advice_to_see_a_doctor_is_never_cut() -> None:
    answers = [f"第{number}种情况要多休息。{REFERRAL}{WISH}" for number in range(6)]
    assert cut(answers[0], found_in(answers)) == f"第0种情况要多休息。{REFERRAL}"
    assert cut(f"多休息。{WISH}{REFERRAL}", found_in(answers)) is None


def test_the_whole_answer_is_never_cut() -> None:
    boilerplate = found_in(TAILED + OTHERS)
    assert cut(WISH, boilerplate) is None
    assert cut(f"<think>想一想。{WISH}</think>\n{WISH}", boilerplate) is None
    assert cut(f"！！{WISH}", boilerplate) is None


def test_the_reasoning_is_never_cut() -> None:
    boilerplate = found_in(TAILED + OTHERS)
    answer = f"<think>想一想。{WISH}</think>\n多喝水。{WISH}"
    assert cut(answer, boilerplate) == f"<think>想一想。{WISH}</think>\n多喝水。"


def test_the_id_follows_the_text_and_the_question_stays() -> None:
    record = cut_tail(talk(TAILED[0]), found_in(TAILED + OTHERS))
    assert record and record.id not in ("0", "") and isinstance(record, Dialogue)
    assert record.messages[0].content == "头痛怎么办"


def test_keys_are_stable_and_three_a_row() -> None:
    assert tail_keys(talk("只有一句话")) == (0, 0, 0)
    keys = tail_keys(talk(f"一。二三四五六。{THANKS}{WISH}"))
    assert len(keys) == 3 and all(0 < key < 2**64 for key in keys)
    assert keys[0] == tail_keys(talk(f"别的话。{WISH}"))[0]
