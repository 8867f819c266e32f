"""A file of any kind -> its rows. To add a kind: a function, and a row in READERS."""

import gzip
import io
from collections.abc import Callable, Iterator
from typing import Any

from medtune.data.reading.blocks import CUT, Block, codec_of, read_blocks, read_lines, read_pieces, recode
from medtune.data.reading.files import Kind, Part, open_part
from medtune.data.reading.jsons import find_text_fault, read_json_lines, read_json_values
from medtune.data.reading.plain import number_lines, read_consultations, read_prose, read_questions
from medtune.data.reading.rows import Bad, Fault, Raw
from medtune.data.reading.tables import read_table
from medtune.errors import UserError, require

Numbered = Iterator[tuple[int, dict[str, Any] | Fault]]
"""Where each row starts, and its values or what is wrong with it."""

MAX_WHOLE_BYTES = 512 << 20
"""Largest JSON array and largest packed Parquet file; they have to be held as a whole."""
NUM_JUDGED = 50
"""Rows after which an encoding that fits none of them is taken for wrong."""
BATCH_ROWS = 1024


def read_part(part: Part) -> Iterator[Raw | Bad]:
    """The rows of a file, a damaged one as a Bad with its reason. A file without rows is refused."""
    file, num_bad, num_good, line = part.file, 0, 0, 0
    with open_part(part.path, part.member) as stream:
        try:
            for line, row in READERS[part.kind](stream, part):
                if type(row) is dict:
                    num_good += 1
                    yield Raw(file, line, row)
                    continue
                assert isinstance(row, Fault)
                num_bad += row.reason.startswith("not in ")
                if part.is_named and num_bad == NUM_JUDGED and not num_good:
                    break
                yield row.at(file, line)
        except CUT as error:
            yield Bad(file, line + 1, "archive cut or broken", str(error))
            return
    if part.is_named and num_bad and not num_good:
        raise UserError(f"{file}: not readable as {part.encoding}; name the right encoding in the source")
    if not line:
        raise UserError(f"{file}: no rows in it")


def _blocks(stream: io.BufferedIOBase, part: Part) -> Iterator[Block]:
    return read_blocks(recode(read_pieces(stream), part.encoding))


def _read_json_lines(stream: io.BufferedIOBase, part: Part) -> Numbered:
    return read_json_lines(_blocks(stream, part), _codec(part))


def _read_json(stream: io.BufferedIOBase, part: Part) -> Numbered:
    return read_json_values(b"".join(recode([_read_whole(stream, part)], part.encoding)), _codec(part))


def _read_table(stream: io.BufferedIOBase, part: Part) -> Numbered:
    lines = read_lines(_blocks(stream, part), _codec(part))
    return read_table(lines, str(part.file), is_tabbed=part.kind == "tabbed table")


def _read_questions(stream: io.BufferedIOBase, part: Part) -> Numbered:
    return read_questions(number_lines(read_lines(_blocks(stream, part), _codec(part))))


def _read_consultations(stream: io.BufferedIOBase, part: Part) -> Numbered:
    return read_consultations(number_lines(read_lines(_blocks(stream, part), _codec(part))))


def _read_prose(stream: io.BufferedIOBase, part: Part) -> Numbered:
    return read_prose(number_lines(read_lines(_blocks(stream, part), _codec(part))))


def _read_parquet(stream: io.BufferedIOBase, part: Part) -> Numbered:
    require("data", "pyarrow")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    is_packed = part.member or isinstance(stream, gzip.GzipFile)
    try:
        file = ParquetFile(io.BytesIO(_read_whole(stream, part)) if is_packed else part.path)
        number = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                fault = find_text_fault(row)
                yield number, Fault(fault, str(row)) if fault else row
    except (ArrowException, OSError) as error:
        raise UserError(f"{part.file}: no readable Parquet file: {error}; fetch the file anew") from None


def _read_whole(stream: io.BufferedIOBase, part: Part) -> bytes:
    pieces, size = list[bytes](), 0
    for piece in read_pieces(stream):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_WHOLE_BYTES:
            raise UserError(
                f"{part.file}: over {MAX_WHOLE_BYTES >> 20} MB, too large to be held as a whole; "
                "write it as JSON lines, one object a line"
            )
    return b"".join(pieces)


def _codec(part: Part) -> str:
    return codec_of(part.encoding, str(part.file))


READERS: dict[Kind, Callable[[io.BufferedIOBase, Part], Numbered]] = {
    "json lines": _read_json_lines,
    "json": _read_json,
    "table": _read_table,
    "tabbed table": _read_table,
    "questions": _read_questions,
    "consultations": _read_consultations,
    "prose": _read_prose,
    "parquet": _read_parquet,
}
