"""Bytes of a file -> blocks of whole lines -> lines of text, each damaged line apart.

A block is decoded at once; only when that fails is it gone through line by line. The line end is never part
of another sign in UTF-8, GB18030 or Big5, so that a damaged line harms no other; UTF-16 becomes UTF-8 first.
"""

import codecs
import io
import zlib
from collections.abc import Iterable, Iterator
from gzip import BadGzipFile
from typing import NamedTuple
from zipfile import BadZipFile

from medtune.data.reading.rows import MAX_TEXT, Fault
from medtune.errors import UserError

CHUNK_BYTES = 1 << 18
MAX_LINE_BYTES = 8 << 20
CUT = (EOFError, zlib.error, BadGzipFile, BadZipFile)
"""What the archive libraries raise where an archive is cut or broken."""

# What UTF-8 for frequent signs looks like when it is taken for GB18030; Chinese text has none of it.
UTF8_IN_GB = tuple(pair.decode("gb18030") for pair in (b"\xef\xbc", b"\xe3\x80", b"\xe7\x9a"))
LABELS = {"utf-8": "UTF-8", "gb18030": "GB18030", "big5hkscs": "Big5"}


class Block(NamedTuple):
    """Some whole lines."""

    line: int
    """1-based number of the first line."""
    data: bytes
    is_too_long: bool = False
    """Whether this is only the beginning of one line that is over the limit."""


class Lines(NamedTuple):
    """The decoded lines of a block, without their ends."""

    first: int
    texts: list[str]
    """Empty where the line is damaged."""
    faults: dict[int, Fault]
    """What is wrong, by index in `texts`."""


def read_pieces(file: io.BufferedIOBase) -> Iterator[bytes]:
    """The bytes of a file in pieces, of a cut archive those before the cut, then one of the errors in CUT."""
    while piece := file.read1(CHUNK_BYTES):
        yield piece


def gather(pieces: Iterator[bytes], size: int) -> bytes:
    """The next pieces together, at least so many bytes unless the file ends."""
    found, length = list[bytes](), 0
    while length < size and (piece := next(pieces, b"")):
        found.append(piece)
        length += len(piece)
    return b"".join(found)


def recode(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces without a byte order mark, UTF-16 as UTF-8."""
    decoder = (
        codecs.getincrementaldecoder(encoding)("surrogatepass") if encoding.startswith("utf-16") else None
    )
    is_first = True
    for piece in pieces:
        if decoder:
            piece = decoder.decode(piece).encode("utf-8", "surrogatepass")
        if is_first:
            piece, is_first = piece.removeprefix(codecs.BOM_UTF8), False
        yield piece
    if decoder and decoder.getstate()[0]:
        yield b"\xff"  # half a sign at the end of the file: its line is damaged


def codec_of(encoding: str, place: str) -> str:
    """The codec for the pieces that `recode` gives."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise UserError(
            f"{place}: not readable as {encoding}: no such encoding; name the right one in the source"
        ) from None
    return "utf-8" if name.startswith(("utf-16", "utf-8", "utf_8")) or name == "ascii" else name


def read_blocks(given: Iterable[bytes]) -> Iterator[Block]:
    """Blocks of whole lines; of a line over the limit only its beginning, and no more of it is held."""
    line, pieces, size, is_skipping = 1, list[bytes](), 0, False
    for chunk in given:
        end = chunk.rfind(b"\n") + 1
        if not end:
            if not is_skipping:
                pieces.append(chunk)
                size += len(chunk)
            if size > MAX_LINE_BYTES:
                yield Block(line, pieces[0][: MAX_TEXT * 4], is_too_long=True)
                pieces, size, is_skipping = [], 0, True
            continue
        start = 0
        if is_skipping:
            start = chunk.find(b"\n") + 1
            line, is_skipping = line + 1, False
        elif size:
            start = chunk.find(b"\n") + 1
            whole = b"".join((*pieces, chunk[:start]))
            yield _block_of_line(line, whole)
            line += 1
        if data := chunk[start:end]:
            yield Block(line, data)
            line += data.count(b"\n")
        pieces, size = [chunk[end:]] if end < len(chunk) else [], len(chunk) - end
    if pieces:
        yield _block_of_line(line, b"".join(pieces))


def _block_of_line(line: int, whole: bytes) -> Block:
    if len(whole) > MAX_LINE_BYTES:
        return Block(line, whole[: MAX_TEXT * 4], is_too_long=True)
    return Block(line, whole)


def read_lines(blocks: Iterable[Block], codec: str) -> Iterator[Lines]:
    """The lines of each block as text, damaged ones told."""
    for block in blocks:
        if block.is_too_long:
            yield Lines(block.line, [""], {0: too_long(block, codec)})
            continue
        yield decode_block(block, codec)


def too_long(block: Block, codec: str) -> Fault:
    """The fault of a line over the limit."""
    return Fault("line too long", block.data.decode(codec, errors="replace"))


def decode_block(block: Block, codec: str) -> Lines:
    """The block's lines; first all at once, and where that fails one by one."""
    data = block.data.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = _decode(data, codec)
    except UnicodeDecodeError:
        text = "\0"
    is_sound = "\0" not in text and (codec == "utf-8" or not any(mark in text for mark in UTF8_IN_GB))
    if is_sound:
        return Lines(block.line, (text.replace("\r\n", "\n") if "\r" in text else text).split("\n"), {})
    texts, faults = list[str](), dict[int, Fault]()
    for at, line in enumerate(data.split(b"\n")):
        found = decode_line(line.removesuffix(b"\r"), codec)
        if isinstance(found, Fault):
            faults[at], found = found, ""
        texts.append(found)
    return Lines(block.line, texts, faults)


def decode_line(line: bytes, codec: str) -> str | Fault:
    """The text of a line, or what is wrong with its bytes."""
    try:
        text = line.decode(codec)
    except UnicodeDecodeError:
        return Fault(*_why_undecodable(line, codec))
    if codec != "utf-8" and any(mark in text for mark in UTF8_IN_GB):
        try:
            return Fault(f"not in {LABELS.get(codec, codec)}", line.decode("utf-8"))
        except UnicodeDecodeError:
            pass
    return Fault("NUL character", text) if "\0" in text else text


def _decode(data: bytes, codec: str) -> str:
    if codec == "gb18030":
        try:
            return data.decode("gbk")  # the same signs in two thirds of the time
        except UnicodeDecodeError:
            pass
    return data.decode(codec)


def _why_undecodable(line: bytes, codec: str) -> tuple[str, str]:
    if codec == "utf-8":
        try:
            return "lone surrogate", line.decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode()
        except UnicodeDecodeError:
            pass
    other = "gb18030" if codec == "utf-8" else "utf-8"
    try:
        text = line.decode(other)
    except UnicodeDecodeError:
        text = line.decode(codec, errors="replace")
    return f"not in {LABELS.get(codec, codec)}", text
