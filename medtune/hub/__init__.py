"""Files of data sets and models on Hugging Face, ModelScope and in git repositories, pinned to a commit."""

from functools import cache
from hashlib import sha1, sha256
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Protocol, cast

from medtune.config import Input
from medtune.errors import UserError
from medtune.hub.address import COMMIT, Address, RemoteFile, is_wanted, patterns_of, read_address

__all__ = [
    "Address",
    "RemoteFile",
    "commit_of",
    "fetch",
    "files_of",
    "is_wanted",
    "is_whole",
    "pin",
    "read_address",
]

CLIENTS = {
    "hf": "medtune.hub.huggingface",
    "modelscope": "medtune.hub.modelscope",
    "git": "medtune.hub.git",
}
"""Where each hub is talked to. Named, not imported: the clients are optional and slow to load."""
BLOCK_BYTES = 1 << 20


class Client(Protocol):
    """What the module of a hub holds. Each turns what goes wrong into a UserError."""

    def head_of(self, address: Address) -> str:
        """The commit that the address' revision stands for, of the default branch when it has none."""
        ...

    def list_files(self, address: Address) -> list[RemoteFile]:
        """Every file at the commit that is the address' revision."""
        ...

    def fetch(
        self, address: Address, wanted: list[RemoteFile], patterns: list[str], into: Path | None
    ) -> Path:
        """A directory with the files wanted, which are those that fit the patterns; what is there stays."""
        ...


def _client(address: Address) -> Client:
    return cast(Client, import_module(CLIENTS[address.scheme]))


@cache
def _commit(address: Address) -> str:
    commit = _client(address).head_of(address)
    assert COMMIT.fullmatch(commit), f"{address}: {commit} is no commit"
    return commit


def commit_of(source: Input) -> str:
    """The commit that an address names; for a branch, a tag or none the hub is asked, once a process."""
    address = read_address(source)
    return address.revision if COMMIT.fullmatch(address.revision) else _commit(address)


def pin(source: Input) -> Address:
    """The address with its commit: what stands for the source in a key."""
    return read_address(source)._replace(revision=commit_of(source))


@cache
def _files(address: Address) -> tuple[RemoteFile, ...]:
    files = sorted(_client(address).list_files(address))
    for file in files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts or "\\" in file.name or ":" in path.parts[0]:
            raise UserError(f"{address}: names a file {file.name!r}, which would land outside its directory")
    return tuple(files)


def files_of(source: Input, files: str = "") -> list[RemoteFile]:
    """The files at the commit of `source` that fit the patterns `files`, by name; never none of them."""
    address = pin(source)
    known = _files(address)
    wanted = [file for file in known if is_wanted(file.name, files)]
    if not wanted:
        names = ", ".join(file.name for file in known[:8]) + (" …" if len(known) > 8 else "")
        what = f"no file fits {files}; it holds {names}" if known else "holds no files"
        raise UserError(f"{address}: {what}")
    return wanted


def fetch(source: Input, files: str = "", *, into: Path | None = None) -> Path:
    """A directory that holds the files of `source` which fit the patterns `files`, and maybe others.

    Without `into` it is the client's own cache. What was fetched before is not fetched again, and a file that
    was broken off is resumed. Every file is of the size that the hub states; `is_whole` says whether it is
    also of its checksum.
    """
    wanted = files_of(source, files)
    address = pin(source)
    folder = _client(address).fetch(address, wanted, patterns_of(files), into)
    for file in wanted:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size:
            raise UserError(
                f"{source}: {file.name} did not arrive whole; run the same command again, it resumes"
            )
    return folder


def is_whole(path: Path, file: RemoteFile) -> bool:
    """Whether the bytes of a file are those that the hub states a checksum of."""
    if path.stat().st_size != file.size:
        return False
    digest = sha256() if file.sha256 else sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest() == (file.sha256 or file.git_sha1)
