"""Exam items in every layout give letters, options, subject and split; what cannot be told is a fault."""

from pathlib import Path

import pytest

from medtune.config import Input
from medtune.data.config import Source
from medtune.data.exams import LINE_MARK, MARK, find_gold, plan_splits, split_of, split_options, subject_of
from medtune.data.formats import find_format
from medtune.data.reading.rows import Bad, Raw
from medtune.data.reading.sources import read_rows
from medtune.errors import UserError
from medtune.records import Question

SHARED = Path(__file__).parents[3] / "shared" / "data"
SOURCE = Source(path=Input("set.jsonl"), subject="内科", split="test")
OPEN = Source(path=Input("data"))
ROW = {"question": "下列哪项", "A": "甲", "B": "乙", "C": "丙", "answer": "B"}


def read(row: dict, source: Source = SOURCE, place: str = "set.jsonl:1") -> Question:
    record = find_format(row, "auto", place)[1](row, source)
    assert isinstance(record, Question)
    return record


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("B", "B"), ("b", "B"), ("CA", "AC"), ("A,C", "AC"), ("A、B；C", "ABC"), ("A B", "AB"), ("B.", "B"),
        ("答案：B", "B"), ("乙", "B"), (" 乙。", "B"), ("B. 乙", "B"), ("B、乙", "B"), ("丙 ", "C"),
    ],
)  # fmt: skip
def test_the_answer_is_found_as_letters_or_as_an_options_text(answer: str, gold: str) -> None:
    assert find_gold(answer.strip(), {"A": "甲", "B": "乙", "C": "丙"}) == gold


def test_an_answer_that_is_none_of_the_options_or_two_of_them_is_a_fault() -> None:
    for answer, complaint in (
        ("", "an empty 'answer'"),
        ("丁", "is not among the options AB"),
        ("甲甲", "甲甲"),
    ):
        with pytest.raises(ValueError, match=complaint):
            find_gold(answer, {"A": "甲", "B": "乙"})
    with pytest.raises(ValueError, match="the text of options A, B"):
        find_gold("不管它", {"A": "不管它", "B": "不管它", "C": "就医"})
    with pytest.raises(ValueError, match="answer 'D' is not among the options ABC"):
        read({**ROW, "answer": "D"})
    with pytest.raises(ValueError, match="'A' is a list"):
        read({**ROW, "A": ["甲"]})
    with pytest.raises(ValueError, match="names split 'later'; known: train, dev, val"):
        read({**ROW, "split": "later"})


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("首选药是（ ）。 选项: A. 甲药 B. 乙药 C. 丙药", "首选药是（ ）。", ["甲药", "乙药", "丙药"]),
        ("首选药是\nA、甲药\nB、乙药\nC、丙药\nD、丁药", "首选药是", ["甲药", "乙药", "丙药", "丁药"]),
        ("首选药是？（A）甲药（B）乙药（C）丙药", "首选药是？", ["甲药", "乙药", "丙药"]),
        ("维生素A. 缺乏时 A：甲 B：维生素A C：丙", "维生素A. 缺乏时", ["甲", "维生素A", "丙"]),
        ("大小 A．5cm，B．6cm，C．7cm", "大小", ["5cm", "6cm", "7cm"]),
    ],
)
def test_options_are_parted_from_the_stem(text: str, stem: str, options: list[str]) -> None:
    found = split_options(text, MARK)
    assert found is not None
    assert (found[0], list(found[1].values())) == (stem, options)
    assert list(found[1]) == list("ABCDEFGH"[: len(options)])


def test_fewer_than_three_options_or_letters_in_words_are_none() -> None:
    assert split_options("A. 甲 B. 乙", MARK) is None
    assert split_options("肝炎有A型、B型和C型", MARK) is None
    assert split_options("A 甲\nB 乙\nC 丙", LINE_MARK) == ("", {"A": "甲", "B": "乙", "C": "丙"})


def test_a_question_about_options_with_a_long_answer_stays_a_talk() -> None:
    row = {
        "instruction": "哪项对？ A. 甲 B. 乙 C. 丙",
        "input": "",
        "output": "应当选乙，因为甲和丙都有禁忌，不能用。",
    }
    assert find_format(row, "auto", "x:1")[0] == "alpaca"
    row["output"] = "丁"
    assert find_format(row, "auto", "x:1")[0] == "inline-exam"
    with pytest.raises(ValueError, match="'丁' is not among the options ABC"):
        read(row)


def test_empty_options_are_none_and_a_shared_case_is_kept() -> None:
    item = read({**ROW, "C": "", "D": None, "case": "男，三十岁"})
    assert (item.options, item.case) == ({"A": "甲", "B": "乙"}, "男，三十岁")


def test_columns_of_chinese_or_other_tables_are_known() -> None:
    rows = [
        {"题目": "下列哪项", "选项A": "甲", "选项B": "乙", "选项C": "丙", "答案": "B"},
        {"Question": "下列哪项", "A": "甲", "B": "乙", "C": "丙", "Answer": "B"},
        {"question": "下列哪项", "a": "甲", "b": "乙", "c": "丙", "answer": "B"},
        {"question": "下列哪项", "options": ["甲", "乙", "丙"], "answer": "B"},
        {"question": "下列哪项", "options": ["A. 甲", "B. 乙", "C. 丙"], "answer_idx": "B"},
        {"question": "下列哪项", "options": "A. 甲 B. 乙 C. 丙", "answer": "乙"},
    ]
    assert len({read(row).model_dump_json() for row in rows}) == 1


