"""Files of every kind, encoding and packing give the same rows."""

import csv
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path

import pytest

from medtune.config import Input
from medtune.data.config import Source
from medtune.data.formats import find_format
from medtune.data.reading.rows import Bad, Raw
from medtune.data.reading.sources import find_parts, read_files, read_rows
from medtune.errors import UserError

SHARED = Path(__file__).parents[4] / "shared" / "data"
ROWS = [
    {"ask": "头痛三天，要紧吗？", "answer": "先量血压，\n再来复诊。"},
    {"ask": "吃了“布洛芬”", "answer": "好,知道了"},
]
TALKS = [
    {"department": "内科", "title": "反复头痛怎么办", "ask": "我最近总是头痛", "answer": "先量血压,再来复诊"},
    {"department": "内科", "title": "发热要就医吗", "ask": "孩子发热三天了", "answer": "带孩子去医院"},
    {"department": "外科", "title": "伤口红肿", "ask": "手上的伤口红肿", "answer": '他说"疼"就要换药'},
]


def read(path: Path | str, **settings: object) -> list[Raw | Bad]:
    return list(read_rows(Source(path=Input(path), **settings)))  # type: ignore[arg-type]


def values(path: Path | str, **settings: object) -> list[dict]:
    rows = read(path, **settings)
    assert all(isinstance(row, Raw) for row in rows), rows
    return [row.values for row in rows if isinstance(row, Raw)]


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_lines(rows: Sequence[object], end: str = "\n") -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows)


def as_table(rows: Sequence[dict[str, str]], delimiter: str = ",", end: str = "\n") -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=end)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return sink.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv"])
def test_every_encoding_and_line_end_gives_the_same_rows(
    tmp_path: Path, kind: str, codec: str, end: str
) -> None:
    text = {
        "jsonl": as_lines(ROWS, end),
        "json": json.dumps(ROWS, ensure_ascii=False, indent=2).replace("\n", end),
        "csv": as_table(ROWS, end=end),
        "tsv": as_table(ROWS, "\t", end),
    }[kind]
    assert values(put(tmp_path / f"rows.{kind}", text.encode(codec))) == ROWS


@pytest.mark.parametrize("codec", ["gb18030", "utf-8", "utf-8-sig", "utf-16", "big5"])
def test_a_consultation_table_gives_the_same_records_in_every_encoding(tmp_path: Path, codec: str) -> None:
    given = (
        as_table(TALKS)
        if codec != "big5"
        else as_table([{"ask": "醫生，頭痛三天，要去醫院嗎", "answer": "先量血壓"}])
    )
    for end in ("\n", "\r\n"):
        path = put(tmp_path / f"{len(end)}.csv", given.replace("\n", end).encode(codec))
        assert values(path) == list(csv.DictReader(io.StringIO(given)))


def test_a_file_is_read_by_what_it_holds_and_not_by_its_name(tmp_path: Path) -> None:
    assert values(put(tmp_path / "lines.json", as_lines(ROWS))) == ROWS
    assert values(put(tmp_path / "array.txt", json.dumps(ROWS))) == ROWS
    assert values(put(tmp_path / "lines.txt", as_lines(ROWS))) == ROWS
    assert values(put(tmp_path / "ROWS.CSV", as_table(ROWS))) == ROWS
    assert values(put(tmp_path / "noname", as_table(ROWS))) == ROWS
    assert values(put(tmp_path / "tabs.csv", as_table(ROWS, "\t"))) == ROWS
    assert values(put(tmp_path / "wrapped.json", json.dumps({"version": 1, "data": ROWS}))) == ROWS
    assert values(put(tmp_path / "pretty.json", "\n".join(json.dumps(row, indent=1) for row in ROWS))) == ROWS


def test_lines_are_counted_with_blank_ones_and_a_table_row_by_its_first_line(tmp_path: Path) -> None:
    lines = put(tmp_path / "rows.jsonl", "\n" + as_lines(ROWS, "\n\n"))
    assert [row.line for row in read(lines)] == [2, 4]
    table = put(tmp_path / "rows.csv", as_table(ROWS))
    assert [row.line for row in read(table)] == [2, 4]


def test_archives_are_files_by_another_name(tmp_path: Path) -> None:
    packed = put(tmp_path / "rows.csv.gz", gzip.compress(as_table(ROWS).encode("gb18030")))
    assert values(packed) == ROWS
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a/one.csv", as_table(ROWS[:1]).encode("gb18030"))
        archive.writestr("two.jsonl", as_lines(ROWS[1:]))
        archive.writestr("__MACOSX/._two.jsonl", b"\0\0")
        archive.writestr("README.md", "no data")
        archive.writestr("three.jsonl.gz", gzip.compress(as_lines(ROWS[:1]).encode()))
    rows = read(tmp_path / "set.zip")
    names = ["a/one.csv", "three.jsonl.gz", "two.jsonl"]
    assert [row.file.as_posix() for row in rows] == [
        f"{tmp_path.as_posix()}/set.zip/{name}" for name in names
    ]
    assert [row.values for row in rows if isinstance(row, Raw)] == [ROWS[0], ROWS[0], ROWS[1]]
    assert [row.line for row in read(tmp_path / "set.zip", files="two.*")] == [1]


