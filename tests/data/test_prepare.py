"""Every row in is kept, dropped with its reason, or not asked for; the split is the same everywhere."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from medtune.artifact import read_jsonl
from medtune.data.config import PrepareConfig
from medtune.data.prepare import run
from medtune.errors import UserError
from medtune.records import RECORD, Question, question_id

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="wants the public data in ../shared/data")

TOPICS = [f"{chr(0x4E00 + 131 * n)}{chr(0x6000 + 77 * n)}{chr(0x7000 + 59 * n)}病" for n in range(30)]
QA = [{"question": f"{topic}怎么办？", "answer": f"{topic}要多休息"} for topic in TOPICS]
ITEM = {
    "question": "下列哪项正确",
    "A": "甲",
    "B": "乙",
    "C": "丙",
    "answer": "A",
    "subject": "内科",
    "split": "test",
}
ITEMS = [{**ITEM, "question": f"第{number}题"} for number in range(4)]


def put(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def prepare(out: Path, *sources: Path | dict[str, Any], **settings: Any) -> dict[str, Any]:
    named = [source if isinstance(source, dict) else str(source) for source in sources]
    return run(PrepareConfig.model_validate({"out": out, "source": named, "valid": 0, "test": 0, **settings}))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---- the ledger ----


def test_rows_in_are_kept_dropped_or_not_wanted(tmp_path: Path) -> None:
    dialogues = put(tmp_path / "talks.jsonl", [*QA[:5], QA[0], {"question": "头痛", "answer": "无"}])
    exam = put(tmp_path / "exam.jsonl", [*ITEMS, {**ITEM, "answer": "AB", "subject": "外科"}])
    out = tmp_path / "out"
    counts = prepare(out, dialogues, exam, subjects=["内科"], max_dropped=0.5)
    assert counts["rows"] == 12 == counts["kept"] + counts["dropped"] + counts["not_wanted"]
    assert (counts["kept"], counts["dropped"], counts["not_wanted"]) == (9, 2, 1)
    assert counts["reasons"] == {"duplicate": 1, "placeholder answer": 1}
    assert counts["formats"] == {"question-answer": 7, "exam": 5}
    assert (counts["train"], counts["test"]) == (5, 4)
    assert len(lines(out / "train.jsonl")) + len(lines(out / "test.jsonl")) == counts["kept"]


def test_a_dropped_row_stands_whole_with_file_line_and_reason(tmp_path: Path) -> None:
    bad = {"question": "头痛", "answer": "无", "id": 7}
    source = put(tmp_path / "talks.jsonl", [*QA[:3], bad, QA[1]])
    prepare(tmp_path / "out", source, max_dropped=0.5)
    unfit, repeated = lines(tmp_path / "out" / "dropped.jsonl")
    assert (unfit["line"], unfit["reason"], unfit["row"]) == (4, "placeholder answer", bad)
    assert unfit["file"] == "talks.jsonl"
    assert (repeated["line"], repeated["reason"]) in ((2, "duplicate"), (5, "duplicate"))
    assert repeated["detail"].endswith(("talks.jsonl:2", "talks.jsonl:5"))
    assert repeated["row"]["messages"][0]["content"] == QA[1]["question"]


def test_personal_data_stands_nowhere_in_what_comes_out(tmp_path: Path) -> None:
    phone, name = "13812345678", "王建国"
    rows = [
        *QA,
        {"question": f"患者姓名：{name}，头痛三天了怎么办？", "answer": f"请拨打电话{phone}联系。"},
        {"question": f"我叫{name}，电话{phone}", "answer": "无", "phone": int(phone)},
    ]
    source = put(tmp_path / "talks.jsonl", rows)
    with source.open("a", encoding="utf-8") as file:
        file.write(f'{{"question": "患者姓名：{name}，电话{phone}", "ans\n')
    counts = prepare(tmp_path / "out", source, max_dropped=0.5)
    assert counts["personal_data"]["NAME"] >= 1
    assert counts["personal_data"]["PHONE"] >= 1
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            assert phone not in text, file
            assert name not in text, file
    spans = lines(tmp_path / "out" / "personal_data.jsonl")
    assert {"file", "line", "where", "start", "end", "type", "placeholder"} <= spans[0].keys()
    assert all(row["meta"]["deidentified"] for row in lines(tmp_path / "out" / "train.jsonl"))


def test_without_the_step_nothing_is_called_deidentified(tmp_path: Path) -> None:
    prepare(tmp_path / "out", put(tmp_path / "a.jsonl", QA), deidentify=False)
    assert not any(row["meta"]["deidentified"] for row in lines(tmp_path / "out" / "train.jsonl"))
    assert not (tmp_path / "out" / "personal_data.jsonl").exists()


def test_existing_metadata_is_kept_and_the_rest_annotated(tmp_path: Path) -> None:
    row = {
        "question": "突然胸痛出冷汗怎么办",
        "answer": "请立即拨打急救电话。",
        "meta": {"specialty": "急诊", "risk_level": "low"},
    }
    plain = {"question": "高血压患者平时饮食要注意什么？", "answer": "要少吃盐，多吃蔬菜。"}
    source = put(tmp_path / "a.jsonl", [row, plain])
    prepare(tmp_path / "out", source)
    metas = {row["messages"][0]["content"]: row["meta"] for row in lines(tmp_path / "out" / "train.jsonl")}
    assert (metas[row["question"]]["specialty"], metas[row["question"]]["risk"]) == ("急诊", "low")
    assert metas[plain["question"]]["specialty"]
    assert metas[plain["question"]]["risk"] == "low"
    prepare(tmp_path / "bare", source, annotate=False)
    metas = {row["messages"][0]["content"]: row["meta"] for row in lines(tmp_path / "bare" / "train.jsonl")}
    assert metas[plain["question"]]["specialty"] is None


def test_dropping_more_than_max_dropped_names_the_first_place(tmp_path: Path) -> None:
    bad = [{"question": f"问题{number}", "answer": "无"} for number in range(2)]
    source = put(tmp_path / "talks.jsonl", [*QA[:18], *bad])
    assert prepare(tmp_path / "all", source, max_dropped=0.1)["dropped"] == 2
    with pytest.raises(UserError, match=r"(?s)talks\.jsonl:19: placeholder.*:20: .*2 of 20 rows .* 5%"):
        prepare(tmp_path / "out", source)


def test_duplicates_do_not_count_as_loss(tmp_path: Path) -> None:
    counts = prepare(tmp_path / "out", put(tmp_path / "a.jsonl", QA * 3))
    assert (counts["kept"], counts["reasons"]) == (30, {"duplicate": 60})


def test_dropping_everything_is_refused_whatever_max_dropped_says(tmp_path: Path) -> None:
    source = put(tmp_path / "talks.jsonl", [{"question": "头痛", "answer": "无"}])
    with pytest.raises(UserError, match=r"talks\.jsonl:1: placeholder answer"):
        prepare(tmp_path / "out", source, max_dropped=1)


def test_a_choice_of_exam_items_that_leaves_none_is_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "exam.jsonl", ITEMS)
    with pytest.raises(UserError, match="no exam item is of the subjects and kind asked for"):
        prepare(tmp_path / "out", source, subjects=["骨科"])


def test_exam_items_are_chosen_by_their_number_of_right_letters(tmp_path: Path) -> None:
    source = put(tmp_path / "exam.jsonl", [*ITEMS, {**ITEM, "answer": "BC"}])
    for answers, kept in (("any", 5), ("single", 4), ("multiple", 1)):
        assert prepare(tmp_path / answers, source, answers=answers)["kept"] == kept


def test_statistics_and_card_tell_the_same_numbers_as_the_counts(tmp_path: Path) -> None:
    source = put(tmp_path / "talks.jsonl", [*QA, QA[0]])
    counts = prepare(tmp_path / "out", {"path": str(source), "license": "MIT"}, valid=0.2)
    facts = json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))
    assert (facts["rows"], facts["kept"]) == (31, 30)
    assert facts["splits"] == {"train": counts["train"], "valid": counts["valid"]}
    assert facts["funnel"] == [{"step": "repeats", "reason": "duplicate", "count": 1}]
    assert (facts["sources"][0]["license"], facts["sources"][0]["dropped"]) == ("MIT", {"duplicate": 1})
    for name in ("card.html", "card.md", "card_zh.md"):
        assert "talks.jsonl" in (tmp_path / "out" / name).read_text(encoding="utf-8")


# ---- damaged rows ----


def test_every_damaged_row_is_told_and_the_rest_kept(tmp_path: Path) -> None:
    source = put(tmp_path / "talks.jsonl", QA)
    with source.open("ab") as file:
        file.write(b'{"question": "cut", "ans\n')  # 31
        file.write(b'["an", "array"]\n')  # 32
        file.write(b'{"question": "nul\x00", "answer": "b"}\n')  # 33
        file.write('{"question": "头痛", "answer": ["休息"]}\n'.encode())  # 34
        file.write(b'{"question": "' + b"a" * 10_000_000 + b'", "answer": "b"}\n')  # 35
        file.write(b'{"question": "\\ud800", "answer": "b"}\n')  # 36
        file.write('{"question": "头痛怎么办", "answer": "休息几天"}\n'.encode("gb18030"))  # 37
        file.write('{"question": "头痛"}\n'.encode())  # 38
        file.write('{"question": "发热三天怎么办", "answer": "先量体温"}\n'.encode())  # 39
    counts = prepare(tmp_path / "out", source, max_dropped=0.5)
    dropped = lines(tmp_path / "out" / "dropped.jsonl")
    assert [row["line"] for row in dropped] == [31, 32, 33, 34, 35, 36, 37, 38]
    assert all(row["reason"] and row["file"] == "talks.jsonl" for row in dropped)
    assert counts["kept"] == 31
    assert counts["rows"] == 39


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        prepare(tmp_path / "out", tmp_path / "none.jsonl")


def test_the_files_of_a_directory_may_have_a_format_each(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    put(folder / "a.jsonl", QA[:2])
    (folder / "b.csv").write_bytes("ask,answer\n头痛三天了怎么办,多休息几天\n".encode("gb18030"))
    counts = prepare(tmp_path / "out", folder)
    assert counts["formats"] == {"consultation": 1, "question-answer": 2}


def test_split_numbers_must_add_up(tmp_path: Path) -> None:
    source = put(tmp_path / "exam.jsonl", [{key: row[key] for key in row if key != "split"} for row in ITEMS])
    named = {"path": str(source), "split": {"val": 1, "test": 3}}
    counts = prepare(tmp_path / "out", named)
    assert (counts["val"], counts["test"]) == (1, 3)
    with pytest.raises(UserError, match=r"exam\.jsonl: 4 rows where .* val 1 \+ test 4 = 5"):
        prepare(tmp_path / "short", {**named, "split": {"val": 1, "test": 4}})


def test_exam_items_that_tell_no_split_are_divided_like_other_records(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in row if key != "split"} for row in ITEMS]
    rows = [
        {**row, "question": f"{chr(0x4E00 + place)}{chr(0x5E00 + place)}{chr(0x6E00 + place)}"}
        for place, row in enumerate(rows * 5)
    ]
    counts = prepare(tmp_path / "out", put(tmp_path / "exam.jsonl", rows), valid=0.1, test=0.2)
    assert (counts["train"], counts["val"], counts["test"]) == (14, 2, 4)
    for split in ("train", "val", "test"):
        assert {row["split"] for row in lines(tmp_path / "out" / f"{split}.jsonl")} == {split}


# ---- repeats ----


def test_of_equal_records_one_stays_whatever_file_and_format(tmp_path: Path) -> None:
    one = put(tmp_path / "one.jsonl", QA[:3])
    other = put(tmp_path / "other.jsonl", [{"instruction": QA[2]["question"], "output": QA[2]["answer"]}])
    counts = prepare(tmp_path / "out", one, other)
    assert counts["reasons"] == {"duplicate": 1}
    repeated = lines(tmp_path / "out" / "dropped.jsonl")[0]
    assert (repeated["file"], repeated["detail"]) == ("other.jsonl", "of one.jsonl:3")


def test_near_duplicates_go_and_can_be_kept(tmp_path: Path) -> None:
    answer = "建议先到医院神经内科做头颅检查，平时注意休息，避免熬夜和情绪激动，如果疼痛突然加重请马上就医。"
    rows = [
        {"question": "最近半个月总是头痛，晚上更厉害，请问需要做什么检查？", "answer": answer},
        {"question": "最近半个月总是头痛，晚上更厉害，请问需要做什么检查呢？", "answer": answer},
    ]
    source = put(tmp_path / "a.jsonl", [*QA, *rows])
    counts = prepare(tmp_path / "out", source)
    assert counts["reasons"] == {"near duplicate": 1}
    assert prepare(tmp_path / "exact", source, dedup={"near": None})["reasons"] == {}
    counts = prepare(
        tmp_path / "question",
        put(tmp_path / "b.jsonl", [*QA, {**QA[0], "answer": "另一个说法"}]),
        dedup={"on": "question"},
    )
    assert counts["reasons"] == {"near duplicate": 1}


def test_a_repeated_exam_item_with_the_same_answer_is_a_counted_duplicate(tmp_path: Path) -> None:
    counts = prepare(tmp_path / "out", put(tmp_path / "exam.jsonl", [*ITEMS, ITEMS[0]]))
    assert (counts["kept"], counts["reasons"]) == (4, {"duplicate": 1})


def test_exam_items_alike_but_for_options_or_answer_both_stay(tmp_path: Path) -> None:
    stem = "关于慢性阻塞性肺疾病急性加重期患者的氧疗原则，下列说法中哪一项是正确的，请选择一个最佳答案"
    options = {
        "A": "低流量持续吸氧",
        "B": "高流量吸氧",
        "C": "不需吸氧",
        "D": "间断吸氧",
        "subject": "呼吸",
        "answer": "A",
    }
    rows = [
        {"question": stem, **options},
        {"question": stem + "。", **options},  # the same but for punctuation
        {"question": stem.replace("患者", "病人"), **options},  # reworded
        {"question": stem, **options, "D": "纯氧吸入"},
        {"question": stem.replace("正确", "错误"), **options, "answer": "B"},
    ]
    counts = prepare(tmp_path / "out", put(tmp_path / "exam.jsonl", rows), dedup={"near": 0.8})
    assert counts["reasons"] == {"duplicate": 1, "near duplicate": 1}
    assert counts["kept"] == 3


@pytest.mark.parametrize("settings", [{}, {"answers": "any"}, {"max_dropped": 1}])
def test_one_exam_item_with_two_answers_is_refused_with_both_places(tmp_path: Path, settings: dict) -> None:
    one = put(tmp_path / "one.jsonl", ITEMS)
    other = put(tmp_path / "other.jsonl", [{**ITEMS[2], "answer": "BC", "subject": "外科", "split": "val"}])
    with pytest.raises(UserError) as caught:
        prepare(tmp_path / "out", one, other, **settings)
    assert "one.jsonl:3" in str(caught.value)
    assert "other.jsonl:1" in str(caught.value)


def test_a_tail_that_many_answers_share_is_cut_off_and_told(tmp_path: Path) -> None:
    tail = "希望以上回答能够对您有所帮助，祝您身体健康。"
    topics = [
        "头痛",
        "咳嗽",
        "胃痛",
        "失眠",
        "便秘",
        "腹泻",
        "牙痛",
        "鼻塞",
        "耳鸣",
        "脱发",
        "口臭",
        "盗汗",
        "手麻",
        "腰痛",
    ]
    rows = [
        {
            "question": f"最近老是{topic}怎么办？",
            "answer": f"{topic}的常见原因有好几种，{topic}时先观察几天。{tail}",
        }
        for topic in topics
    ]
    counts = prepare(tmp_path / "out", put(tmp_path / "a.jsonl", rows))
    assert counts["boilerplate"] == len(topics)
    assert not any(tail in row["messages"][1]["content"] for row in lines(tmp_path / "out" / "train.jsonl"))
    facts = json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))
    assert facts["tails"] == [{"text": tail, "count": len(topics)}]


# ---- what is taken of each source ----


def test_sources_give_by_weight_and_no_more_than_their_most(tmp_path: Path) -> None:
    one, other = put(tmp_path / "one.jsonl", QA[:20]), put(tmp_path / "other.jsonl", QA[20:])
    counts = prepare(tmp_path / "out", {"path": str(one), "weight": 1}, {"path": str(other), "weight": 1})
    assert (counts["kept"], counts["not_wanted"]) == (20, 10)
    counts = prepare(tmp_path / "most", {"path": str(one), "max_samples": 5}, str(other))
    assert (counts["kept"], counts["not_wanted"]) == (15, 15)
    assert counts["rows"] == counts["kept"] + counts["dropped"] + counts["not_wanted"]


def test_a_source_bound_to_a_part_takes_what_asks_the_same_with_it(tmp_path: Path) -> None:
    red = put(tmp_path / "red.jsonl", [{**QA[3], "answer": "请马上拨打急救电话"}])
    prepare(
        tmp_path / "out", put(tmp_path / "a.jsonl", QA), {"path": str(red), "part": "red_team"}, valid=0.2
    )
    held = {row["messages"][0]["content"] for row in lines(tmp_path / "out" / "red_team.jsonl")}
    assert held == {QA[3]["question"]}
    assert len(lines(tmp_path / "out" / "red_team.jsonl")) == 2


def test_gold_and_red_team_sets_leave_their_pool(tmp_path: Path) -> None:
    urgent = [
        {
            "question": f"{who}突然胸痛出冷汗，喘不上气，怎么办？",
            "answer": "请立即拨打急救电话，平卧休息，不要走动。",
        }
        for who in ("我爸爸", "我妈妈", "邻居大伯", "公司同事", "家里老人")
    ]
    source = put(tmp_path / "a.jsonl", QA + urgent)
    held = {
        "gold": {"size": 4, "pool": ["valid", "test"]},
        "red_team": {"size": 3, "pool": ["train", "valid", "test"]},
    }
    counts = prepare(tmp_path / "out", source, valid=0.2, test=0.2, **held)
    assert counts["gold"] >= 4
    assert counts["red_team"] >= 3
    assert any("胸痛" in row["messages"][0]["content"] for row in lines(tmp_path / "out" / "red_team.jsonl"))
    ids = [
        row["id"]
        for name in ("train", "valid", "test", "gold", "red_team")
        for row in lines(tmp_path / "out" / f"{name}.jsonl")
    ]
    assert len(ids) == len(set(ids)) == counts["kept"]
    with pytest.raises(UserError, match=r"gold: 500 records are wanted, valid, test give only"):
        prepare(tmp_path / "out2", source, valid=0.2, test=0.2, gold={"size": 500})


# ---- the split ----


def asked(row: dict) -> str:
    return row["messages"][0]["content"].replace(" ", "").rstrip("？?")


def test_records_that_ask_the_same_are_never_in_two_parts(tmp_path: Path) -> None:
    again = [{"question": row["question"].rstrip("？") + " ?", "answer": "另一种答案"} for row in QA]
    counts = prepare(tmp_path / "out", put(tmp_path / "a.jsonl", QA + again), valid=0.2, test=0.2)
    parts = {
        name: {asked(row) for row in lines(tmp_path / "out" / f"{name}.jsonl")}
        for name in ("train", "valid", "test")
    }
    assert (counts["train"], counts["valid"], counts["test"]) == (36, 12, 12)
    assert sum(len(part) for part in parts.values()) == len(set().union(*parts.values())) == 30


def test_the_order_of_rows_and_sources_changes_no_byte(tmp_path: Path) -> None:
    rows = [*QA, *QA[:4], {**QA[5], "answer": QA[5]["answer"] + "。"}]
    found = []
    for order in (1, -1):
        one, other = (
            put(tmp_path / "one.jsonl", rows[:14][::order]),
            put(tmp_path / "other.jsonl", rows[14:][::order]),
        )
        out = tmp_path / str(order)
        prepare(out, one, other, valid=0.2, test=0.1)
        found.append({name: (out / f"{name}.jsonl").read_bytes() for name in ("train", "valid", "test")})
    assert found[0] == found[1]


def test_another_seed_makes_another_split(tmp_path: Path) -> None:
    source = put(tmp_path / "a.jsonl", QA)
    for seed in (1, 2):
        prepare(tmp_path / str(seed), source, valid=0.2, seed=seed)
    one, other = (lines(tmp_path / str(seed) / "valid.jsonl") for seed in (1, 2))
    assert len(one) == len(other) == 6
    assert one != other


@pytest.mark.parametrize(
    ("num_rows", "shares", "missing"),
    [(3, {"valid": 0.1}, "valid would be empty"), (2, {"valid": 0.5, "test": 0.4}, "train would be empty")],
)
def test_a_part_that_was_asked_for_is_never_silently_empty(
    tmp_path: Path, num_rows: int, shares: dict, missing: str
) -> None:
    with pytest.raises(UserError, match=missing):
        prepare(tmp_path / "out", put(tmp_path / "a.jsonl", QA[:num_rows]), **shares)


def test_a_small_set_may_do_without_parts_that_were_not_asked_for(tmp_path: Path) -> None:
    source = put(tmp_path / "a.jsonl", QA[:3])
    counts = run(PrepareConfig.model_validate({"out": tmp_path / "out", "source": str(source)}))
    assert (counts["kept"], counts["train"]) == (3, 3)


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"valid 0\.5 and test 0\.5 leave nothing to train on"):
        prepare(tmp_path / "out", tmp_path / "a.jsonl", valid=0.5, test=0.5)


def test_the_files_are_the_same_to_the_byte_under_any_hash_seed(tmp_path: Path) -> None:
    source = put(tmp_path / "a.jsonl", [*QA, QA[3], {"question": "头痛", "answer": "无"}])
    exam = put(tmp_path / "exam.jsonl", ITEMS)
    code = (
        "import sys; from medtune.data.config import PrepareConfig; from medtune.data.prepare import run\n"
        "run(PrepareConfig(out=sys.argv[1], source=sys.argv[2:], valid=0.2, test=0.1, max_dropped=0.2))"
    )
    found = []
    for hash_seed in ("0", "4242"):
        out = tmp_path / hash_seed
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code, str(out), str(source), str(exam)]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        found.append({path.name: path.read_bytes() for path in out.iterdir() if path.is_file()})
    assert {"train.jsonl", "valid.jsonl", "test.jsonl", "dropped.jsonl", "card.md"} <= found[0].keys()
    assert found[0] == found[1]


def test_several_processes_make_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signs = [chr(0x4E00 + place) for place in range(3000)]
    rows = [
        {
            "question": f"{signs[place % 3000]}{signs[(7 * place) % 3000]}头痛怎么办",
            "answer": f"建议休息{place}天",
        }
        for place in range(1150)
    ]
    source = put(tmp_path / "a.jsonl", rows)
    found = []
    for workers, chunk_rows in ((1, 1000), (1, 100), (2, 100)):  # other processes begin with the ninth chunk
        monkeypatch.setattr("medtune.data.prepare.CHUNK_ROWS", chunk_rows)
        out = tmp_path / f"{workers}-{chunk_rows}"
        prepare(out, source, valid=0.1, test=0.1, runtime={"workers": workers})
        found.append({path.name: path.read_bytes() for path in out.iterdir() if path.is_file()})
    assert found[0] == found[1] == found[2]


def test_what_was_written_reads_back_as_records_and_prepares_again(tmp_path: Path) -> None:
    prefer = {"prompt": "头痛怎么办", "chosen": "注意休息几天", "rejected": "不用去管它"}
    sources = [
        put(tmp_path / "q.jsonl", QA),
        put(tmp_path / "p.jsonl", [prefer]),
        put(tmp_path / "d.jsonl", [{"text": "感冒多由病毒引起，一般一周左右自行好转。"}]),
        put(tmp_path / "e.jsonl", ITEMS),
    ]
    prepare(tmp_path / "out", *sources)
    kinds = Counter(record.kind for record in read_jsonl(tmp_path / "out" / "train.jsonl", RECORD))
    assert kinds == {"dialogue": 30, "preference": 1, "document": 1}
    prepare(tmp_path / "again", tmp_path / "out" / "train.jsonl", tmp_path / "out" / "test.jsonl")
    for name in ("train.jsonl", "test.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


# ---- real files ----

CEVAL = {
    "basic_medicine": ({"val": 19, "test": 175}, (33, 43, 45, 54)),
    "clinical_medicine": ({"val": 22, "test": 200}, (48, 48, 50, 54)),
    "physician": ({"val": 49, "test": 443}, (98, 98, 123, 124)),
}


def ceval_sources() -> list[dict[str, Any]]:
    return [
        {"path": str(DATA / "ceval_medical" / f"{name}.jsonl"), "subject": name, "split": sizes}
        for name, (sizes, _) in CEVAL.items()
    ]


@needs_data
def test_ceval_gives_818_test_items_with_unique_ids_and_the_known_gold_letters(tmp_path: Path) -> None:
    counts = prepare(tmp_path, *ceval_sources())
    assert (counts["rows"], counts["val"], counts["test"], counts["dropped"]) == (908, 90, 818, 0)
    items = [item for name in ("val", "test") for item in read_jsonl(tmp_path / f"{name}.jsonl", Question)]
    assert len({item.id for item in items}) == 908
    for subject, (_, letters) in CEVAL.items():
        gold = Counter(item.answer for item in items if item.subject == subject and item.split == "test")
        assert tuple(gold[letter] for letter in "ABCD") == letters


@needs_data
def test_the_ceval_item_with_two_equal_options_is_kept_as_it_is(tmp_path: Path) -> None:
    prepare(tmp_path, *ceval_sources())
    items = list(read_jsonl(tmp_path / "test.jsonl", Question))
    equal = [item for item in items if len(set(item.options.values())) < len(item.options)]
    assert [(item.subject, item.options["B"] == item.options["C"], item.answer) for item in equal] == [
        ("basic_medicine", True, "D")
    ]
    assert equal[0].id == question_id(equal[0].stem, None, equal[0].options)


@needs_data
def test_a_ceval_file_short_of_one_row_is_refused(tmp_path: Path) -> None:
    source = ceval_sources()[0]
    rows = Path(source["path"]).read_bytes().splitlines(keepends=True)
    short = tmp_path / "basic_medicine.jsonl"
    short.write_bytes(b"".join(rows[:-1]))
    with pytest.raises(UserError, match=r"193 rows where the source's split says val 19 \+ test 175 = 194"):
        prepare(tmp_path / "out", {**source, "path": str(short)})


class Made(NamedTuple):
    """A public file, prepared."""

    counts: dict[str, Any]
    out: Path


@pytest.fixture(scope="module")
def prepare_public(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """prepare_public(file): a public file prepared without any option, once."""

    @cache
    def make(file: str) -> Made:
        out = tmp_path_factory.mktemp("public")
        config = {"out": out, "source": str(DATA / file), "runtime": {"workers": 1}}
        return Made(run(PrepareConfig.model_validate(config)), out)

    return make


@needs_data
@pytest.mark.parametrize(
    ("file", "form", "encoding", "rows"),
    [
        ("ceval_medical/basic_medicine.jsonl", "exam", "utf-8", 194),
        ("ceval_medical/clinical_medicine.jsonl", "exam", "utf-8", 222),
        ("ceval_medical/physician.jsonl", "exam", "utf-8", 492),
        pytest.param("toyhom_neike_sample.csv", "consultation", "gb18030", 7644, marks=pytest.mark.slow),
        pytest.param("toyhom_neike.txt", "consultation", "gb18030", 4048, marks=pytest.mark.slow),
        pytest.param("huatuo_knowledge_8k.jsonl", "alpaca", "utf-8", 8658, marks=pytest.mark.slow),
        ("medical_o1_think_926.jsonl", "alpaca", "utf-8", 926),
        ("safety_red_team.jsonl", "alpaca", "utf-8", 10),
        ("medical_sft_1k_sharegpt.jsonl", "sharegpt", "utf-8", 1000),
        ("dpo_zh_500.jsonl", "preference", "utf-8", 500),
        ("medalpaca_mcq_999.jsonl", "inline-exam", "utf-8", 999),
        ("medalpaca_cot_999.jsonl", "sharegpt", "utf-8", 999),
        ("kuake_text_answer.json", "text-answer", "utf-8", 2000),
        ("medical_corpus.txt", "question-answer", "utf-8", 87),
    ],
)
def test_public_files_are_prepared_without_any_option(
    prepare_public: Callable[[str], Made], file: str, form: str, encoding: str, rows: int
) -> None:
    counts, out = prepare_public(file)
    assert counts["formats"] == {form: rows}
    assert list(counts["encodings"].values()) == [encoding]
    assert counts["rows"] == rows == counts["kept"] + counts["dropped"]
    assert counts["dropped"] == sum(counts["reasons"].values()) == len(lines(out / "dropped.jsonl"))
    names = ("train", "valid", "val", "test")
    written = {name: len(lines(out / f"{name}.jsonl")) for name in names if name in counts}
    assert written == {name: counts[name] for name in written}
    assert sum(written.values()) == counts["kept"]
    if "\ufffd" not in (DATA / file).read_bytes().decode(encoding):
        texts = (out / f"{name}.jsonl" for name in written)
        assert not any("\ufffd" in text.read_text(encoding="utf-8") for text in texts)


@needs_data
@pytest.mark.slow
def test_a_table_of_real_consultations_is_the_same_in_every_encoding(
    prepare_public: Callable[[str], Made], tmp_path: Path
) -> None:
    table = DATA / "toyhom_neike_sample.csv"
    text = table.read_bytes().decode("gb18030")
    assert "\r" not in text
    parts = ("train", "valid", "test")
    counts, out = prepare_public(table.name)
    assert counts["rows"] == 7644
    found = [(out / f"{part}.jsonl").read_bytes() for part in parts]
    for name, content in {
        "utf-8": text.encode("utf-8"),
        "utf-8-bom": text.encode("utf-8-sig"),
        "crlf": text.replace("\n", "\r\n").encode("gb18030"),
    }.items():
        folder, out = tmp_path / name, tmp_path / f"{name}-out"
        folder.mkdir()
        (folder / table.name).write_bytes(content)
        counts = run(PrepareConfig.model_validate({"out": out, "source": str(folder / table.name)}))
        assert counts["rows"] == 7644
        assert [(out / f"{part}.jsonl").read_bytes() for part in parts] == found, name
    departments = Counter(json.loads(row)["meta"]["specialty"] for row in found[0].splitlines())
    assert None not in departments


# ---- the samples' preferences ----


def test_preference_rows_of_the_samples_are_read_as_preferences(tmp_path: Path) -> None:
    counts = prepare(tmp_path, {"path": "samples:preferences.jsonl"})
    assert counts["formats"] == {"preference": counts["rows"]}
    assert counts["dropped"] == 0
    assert all(row["kind"] == "preference" for row in lines(tmp_path / "train.jsonl"))


def test_weights_of_turns_come_through_all_steps(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"第{n}个病人头痛{n}天了，电话13812345678，要紧吗？"},
                {"role": "assistant", "content": "多久了？", "weight": 0},
                {"role": "user", "content": f"已经{n}天了，吃了{n}片布洛芬。"},
                {
                    "role": "assistant",
                    "content": f"<think>看</think>请带上{n}张化验单去神经内科。</think>",
                },
            ]
        }
        for n in range(1, 9)
    ]
    prepare(tmp_path / "out", put(tmp_path / "a.jsonl", rows), dedup={"near": None})
    kept = lines(tmp_path / "out" / "train.jsonl")
    assert kept and all(row["weights"] == [1, 0, 1, 1] for row in kept)
    assert "13812345678" not in str(kept) and all(row["meta"]["deidentified"] for row in kept)
    prepare(tmp_path / "again", tmp_path / "out" / "train.jsonl", dedup={"near": None})
    assert [row["weights"] for row in lines(tmp_path / "again" / "train.jsonl")] == [
        row["weights"] for row in kept
    ]