def test_identity_does_not_change_with_the_key() -> None:
    assert read(ROW).id == read({**ROW, "answer": "A"}).id != read({**ROW, "B": "丁"}).id


# ---- subject and split ----


def test_the_subject_is_the_rows_the_sources_or_the_files() -> None:
    place = "ceval/val/basic_medicine_val.csv:7"
    assert read({**ROW, "subject": "外科"}, place=place).subject == "外科"
    assert read({**ROW, "exam_subject": "儿科"}, place=place).subject == "儿科"
    assert read(ROW, place=place).subject == "内科"
    assert read(ROW, OPEN, place).subject == "basic_medicine"
    for name, subject in (
        ("test.csv", "test"),
        ("physician_test.csv.gz", "physician"),
        ("anatomy.csv", "anatomy"),
    ):
        assert subject_of(Path(name)) == subject


def test_the_split_is_the_rows_the_sources_or_open() -> None:
    assert read({**ROW, "split": "validation"}).split == "val"
    assert read({**ROW, "split": "train"}).split == "train"
    assert read(ROW).split == "test"
    assert read(ROW, OPEN).split == "open"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("physician_test.csv", "test"), ("physician_val.csv", "val"), ("dev/anatomy.csv", "dev"),
        ("set.zip/test/anatomy.csv", "test"), ("train.json", "train"), ("CMB-val-merge.json", None),
        ("valid.jsonl", "val"), ("test-00000-of-00001.parquet", "test"), ("testament.csv", None),
        ("latest/anatomy.csv", None),
    ],
)  # fmt: skip
def test_the_split_is_told_by_the_name_of_a_file_or_its_directory(name: str, split: str | None) -> None:
    assert split_of(Path(name)) == split


def rows(*ids: object, file: str = "physician.jsonl") -> list[Raw | Bad]:
    return [Raw(Path(file), line, {**ROW, "id": number}) for line, number in enumerate(ids, 1)]


def test_numbers_of_the_source_give_each_row_its_split_in_file_order() -> None:
    source = Source(path=Input("x"), split={"val": 2, "test": 3})
    assert plan_splits(rows(*range(5)), source) == ["val", "val", "test", "test", "test"]
    for num_rows in (4, 6):
        with pytest.raises(UserError, match=f"{num_rows} rows where .* val 2 \\+ test 3 = 5"):
            plan_splits(rows(*range(num_rows)), source)


def test_ids_that_begin_anew_once_are_val_and_then_test() -> None:
    assert plan_splits(rows(0, 1, 0, 1, 2), OPEN) == ["val", "val", "test", "test", "test"]
    assert plan_splits(rows("1", "2", "1", "2", "3"), OPEN) == ["val", "val", "test", "test", "test"]
    damaged: list[Raw | Bad] = [Bad(Path("physician.jsonl"), 9, "not an object", "7")]
    assert plan_splits([*rows(0, 1), *damaged, *rows(0, 1, 2, 3)], OPEN) == ["val"] * 3 + ["test"] * 4


@pytest.mark.parametrize(
    "ids",
    [
        (0, 1, 2, 3),
        (0, 1, 2, 0, 1),
        (0, 1, 0, 1),
        (0, 1, 0, 1, 0, 1, 2, 3),
        (3, 4, 0, 1, 2),
        (0, 1, 5, 2, 3),
        ("a", "b"),
        (),
    ],
)
def test_ids_that_tell_nothing_leave_the_items_open(ids: tuple[object, ...]) -> None:
    assert plan_splits(rows(*ids), OPEN) is None


def test_names_of_files_come_before_ids_and_rows_and_sources_before_both() -> None:
    assert plan_splits(rows(0, 0, 1, file="anatomy_dev.csv"), OPEN) == ["dev"] * 3
    assert plan_splits(rows(0, 0, 1, file="anatomy_dev.csv"), SOURCE) is None
    named = [row._replace(values={**ROW, "split": "val"}) for row in rows(0, 0, 1) if isinstance(row, Raw)]
    assert plan_splits(named, OPEN) is None


def test_split_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Source(path=Input("x"), split={"val": -1, "test": 3})


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("name", "num_val", "num_test"),
    [("basic_medicine", 19, 175), ("clinical_medicine", 22, 200), ("physician", 49, 443)],
)
def test_the_public_exam_files_are_val_and_test_in_one(name: str, num_val: int, num_test: int) -> None:
    source = Source(path=Input(SHARED / "ceval_medical" / f"{name}.jsonl"))
    found = list(read_rows(source))
    assert plan_splits(found, source) == ["val"] * num_val + ["test"] * num_test
    subjects = {read(row.values, source, row.place).subject for row in found if isinstance(row, Raw)}
    assert subjects == {name}
