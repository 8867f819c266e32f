"""A known exam is whole or refused: every subject and split has as many questions as its publishers say."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from medtune.artifact import read_jsonl
from medtune.config import judge
from medtune.data import benchmarks
from medtune.data.benchmarks import SPLITS, check_whole, find_benchmark, read_benchmarks
from medtune.data.catalog import read_catalog
from medtune.data.config import PrepareConfig
from medtune.data.prepare import run
from medtune.errors import UserError
from medtune.evals.prompt import Style, ask
from medtune.listing import catalog_lines
from medtune.records import Dialogue, Question

SHARED = Path(__file__).parents[3] / "shared" / "data" / "ceval_medical"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is absent")
LITTLE = {
    "ceval": {
        "title": "小考", "counts_from": "this test", "default": ["anatomy", "law_of_mass"],
        "subjects": {
            "anatomy": {"zh": "解剖学", "val": 2, "test": 3},
            "law_of_mass": {"zh": "质量定律", "val": 1, "test": 2},
            "law": {"zh": "法学", "val": 1, "test": 1},
        },
        "others": ["sports"],
    },
    "cmb": {
        "title": "大考", "counts_from": "this test", "by": "exam_class", "answer_key": "*choice-answer*",
        "skip": "*Clin*", "totals": {"train": 2, "val": 2, "test": 3},
        "subjects": {"护士": {"test": 2}, "药师": {"test": 1}},
    },
    "cmb-clin": {
        "title": "病例", "counts_from": "this test", "unit": "cases", "subjects": {"cases": {"test": 2}},
    },
}  # fmt: skip


@pytest.fixture
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the files of the little exams, which stand in the table in place of the real ones."""
    table = tmp_path / "table.yaml"
    table.write_text(yaml.safe_dump(LITTLE, allow_unicode=True), encoding="utf-8")
    monkeypatch.setattr(benchmarks, "TABLE", table)
    read_benchmarks.cache_clear()
    (tmp_path / "exam").mkdir()
    yield tmp_path / "exam"
    read_benchmarks.cache_clear()


def item(name: str, number: int, **more: object) -> dict[str, Any]:
    options = {letter: f"{name}{number}{letter}" for letter in "ABCD"}
    return {"id": number, "question": f"{name}第{number}题哪项正确____", **options, "answer": "B", **more}


