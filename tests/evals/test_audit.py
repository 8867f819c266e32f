"""An audit finds planted questions, leaves others alone, and its verdict reaches the exam's report."""

import random
from pathlib import Path

import pytest

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.audit import run, text_of
from medtune.evals.audit_report import Status
from medtune.evals.breakdown_tables import tabulate_audit
from medtune.evals.config import AuditConfig
from medtune.evals.evaluate import tag_by_audit
from medtune.evals.exam import Audited, item_of
from medtune.evals.exam_tables import Marked
from medtune.records import Dialogue, Document, Message, Phrase, Preference, Question, Score, content_id

SWAPS = (
    ("患者", "病人"),
    ("首选", "首先选用"),
    ("最常见", "最多见"),
    ("主要", "最主要"),
    ("应", "应当"),
    ("属于", "算是"),
)


def talk(asked: str, told: str) -> Dialogue:
    messages = (Message(role="user", content=asked), Message(role="assistant", content=told))
    return Dialogue(id=content_id(asked, told), messages=messages)


def exam(num: int, *, letter_chars: str = "ABCDE") -> list[Question]:
    """Items in the wording of exams, their nouns made of random characters: no two are alike."""
    chance = random.Random(7)
    signs = [chr(code) for code in range(0x4E00, 0x5E00)]

    def noun(size: int) -> str:
        return "".join(chance.choices(signs, k=size))

    items: list[Question] = []
    for number in range(num):
        stem = f"患者{noun(6)}合并{noun(5)}时，首选的{noun(4)}治疗药物应是"
        options = {letter: noun(5) for letter in letter_chars}
        answer = chance.choice(letter_chars)
        items.append(
            Question(
                id=f"q{number}", stem=stem, options=options, answer=answer, subject="内科学", split="test"
            )
        )
    return items


def write(folder: Path, training: list[Dialogue], items: list[Question]) -> AuditConfig:
    write_jsonl(folder / "train.jsonl", training)
    write_jsonl(folder / "exam.jsonl", items)
    return AuditConfig(
        out=folder / "audit", train=(Input(folder / "train.jsonl"),), exams=(Input(folder / "exam.jsonl"),)
    )


def test_planted_leaks_are_found_and_twins_are_not(tmp_path: Path) -> None:
    items = exam(300)
    chance = random.Random(3)
    plain, shuffled, wide, reworded = items[:10], items[10:20], items[20:30], items[30:40]
    training: list[Dialogue] = []
    for item in plain:
        training.append(talk(text_of(item), item.options[item.answer]))
    for item in shuffled:
        texts = chance.sample(list(item.options.values()), k=5)
        training.append(talk(f"{item.stem}\n" + "；".join(texts), f"选{item.options[item.answer]}"))
    for item in wide:
        asked = text_of(item).replace("，", ",").replace("A", "Ａ").replace("是", "是（　　）。")
        training.append(talk(asked, item.answer))
    for item in reworded:
        stem = item.stem
        for old, new in SWAPS:
            stem = stem.replace(old, new)
        training.append(talk(f"请问{stem}什么？", f"一般是{item.options[item.answer]}。"))
    for number in range(200):  # the same wording with another disease and other options
        twin = exam(600)[300 + number]
        training.append(talk(text_of(twin), twin.options[twin.answer]))
    training += [
        talk(f"第{n}位病人头痛怎么办？", "多休息，必要时就医。") for n in range(5000 - len(training))
    ]
    counts = run(write(tmp_path, training, items))
    status = {row.id: row.status for row in read_jsonl(tmp_path / "audit" / "items.jsonl", Audited)}
    assert all(status[item.id] == "contaminated" for item in (*plain, *shuffled, *wide))
    assert sum(status[item.id] in ("suspect", "contaminated") for item in reworded) >= 6
    assert {status[item.id] for item in items[40:]} == {"clean"}
    assert counts["records"] == 5000


def test_an_audit_leaves_the_data_alone(tmp_path: Path) -> None:
    items = exam(5)
    counts = run(write(tmp_path, [talk(items[0].stem, items[0].options[items[0].answer])], items))
    assert (counts["records"], counts["contaminated"], counts["clean"]) == (1, 1, 4)
    assert not [
        path for path in (tmp_path / "audit").glob("*.jsonl") if "train" in path.name or "clean" in path.name
    ]


def test_short_stems_are_counted_and_never_clean(tmp_path: Path) -> None:
    item = exam(1)[0].model_copy(update={"stem": "胃泌素瘤的特点"})
    assert run(write(tmp_path, [talk("你好", "你好")], [item]))["unscannable"] == 1


def test_pairs_stand_side_by_side(tmp_path: Path) -> None:
    items = exam(3)
    run(write(tmp_path, [talk(items[1].stem, items[1].options[items[1].answer])], items))
    page = (tmp_path / "audit" / "report.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if "train.jsonl:1" in line]
    assert row.count(items[1].stem) == 2


def test_what_is_no_exam_is_refused(tmp_path: Path) -> None:
    config = write(tmp_path, [talk("你好", "你好")], exam(1))
    write_jsonl(tmp_path / "exam.jsonl", [talk("你好", "你好")])
    with pytest.raises(UserError, match=r"exam.jsonl:1: an exam holds questions"):
        run(config)
    write_jsonl(tmp_path / "exam.jsonl", [])
    with pytest.raises(UserError, match="no questions"):
        run(config)


def test_every_kind_of_record_is_read() -> None:
    user = Message(role="user", content="问")
    preference = Preference(id="1", prompt=(user,), chosen="好", rejected="坏")
    assert text_of(preference) == "问\n好\n坏"
    assert text_of(Document(id="1", text="文")) == "文"


def test_accuracy_is_told_for_clean_items_and_others(tmp_path: Path) -> None:
    items = exam(80)
    training = [talk(item.stem, item.options[item.answer]) for item in items[:40]]
    run(write(tmp_path, training, items))
    tagged = tag_by_audit([item_of(item) for item in items], Input(tmp_path / "audit"))
    marked = [
        Marked(
            item,
            Score(id=item.id, scorer="letter", value=float(index < 40), answer=item.gold, gold=item.gold),
        )
        for index, item in enumerate(tagged)
    ]
    (table,) = tabulate_audit("letter", marked)
    names = [row[0].key for row in table.rows if isinstance(row[0], Phrase)]
    assert names == ["audit_contaminated", "audit_clean"]
    assert tabulate_audit("letter", [Marked(item_of(items[0]), marked[0].score)]) == []


def test_an_audit_of_another_exam_is_refused(tmp_path: Path) -> None:
    items = exam(4)
    run(write(tmp_path, [talk("你好", "你好")], items[:3]))
    with pytest.raises(UserError, match="1 of 4 questions were not audited"):
        tag_by_audit([item_of(item) for item in items], Input(tmp_path / "audit"))
    with pytest.raises(UserError, match="that audit made"):
        tag_by_audit([item_of(item) for item in items], Input(tmp_path))


def test_statuses_are_a_closed_list() -> None:
    assert set(Status.__args__) == {"contaminated", "suspect", "unscannable", "clean"}
