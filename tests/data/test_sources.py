"""Files of every kind and encoding give the same rows; damage stops with its place."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from medtune.config import Input
from medtune.data.config import Source
from medtune.data.sources import Raw, read_rows
from medtune.errors import UserError

ROWS = [
    {"ask": "头痛三天，要紧吗？", "answer": "先量血压，\n再来复诊。"},
    {"ask": "吃了“布洛芬”", "answer": "好,知道了"},
]


def read(path: Path, **settings: str) -> list[Raw]:
    return list(read_rows(Source(path=Input(path), **settings)))


def values(path: Path) -> list[dict[str, str]]:
    return [row.values for row in read(path)]


def put(path: Path, content: bytes | str) -> Path:
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
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
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


def test_a_json_file_of_lines_and_an_upper_case_suffix_are_read(tmp_path: Path) -> None:
    assert values(put(tmp_path / "rows.json", as_lines(ROWS))) == ROWS
    assert values(put(tmp_path / "ROWS.CSV", as_table(ROWS))) == ROWS


def test_lines_are_counted_with_blank_ones_and_a_table_row_by_its_last_line(tmp_path: Path) -> None:
    lines = put(tmp_path / "rows.jsonl", "\n" + as_lines(ROWS, "\n\n"))
    assert [row.line for row in read(lines)] == [2, 4]
    table = put(tmp_path / "rows.csv", as_table(ROWS))
    assert [row.line for row in read(table)] == [3, 4]


def test_a_directory_stands_for_its_data_files_in_name_order(tmp_path: Path) -> None:
    put(tmp_path / "b.csv", as_table(ROWS[:1]))
    put(tmp_path / "a.jsonl", as_lines(ROWS[1:]).encode("gb18030"))
    put(tmp_path / "notes.md", "no data")
    (tmp_path / "folder.json").mkdir()
    rows = read(tmp_path)
    assert [(row.file.name, row.values) for row in rows] == [("a.jsonl", ROWS[1]), ("b.csv", ROWS[0])]


def test_a_line_of_ten_megabytes_is_read_whole(tmp_path: Path) -> None:
    long = {"text": "血" * 3_500_000}
    path = put(tmp_path / "rows.jsonl", as_lines([long, {"text": "短"}]))
    assert path.stat().st_size > 10_000_000
    assert [len(row.values["text"]) for row in read(path)] == [3_500_000, 1]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", as_lines(ROWS)[:-12], r"a\.jsonl:2: no whole JSON: .*cut off"),
        ("a.jsonl", '{"a": "x\x00y"}\n', r"a\.jsonl:1: no whole JSON"),
        ("a.jsonl", '{"a": 1}\n[1, 2]\n', r"a\.jsonl:2: a list; a JSON object is wanted"),
        ("a.jsonl", '{"a": 1}\n"text"\n', r"a\.jsonl:2: a str; a JSON object is wanted"),
        ("a.json", '[{"a": 1},\n {"a": ', r"a\.json:2: no whole JSON: .*cut off"),
        ("a.json", '[{"a": 1}, 7]', r"a\.json:2: element 2 is a int; objects are wanted"),
        ("a.csv", "ask,answer\n头痛,多喝水\n发热\n", r"a\.csv:3: 1 cells where the header has 2"),
        ("a.csv", "ask,answer\n头痛,多喝,水\n", r"a\.csv:2: 3 cells where the header has 2"),
        ("a.csv", "ask,ask\n头痛,发热\n", r"a\.csv:1: a column name stands twice"),
        ("a.csv", 'ask,answer\n头痛,"多喝水\n发热,吃药\n', r"a\.csv: after row 0: .*quotation mark"),
        ("a.csv", "ask,answer\n头痛," + "水" * 200_000 + "\n", r"a\.csv: after row 0: field larger"),
        ("a.jsonl", "", r"a\.jsonl: no rows in it"),
        ("a.jsonl", "\n \n", r"a\.jsonl: no rows in it"),
        ("a.json", "[]", r"a\.json: no rows in it"),
        ("a.csv", "ask,answer\n", r"a\.csv: no rows in it"),
        ("a.xlsx", "PK", r"a\.xlsx: of no known kind; known: \.jsonl"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        read(put(tmp_path / name, content))


def test_a_missing_file_and_a_directory_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: no such file or directory"):
        read(tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"no \.jsonl, \.json, \.csv, \.tsv files in it"):
        read(tmp_path)


def test_a_named_encoding_is_used_and_a_wrong_one_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", as_lines(ROWS).encode("big5hkscs", errors="ignore"))
    assert read(path, encoding="big5hkscs")[0].values.keys() == {"ask", "answer"}
    path = put(tmp_path / "b.jsonl", as_lines(ROWS).encode("gb18030"))
    with pytest.raises(UserError, match=r"b\.jsonl: not readable as utf-8: .*name the right encoding"):
        read(path, encoding="utf-8")
    with pytest.raises(UserError, match="not readable as klingon"):
        read(path, encoding="klingon")
