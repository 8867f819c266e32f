"""What holds an exam question is removed and named: by the filter, from a mix, from its control."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from medtune.artifact import read_jsonl, write_jsonl
from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.curate.config import DecontaminateConfig, MixConfig
from medtune.curate.decontaminate import run
from medtune.errors import UserError
from medtune.places import text_of
from medtune.records import RECORD, Dialogue, Document, Message, Preference, Question, content_id

SWAPS = (("患者", "病人"), ("首选", "首先选用"), ("应", "应当"))


def talk(asked: str, told: str) -> Dialogue:
    messages = (Message(role="user", content=asked), Message(role="assistant", content=told))
    return Dialogue(id=content_id(asked, told), messages=messages)


def exam(num: int) -> list[Question]:
    """Items in the wording of exams, their nouns made of random characters: no two are alike."""
    chance = random.Random(7)
    signs = [chr(code) for code in range(0x4E00, 0x5E00)]

    def noun(size: int) -> str:
        return "".join(chance.choices(signs, k=size))

    return [
        Question(
            id=f"q{number}",
            stem=f"{noun(8)}的患者合并{noun(7)}与{noun(6)}时，首选的{noun(5)}治疗药物应是",
            options={letter: noun(5) for letter in "ABCDE"},
            answer=chance.choice("ABCDE"),
            subject="内科学",
            split="test",
        )
        for number in range(num)
    ]


def leak_of(number: int, item: Question) -> Dialogue:
    """The item word for word, with its options in another order, in other signs, or reworded."""
    right = item.options[item.answer]
    match number % 4:
        case 0:
            return talk(text_of(item), right)
        case 1:
            return talk(f"{item.stem}\n" + "；".join(sorted(item.options.values())), f"选{right}")
        case 2:
            return talk(text_of(item).replace("，", ",").replace("A", "Ａ"), f"{item.answer}，即{right}")
        case _:
            stem = item.stem
            for old, new in SWAPS:
                stem = stem.replace(old, new)
            return talk(f"请问{stem}什么？", f"一般是{right}。")


@pytest.fixture
def planted(tmp_path: Path) -> tuple[set[str], Input, Input]:
    """40 leaks among 1,000 records: their ids, the records, the exam."""
    items = exam(100)
    leaks = [leak_of(number, item) for number, item in enumerate(items[:40])]
    others = [talk(f"第{n}位病人头痛怎么办？", "多休息，" * (1 + n % 9) + "必要时就医。") for n in range(960)]
    records = [*leaks, *others]
    random.Random(1).shuffle(records)
    write_jsonl(tmp_path / "train.jsonl", records)
    write_jsonl(tmp_path / "exam.jsonl", items)
    return {leak.id for leak in leaks}, Input(tmp_path / "train.jsonl"), Input(tmp_path / "exam.jsonl")


def config_of(out: Path, records: Input, exam: Input, **settings: Any) -> DecontaminateConfig:
    return judge(DecontaminateConfig, {"out": out, "records": [records], "exams": [exam], **settings}, "test")


def ids(out: Path) -> list[str]:
    return [record.id for record in read_jsonl(out / "train.jsonl", RECORD)]


def test_none_of_forty_leaks_comes_through(tmp_path: Path, planted: tuple[set[str], Input, Input]) -> None:
    leaks, records, items = planted
    counts = run(config_of(tmp_path / "clean", records, items))
    assert (counts["records"], counts["kept"], counts["dropped"]) == (1000, 960, 40)
    assert counts["by_exam"] == {str(items): 40}
    assert sum(counts["by_kind"].values()) == 40
    assert counts["by_kind"]["same item"] >= 20
    whole = [record.id for record in read_jsonl(records.path, Dialogue)]
    assert ids(tmp_path / "clean") == [one for one in whole if one not in leaks]
    rows = [json.loads(line) for line in (tmp_path / "clean" / "leaks.jsonl").read_text("utf-8").splitlines()]
    assert {row["record"] for row in rows} == leaks
    first = rows[0]
    assert whole[int(first["place"].removeprefix("train.jsonl:")) - 1] == first["record"]
    assert (first["exam"], set(first)) == (
        str(items), {"place", "record", "question", "kind", "share", "exam"}
    )  # fmt: skip


def test_nor_through_a_mix_or_its_matched_control(
    tmp_path: Path, planted: tuple[set[str], Input, Input]
) -> None:
    leaks, records, items = planted
    shared = {"decontaminate": [items], "pool": [records]}
    run_command("mix", judge(MixConfig, {"out": tmp_path / "mix", **shared}, "test"))
    assert len(ids(tmp_path / "mix")) == 960
    half = judge(MixConfig, {"out": tmp_path / "half", **shared, "budget_rows": 480}, "test")
    run_command("mix", half)
    matched = {"out": tmp_path / "control", **shared, "like": str(tmp_path / "half"), "match": ["length"]}
    run_command("mix", judge(MixConfig, matched, "test"))
    sets = {name: {"pool": [records], "share": 1} for name in ("a",)}
    several = {"out": tmp_path / "sets", "decontaminate": [items], "sets": sets, "budget_rows": 960}
    run_command("mix", judge(MixConfig, several, "test"))
    for name in ("mix", "half", "control", "sets"):
        assert not leaks & set(ids(tmp_path / name)), name


def test_suspects_stay_where_only_what_is_certain_is_dropped(
    tmp_path: Path, planted: tuple[set[str], Input, Input]
) -> None:
    _, records, items = planted
    counts = run(config_of(tmp_path / "clean", records, items, drop="contaminated"))
    assert counts["dropped"] == 30
    assert set(counts["by_kind"]) <= {"same item", "same question"}


def test_more_than_may_be_dropped_is_refused_in_clear_words(
    tmp_path: Path, planted: tuple[set[str], Input, Input]
) -> None:
    _, records, items = planted
    with pytest.raises(
        UserError, match=r"40 of 1000 records \(4.0%\) .*exam.jsonl \(40\).* max_dropped=0.03"
    ):
        run(config_of(tmp_path / "clean", records, items, max_dropped=0.03))
    with pytest.raises(UserError, match="no records left of 1"):
        write_jsonl(tmp_path / "one.jsonl", list(read_jsonl(items.path, Question))[:1])
        run(config_of(tmp_path / "none", Input(tmp_path / "one.jsonl"), items, max_dropped=1))


def test_records_of_every_kind_are_filtered(tmp_path: Path) -> None:
    items = exam(4)
    right = items[1].options[items[1].answer]
    asked = Message(role="user", content=items[1].stem)
    records = [
        Document(id="book", text=f"前言。{items[0].stem}{items[0].options[items[0].answer]}。"),
        Preference(id="pair", prompt=(asked,), chosen=right, rejected="不知道"),
        items[2],
        Document(id="kept", text="高血压患者应当低盐饮食。"),
    ]
    write_jsonl(tmp_path / "all.jsonl", records)
    write_jsonl(tmp_path / "exam.jsonl", items)
    counts = run(
        config_of(
            tmp_path / "out", Input(tmp_path / "all.jsonl"), Input(tmp_path / "exam.jsonl"), max_dropped=1
        )
    )
    assert ids(tmp_path / "out") == ["kept"]
    assert counts["dropped"] == 3


def test_a_question_of_two_exams_counts_for_the_first(tmp_path: Path) -> None:
    items = exam(2)
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, items)
    write_jsonl(tmp_path / "train.jsonl", [leak_of(0, items[0]), talk("你好", "你好")])
    exams = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    given = {"out": tmp_path / "out", "records": [str(tmp_path / "train.jsonl")], "exams": exams}
    counts = run(judge(DecontaminateConfig, {**given, "max_dropped": 1}, "test"))
    assert (counts["questions"], counts["by_exam"]) == (2, {exams[0]: 1, exams[1]: 0})