def items(name: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    return [item(name, first + number) | {"id": number} for number in range(count)]


def put(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(
        text if path.suffix == ".jsonl" else json.dumps(rows, ensure_ascii=False), encoding="utf-8"
    )
    return path


def prepare(out: Path, *sources: dict[str, Any] | str, **settings: Any) -> dict[str, Any]:
    values = {
        "out": out,
        "source": list(sources),
        "valid": 0,
        "test": 0,
        "runtime": {"workers": 1},
        **settings,
    }
    return run(judge(PrepareConfig, values, "prepare"))


def put_little(folder: Path) -> dict[str, Any]:
    """The little exam, val and test in one file each, as one source."""
    put(folder / "anatomy.jsonl", [*items("骨", 2), *items("骨", 3, 10)])
    put(folder / "law_of_mass.jsonl", [*items("酶", 1), *items("酶", 2, 10)])
    return {"path": str(folder), "benchmark": "ceval"}


def tell(out: Path, split: str) -> Counter[str]:
    return Counter(question.subject for question in read_jsonl(out / f"{split}.jsonl", Question))


# ---- the table ----


def test_every_exam_of_the_table_lies_in_the_catalog_and_says_where_its_numbers_are_from() -> None:
    rows = read_catalog()
    for name, benchmark in read_benchmarks().items():
        assert rows[name].kind == "exam" and benchmark.counts_from
        assert set(benchmark.default) <= set(benchmark.subjects)
        names = [benchmark.name_of(key) for key in benchmark.subjects]
        assert len(set(names)) == len(names)
        for subject in benchmark.subjects.values():
            assert any(subject.count_of(split) for split in SPLITS)


def test_the_numbers_add_up_to_what_is_published() -> None:
    ceval, cmb, cmmlu = (find_benchmark(name) for name in ("ceval", "cmb", "cmmlu"))
    sums = [sum(one.count_of(split) or 0 for one in ceval.subjects.values()) for split in SPLITS]
    assert (len(ceval.subjects), sums) == (52, [0, 260, 1346, 12342])
    medical = {key: ceval.subjects[key] for key in ceval.choose(())}
    assert {key: (one.zh, one.dev, one.val, one.test) for key, one in medical.items()} == {
        "basic_medicine": ("基础医学", 5, 19, 175),
        "clinical_medicine": ("临床医学", 5, 22, 200),
        "physician": ("医师资格", 5, 49, 443),
    }
    assert len(cmb.subjects) == 28 and {one.test for one in cmb.subjects.values()} == {400}
    assert cmb.totals == {"train": 269359, "val": 280, "test": 28 * 400}
    assert len(cmmlu.subjects) + len(cmmlu.others) == 67
    assert sum(cmmlu.subjects[key].test or 0 for key in cmmlu.choose(())) == 1639
    cmexam = find_benchmark("cmexam").subjects["cmexam"]
    assert sum(cmexam.count_of(split) or 0 for split in SPLITS) == 68119


def test_the_listing_shows_the_counts_and_the_command() -> None:
    text = "\n".join(catalog_lines("ceval", {}))
    assert "* basic_medicine" in text and "兽医学" in text and "443" in text
    assert "medtune prepare source=benchmark:ceval out=runs/ceval" in text
    assert "{path: PATH, benchmark: medqa-zh}" in "\n".join(catalog_lines("medqa-zh", {}))


def test_a_name_stands_for_the_address_the_files_and_the_licence() -> None:
    given = {"out": "x", "source": {"path": "benchmark:ceval", "subjects": ["physician", "兽医学"]}}
    (source,) = judge(PrepareConfig, given, "prepare").source
    assert (source.path, source.benchmark, source.license) == (
        "hf:ceval/ceval-exam",
        "ceval",
        "CC-BY-NC-SA-4.0",
    )
    assert source.files == "physician/*,veterinary_medicine/*"
    (source,) = judge(PrepareConfig, {"out": "x", "source": "benchmark:cmb"}, "prepare").source
    assert source.answer_key == "git:https://github.com/FreedomIntelligence/CMB"
    (source,) = judge(PrepareConfig, {"out": "x", "source": "benchmark:cmb-clin"}, "prepare").source
    assert source.part == "test"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("benchmark:cevall", "no known exam; did you mean ceval"),
        ("benchmark:medqa-zh", "fetch it by hand .* benchmark: medqa-zh"),
        ({"path": "benchmark:ceval", "benchmark": "cmb"}, "named beside benchmark: cmb"),
        ({"path": "x", "benchmark": "ceval", "subjects": ["physicien"]}, "did you mean physician"),
        (
            {"path": "x", "benchmark": "cmmlu", "subjects": ["agronomy"]},
            "no subject agronomy with known counts",
        ),
        ({"path": "x", "benchmark": "ceval", "max_samples": 5}, "max_samples cannot be set for a known exam"),
        ({"path": "x", "benchmark": "ceval", "part": "test"}, "part cannot be set"),
        ({"path": "x", "subjects": ["physician"]}, "subjects is for known exams"),
        ({"path": "x", "answer_key": "y"}, "answer_key is for known exams"),
    ],
)
def test_what_does_not_fit_a_known_exam_is_refused_when_the_config_is_read(
    source: Any, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        judge(PrepareConfig, {"out": "x", "source": source}, "prepare")


def test_subjects_of_an_exam_are_named_in_its_source() -> None:
    values = {"out": "x", "source": {"path": "x", "benchmark": "ceval"}, "subjects": ["physician"]}
    with pytest.raises(UserError, match="name the subjects of a known exam in its source"):
        judge(PrepareConfig, values, "prepare")


# ---- whole, in any layout ----


def test_val_and_test_in_one_file_are_told_by_ids_that_begin_anew(little: Path, tmp_path: Path) -> None:
    counts = prepare(tmp_path / "out", put_little(little))
    assert counts["benchmarks"] == {"ceval": {"val": 3, "test": 5}}
    assert (counts["kept"], counts["val"], counts["test"]) == (8, 3, 5)
    assert tell(tmp_path / "out", "test") == {"解剖学": 3, "质量定律": 2}
    question = next(iter(read_jsonl(tmp_path / "out" / "val.jsonl", Question)))
    assert (question.meta.source, question.meta.license) == ("benchmark:ceval", "CC-BY-NC-SA-4.0")


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/ceval_{subject}_{split}.csv",
        "{subject}/{split}-00000-of-00001.jsonl",
        "{split}/{subject}.jsonl",
    ],
)
def test_folders_and_names_of_files_tell_subject_and_split(little: Path, tmp_path: Path, layout: str) -> None:
    for subject, name, sizes in (("anatomy", "骨", (2, 3)), ("law_of_mass", "酶", (1, 2))):
        for split, size, first in zip(("val", "test"), sizes, (0, 10), strict=True):
            rows = items(name, size, first)
            path = little / layout.format(subject=subject, split=split)
            if path.suffix == ".csv":
                path.parent.mkdir(exist_ok=True)
                lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
                path.write_text("\n".join(lines), encoding="utf-8")
            else:
                put(path, rows)
    prepare(tmp_path / "out", {"path": str(little), "benchmark": "ceval"})
    prepare(tmp_path / "one", put_little(tmp_path / "other"))
    for split in ("val", "test"):
        ids = [
            {row.id for row in read_jsonl(tmp_path / made / f"{split}.jsonl", Question)}
            for made in ("out", "one")
        ]
        assert ids[0] == ids[1]


