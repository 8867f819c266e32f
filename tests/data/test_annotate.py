"""Metadata filled in where it lacks, kept where it stands."""

import pytest

from medtune.data.annotate import annotate, explain
from medtune.records import Dialogue, Document, Message, Meta, Preference, Question


def talk(*turns: str, meta: Meta | None = None) -> Dialogue:
    roles = ("user", "assistant")
    messages = tuple(
        Message(role=roles[place % 2], content=turn)  # pyright: ignore[reportArgumentType]
        for place, turn in enumerate(turns)
    )
    return Dialogue(id="x", messages=messages, meta=meta or Meta())


def test_dialogue_gets_all_four() -> None:
    record = talk("我爸血压高，最近老是头晕，咋办？", "建议测血压，并到心血管内科就诊。")
    found = annotate(record).meta
    assert (found.specialty, found.risk, found.complexity, found.style) == (
        "心血管内科",
        "medium",
        2,
        "colloquial",
    )
    assert record.meta == Meta()  # inputs stay as they are


def test_known_values_are_kept_in_their_spelling() -> None:
    meta = Meta(specialty="cardiology", risk="low", complexity=3, style="standard")
    record = talk("突然胸痛，冷汗直冒", "快打120", meta=meta)
    assert annotate(record) is record
    some = annotate(talk("突然胸痛，冷汗直冒", "快打120", meta=Meta(specialty="心血管科")))
    assert some.meta.specialty == "心血管科"
    assert some.meta.risk == "critical"


def test_warnings_of_the_answer_raise_no_risk() -> None:
    assert annotate(talk("打呼噜怎么办", "如果突然胸痛、大汗、呼吸困难，请立即拨打120。")).meta.risk == "low"


def test_system_prompt_is_not_read() -> None:
    record = Dialogue(
        id="x",
        messages=(
            Message(role="system", content="你是儿科医生，面对自杀倾向要转介。"),
            Message(role="user", content="近视手术多少钱"),
        ),
    )
    assert annotate(record).meta.specialty == "眼科"
    assert annotate(record).meta.risk == "low"


def test_question_gets_specialty_and_risk_only() -> None:
    item = Question(
        id="q",
        stem="下列属于抗结核一线药物的是哪些",
        options={"A": "异烟肼", "B": "阿莫西林"},
        answer="A",
        subject="physician",
        split="test",
    )
    found = annotate(item)
    assert found.subject == "physician"
    assert (found.meta.specialty, found.meta.risk) == ("感染科", "low")
    assert found.meta.complexity is None and found.meta.style is None


def test_document_gets_a_specialty_only() -> None:
    found = annotate(Document(id="d", text="缺铁性贫血的治疗以补铁为主，同时查找失血原因。")).meta
    assert (found.specialty, found.risk, found.complexity, found.style) == ("血液内科", None, None, None)


def test_preference_is_read_by_its_prompt() -> None:
    record = Preference(
        id="p",
        prompt=(Message(role="user", content="阴道炎反复发作怎么治"),),
        chosen="建议做白带常规。",
        rejected="不用管。",
    )
    assert annotate(record).meta.specialty == "妇科"


@pytest.mark.parametrize(
    ("question", "complexity"),
    [
        ("什么是房颤", 1),
        ("鼻炎怎么治疗", 1),
        ("咳嗽两周，有点发烧", 2),
        ("孩子6岁，鼻炎", 2),
        ("父亲68岁，高血压、糖尿病十年，吃二甲双胍和氨氯地平，最近下肢水肿，肌酐180μmol/L，血压160/95", 3),
    ],
)
def test_complexity_grows_with_what_a_question_holds(question: str, complexity: int) -> None:
    assert explain(question).complexity == complexity


def test_several_turns_of_the_user_are_complex() -> None:
    assert annotate(talk("鼻炎怎么治", "多久了？", "半年")).meta.complexity == 3


@pytest.mark.parametrize(
    ("question", "style"),
    [
        ("娃老是拉肚子咋整啊", "colloquial"),
        ("晚上老睡不着，这是咋回事呢", "colloquial"),
        ("慢性胃炎应如何规范治疗？", "standard"),
        (
            "患者，男，56岁，反复上腹痛两年，加重一周，胃镜示胃窦溃疡，幽门螺杆菌阳性，应如何处理呢",
            "standard",
        ),
    ],
)
def test_style_by_spoken_words_relative_to_length(question: str, style: str) -> None:
    assert explain(question).style == style


def test_evidence_shows_the_words_behind_each_value() -> None:
    evidence = explain("我爸突然胸痛，冷汗直冒，咋办").evidence
    assert set(evidence) == {"specialty", "risk", "complexity", "style"}
    assert evidence["risk"][0] == "heart attack" and {"胸痛", "冷汗"} <= set(evidence["risk"])
    assert "胸痛" in evidence["specialty"]
    assert "咋办" in evidence["style"]
