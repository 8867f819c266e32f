"""A path, directory or pattern -> its files with rows, archives opened, each with its kind and encoding."""

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from medtune.data.reading.blocks import CUT, codec_of, gather, read_pieces, recode
from medtune.data.reading.encodings import find_encoding
from medtune.data.reading.jsons import spoken
from medtune.data.reading.plain import is_consultation_text, is_question_text
from medtune.data.reading.tables import find_delimiter
from medtune.errors import UserError
from medtune.lexicon import read_table

Kind = Literal[
    "json lines", "json", "table", "tabbed table", "questions", "consultations", "prose", "parquet"
]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".gz", ".zip")
NO_DATA = {
    "dataset_info.json", "dataset_infos.json", "config.json", "manifest.json", "dropped.jsonl", "readme.txt",
    "license.txt", "requirements.txt",
}  # fmt: skip
"""Files of a directory that describe it."""
HEAD_BYTES = 1 << 16


class Part(NamedTuple):
    """A file with rows, by itself or inside an archive."""

    file: Path
    """How it is named in messages: `archive.zip/member.csv`."""
    path: Path
    """The file on disk."""
    member: str
    """Its name in the archive; empty outside of one."""
    kind: Kind
    encoding: str
    """Empty for Parquet."""
    is_named: bool = False
    """Whether the encoding was given and not found."""


def find_files(path: Path, pattern: str = "") -> list[Path]:
    """The data files that a path stands for, in name order."""
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [
            file for file in sorted(path.rglob("*")) if file.is_file() and _is_wanted(file, path, pattern)
        ]
    else:
        files = [Path(name) for name in sorted(glob(str(path), recursive=True)) if Path(name).is_file()]
    if not files:
        raise UserError(_why_none(path, pattern))
    return files


def _is_wanted(file: Path, folder: Path, pattern: str) -> bool:
    inside = file.relative_to(folder)
    if any(part.startswith(".") for part in inside.parts) or file.suffix == ".part":
        return False
    if pattern:
        return _fits(inside.as_posix(), pattern)
    return file.suffix.lower() in SUFFIXES and file.name.lower() not in NO_DATA


def _fits(name: str, patterns: str) -> bool:
    """Whether a path, or the file's name alone, fits one of the patterns between commas."""
    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    return any(fnmatch(name, pattern) or fnmatch(name.rpartition("/")[2], pattern) for pattern in wanted)


def _why_none(path: Path, pattern: str) -> str:
    if path.is_dir():
        return f"{path}: no {pattern or ', '.join(SUFFIXES)} files in it"
    if has_magic(str(path)):
        return f"{path}: no file has such a name"
    owner, _, rest = str(path).partition("/")
    is_hub_id = owner and rest and "/" not in rest and not path.suffix and owner not in (".", "..")
    hint = f"; for a data set on a hub write hf:{path} or modelscope:{path}" if is_hub_id else ""
    return f"{path}: no such file or directory{hint}"


def check_sha1(path: Path, wanted: str) -> None:
    """Nothing, or a UserError when the file is not the one that was meant."""
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != wanted:
        raise UserError(f"{path}: its SHA-1 is {digest.hexdigest()}, wanted is {wanted}; fetch the file anew")


def open_path(path: Path, encoding: str, pattern: str = "") -> list[Part]:
    """The file itself, or the files in a zip archive."""
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip":
            raise UserError(f"{path}: no readable zip archive; is the file cut off?")
        return [_describe(path, path, "", encoding)]
    with zipfile.ZipFile(path) as archive:
        names = sorted(info.filename for info in archive.infolist() if not info.is_dir())
    wanted = [name for name in names if _is_member_wanted(name, pattern)]
    if not wanted:
        raise UserError(f"{path}: no {pattern or ', '.join(SUFFIXES[:-1])} files in it")
    return [_describe(path / _readable(name), path, name, encoding) for name in wanted]


def _is_member_wanted(name: str, pattern: str) -> bool:
    file = Path(name)
    if any(part.startswith((".", "__MACOSX")) for part in file.parts):
        return False
    if pattern:
        return _fits(name, pattern)
    return file.suffix.lower() in SUFFIXES[:-1] and file.name.lower() not in NO_DATA


def _readable(name: str) -> str:
    """The name of a member; Chinese names from Windows are GB18030 that the zip library takes for cp437."""
    try:
        return name.encode("cp437").decode("gb18030")
    except UnicodeError:
        return name


def _describe(shown: Path, path: Path, member: str, encoding: str) -> Part:
    with open_part(path, member) as file:
        pieces = _read_while_whole(file)
        sample = gather(pieces, HEAD_BYTES)
        if sample.startswith(b"PAR1"):
            return Part(shown, path, member, "parquet", "")
        found = find_encoding(chain([sample], pieces), str(shown)) if encoding == "auto" else encoding
    codec = codec_of(found, str(shown))
    text = b"".join(recode([sample[:HEAD_BYTES]], found)).decode(codec, errors="replace")
    kind = tell_kind(text, shown.name.lower().removesuffix(".gz"))
    return Part(shown, path, member, kind, found, is_named=encoding != "auto")


def _read_while_whole(file: io.BufferedIOBase) -> Iterator[bytes]:
    """The bytes up to where an archive is cut; who reads the rows reports the cut."""
    try:
        yield from read_pieces(file)
    except CUT:
        return


@contextmanager
def open_part(path: Path, member: str) -> Generator[io.BufferedIOBase]:
    """The bytes of a file or a member of an archive, unpacked where they are packed."""
    with ExitStack() as stack:
        try:
            if member:
                archive = stack.enter_context(zipfile.ZipFile(path))
                file = io.BufferedReader(stack.enter_context(zipfile.Path(archive, member).open("rb")))  # type: ignore[arg-type]
            else:
                file = stack.enter_context(path.open("rb"))
            is_packed = file.peek(2)[:2] == b"\x1f\x8b"
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError) as error:
            raise UserError(
                f"{path}: cannot be unpacked: {error}; is the file whole, and without a password?"
            ) from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
        yield gzip.GzipFile(fileobj=file) if is_packed else file


def tell_kind(head: str, name: str) -> Kind:
    """What kind of rows a file holds, told by its first characters; its name decides only between tables."""
    first, _, rest = head.lstrip("\ufeff \t\r\n").partition("\n")
    first = first.strip()
    if first.startswith(("{", "[")):
        is_line = first[0] == "{" and first.endswith(("}", "},")) and rest.strip()
        return "json lines" if is_line or name.endswith(".jsonl") else "json"
    if name.endswith((".json", ".jsonl")):
        return "json lines"
    if name.endswith(".tsv"):
        return "tabbed table"
    if name.endswith(".csv") or _is_header(first):
        return "table"
    if is_consultation_text(head):
        return "consultations"
    return "questions" if is_question_text(head) else "prose"


def _is_header(line: str) -> bool:
    """Whether a first line is made of names of columns that are known."""
    known = read_table("columns")
    names = {name.lower() for name in known} | {name.lower() for names in known.values() for name in names}
    cells = line.split(find_delimiter(line))
    return (
        len(cells) > 1
        and not spoken(line)
        and all(cell.strip().strip('"').lower() in names for cell in cells)
    )
