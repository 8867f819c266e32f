"""Bytes -> the name of their encoding: UTF-8, UTF-16, GB18030 and Big5, told from a stretch of the file."""

import re
from collections.abc import Iterator

from medtune.data.reading.blocks import gather
from medtune.errors import UserError
from medtune.lexicon import read_table

SAMPLE_BYTES = 1 << 19
BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
HAN = re.compile(r"[\u4e00-\u9fff]")
NO_ASCII = re.compile(r"[^\x00-\x7f]+")
MIN_KNOWN = 0.3
"""Share of known signs that shows UTF-16; of other bytes read so they are a few in a hundred."""
MIN_COMMON = 0.1
"""Share of everyday characters below which a text with damaged bytes is no Chinese in that encoding."""


def find_encoding(pieces: Iterator[bytes], place: str) -> str:
    """The encoding that makes sense of the file's first stretch that is not plain ASCII.

    A few damaged lines do not change it: they are faults of these lines.
    """
    sample = gather(pieces, SAMPLE_BYTES)
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample[:40_000] and (wide := _tell_utf16(sample)):
        return wide
    while sample.isascii():
        sample = gather(pieces, SAMPLE_BYTES)
        if not sample:
            return "utf-8"
    more = gather(pieces, SAMPLE_BYTES)
    return _tell_by_content(_whole_lines(sample + more) if more else sample, place)


def _tell_utf16(sample: bytes) -> str:
    """UTF-16 without a mark, told by the ASCII signs and everyday characters that one byte order makes."""
    lines = sample.split(b"\n")
    if sum(b"\0" in line for line in lines) * 2 <= len(lines):
        return ""
    shares = {encoding: _share_known(sample[:40_000], encoding) for encoding in ("utf-16-le", "utf-16-be")}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] > MIN_KNOWN else ""


def _share_known(content: bytes, encoding: str) -> float:
    text = content[: len(content) // 2 * 2].decode(encoding, errors="replace")
    known = frozenset("".join(read_table("common_han").values()))
    return sum(sign in known or "\t" <= sign < "\x7f" or "\uff00" < sign < "\uff60" for sign in text) / len(
        text
    )


def _tell_by_content(sample: bytes, place: str) -> str:
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    is_utf8 = sum(_is_in(line, "utf-8") for line in lines) * 2 >= len(lines)
    if _is_mostly_utf8(sample) or (is_utf8 and HAN.search(sample.decode("utf-8", errors="replace"))):
        return "utf-8"
    common = read_table("common_han")
    as_gb = _share_common(sample, "gb18030", common["simplified"] + common["traditional"])
    as_big5 = _share_common(sample, "big5hkscs", common["traditional"])
    if is_utf8 and max(as_gb, as_big5) < 0.5:  # two bytes of GB18030 may be a Greek letter in UTF-8
        return "utf-8"
    if as_big5 > as_gb + 0.02:
        return "big5hkscs"
    if as_gb >= MIN_COMMON or _is_in(sample, "gb18030"):
        return "gb18030"
    raise UserError(f"{place}: neither UTF-8, UTF-16, GB18030 nor Big5; name its encoding in the source")


def _whole_lines(sample: bytes) -> bytes:
    """The sample without its last line, which may go on."""
    return sample[: sample.rfind(b"\n") + 1] or sample[: SAMPLE_BYTES // 2]


def _is_in(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_mostly_utf8(content: bytes) -> bool:
    """Whether UTF-8 makes Chinese characters of more bytes than not; of GB18030 text it makes hardly any."""
    text = content.decode("utf-8", errors="replace")
    return len(HAN.findall(text)) > text.count("\ufffd")


def _share_common(content: bytes, encoding: str, common: str) -> float:
    """Share of the signs besides ASCII that are everyday characters, when read in this encoding."""
    known = frozenset(common)
    signs = "".join(NO_ASCII.findall(content[: SAMPLE_BYTES // 8].decode(encoding, errors="replace")))
    return sum(sign in known for sign in signs) / len(signs) if signs else 0.0
