"""Questions in other words are listed beside their item, and whatever else an audit tells stays as it was."""

from pathlib import Path

import orjson
import pytest

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals import candidates as candidates_of
from medtune.evals.audit import run
from medtune.evals.config import AuditConfig
from medtune.records import Dialogue, Message, Question, Report, Row, content_id

DISEASES = (
    "急性心肌梗死",
    "慢性阻塞性肺疾病",
    "系统性红斑狼疮",
    "消化性溃疡",
    "甲状腺功能亢进症",
    "原发性醛固酮增多症",
    "缺铁性贫血",
    "急性肾小球肾炎",
    "肝硬化失代偿期",
    "感染性心内膜炎",
)
ASKED = (
    "{}最常见的并发症是____",
    "确诊{}最有价值的检查是____",
    "下列哪项不符合{}的临床表现____",
    "{}患者的饮食应当注意____",
    "治疗{}首先选用的药物为____",
)
TOPICS = (
    "得了{}以后还能不能上班？",
    "{}会遗传给孩子吗，家里老人有这个病。",
    "请介绍一下{}的护理经验。",
    "医生说我有{}，住院大概要多少天？",
    "{}出院以后多久复查一次？",
)
PARAPHRASE = "对原发性醛固酮增多症来说，最有确诊价值的是哪项检查？"
"""Of the 16 4-grams of the item it holds 6."""
TARGET = "确诊原发性醛固酮增多症最有价值的检查是____"


class Near(Row):
    """A row of candidates.jsonl."""

    item: str
    record: str
    file: str
    line: int
    similarity: float


def talk(asked: str, told: str = "请到医院就诊。") -> Dialogue:
    messages = (Message(role="user", content=asked), Message(role="assistant", content=told))
    return Dialogue(id=content_id(asked, told), messages=messages)


def exam() -> list[Question]:
    stems = [asked.format(disease) for disease in DISEASES for asked in ASKED]
    return [
        Question(
            id=f"q{number}",
            stem=stem,
            options={letter: f"第{number}题选项{letter}" for letter in "ABCD"},
            answer="B",
            subject="内科学",
            split="test",
        )
        for number, stem in enumerate(stems)
    ]


def training() -> list[Dialogue]:
    """500 talks, those of the exam's topics among them; the paraphrase is the 301st."""
    topics = [talk(topic.format(disease)) for disease in DISEASES for topic in TOPICS]
    others = [talk(f"第{number}次感冒了，孩子咳嗽有痰怎么办？") for number in range(449)]
    return [*others[:280], *topics[:20], talk(PARAPHRASE), *topics[20:], *others[280:]]


def audit(
    folder: Path, talks: list[Dialogue], items: list[Question], *, candidates: int, out: str = "audit"
) -> Path:
    write_jsonl(folder / "train.jsonl", talks)
    write_jsonl(folder / "exam.jsonl", items)
    config = AuditConfig(
        out=folder / out,
        train=(Input(folder / "train.jsonl"),),
        exams=(Input(folder / "exam.jsonl"),),
        candidates=candidates,
    )
    run(config)
    return config.out


def test_a_paraphrase_comes_first_and_other_questions_stay_below(tmp_path: Path) -> None:
    items, talks = exam(), training()
    assert len(talks) == 500
    out = audit(tmp_path, talks, items, candidates=3)
    near = list(read_jsonl(out / "candidates.jsonl", Near))
    (target,) = [item.id for item in items if item.stem == TARGET]
    first = next(row for row in near if row.item == target)
    assert (first.line, first.record) == (301, talk(PARAPHRASE).id)
    assert len({row.line for row in near} - {301}) <= 5, "of 50 talks about the same diseases"
    assert (out / "findings.jsonl").read_bytes() == b"", "the words themselves do not tell"


def test_the_setting_adds_and_changes_nothing_else(tmp_path: Path) -> None:
    items, talks = exam(), [*training(), talk(TARGET, exam()[26].options["B"])]
    off = audit(tmp_path, talks, items, candidates=0, out="off")
    on = audit(tmp_path, talks, items, candidates=2, out="on")
    assert {path.name for path in on.iterdir()} - {path.name for path in off.iterdir()} == {
        "candidates.jsonl"
    }
    for name in ("findings.jsonl", "items.jsonl"):
        assert (off / name).read_bytes() == (on / name).read_bytes()
    without, within = (
        Report.model_validate(orjson.loads((folder / "report.json").read_bytes())) for folder in (off, on)
    )
    assert within.tables[-1].name == "candidates"
    assert within.model_copy(update={"tables": within.tables[:-1]}) == without
    pages = [(on / name).read_text(encoding="utf-8") for name in ("report.md", "report.en.md")]
    assert all(f"train.jsonl:301: {PARAPHRASE}" in page for page in pages)
    assert "of 50 items 90%" in pages[1]


def test_what_the_search_found_is_not_listed_again(tmp_path: Path) -> None:
    items = exam()
    talks = [talk(TARGET, items[26].options["B"]), *training()]
    out = audit(tmp_path, talks, items, candidates=1)
    assert items[26].stem == TARGET
    assert [row.line for row in read_jsonl(out / "candidates.jsonl", Near) if row.item == "q26"] == [302]


def test_the_nearest_are_kept_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [*training(), *(talk(PARAPHRASE, f"第{number}次回答") for number in range(3))]
    whole = audit(tmp_path, talks, exam(), candidates=3, out="whole")
    monkeypatch.setattr(candidates_of, "BLOCK_RECORDS", 50)
    parts = audit(tmp_path, talks, exam(), candidates=3, out="parts")
    near = [row.line for row in read_jsonl(whole / "candidates.jsonl", Near) if row.item == "q26"]
    assert near == [301, 501, 502], "of equal ones the first"
    assert (whole / "candidates.jsonl").read_bytes() == (parts / "candidates.jsonl").read_bytes()


def test_a_handful_of_items_says_nothing_about_what_is_near(tmp_path: Path) -> None:
    alone = [item.model_copy(update={"subject": item.id}) for item in exam()]
    for items in (exam()[:8], alone):
        with pytest.raises(
            UserError, match=r"candidates: \d items of the exams have another .* 20 are wanted"
        ):
            audit(tmp_path, training(), items, candidates=1)


def test_items_of_one_case_are_no_measure(tmp_path: Path) -> None:
    """Their texts are nearly the same; counted as neighbours they would lift the cut above candidates."""
    case = "患者男，六十二岁，反复咳嗽咳痰十余年，近三天来发热、气促加重，双下肢浮肿，唇色发绀，颈静脉充盈。"
    asked = ("首先应做什么检查____", "最可能的诊断是____", "哪项处理不恰当____", "出院时怎样嘱咐____")
    related = [
        item.model_copy(update={"id": f"c{number}", "case": case, "stem": asked[number]})
        for number, item in enumerate(exam()[: len(asked)])
    ]
    out = audit(tmp_path, training(), [*exam(), *related], candidates=1)
    assert talk(PARAPHRASE).id in {row.record for row in read_jsonl(out / "candidates.jsonl", Near)}
    lone = audit(tmp_path, training(), exam(), candidates=1, out="lone")
    cuts = [
        float(row.split("cut ")[1].split()[0])
        for folder in (out, lone)
        for row in (folder / "report.en.md").read_text(encoding="utf-8").splitlines()
        if "The cut " in row
    ]
    assert cuts[0] == pytest.approx(cuts[1], abs=0.05)
