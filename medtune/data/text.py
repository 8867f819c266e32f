"""Bytes -> text -> text in one form."""

import re
from functools import cache
from pathlib import Path

from medtune.errors import UserError

LEXICON = Path(__file__).parents[1] / "lexicon"

BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
GUESSES = ("utf-8", "gb18030")
"""Tried in this order: text in UTF-8 is hardly ever valid by chance, while GB18030 takes almost any bytes."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")
BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
HAN = re.compile(r"[\u4e00-\u9fff]")


def find_encoding(path: Path) -> str:
    """The encoding in which all bytes make sense.

    Damaged UTF-8 is refused, GB18030 would make other signs of it.
    """
    content = path.read_bytes()
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    for encoding in GUESSES:
        try:
            content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-8" and is_mostly_utf8(content):
                raise UserError(
                    f"{path}: UTF-8 but for damaged bytes, the first at byte {error.start}; "
                    "is the file cut off?"
                ) from None
            continue
        return encoding
    raise UserError(f"{path}: neither UTF-8 nor GB18030; name its encoding in the source")


def is_mostly_utf8(content: bytes) -> bool:
    """Whether UTF-8 makes Chinese characters of more bytes than not; of GB18030 text it makes hardly any."""
    text = content.decode("utf-8", errors="replace")
    return len(HAN.findall(text)) > text.count("\ufffd")


def tidy(text: str) -> str:
    r"""The text with `\n` line ends, no control characters, single blank lines and no blank ends."""
    lines = CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return BLANK_LINES.sub("\n\n", lines).strip()


@cache
def read_words(name: str) -> frozenset[str]:
    """The entries of a lexicon file, lower case, comments left out."""
    lines = (LEXICON / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))