def test_the_prompt_asks_with_the_chinese_name_of_the_subject(little: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "out", put_little(little))
    question = next(row for row in read_jsonl(tmp_path / "out" / "test.jsonl", Question) if "骨" in row.stem)
    assert "以下是中国关于解剖学考试的" in ask(question, Style("ceval-official")).messages[0].content


# ---- short, long, mixed ----


@pytest.mark.parametrize(("gone", "split", "found"), [(0, "val", 1), (2, "test", 2), (4, "test", 2)])
def test_a_set_short_of_one_question_is_refused(
    little: Path, tmp_path: Path, gone: int, split: str, found: int
) -> None:
    source = put_little(little)
    path = little / "anatomy.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:gone] + lines[gone + 1 :]), encoding="utf-8")
    expected = found + 1
    with pytest.raises(
        UserError, match=rf"解剖学 \(anatomy\), {split}: {found} questions found, {expected} expected"
    ):
        prepare(tmp_path / "out", source)


def test_too_many_questions_and_missing_subjects_are_named_together(little: Path, tmp_path: Path) -> None:
    source = put_little(little)
    (little / "law_of_mass.jsonl").unlink()
    put(little / "copy" / "anatomy_val.jsonl", items("骨", 2))
    with pytest.raises(UserError) as refused:
        prepare(tmp_path / "out", source)
    lines = str(refused.value).splitlines()
    assert lines[0] == "小考: 解剖学 (anatomy), val: 4 questions found, 2 expected"
    assert lines[1] == "小考: 质量定律 (law_of_mass), val: 0 questions found, 1 expected"
    assert lines[2] == "小考: 质量定律 (law_of_mass), test: 0 questions found, 2 expected"
    assert "leave `benchmark` out" in lines[3]


def test_an_exam_may_come_in_several_sources(little: Path, tmp_path: Path) -> None:
    put_little(little)
    files = [
        {"path": str(little / f"{name}.jsonl"), "benchmark": "ceval"} for name in ("anatomy", "law_of_mass")
    ]
    assert prepare(tmp_path / "out", *files)["test"] == 5
    with pytest.raises(UserError, match=r"质量定律 \(law_of_mass\), test: 0 questions found, 2 expected"):
        prepare(tmp_path / "half", files[0])


def test_subjects_and_splits_choose_and_the_rest_is_counted_as_not_asked_for(
    little: Path, tmp_path: Path
) -> None:
    source = put_little(little)
    put(little / "law.jsonl", [item("法", 0), item("法", 1) | {"id": 0}])
    put(little / "sports.jsonl", items("球", 4))
    counts = prepare(tmp_path / "out", source)
    assert (counts["kept"], counts["not_wanted"], counts["rows"]) == (8, 6, 14)
    counts = prepare(tmp_path / "some", {**source, "subjects": ["解剖学", "law"], "splits": ["test"]})
    assert tell(tmp_path / "some", "test") == {"解剖学": 3, "法学": 1}
    assert (counts["kept"], counts["not_wanted"], counts["benchmarks"]) == (4, 10, {"ceval": {"test": 4}})
    with pytest.raises(UserError, match="no exam item is of the subjects"):
        prepare(tmp_path / "none", {**source, "splits": ["dev"]})


