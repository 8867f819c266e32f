"""A record loses its personal values, keeps everything else, and says so."""

from hypothesis import given, settings
from hypothesis import strategies as st

from medtune.data.deidentify import Span, deidentify, find_personal_data, mask
from medtune.records import Dialogue, Document, Message, Preference, Question, content_id, dialogue_id


def talk(*texts: str, reference: str | None = None) -> Dialogue:
    roles = ("user", "assistant")
    turns = tuple(Message(role=roles[number % 2], content=text) for number, text in enumerate(texts))
    return Dialogue(id=dialogue_id(turns), messages=turns, reference=reference)


def test_outside_name_finds_spans() -> None:
    assert find_personal_data("患者张伟，") == [Span(2, 4, "NAME")]


def test_same_value_has_the_same_placeholder_through_the_record() -> None:
    record = talk(
        "我叫王小明，电话138 0013 8000，妈妈李丽也来了。",
        "王小明您好，李丽的报告已出，我们打13800138000通知。",
        reference="王小明已通知。",
    )
    done = deidentify(record)
    assert isinstance(done.record, Dialogue)
    assert [turn.content for turn in done.record.messages] == [
        "我叫[NAME_1]，电话[PHONE_1]，妈妈[NAME_2]也来了。",
        "[NAME_1]您好，[NAME_2]的报告已出，我们打[PHONE_1]通知。",
    ]
    assert done.record.reference == "[NAME_1]已通知。"
    assert done.record.id == dialogue_id(done.record.messages) != record.id
    assert done.record.meta.deidentified
    assert [span.where for span in done.spans] == ["messages.0"] * 3 + ["messages.1"] * 3 + ["reference"]


def test_review_shows_the_surroundings_but_no_value() -> None:
    text = "患者张伟，男，电话13800138000，住院号：A0012345。"
    done = deidentify(Document(id="x", text=text))
    phone = done.spans[1]
    assert (phone.type, text[phone.start : phone.end], phone.placeholder) == (
        "PHONE",
        "13800138000",
        "[PHONE_1]",
    )
    assert phone.before == "NAME_1]，男，电话" and phone.after == "，住院号：[RECORD"
    assert not any(value in repr(done.spans) for value in ("张伟", "13800138000", "A0012345"))


def test_record_without_values_keeps_its_id_and_is_marked() -> None:
    record = talk("高血压吃什么药？", "请在医生指导下用药。")
    done = deidentify(record)
    assert done.spans == [] and done.record.id == record.id and done.record.meta.deidentified


def test_document_and_preference_get_the_id_of_their_new_text() -> None:
    text = deidentify(Document(id="x", text="签名：赵敏")).record
    assert isinstance(text, Document) and text.text == "签名：[NAME_1]"
    assert text.id == content_id("document", text.text)
    prompt = (Message(role="user", content="我叫张伟，头痛怎么办？"),)
    pair = deidentify(Preference(id="x", prompt=prompt, chosen="张伟，您好。", rejected="不知道")).record
    assert isinstance(pair, Preference) and pair.chosen == "[NAME_1]，您好。" and pair.meta.deidentified
    turns = [(turn.role, turn.content) for turn in pair.prompt]
    assert pair.id == content_id("preference", turns, pair.chosen, pair.rejected)


def test_exam_item_stays_as_it_is() -> None:
    item = Question(
        id="x", stem="患者张伟，男，50岁", options={"A": "一", "B": "二"}, answer="A", subject="", split="val"
    )
    done = deidentify(item)
    assert done.record is item and not done.spans and not done.record.meta.deidentified


def test_placeholders_that_are_there_already_are_counted_on() -> None:
    assert mask("患者[NAME_1]和家属王小明") == "患者[NAME_1]和家属[NAME_2]"


TEXTS = st.lists(
    st.sampled_from(
        [
            *(
                "患者",
                "张伟",
                "王医生",
                "，",
                "。",
                "\n",
                "电话",
                "13800138000",
                "住址：",
                "北京市朝阳区建国路88号",
            ),
            *(
                "心内科12床",
                "微信：",
                "abc_123",
                "出生日期：1985-03-12",
                "京A12345",
                "a@b.com",
                "的报告",
                "高血压",
            ),
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_text_around_the_values_is_kept(text: str) -> None:
    spans = find_personal_data(text)
    kept = "".join(
        text[left:right]
        for left, right in zip(
            [0, *(span.end for span in spans)], [*(span.start for span in spans), len(text)], strict=True
        )
    )
    masked = mask(text)
    for placeholder in {span.placeholder for span in deidentify(Document(id="x", text=text)).spans}:
        assert placeholder in masked
        masked = masked.replace(placeholder, "")
    assert masked == kept
