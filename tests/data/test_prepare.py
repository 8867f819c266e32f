"""Every row in is kept, dropped with its reason, or not asked for; the split is the same everywhere."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.data.config import PrepareConfig
from medtune.data.prepare import run
from medtune.errors import UserError
from medtune.records import RECORD, Question, question_id

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="wants the public data in ../shared/data")

QA = [{"question": f"第{number}种头痛怎么办？", "answer": f"建议{number}"} for number in range(30)]
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
    named = [source if isinstance(source, dict) else {"path": str(source)} for source in sources]
    return run(PrepareConfig.model_validate({"out": out, "sources": named, **settings}))


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
    assert lines(tmp_path / "out" / "dropped.jsonl") == [
        {"file": "talks.jsonl", "line": 4, "reason": "placeholder answer", "row": bad},
        {"file": "talks.jsonl", "line": 5, "reason": "duplicate of talks.jsonl:2", "row": QA[1]},
    ]


def test_a_reason_is_counted_under_its_whole_name(tmp_path: Path) -> None:
    upside_down = {
        "messages": [{"role": "assistant", "content": "您好"}, {"role": "user", "content": "头痛"}]
    }
    right = {"messages": upside_down["messages"][::-1]}
    counts = prepare(tmp_path / "out", put(tmp_path / "a.jsonl", [right, upside_down]), max_dropped=0.5)
    assert counts["reasons"] == {"turns out of order": 1}
    assert "| dropped: turns out of order | 1 |" in (tmp_path / "out" / "card.md").read_text(encoding="utf-8")


def test_dropping_more_than_max_dropped_names_the_first_place(tmp_path: Path) -> None:
    bad = [{"question": f"问题{number}", "answer": "无"} for number in range(2)]
    source = put(tmp_path / "talks.jsonl", [*QA[:18], *bad])
    assert prepare(tmp_path / "all", source, max_dropped=0.1)["dropped"] == 2
    with pytest.raises(UserError, match=r"talks\.jsonl:19: placeholder answer; with it 2 of 20 rows .* 5%"):
        prepare(tmp_path / "out", source)
    assert not (tmp_path / "out").exists()


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


def test_the_card_tells_licences_and_the_same_numbers_as_the_counts(tmp_path: Path) -> None:
    source = put(tmp_path / "talks.jsonl", [*QA, QA[0]])
    counts = prepare(tmp_path / "out", {"path": str(source), "license": "MIT"}, valid=0.2)
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    for line in ("| talks.jsonl | MIT |", "| read | 31 |", "| dropped: duplicate | 1 |", "| kept | 30 |"):
        assert line in card
    assert f"| train | {counts['train']} |" in card
    assert f"| valid | {counts['valid']} |" in card
    assert "De-identification did not run" in card


# ---- what stops ----


def test_a_bad_row_stops_with_its_place(tmp_path: Path) -> None:
    cut = put(tmp_path / "cut.jsonl", QA[:3])
    cut.write_bytes(cut.read_bytes()[:-4])
    keyless = put(tmp_path / "keyless.jsonl", [QA[0], {"question": "头痛"}])
    typed = put(tmp_path / "typed.jsonl", [QA[0], {"question": "头痛", "answer": ["休息"]}])
    unkeyed = put(
        tmp_path / "exam.jsonl",
        [ITEM, {key: ITEM[key] for key in ("question", "A", "B", "subject", "split")}],
    )
    wrong = put(tmp_path / "wrong.jsonl", [ITEM, {**ITEMS[1], "answer": "D"}])
    for source, complaint in (
        (cut, r"cut\.jsonl:3: no whole JSON: .*is the line cut off"),
        (keyless, r"keyless\.jsonl:2: has no 'answer' \(keys: question\)"),
        (typed, r"typed\.jsonl:2: 'answer' is a list; text is wanted"),
        (unkeyed, r"exam\.jsonl:2: has no 'answer'"),
        (wrong, r"wrong\.jsonl:2: answer 'D' is not among the options ABC"),
        (tmp_path / "none.jsonl", r"none\.jsonl: no such file"),
    ):
        with pytest.raises(UserError, match=complaint):
            prepare(tmp_path / "out", source)


def test_a_file_of_two_formats_is_refused_unless_the_format_is_named(tmp_path: Path) -> None:
    source = put(tmp_path / "mixed.jsonl", [{"text": "头痛是常见症状"}, {"text": "头痛", "answer": "休息"}])
    with pytest.raises(
        UserError, match=r"mixed\.jsonl:2: reads as text-answer, the file's first row as document"
    ):
        prepare(tmp_path / "out", source)
    named = {"path": str(source), "format": "document"}
    assert prepare(tmp_path / "out", named)["formats"] == {"document": 2}


def test_the_files_of_a_directory_may_have_a_format_each(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    put(folder / "a.jsonl", QA[:2])
    (folder / "b.csv").write_bytes("ask,answer\n头痛三天了怎么办,多休息\n".encode("gb18030"))
    counts = prepare(tmp_path / "out", folder)
    assert counts["formats"] == {"consultation": 1, "question-answer": 2}
    assert {row["meta"]["source"] for row in lines(tmp_path / "out" / "train.jsonl")} == {"set"}


def test_split_numbers_must_add_up_and_agree_with_the_rows(tmp_path: Path) -> None:
    source = put(tmp_path / "exam.jsonl", [{key: row[key] for key in row if key != "split"} for row in ITEMS])
    named = {"path": str(source), "split": {"val": 1, "test": 3}}
    counts = prepare(tmp_path / "out", named)
    assert (counts["val"], counts["test"]) == (1, 3)
    with pytest.raises(UserError, match=r"exam\.jsonl: 4 rows where .* val 1 \+ test 4 = 5"):
        prepare(tmp_path / "short", {**named, "split": {"val": 1, "test": 4}})
    with pytest.raises(UserError, match=r"own\.jsonl:1: names split test where the source's split says val"):
        prepare(tmp_path / "own", {**named, "path": str(put(tmp_path / "own.jsonl", ITEMS))})


def test_split_and_subject_are_refused_where_no_row_is_an_exam_item(tmp_path: Path) -> None:
    source = str(put(tmp_path / "talks.jsonl", QA))
    for setting in ({"split": "test"}, {"split": {"val": 10, "test": 20}}, {"subject": "内科"}):
        with pytest.raises(UserError, match=r"talks\.jsonl: split and subject are for exam items"):
            prepare(tmp_path / "out", {"path": source, **setting})


# ---- repeats ----


def test_the_first_of_equal_records_stays_whatever_file_and_format(tmp_path: Path) -> None:
    one = put(tmp_path / "one.jsonl", QA[:3])
    other = put(tmp_path / "other.jsonl", [{"instruction": QA[2]["question"], "output": QA[2]["answer"]}])
    counts = prepare(tmp_path / "out", one, other, max_dropped=0.5)
    assert counts["reasons"] == {"duplicate": 1}
    assert lines(tmp_path / "out" / "dropped.jsonl")[0]["reason"] == "duplicate of one.jsonl:3"


def test_a_repeated_exam_item_with_the_same_answer_is_a_counted_duplicate(tmp_path: Path) -> None:
    counts = prepare(tmp_path / "out", put(tmp_path / "exam.jsonl", [*ITEMS, ITEMS[0]]), max_dropped=0.5)
    assert (counts["kept"], counts["reasons"]) == (4, {"duplicate": 1})


@pytest.mark.parametrize("settings", [{}, {"answers": "single"}, {"max_dropped": 1}])
def test_one_exam_item_with_two_answers_is_refused_with_both_places(tmp_path: Path, settings: dict) -> None:
    one = put(tmp_path / "one.jsonl", ITEMS)
    other = put(tmp_path / "other.jsonl", [{**ITEMS[2], "answer": "BC", "subject": "外科", "split": "val"}])
    with pytest.raises(
        UserError, match=r"other\.jsonl:1: has answer BC, the same item at .*one\.jsonl:3 answer A"
    ):
        prepare(tmp_path / "out", one, other, **settings)


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


def test_the_order_of_sources_does_not_change_who_goes_where(tmp_path: Path) -> None:
    one, other = put(tmp_path / "one.jsonl", QA[:14]), put(tmp_path / "other.jsonl", QA[14:])
    prepare(tmp_path / "ab", one, other, valid=0.2, test=0.1)
    prepare(tmp_path / "ba", other, one, valid=0.2, test=0.1)
    for name in ("train", "valid", "test"):
        ab, ba = (lines(tmp_path / order / f"{name}.jsonl") for order in ("ab", "ba"))
        assert sorted(row["id"] for row in ab) == sorted(row["id"] for row in ba)


def test_another_seed_makes_another_split(tmp_path: Path) -> None:
    source = put(tmp_path / "a.jsonl", QA)
    for seed in (1, 2):
        prepare(tmp_path / str(seed), source, valid=0.2, seed=seed)
    one, other = (lines(tmp_path / str(seed) / "valid.jsonl") for seed in (1, 2))
    assert len(one) == len(other) == 6
    assert one != other


@pytest.mark.parametrize(
    ("num_rows", "shares", "missing"),
    [
        (3, {"valid": 0.1}, "valid would be empty"),
        (2, {"valid": 0.5, "test": 0.4}, "train would be empty"),
        (0, {"valid": 0.1}, "valid, train would be empty"),
    ],
)
def test_a_part_that_was_asked_for_is_never_silently_empty(
    tmp_path: Path, num_rows: int, shares: dict, missing: str
) -> None:
    sources = [put(tmp_path / "exam.jsonl", ITEMS)]
    if num_rows:
        sources.append(put(tmp_path / "a.jsonl", QA[:num_rows]))
    with pytest.raises(UserError, match=missing):
        prepare(tmp_path / "out", *sources, **shares)


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"valid 0\.5 and test 0\.5 leave nothing to train on"):
        prepare(tmp_path / "out", tmp_path / "a.jsonl", valid=0.5, test=0.5)


def test_the_files_are_the_same_to_the_byte_under_any_hash_seed(tmp_path: Path) -> None:
    source = put(tmp_path / "a.jsonl", [*QA, QA[3], {"question": "头痛", "answer": "无"}])
    exam = put(tmp_path / "exam.jsonl", ITEMS)
    code = (
        "import sys; from medtune.data.config import PrepareConfig; from medtune.data.prepare import run\n"
        "sources = [{'path': path} for path in sys.argv[2:]]\n"
        "run(PrepareConfig(out=sys.argv[1], sources=sources, valid=0.2, test=0.1, max_dropped=0.2))"
    )
    found = []
    for hash_seed in ("0", "4242"):
        out = tmp_path / hash_seed
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code, str(out), str(source), str(exam)]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        found.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert found[0].keys() == {"train.jsonl", "valid.jsonl", "test.jsonl", "dropped.jsonl", "card.md"}
    assert found[0] == found[1]


def test_what_was_written_reads_back_as_records(tmp_path: Path) -> None:
    prefer = {"prompt": "头痛怎么办", "chosen": "休息", "rejected": "不管"}
    sources = [
        put(tmp_path / "q.jsonl", QA),
        put(tmp_path / "p.jsonl", [prefer]),
        put(tmp_path / "d.jsonl", [{"text": "正文"}]),
    ]
    prepare(tmp_path / "out", *sources)
    kinds = Counter(record.kind for record in read_jsonl(tmp_path / "out" / "train.jsonl", RECORD))
    assert kinds == {"dialogue": 30, "preference": 1, "document": 1}


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


@needs_data
@pytest.mark.parametrize(
    ("file", "form", "rows", "kept"),
    [
        ("huatuo_knowledge_8k.jsonl", "alpaca", 8658, 8654),
        ("medical_o1_think_926.jsonl", "alpaca", 926, 926),
        ("medical_sft_1k_sharegpt.jsonl", "sharegpt", 1000, 1000),
        ("dpo_zh_500.jsonl", "preference", 500, 498),
        ("kuake_text_answer.json", "text-answer", 2000, 2000),
    ],
)
def test_public_files_are_read_to_the_last_row(
    tmp_path: Path, file: str, form: str, rows: int, kept: int
) -> None:
    counts = prepare(tmp_path, {"path": Input(DATA / file)}, max_dropped=0.06)
    assert counts["formats"] == {form: rows}
    assert (counts["kept"], counts["dropped"]) == (kept, rows - kept)
    assert len(lines(tmp_path / "train.jsonl")) == kept


@needs_data
def test_a_gb18030_table_of_real_consultations_holds_no_mojibake(tmp_path: Path) -> None:
    counts = prepare(tmp_path, DATA / "toyhom_neike_sample.csv", max_dropped=0.06)
    assert counts["formats"] == {"consultation": 7644}
    assert (counts["kept"], counts["reasons"]) == (7248, {"duplicate": 396})
    text = (tmp_path / "train.jsonl").read_text(encoding="utf-8")
    assert "高血压" in text
    assert "\ufffd" not in text
    departments = Counter(row["meta"]["specialty"] for row in lines(tmp_path / "train.jsonl"))
    assert departments.total() == 7248
    assert None not in departments


# ---- the samples' preferences ----


def test_preference_rows_of_the_samples_are_read_as_preferences(tmp_path: Path) -> None:
    counts = prepare(tmp_path, {"path": "samples:preferences.jsonl"})
    assert counts["formats"] == {"preference": counts["rows"]}
    assert counts["dropped"] == 0
    assert all(row["kind"] == "preference" for row in lines(tmp_path / "train.jsonl"))