def test_a_file_of_no_known_subject_or_split_is_refused(little: Path, tmp_path: Path) -> None:
    source = put_little(little)
    path = put(little / "midwifery_test.jsonl", items("产", 2))
    with pytest.raises(
        UserError, match=r"midwifery_test\.jsonl:1: the name of file and folder is no subject"
    ):
        prepare(tmp_path / "out", source)
    path.unlink()
    put(little / "anatomy.jsonl", items("骨", 5))
    with pytest.raises(UserError, match=r"anatomy\.jsonl:1: nothing tells the split"):
        prepare(tmp_path / "out", source)
    numbers = {"path": str(little / "anatomy.jsonl"), "benchmark": "ceval", "subjects": ["anatomy"]}
    assert prepare(tmp_path / "told", {**numbers, "split": {"val": 2, "test": 3}})["test"] == 3


def test_a_split_whose_number_is_stated_only_for_all_is_not_checked_apart() -> None:
    found = {("护士执业资格", "val"): 10, ("护士执业资格", "test"): 400}
    check_whole("cmb", subjects=["护士执业资格"], splits=["test"], found=found)
    with pytest.raises(UserError, match=r"val: 10 questions found; how many .* only for all together: 280"):
        check_whole("cmb", subjects=["护士执业资格"], splits=[], found=found)


# ---- not one question is lost ----


def test_an_item_that_stands_twice_counts_twice(little: Path, tmp_path: Path) -> None:
    put(little / "anatomy_val.jsonl", items("骨", 2))
    rows = [item("骨", 10), item("骨", 10) | {"id": 1}, item("骨", 10, answer="C") | {"id": 2}]
    path = put(little / "anatomy_test.jsonl", rows)
    own = put(
        tmp_path / "own.jsonl",
        [item("骨", 0, subject="我的", split="test"), item("己", 1, subject="我的", split="test")],
    )
    source = {"path": str(little), "benchmark": "ceval", "subjects": ["anatomy"]}
    counts = prepare(tmp_path / "out", str(own), source)
    made = list(read_jsonl(tmp_path / "out" / "test.jsonl", Question))
    assert Counter(row.subject for row in made) == {"解剖学": 3, "我的": 1}
    assert len({row.id for row in made}) == 4 and counts["reasons"] == {"duplicate": 1}
    assert len(list(read_jsonl(tmp_path / "out" / "val.jsonl", Question))) == 2
    put(path, [rows[2] | {"id": 0}, rows[0] | {"id": 1}, rows[1] | {"id": 2}])
    prepare(tmp_path / "again", str(own), source)
    first, second = ((tmp_path / made / "test.jsonl").read_bytes() for made in ("out", "again"))
    assert first == second


def test_an_item_that_cannot_be_read_is_named_and_nothing_is_made(little: Path, tmp_path: Path) -> None:
    source = put_little(little)
    put(
        little / "law_of_mass.jsonl",
        [*items("酶", 1), item("酶", 10, answer="E") | {"id": 0}, item("酶", 11)],
    )
    with pytest.raises(
        UserError, match=r"law_of_mass\.jsonl:2: unreadable row: answer 'E' is not among .*ABCD"
    ):
        prepare(tmp_path / "out", source)
    put(
        little / "law_of_mass.jsonl",
        [*items("酶", 1), item("酶", 10, question="") | {"id": 0}, item("酶", 11)],
    )
    with pytest.raises(
        UserError, match=r"law_of_mass\.jsonl:2: empty; not one question of ceval may be lost"
    ):
        prepare(tmp_path / "out", source)
    put(
        little / "law_of_mass.jsonl", [*items("酶", 1), item("酶", 10, answer="") | {"id": 0}, item("酶", 11)]
    )
    with pytest.raises(UserError, match=r"law_of_mass\.jsonl:2: no answer, and no answer key has its id '0'"):
        prepare(tmp_path / "out", source)