def test_chinese_names_in_an_archive_from_windows_are_readable(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("xxxx.csv", as_table(ROWS))
    content = (tmp_path / "set.zip").read_bytes().replace(b"xxxx.csv", "内科.csv".encode("gb18030"))
    (row, _) = read(put(tmp_path / "set.zip", content))
    assert row.file.name == "内科.csv"


def test_parquet_rows_are_read_and_numbered(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="wants the extra data: pip install medtune[data]")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    (file,) = read_files(Source(path=Input(tmp_path / "rows.parquet")))
    assert (file.kind, file.encoding) == ("parquet", "")
    assert [(row.line, row.values) for row in file.rows if isinstance(row, Raw)] == [
        (1, ROWS[0]),
        (2, ROWS[1]),
    ]
    packed = put(tmp_path / "rows.parquet.gz", gzip.compress((tmp_path / "rows.parquet").read_bytes()))
    assert values(packed) == ROWS
    put(tmp_path / "cut.parquet", (tmp_path / "rows.parquet").read_bytes()[:60])
    with pytest.raises(UserError, match=r"cut\.parquet: no readable Parquet file"):
        read(tmp_path / "cut.parquet")


def test_a_directory_stands_for_its_data_files_in_name_order(tmp_path: Path) -> None:
    put(tmp_path / "b.csv", as_table(ROWS[:1]))
    put(tmp_path / "a" / "a.jsonl", as_lines(ROWS[1:]).encode("gb18030"))
    for name in ("notes.md", ".git/x.json", "dataset_info.json", "c.json.part", "README.txt"):
        put(tmp_path / name, "no data")
    (tmp_path / "folder.json").mkdir()
    rows = read(tmp_path)
    assert [(row.file.name, row.values) for row in rows if isinstance(row, Raw)] == [
        ("a.jsonl", ROWS[1]),
        ("b.csv", ROWS[0]),
    ]
    assert values(tmp_path, files="*.csv") == values(tmp_path / "*.csv") == ROWS[:1]
    assert values(tmp_path, files="a/*.jsonl, none") == values(f"{tmp_path}/**/*.jsonl") == ROWS[1:]


def test_columns_are_renamed_before_anything_else(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "提问,回复,answer\n头痛,休息,旧\n")
    columns = {"question": "提问", "answer": "回复"}
    assert values(path, columns=columns) == [{"question": "头痛", "answer": "休息"}]
    assert values(path, columns={"answer": ""}) == [{"提问": "头痛", "回复": "休息"}]


def test_a_file_must_be_the_one_that_was_meant(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", as_table(ROWS))
    assert values(path, sha1=sha1(path.read_bytes()).hexdigest()) == ROWS
    with pytest.raises(UserError, match=r"a\.csv: its SHA-1 is \w+, wanted is 0000"):
        read(path, sha1="0" * 40)
    put(tmp_path / "b.csv", as_table(ROWS))
    with pytest.raises(UserError, match="sha1 is for one file, this source has 2"):
        read(tmp_path, sha1="0" * 40)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", "ask,ask\n头痛,发热\n", r"a\.csv:1: a column name stands twice"),
        ("a.jsonl", "", r"a\.jsonl: no rows in it"),
        ("a.jsonl", "\n \n", r"a\.jsonl: no rows in it"),
        ("a.json", "[]", r"a\.json: no rows in it"),
        ("a.csv", "ask,answer\n", r"a\.csv: no rows in it"),
        ("a.zip", "PK\x03\x04 and nothing", r"a\.zip: no readable zip archive"),
        ("a.bin", b"\xff\x00\x81\xff" * 9, r"a\.bin: neither UTF-8, UTF-16, GB18030 nor Big5"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_refused(
    tmp_path: Path, name: str, content: bytes | str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        read(put(tmp_path / name, content))


def test_what_is_missing_is_named_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: no such file or directory"):
        read(tmp_path / "none.csv")
    with pytest.raises(UserError, match="for a data set on a hub write hf:owner/set or modelscope:owner/set"):
        read("owner/set")
    with pytest.raises(UserError, match=r"no \.jsonl, \.json, \.csv, \.tsv, .* files in it"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"\*\.csv: no file has such a name"):
        read(tmp_path / "*.csv")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("x.png", b"1")
    with pytest.raises(UserError, match=r"set\.zip: no \.jsonl, .* files in it"):
        read(tmp_path / "set.zip")


def test_a_named_encoding_is_used_and_a_wrong_one_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", as_lines(ROWS).encode("big5hkscs", errors="ignore"))
    row = read(path, encoding="big5hkscs")[0]
    assert isinstance(row, Raw) and row.values.keys() == {"ask", "answer"}
    path = put(tmp_path / "b.jsonl", as_lines(ROWS).encode("gb18030"))
    with pytest.raises(UserError, match=r"b\.jsonl: not readable as utf-8; name the right encoding"):
        read(path, encoding="utf-8")
    with pytest.raises(UserError, match="not readable as klingon: no such encoding"):
        read(path, encoding="klingon")


# ---- two tables that belong together ----

QUESTIONS = "question_id,content\n1,头痛怎么办\n2,发热怎么办\n3,没人回答\n"
ANSWERS = "ans_id,question_id,content\n10,1,多休息\n11,1,量血压\n12,2,去医院\n13,9,不知答谁\n"


def check_pair(rows: list[Raw | Bad]) -> None:
    assert [(row.values["question"], row.values["answer"]) for row in rows if isinstance(row, Raw)] == [
        ("头痛怎么办", "多休息"),
        ("头痛怎么办", "量血压"),
        ("发热怎么办", "去医院"),
    ]
    bad = [
        (row.file.name.partition(".")[0].rstrip("s"), row.line, row.reason)
        for row in rows
        if isinstance(row, Bad)
    ]
    assert bad == [("answer", 5, "answer without a question"), ("question", 4, "question without an answer")]


def test_questions_and_answers_in_two_tables_are_joined(tmp_path: Path) -> None:
    put(tmp_path / "question.csv", QUESTIONS)
    put(tmp_path / "answer.csv", ANSWERS.encode("gb18030"))
    put(tmp_path / "dev_candidates.txt", "question_id,ans_id,cnt,label\n1,10,0,1\n")
    check_pair(read(tmp_path))
    assert [file.kind for file in read_files(Source(path=Input(tmp_path)))] == ["table with its questions"]


def test_the_two_tables_may_lie_in_archives_or_be_named_in_the_plural(tmp_path: Path) -> None:
    for name, text in (("question", QUESTIONS), ("answer", ANSWERS)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}.csv", text)
        put(tmp_path / "old" / f"{name}s.txt", text.replace("question_id", "que_id").replace(",", "\t"))
    check_pair(read(tmp_path / "old"))
    for path in (tmp_path / "old").iterdir():
        path.unlink()
    check_pair(read(tmp_path))


def test_two_tables_without_ids_are_two_tables(tmp_path: Path) -> None:
    put(tmp_path / "question.csv", "question,answer\n头痛,休息\n")
    put(tmp_path / "answer.csv", "question,answer\n发热,就医\n")
    assert len(values(tmp_path)) == 2


# ---- the field's own files ----

KINDS = {
    "toyhom_neike_sample.csv": ("table", "gb18030", "consultation", 7644),
    "toyhom_neike.txt": ("questions", "gb18030", "consultation", 4048),
    "huatuo_knowledge_8k.jsonl": ("json lines", "utf-8", "alpaca", 8658),
    "medical_o1_think_926.jsonl": ("json lines", "utf-8", "alpaca", 926),
    "safety_red_team.jsonl": ("json lines", "utf-8", "alpaca", 10),
    "medical_sft_1k_sharegpt.jsonl": ("json lines", "utf-8", "sharegpt", 1000),
    "dpo_zh_500.jsonl": ("json lines", "utf-8", "preference", 500),
    "medalpaca_mcq_999.jsonl": ("json lines", "utf-8", "inline-exam", 999),
    "medalpaca_cot_999.jsonl": ("json lines", "utf-8", "sharegpt", 999),
    "kuake_text_answer.json": ("json", "utf-8", "text-answer", 2000),
    "medical_corpus.txt": ("json lines", "utf-8", "question-answer", 87),
    "ceval_medical/basic_medicine.jsonl": ("json lines", "utf-8", "exam", 194),
    "ceval_medical/clinical_medicine.jsonl": ("json lines", "utf-8", "exam", 222),
    "ceval_medical/physician.jsonl": ("json lines", "utf-8", "exam", 492),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize("name", KINDS)
def test_every_public_file_at_hand_is_told_and_read_to_its_last_row(name: str) -> None:
    source = Source(path=Input(SHARED / name))
    (file,) = read_files(source)
    rows = list(file.rows)
    formats, records = Counter[str](), []
    for row in rows:
        assert isinstance(row, Raw), row
        told, reader = find_format(row.values, "auto", row.place)
        formats[told] += 1
        records.append(reader(row.values, source))
    kind, encoding, told, num_rows = KINDS[name]
    assert (file.kind, file.encoding, dict(formats)) == (kind, encoding, {told: num_rows})


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is absent")
def test_a_directory_of_public_files_is_read_whole() -> None:
    parts = find_parts(Source(path=Input(SHARED)))
    assert {part.file.relative_to(SHARED).as_posix() for part in parts} == set(KINDS)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_public_consultation_table_gives_the_same_rows_in_other_encodings(
    tmp_path: Path, codec: str
) -> None:
    path = SHARED / "toyhom_neike_sample.csv"
    text = path.read_bytes().decode("gb18030")
    wanted = values(path)
    assert values(put(tmp_path / "a.csv", text.encode(codec))) == wanted
    assert values(put(tmp_path / "b.csv", text.replace("\n", "\r\n").encode(codec))) == wanted
