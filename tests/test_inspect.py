"""`medtune inspect`: statistics, samples and dropped rows, readable and harmless on any terminal."""

from itertools import pairwise
from pathlib import Path

import pytest

from medtune.artifact import write_json, write_jsonl
from medtune.cli import main
from medtune.data.inspect import MAX_LINES, Screen, inspect_lines, sample_lines
from medtune.data.statistics import Tally, write_statistics
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Message, Meta, Preference, Question
from medtune.reports.wording import width_of

PLAIN = Screen(80, has_colours=False)


def talk(number: int, answer: str = "先量血压，再看医生。") -> Dialogue:
    told = (
        Message(role="user", content=f"第{number}问：头晕怎么办？"),
        Message(role="assistant", content=answer),
    )
    return Dialogue(
        id=f"{number:016}", messages=told, meta=Meta(specialty="神经内科", risk="low", license="MIT")
    )


def prepared(folder: Path, num_train: int = 30) -> Path:
    records = [talk(number) for number in range(num_train)]
    write_jsonl(folder / "train.jsonl", records)
    write_jsonl(folder / "test.jsonl", [talk(1000)])
    rows = [
        ("a.csv", 3, "too short", ""),
        ("a.csv", 9, "duplicate", "of a.csv:2"),
        ("b.csv", 4, "duplicate", ""),
    ]
    names = ("file", "line", "reason", "detail")
    write_jsonl(folder / "dropped.jsonl", [{**dict(zip(names, row, strict=True)), "row": {}} for row in rows])
    tally = Tally()
    for record, part in [*((record, "train") for record in records), (talk(1000), "test")]:
        tally.add(record, part)
    tally.rows = num_train + 4
    tally.dropped = {("clean", "too short"): 1, ("repeats", "duplicate"): 2}
    write_statistics(tally.statistics(seed=1, deidentified=False), folder)
    return folder


def inspect(path: Path, num_samples: int = 2, screen: Screen = PLAIN) -> list[str]:
    return list(inspect_lines(path, num_samples=num_samples, screen=screen))


def test_prepared_directory_is_told_in_order(tmp_path: Path) -> None:
    text = "\n".join(inspect(prepared(tmp_path)))
    marks = [
        "Data card", "! De-identification did not run", "34 = 31 kept + 3 dropped", "specialty",
        "神经内科 31", "train.jsonl: 30 records", "第0问", "第15问", "test.jsonl: 1 records",
        "dropped.jsonl: 3 rows", "2  duplicate  first at a.csv:9  of a.csv:2",
        "1  too short  first at a.csv:3",
    ]  # fmt: skip
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    write_jsonl(tmp_path / "train.jsonl", [talk(1, "高血压" * 30 + " https://example.org/" + "x" * 90)])
    lines = inspect(tmp_path, screen=Screen(width, has_colours=False))
    assert max(map(width_of, lines)) <= width
    assert "x" * 90 in "".join(line.strip() for line in lines)


def test_all_kinds_of_record_are_shown(tmp_path: Path) -> None:
    ask = Message(role="user", content="发热怎么办")
    records = [
        Document(id="1", text="正文"),
        Preference(id="2", prompt=(ask,), chosen="好答", rejected="坏答"),
        Question(id="3", stem="题干", case="病例", options={"A": "甲"}, answer="A", subject="s", split="dev"),
        Dialogue(id="4", messages=(ask,), reference="参考"),
    ]
    write_jsonl(tmp_path / "x.jsonl", records)
    text = "\n".join(inspect(tmp_path / "x.jsonl", 9))
    for line in ("text       正文", "rejected   坏答", "case       病例", "A          甲", "reference  参考"):
        assert line in text


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [Document(id="1", text="\n".join(["一行"] * 50))])
    lines = inspect(tmp_path)
    assert sum("一行" in line for line in lines) == MAX_LINES
    assert lines[-1].strip() == f"… {2 * (50 - MAX_LINES)} more characters"


def test_a_record_cannot_steer_the_terminal(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [talk(1, "正常\x1b]0;title\x07\r\u202e\x9b31m结尾")])
    text = "".join(inspect(tmp_path))
    assert text.isprintable() and "正常\ufffd" in text and "结尾" in text


def test_roles_are_coloured_where_there_are_colours(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [talk(1)])
    text = "\n".join(inspect(tmp_path, screen=Screen(80, has_colours=True)))
    assert "\x1b[36muser       \x1b[0m第1问" in text and "\x1b[32massistant" in text


@pytest.mark.parametrize("is_large", [False, True])
def test_samples_are_spread_over_the_file(
    tmp_path: Path, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(b"%04d\n" % number for number in range(1000)))
    if is_large:
        monkeypatch.setattr("medtune.data.inspect.SMALL_BYTES", 10)
    found = [int(line) for line in sample_lines(path, 4)]
    assert found[0] == 0 and len(found) == 4
    assert all(200 <= after - before <= 300 for before, after in pairwise(found))
    assert sample_lines(path, 0) == []
    path.write_bytes(b"1\n2\n")
    assert [int(line) for line in sample_lines(path, 9)] == [1, 2]


def test_other_rows_are_left_out_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "scores.jsonl", [{"id": "1", "value": 1.0}])
    with pytest.raises(UserError, match="medtune prepare source="):
        inspect(tmp_path)
    write_jsonl(tmp_path / "train.jsonl", [talk(1)])
    assert "scores" not in "".join(inspect(tmp_path))
    with pytest.raises(UserError, match="no such file"):
        inspect(tmp_path / "nowhere")


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [talk(1)])
    (tmp_path / "dropped.jsonl").write_bytes(b'{"file":"a","line":1,"reason":"empty"}\n[1]\n')
    with pytest.raises(UserError, match=r"dropped\.jsonl:2"):
        inspect(tmp_path)
    write_json(tmp_path / "statistics.json", {})
    with pytest.raises(UserError, match=r"statistics\.json"):
        inspect(tmp_path)


def test_command_prints_as_many_samples_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(tmp_path)
    main(["inspect", str(tmp_path), "1"])
    told = capsys.readouterr().out
    assert told.count("user       ") == 2 and "\x1b" not in told
    main(["inspect", str(tmp_path / "train.jsonl")])
    assert capsys.readouterr().out.count("user       ") == 3


@pytest.mark.parametrize("words", [[], ["a", "b"], ["a", "1", "2"], ["a", "n=1"], ["a", "-1"], ["a", "²"]])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["inspect", *words])
    assert end.value.code == 2 and "medtune inspect DIR [N]" in capsys.readouterr().err