# ---- CMB ----


def choice(number: int, name: str, **more: object) -> dict[str, Any]:
    options = {"A": "甲", "B": "乙", "C": "丙", "D": "丁", "E": f"戊{number}", "F": None, "G": " "}
    told = {"exam_type": "考试", "exam_class": name, "exam_subject": "内科", "question_type": "多项选择题"}
    return {"id": number, **told, "question": f"第{number}题，哪些正确", "option": options, **more}


KEY = ["id", "exam_type", "exam_class", "exam_subject", "question_type", "answer"]


def put_cmb(folder: Path, answers: tuple[str, ...] = ("EB", "C", "AD")) -> dict[str, Any]:
    classes = ("护士", "护士", "药师")
    tests = [choice(number, name) for number, name in enumerate(classes, 1)]
    put(folder / "CMB-Exam" / "CMB-test" / "CMB-test-choice-question-merge.json", tests)
    vals = [
        choice(number + 10, name, answer="A", explanation="略") for number, name in enumerate(classes[1:])
    ]
    put(folder / "CMB-Exam" / "CMB-val" / "CMB-val-merge.json", vals)
    key = [{**row, "answer": answer} for row, answer in zip(tests, answers, strict=False)]
    put(folder / "CMB-test-choice-answer.json", [{name: row[name] for name in KEY} for row in key])
    put(folder / "CMB-Clin" / "CMB-Clin-qa.json", [{"id": 0, "title": "略"}])
    return {"path": str(folder), "benchmark": "cmb"}


def test_answers_in_a_file_of_their_own_are_joined_by_id_and_sorted(little: Path, tmp_path: Path) -> None:
    counts = prepare(tmp_path / "out", put_cmb(little))
    assert counts["benchmarks"] == {"cmb": {"test": 3, "val": 2}}
    made = {row.stem: row for row in read_jsonl(tmp_path / "out" / "test.jsonl", Question)}
    assert {stem[:3]: row.answer for stem, row in made.items()} == {
        "第1题": "BE",
        "第2题": "C",
        "第3题": "AD",
    }
    assert {row.subject for row in made.values()} == {"护士", "药师"}
    assert all(list(row.options) == list("ABCDE") for row in made.values())
    assert prepare(tmp_path / "single", put_cmb(little), answers="single")["test"] == 1


def test_the_answer_key_may_lie_elsewhere(little: Path, tmp_path: Path) -> None:
    source = put_cmb(little)
    key = (little / "CMB-test-choice-answer.json").rename(tmp_path / "key.json")
    with pytest.raises(
        UserError, match=r"merge\.json:1: no answer, and no answer key .* is called \*choice-answer"
    ):
        prepare(tmp_path / "out", source)
    assert prepare(tmp_path / "val", {**source, "splits": ["val"]})["val"] == 2
    assert prepare(tmp_path / "out", {**source, "answer_key": str(key)})["test"] == 3


def test_an_answer_key_that_is_short_or_of_another_version_is_refused(little: Path, tmp_path: Path) -> None:
    source = put_cmb(little, ("EB", "C"))
    with pytest.raises(
        UserError, match=r"merge\.json:3: no answer, and no answer key has its id '3'; name a whole"
    ):
        prepare(tmp_path / "out", source)
    with pytest.raises(
        UserError, match=r"merge\.json:3: unreadable row: answer 'F' is not among the options ABCDE"
    ):
        prepare(tmp_path / "out", put_cmb(little, ("EB", "C", "F")))
    put_cmb(little)
    path = little / "CMB-test-choice-answer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("药师", "护士"), encoding="utf-8")
    with pytest.raises(UserError, match=r"id 3 is of 药师, in the answer key of 护士: .* different versions"):
        prepare(tmp_path / "out", source)


def test_the_splits_that_are_stated_only_together_are_checked_together(little: Path, tmp_path: Path) -> None:
    source = put_cmb(little)
    put(little / "CMB-Exam" / "CMB-val" / "CMB-val-merge.json", [choice(11, "护士", answer="A")])
    with pytest.raises(UserError, match="大考: all subjects, val: 1 questions found, 2 expected"):
        prepare(tmp_path / "out", source)


