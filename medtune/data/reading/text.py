"""Text -> text in one form: line ends, control characters, HTML, full-width letters and mojibake mended."""

import html
import re
from collections import Counter
from typing import Any, NamedTuple

MOJIBAKE, LINE_ENDS, CONTROLS, HTML, FULL_WIDTH = (
    "mojibake",
    "line ends",
    "control characters",
    "HTML",
    "full-width",
)
"""Names of the repairs, as they are counted."""

NO_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060\ufeff]"
)
LINE_SIGNS = re.compile(r"\r\n?|[\u2028\u2029\x85]")
BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
WIDE = re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u3000]")
NARROW = {code: code - 0xFEE0 for first, last in ("\uff10\uff19", "\uff21\uff3a", "\uff41\uff5a")
          for code in range(ord(first), ord(last) + 1)} | {0x3000: 0x20}  # fmt: skip
SUSPECT = re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\xc2-\xf4]")
"""Signs that a printable text without HTML may need mending for."""

ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]{2,8});")
BREAKS = re.compile(r"<(?:br\s*/?|/?(?:p|div|li|ul|ol|tr|table|tbody|h[1-6])(?:\s[^<>]*)?)>", re.I)
SCRIPTS = re.compile(r"<(script|style)\b[^<>]*>.*?</\1\s*>|<!--.*?-->", re.I | re.S)
POWER = re.compile(r"<sup>\s*([^<>]{1,9}?)\s*</sup>", re.I)
MARKUP = re.compile(
    r"</?(?:span|strong|em|font|img|td|th|hr|sub|sup|center|article|section|small|big)(?:\s[^<>]*)?/?>"
    r"|<a\s[^<>]*>|</a>",
    re.I,
)
SHORT_MARKUP = re.compile(r"<([bius])>([^<>]*)</\1>", re.I)
"""Tags of one letter go in pairs only: `a<b>c` may compare."""

# How the bytes 0x80-0xBF look when cp1252 or, where that has no sign, latin-1 reads them.
BYTES = {chr(code): code for code in range(0x80, 0x100)} | {
    bytes([code]).decode("cp1252", errors="ignore") or chr(code): code for code in range(0x80, 0x100)
}
FOLLOWERS = "".join(re.escape(sign) for sign, code in BYTES.items() if code < 0xC0)
MISREAD = re.compile(
    rf"(?:[\xc2-\xdf][{FOLLOWERS}]|[\xe0-\xef][{FOLLOWERS}]{{2}}|[\xf0-\xf4][{FOLLOWERS}]{{3}})+"
)
EASTERN = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")


class Mended(NamedTuple):
    """A text in one form, and what was wrong with it."""

    text: str
    repairs: tuple[str, ...]
    """Names of the repairs, each once."""


def mend(text: str) -> Mended:
    r"""The text with `\n` line ends, no control characters or HTML, single blank lines and no blank ends.

    Chinese punctuation stays, and so do `<think>` and signs that compare.
    """
    if is_clean(text):
        return Mended(text.strip(), ())
    repairs = list[str]()
    for name, repair in REPAIRS.items():
        mended = repair(text)
        if mended != text:
            repairs.append(name)
            text = mended
    return Mended(BLANK_LINES.sub("\n\n", text).strip(), tuple(repairs))


def is_clean(text: str) -> bool:
    """Whether nothing is to be mended, told fast; a doubtful text counts as unclean."""
    if "\n" in text:
        flat = text.replace("\n", "")
        if "\n\n\n" in text or "\n " in text:
            return False
    else:
        flat = text
    return flat.isprintable() and "<" not in flat and "&" not in flat and not SUSPECT.search(flat)


def mend_row(values: dict[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    """The row with every text in it mended, and how many texts had which repair; the given row stays."""
    counts = Counter[str]()
    texts = [value for value in values.values() if type(value) is str]
    if len(texts) == len(values) and is_clean("|".join(texts)):
        return {key: value.strip() for key, value in values.items()}, counts
    return {key: _mend_value(value, counts) for key, value in values.items()}, counts


def _mend_value(value: Any, counts: Counter[str]) -> Any:
    if isinstance(value, str):
        text, repairs = mend(value)
        if repairs:
            counts.update(repairs)
        return text
    if isinstance(value, list):
        return [_mend_value(item, counts) for item in value]
    if isinstance(value, dict):
        return {key: _mend_value(item, counts) for key, item in value.items()}
    return value


def decode_again(text: str) -> str:
    """The text with UTF-8 that was read as cp1252 or latin-1 read rightly, when that makes Chinese of it."""
    found = list(MISREAD.finditer(text))
    if not found:
        return text
    right = [_decode(match[0]) for match in found]
    signs = "".join(right)
    if len(EASTERN.findall(signs)) * 2 <= len(signs):
        return text
    return MISREAD.sub(lambda match: _decode(match[0]), text)


def _decode(misread: str) -> str:
    try:
        return bytes(BYTES[sign] for sign in misread).decode("utf-8")
    except UnicodeDecodeError:
        return misread


def unify_lines(text: str) -> str:
    r"""The text with `\n` as its only line end."""
    return LINE_SIGNS.sub("\n", text)


def drop_controls(text: str) -> str:
    """The text without control characters and signs of no width; joined emoji stay joined."""
    return NO_CONTROL.sub("", text)


def drop_html(text: str) -> str:
    """The text with entities as their signs, breaks as line ends, and without other known tags."""
    for _ in range(2):  # some sets are escaped twice
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text
    if "<" in text:
        text = POWER.sub(r"^\1", SCRIPTS.sub("", text))
        text = SHORT_MARKUP.sub(r"\2", MARKUP.sub("", BREAKS.sub("\n", text)))
    return text.replace("\xa0", " ")


def narrow(text: str) -> str:
    """The text with full-width letters, digits and blanks in half width."""
    return text.translate(NARROW) if WIDE.search(text) else text


REPAIRS = {
    MOJIBAKE: decode_again,
    LINE_ENDS: unify_lines,
    CONTROLS: drop_controls,
    HTML: drop_html,
    FULL_WIDTH: narrow,
}
"""In this order: mojibake holds what would be taken for control characters."""
