"""The encoding of a file is told from its bytes, without reading all of it."""

from collections.abc import Iterator
from itertools import count

import pytest

from medtune.data.reading.encodings import find_encoding
from medtune.errors import UserError

SIMPLIFIED = "患者胸闷三天，心电图正常，没有高血压和糖尿病。\n请问医生需要住院吗？\n"
TRADITIONAL = "患者胸悶三天，心電圖正常，沒有高血壓和糖尿病。\n請問醫生需要住院嗎？\n"


def told(*pieces: bytes) -> str:
    return find_encoding(iter(pieces), "rows.csv")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (SIMPLIFIED.encode(), "utf-8"),
        (SIMPLIFIED.encode("utf-8-sig"), "utf-8-sig"),
        (SIMPLIFIED.encode("gb18030"), "gb18030"),
        (SIMPLIFIED.encode("gb2312"), "gb18030"),
        (TRADITIONAL.encode(), "utf-8"),
        (TRADITIONAL.encode("gb18030"), "gb18030"),
        (TRADITIONAL.encode("big5"), "big5hkscs"),
        (SIMPLIFIED.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + SIMPLIFIED.encode("utf-16-be"), "utf-16"),
        (SIMPLIFIED.encode("utf-16-le"), "utf-16-le"),
        (SIMPLIFIED.encode("utf-16-be"), "utf-16-be"),
        (b"question,answer\n", "utf-8"),
        (b"", "utf-8"),
        ("头痛\n".encode("gb18030"), "gb18030"),
        ("体温 37°C\n".encode(), "utf-8"),
        ("fever 37°C, 5 µg\n".encode(), "utf-8"),
    ],
)
def test_encoding_is_told_from_the_bytes(content: bytes, encoding: str) -> None:
    assert told(content) == encoding


def test_damaged_lines_do_not_turn_a_utf_8_file_into_another() -> None:
    good = "标题,答案\n头痛,多休息\n发热,要就医\n".encode()
    assert told(good[:-2]) == "utf-8"
    assert told(good + "咳嗽,少说话\n".encode("gb18030")) == "utf-8"
    assert told(good + b"\xd6\xff\n") == "utf-8"


def test_lines_in_utf_8_do_not_turn_a_gb18030_file_into_another() -> None:
    assert told(SIMPLIFIED.encode("gb18030") * 3 + SIMPLIFIED.encode()) == "gb18030"


def test_nuls_in_a_text_do_not_make_a_file_utf_16() -> None:
    assert told(b'{"a": "x\x00yz"}\n' * 4) == "utf-8"
    assert told('{"问": "头\x00痛"}\n'.encode() * 4) == "utf-8"


def test_plain_ascii_is_skipped_until_something_tells_the_encoding() -> None:
    plain = b"a,b\n" * 200_000
    assert told(plain, plain, SIMPLIFIED.encode("gb18030")) == "gb18030"


def test_only_a_stretch_of_a_long_file_is_read() -> None:
    line, read = SIMPLIFIED.encode("gb18030") * 100, []

    def pieces() -> Iterator[bytes]:
        for number in count():
            read.append(number)
            yield line

    assert find_encoding(pieces(), "endless.csv") == "gb18030"
    assert len(read) * len(line) < 2_000_000


def test_bytes_of_no_known_encoding_are_refused() -> None:
    with pytest.raises(UserError, match=r"rows\.csv: neither UTF-8, UTF-16, GB18030 nor Big5"):
        told(b"\xff\x00\x81\xff" * 9)