def test_training_rows_of_an_exam_are_data_and_leave_where_the_exam_asks_the_same(
    little: Path, tmp_path: Path
) -> None:
    source = put_cmb(little)
    rows = [choice(1, "护士", answer="BE"), choice(30, "药师", answer="A")]
    put(little / "CMB-Exam" / "CMB-train" / "CMB-train-merge.json", rows)
    counts = prepare(tmp_path / "out", source)
    assert counts["benchmarks"] == {"cmb": {"test": 3, "train": 2, "val": 2}}
    assert (counts["train"], counts["test"], counts["reasons"]) == (1, 3, {"duplicate": 1})


# ---- open questions about cases ----


def test_cases_are_asked_question_by_question_with_the_solution_as_reference(
    little: Path, tmp_path: Path
) -> None:
    history = "现病史：病人，男，49岁，三小时前出现右下腹疼痛，可触及一包块。" * 5
    pairs = [{"question": f"简述{what}。", "solution": f"{what}如下。"} for what in ("诊断", "治疗原则")]
    cases = [
        {"id": 0, "title": "腹外疝", "description": history, "QA_pairs": pairs},
        {
            "id": 1,
            "title": "痔",
            "description": "便血一周，无发热。",
            "QA_pairs": [{"question": "如何诊断？", "answer": "肠镜"}],
        },
    ]
    source = {"path": str(put(little / "CMB-Clin-qa.json", cases)), "benchmark": "cmb-clin"}
    counts = prepare(tmp_path / "out", source)
    assert (counts["test"], counts["benchmarks"]) == (3, {"cmb-clin": {"test": 2}})
    talks = {row.messages[-1].content: row for row in read_jsonl(tmp_path / "out" / "test.jsonl", Dialogue)}
    assert talks[f"{history}\n简述诊断。"].reference == "诊断如下。"
    assert all(row.messages[-1].role == "user" and "疝" not in text for text, row in talks.items())
    put(little / "CMB-Clin-qa.json", cases[:1])
    with pytest.raises(UserError, match="病例: cases, test: 1 cases found, 2 expected"):
        prepare(tmp_path / "short", source)


# ---- real files, and one's own ----


@needs_data
def test_the_public_exam_files_are_whole(tmp_path: Path) -> None:
    counts = prepare(tmp_path / "out", {"path": str(SHARED), "benchmark": "ceval"})
    assert (counts["rows"], counts["dropped"], counts["benchmarks"]) == (
        908,
        0,
        {"ceval": {"val": 90, "test": 818}},
    )
    assert tell(tmp_path / "out", "val") == {"基础医学": 19, "临床医学": 22, "医师资格": 49}
    assert tell(tmp_path / "out", "test") == {"基础医学": 175, "临床医学": 200, "医师资格": 443}


@needs_data
@pytest.mark.parametrize(("gone", "split", "found"), [(0, "val", 21), (22, "test", 199), (100, "test", 199)])
def test_the_public_exam_files_short_of_one_line_are_refused(
    tmp_path: Path, gone: int, split: str, found: int
) -> None:
    folder = tmp_path / "ceval"
    folder.mkdir()
    for file in SHARED.glob("*.jsonl"):
        lines = file.read_bytes().splitlines(keepends=True)
        if file.stem == "clinical_medicine":
            del lines[gone]
        (folder / file.name).write_bytes(b"".join(lines))
    wanted = rf"临床医学 \(clinical_medicine\), {split}: {found} questions found, {found + 1} expected"
    with pytest.raises(UserError, match=wanted):
        prepare(tmp_path / "out", {"path": str(folder), "benchmark": "ceval"})
    assert not (tmp_path / "out" / "test.jsonl").exists()


def test_an_exam_of_ones_own_needs_no_table(tmp_path: Path) -> None:
    rows = [item("己", number, subject="内科", split="test") for number in range(3)]
    assert prepare(tmp_path / "out", str(put(tmp_path / "own.jsonl", rows)))["test"] == 3
    table = "题目,选项A,选项B,选项C,答案\n哪项正确,甲,乙,丙,B\n哪项错误,甲,乙,丁,C\n"
    (tmp_path / "own_test.csv").write_text(table, encoding="utf-8")
    assert prepare(tmp_path / "csv", str(tmp_path / "own_test.csv"))["test"] == 2
