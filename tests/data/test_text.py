"""Bytes in any encoding become the same text, and damage is told from another encoding."""

from pathlib import Path

import pytest

from medtune.data.text import find_encoding, read_words, tidy
from medtune.errors import UserError
from medtune.scorers.overlap import bare

TEXT = "患者胸闷三天，心电图正常。\n需要住院吗？\n"


@pytest.mark.parametrize(
    ("codec", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("gb18030", "gb18030"), ("utf-16", "utf-16")],
)
def test_encoding_is_told_from_the_bytes(tmp_path: Path, codec: str, found: str) -> None:
    path = tmp_path / "text.csv"
    path.write_bytes(TEXT.encode(codec))
    assert find_encoding(path) == found
    assert path.read_text(encoding=found) == TEXT


def test_big_endian_utf_16_is_told_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "text.csv"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert path.read_text(encoding=find_encoding(path)) == TEXT


def test_damaged_utf_8_is_refused_and_not_read_as_gb18030(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    content = ("编号" + TEXT * 4).encode()
    path.write_bytes(content[:30] + b"\xd6" + content[30:])
    with pytest.raises(UserError, match=r"cut\.csv: UTF-8 but for damaged bytes, the first at byte 30"):
        find_encoding(path)


def test_a_last_character_cut_in_half_does_not_turn_the_file_into_mojibake(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_bytes("标题,答案\n头痛,多休息".encode()[:-1])
    assert "标题" not in path.read_text(encoding="gb18030"), (
        "GB18030 must take these bytes for this test to mean anything"
    )
    with pytest.raises(UserError, match="UTF-8 but for damaged bytes"):
        find_encoding(path)


def test_bytes_of_no_known_encoding_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.csv"
    path.write_bytes(b"\xff\x00\x81\xff" * 9)
    with pytest.raises(UserError, match=r"noise\.csv: neither UTF-8 nor GB18030"):
        find_encoding(path)


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        ("  头痛\r\n发热\r咳嗽 \n", "头痛\n发热\n咳嗽"),
        ("一\n\n\n\n二", "一\n\n二"),
        ("一\n \t\n \n二", "一\n\n二"),
        ("头\x00痛\u200b发\ufeff热\x7f", "头痛发热"),
        ("剂量\t5mg", "剂量\t5mg"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        (" \x00 ", ""),
    ],
)
def test_tidy_unifies_line_ends_and_removes_control_characters_only(raw: str, tidied: str) -> None:
    assert tidy(raw) == tidied
    assert tidy(tidied) == tidied


def test_bare_text_ignores_case_blanks_and_punctuation() -> None:
    assert bare("  CT 检查，\n是否_必要？") == bare("ct检查是否必要") == "ct检查是否必要"


def test_lexicon_words_are_read_without_their_comments() -> None:
    words = read_words("placeholders")
    assert {"无", "暂无", "nan"} <= words
    assert not any(word.startswith("#") or not word for word in words)
