"""A damaged row is told with its line and a short reason, and every whole row around it is read."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from medtune.config import Input
from medtune.data.config import Source
from medtune.data.reading import readers
from medtune.data.reading.blocks import MAX_LINE_BYTES
from medtune.data.reading.rows import MAX_TEXT, Bad, Raw
from medtune.data.reading.sources import read_files, read_rows
from medtune.errors import UserError

GOOD = {"question": "头痛三天要紧吗", "answer": "先量血压"}
OTHER = {"question": "发热要不要去医院", "answer": "要去"}
LINE, NEXT = (json.dumps(row, ensure_ascii=False) for row in (GOOD, OTHER))


def read(path: Path, content: bytes | str, **settings: str) -> list[Raw | Bad]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(Source(path=Input(path), **settings)))  # type: ignore[arg-type]


def outcome(rows: list[Raw | Bad]) -> list[tuple[int, object]]:
    return [(row.line, row.reason if isinstance(row, Bad) else row.values) for row in rows]


# ---- JSON lines ----


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (LINE[:-9].encode(), "JSON cut or broken"),
        (b'["a", "b"]', "not an object"),
        (b'"text"', "not an object"),
        (b"7", "not an object"),
        (b"null", "not an object"),
        (LINE.replace("头", "头\0").encode(), "NUL character"),
        (LINE.replace("头", "\\u0000").encode(), "NUL character"),
        (LINE.replace("头", "\\ud83d").encode(), "lone surrogate"),
        (LINE.replace("头", "\ud83d").encode("utf-8", "surrogatepass"), "lone surrogate"),
        (LINE.encode("gb18030"), "not in UTF-8"),
        (LINE.encode()[:20] + b"\xff" + LINE.encode()[20:], "not in UTF-8"),
        (LINE.encode("utf-16-le"), "not in UTF-8"),
        (b"{" * 100_000, "JSON cut or broken"),
        (b'{"a": "' + b"x" * (MAX_LINE_BYTES + 1) + b'"}', "line too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_line_is_told_and_its_neighbours_are_read(
    tmp_path: Path, damaged: bytes, reason: str
) -> None:
    content = b"\n".join([LINE.encode(), damaged, b"", NEXT.encode(), b""])
    rows = read(tmp_path / "a.jsonl", content)
    assert outcome(rows) == [(1, GOOD), (2, reason), (4, OTHER)]
    bad = rows[1]
    assert isinstance(bad, Bad)
    assert bad.place == f"{tmp_path / 'a.jsonl'}:2"
    assert len(bad.text) <= MAX_TEXT
    bad.text.encode()


def test_a_line_of_another_encoding_is_shown_as_it_was_meant(tmp_path: Path) -> None:
    (_, bad) = read(tmp_path / "a.jsonl", (NEXT + "\n").encode() + LINE.encode("gb18030"))
    assert isinstance(bad, Bad)
    assert bad.text == LINE


def test_a_line_in_utf_8_inside_a_gb18030_file_is_told(tmp_path: Path) -> None:
    lines = ["头痛三天，要紧吗？", "血压高，怎么办。", "发热了，要去医院吗？"]
    table = "\n".join(f"{line},先休息。" for line in lines)
    head, mixed, tail = table.split("\n")
    content = b"\n".join([b"ask,answer", head.encode("gb18030"), mixed.encode(), tail.encode("gb18030")])
    rows = read(tmp_path / "a.csv", content)
    assert [row.reason if isinstance(row, Bad) else "" for row in rows] == ["", "not in GB18030", ""]


def test_json_that_is_only_odd_is_read(tmp_path: Path) -> None:
    lines = [
        '{"a": "x\ty"}',
        '{"a": NaN}',
        '{"a": 1},',
        '\ufeff{"a": 2}',
        f'{{"a": {2**70}}}',
        '{"a": "\\ud83d\\ude00"}',
    ]
    rows = read(tmp_path / "a.jsonl", "\n".join([LINE, *lines]))
    assert [row.values["a"] for row in rows[1:] if isinstance(row, Raw)] == ["x\ty", None, 1, 2, 2**70, "😀"]


def test_a_talk_without_a_name_is_a_row(tmp_path: Path) -> None:
    talk, turns = ["病人：头痛", "医生：休息"], [{"role": "user", "content": "头痛"}]
    rows = read(
        tmp_path / "a.json", json.dumps([talk, turns, [{"from": "human", "value": "头痛"}], ["头痛"]])
    )
    assert outcome(rows) == [
        (1, {"utterances": talk}),
        (2, {"messages": turns}),
        (3, {"conversations": [{"from": "human", "value": "头痛"}]}),
        (4, "not an object"),
    ]


# ---- JSON arrays ----


def test_an_array_cut_at_its_end_keeps_the_elements_before(tmp_path: Path) -> None:
    for indent in (None, 2):
        whole = json.dumps([GOOD, OTHER, GOOD], ensure_ascii=False, indent=indent)
        assert outcome(read(tmp_path / "a.json", whole[:-20])) == [
            (1, GOOD),
            (2, OTHER),
            (3, "JSON cut or broken"),
        ]
    assert outcome(read(tmp_path / "b.json", f"[{LINE},{NEXT},")) == [
        (1, GOOD),
        (2, OTHER),
        (3, "JSON cut or broken"),
    ]


@pytest.mark.parametrize("layout", ["[\n  {0},\n  {1},\n  {2}\n]", "[{0}, {1}, {2}]", "[{0},\n{1},\n{2}]"])
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (LINE.replace('":', '"', 1), "JSON cut or broken"),
        ('{"turns": [{"from": "a"}, {"from": ] }', "JSON cut or broken"),
        ("7", "not an object"),
        (LINE.replace("头", "\\u0000"), "NUL character"),
    ],
)
def test_a_broken_element_of_an_array_is_told_and_the_others_are_read(
    tmp_path: Path, layout: str, broken: str, reason: str
) -> None:
    text = layout.replace("{0}", LINE).replace("{1}", broken).replace("{2}", NEXT)
    found = outcome(read(tmp_path / "a.json", text))
    assert (found[0], found[1], found[-1][1]) == ((1, GOOD), (2, reason), OTHER)
    if "\n" in layout:
        assert len(found) == 3


def test_an_element_with_damaged_bytes_is_told(tmp_path: Path) -> None:
    content = f"[{LINE},\n".encode() + NEXT.encode().replace("发".encode(), b"\xff") + f",\n{NEXT}]".encode()
    assert outcome(read(tmp_path / "a.json", content)) == [(1, GOOD), (2, "not in UTF-8"), (3, OTHER)]


# ---- tables ----


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["头痛,休息", "发热", "咳嗽,少说话"], {3: "wrong number of cells"}),
        (["头痛,休息", "发热,要,就医", "咳嗽,少说话"], {3: "wrong number of cells"}),
        (["头痛,休息", '发热,"要就医', "咳嗽,少说话"], {3: "quotation mark left open"}),
        (["头痛,休息", '发热,"要就医', '咳嗽,"少,说话"', "腹泻,多喝水"], {3: "quotation mark left open"}),
        (['头痛,"休息"好', "发热,就医"], {2: "quotation mark left open"}),
        (['头痛,"休息', "好好休息", '再复诊"', "发热,就医"], {}),
        (["头痛,休\0息", "发热,就医"], {2: "NUL character"}),
        (['头痛,"休', "息\0", '好"', "发热,就医"], {2: "NUL character"}),
        (["头痛," + "水" * (MAX_LINE_BYTES // 3 + 1), "发热,就医"], {2: "line too long"}),
        (["头痛," + "水" * 200_000, "发热,就医"], {}),
        (["", "头痛,休息", "", "发热,就医"], {}),
    ],
)
def test_a_damaged_row_of_a_table_is_told_with_the_line_it_starts_at(
    tmp_path: Path, lines: list[str], found: dict[int, str]
) -> None:
    for end in ("\n", "\r\n"):
        rows = read(tmp_path / "a.csv", end.join(["ask,answer", *lines]))
        assert {row.line: row.reason for row in rows if isinstance(row, Bad)} == found
        good = [
            line
            for at, line in enumerate(lines, 2)
            if at not in found and line.count(",") == 1 and '"' not in line
        ]
        assert {row.values["ask"] for row in rows if isinstance(row, Raw)} >= {
            line.split(",")[0] for line in good
        }


def test_a_cell_over_the_end_of_a_block_is_read_whole(tmp_path: Path) -> None:
    rows = [f'问题{number},"第一行{"字" * 90}\n第二行,{number}"' for number in range(4000)]
    found = read(tmp_path / "a.csv", "\n".join(["ask,answer", *rows]))
    assert len(found) == 4000
    assert [row.line for row in found] == list(range(2, 8002, 2))
    for number, row in enumerate(found):
        assert isinstance(row, Raw)
        assert row.values == {"ask": f"问题{number}", "answer": f"第一行{'字' * 90}\n第二行,{number}"}


def test_a_quotation_mark_open_to_the_end_loses_one_row_only(tmp_path: Path) -> None:
    rows = [f"问题{number},回答{number}" for number in range(5000)]
    rows[100] = '问题,"没有关上'
    found = read(tmp_path / "a.csv", "\n".join(["ask,answer", *rows]))
    assert [(row.line, row.reason) for row in found if isinstance(row, Bad)] == [
        (102, "quotation mark left open")
    ]
    assert len(found) == 5000


def test_an_unnamed_first_column_and_blanks_in_a_header_are_no_fault(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.csv", "\ufeff, Question ,Answer\n0,头痛,休息\n")
    assert isinstance(row, Raw)
    assert row.values == {"": "0", "Question": "头痛", "Answer": "休息"}


# ---- text ----


def test_blocks_of_a_question_and_its_answer_are_rows(tmp_path: Path) -> None:
    text = (
        "反复头痛怎么办,我头痛三天\n先量血压\n\n\n只有问题,没有回答\n\n发热呢？,孩子发热\n去医院\n再复诊\n\n"
    )
    text += "咳嗽怎么办？\n少说话\n\n" + "夜里咳嗽,三天了\n多喝水\n\n\n" * 10
    rows = read(tmp_path / "a.txt", text.encode("gb18030"))
    assert len(rows) == 14
    assert outcome(rows)[:4] == [
        (1, {"title": "反复头痛怎么办", "ask": "我头痛三天", "answer": "先量血压"}),
        (5, "question without an answer"),
        (7, {"title": "发热呢？", "ask": "孩子发热", "answer": "去医院\n再复诊"}),
        (11, {"title": "", "ask": "咳嗽怎么办？", "answer": "少说话"}),
    ]


def test_labels_before_question_and_answer_are_left_out(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.txt", "问：头痛怎么办\n答：休息\n\n问：发热\n答：就医\n")
    assert outcome(rows)[0] == (1, {"title": "", "ask": "头痛怎么办", "answer": "休息"})


def test_consultations_turn_by_turn_are_rows(tmp_path: Path) -> None:
    text = "id=1\nhttp\n内科\n\nDescription\n疾病：头痛\n\nDialogue\n病人：\n头痛\n三天\n医生：\n"
    text += "休息\n\nid=2\nDialogue\n病人：\n发热\n"
    assert outcome(read(tmp_path / "a.txt", text)) == [
        (1, {"id": "1", "utterances": ["病人：\n头痛\n三天", "医生：\n休息"]}),
        (15, {"id": "2", "utterances": ["病人：\n发热"]}),
    ]


def test_prose_is_cut_at_the_ends_of_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"第{number}节，{'血压应当定期测量。' * 150}" for number in range(8)]
    rows = read(tmp_path / "book.txt", "高血压的管理\n\n" + "\n\n".join(paragraphs))
    texts = [row.values["text"] for row in rows if isinstance(row, Raw)]
    assert all(len(text) <= 4000 for text in texts)
    assert "\n\n".join(texts).replace("\n", "") == "高血压的管理" + "".join(paragraphs)
    assert all(text.startswith(("高血压的", "第")) for text in texts)
    assert [row.line for row in rows] == [1, 7, 11, 15]


def test_a_paragraph_without_an_end_is_cut_at_sentences(tmp_path: Path) -> None:
    rows = read(tmp_path / "book.txt", "血压应当定期测量。" * 1000 + "字" * 9000)
    texts = [row.values["text"] for row in rows if isinstance(row, Raw)]
    assert all(len(text) <= 4000 for text in texts)
    assert texts[0].endswith("。")
    assert "".join(texts) == "血压应当定期测量。" * 1000 + "字" * 9000


def test_a_damaged_line_of_prose_is_told(tmp_path: Path) -> None:
    content = "第一段。\n第二段。\n".encode() + b"\xd6\xff\n" + "第三段。\n".encode()
    rows = read(tmp_path / "book.txt", content)
    assert [(row.line, row.reason) for row in rows if isinstance(row, Bad)] == [(3, "not in UTF-8")]
    assert [row.values["text"] for row in rows if isinstance(row, Raw)] == ["第一段。\n第二段。\n第三段。"]


# ---- whole files ----


def test_a_cut_archive_gives_the_rows_before_the_cut(tmp_path: Path) -> None:
    lines = "".join(
        f'{{"question": "{number * 7919 % 10007}", "answer": "休息"}}\n' for number in range(20_000)
    )
    packed = gzip.compress(lines.encode())
    rows = read(tmp_path / "a.jsonl.gz", packed[: len(packed) // 2])
    assert len(rows) > 5000
    assert all(isinstance(row, Raw) for row in rows[:-1])
    assert isinstance(rows[-1], Bad)
    assert rows[-1].reason == "archive cut or broken"


def test_half_a_sign_at_the_end_of_utf_16_is_told(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "ask,answer\n头痛,休息\n发热,就医".encode("utf-16")[:-1])
    assert [row.reason if isinstance(row, Bad) else "" for row in rows] == ["", "not in UTF-8"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ask,answer\n" + f"{'头痛' * 40},{'休息' * 60}\n" * 60_000, encoding="gb18030")
    (file,) = read_files(Source(path=Input(path)))
    tracemalloc.start()
    num_rows = sum(1 for _ in file.rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_rows == 60_000
    assert path.stat().st_size > 20_000_000
    assert peak < 8_000_000


def test_a_line_far_over_the_limit_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(LINE.encode() + b"\n")
        for _ in range(40):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + NEXT.encode() + b"\n")
    tracemalloc.start()
    rows = list(read_rows(Source(path=Input(path))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome(rows) == [(1, GOOD), (2, "line too long"), (3, OTHER)]
    assert peak < 3 * MAX_LINE_BYTES


def test_a_file_of_nothing_but_damage_is_reported_line_by_line(tmp_path: Path) -> None:
    assert outcome(read(tmp_path / "a.jsonl", '{"a": "头痛三天'.encode() + b"\xff")) == [(1, "not in UTF-8")]


def test_an_array_too_large_to_be_held_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_WHOLE_BYTES", 1 << 20)
    with pytest.raises(UserError, match=r"a\.json: over 1 MB, .* write it as JSON lines"):
        read(tmp_path / "a.json", json.dumps([GOOD] * 20_000))
