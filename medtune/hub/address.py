"""Where something lies on a hub: `hf:OWNER/NAME@REVISION` in its parts, and which files are meant."""

import re
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from medtune.config import Input
from medtune.errors import UserError

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
KINDS = {"datasets/": "dataset", "models/": "model"}
Kind = Literal["dataset", "model"]


class Address(NamedTuple):
    """A repository on a hub."""

    scheme: str
    kind: Kind
    name: str
    """`owner/name`, for git the URL."""
    revision: str
    """A commit, branch or tag; empty for the head of the default branch."""

    def __str__(self) -> str:
        folder = "models/" if self.kind == "model" and self.scheme != "git" else ""
        return f"{self.scheme}:{folder}{self.name}" + (f"@{self.revision}" if self.revision else "")

    @property
    def noun(self) -> str:
        """What it is, for messages."""
        return "model" if self.kind == "model" else "data set"


class RemoteFile(NamedTuple):
    """A file as its hub lists it."""

    name: str
    size: int
    sha256: str
    """Empty when the hub states the next one only."""
    git_sha1: str
    """SHA-1 of git's blob: the word blob, the size, then the bytes."""


def read_address(source: Input) -> Address:
    """The parts of an address; a bare `owner/name@revision` is a model on Hugging Face."""
    if not source.scheme:
        name, _, revision = source.partition("@")
        return Address("hf", "model", name, revision)
    scheme, _, rest = source.partition(":")
    if scheme == "git":
        name, at, revision = rest.rpartition("@")
        if not at or "/" in revision or ":" in revision:  # the @ of user@host, or none
            name, revision = rest, ""
        if not name or name.startswith("-"):
            raise UserError(f"{source}: no URL; write git:https://HOST/OWNER/NAME@COMMIT")
        return Address("git", "dataset", name, revision)
    kind: Kind = "dataset"
    for prefix, told in KINDS.items():
        if rest.startswith(prefix) and rest.count("/") > 1:
            kind, rest = ("model" if told == "model" else "dataset"), rest.removeprefix(prefix)
    name, at, revision = rest.partition("@")
    if not REPOSITORY.fullmatch(name) or (at and not revision):
        raise UserError(
            f"{source}: no address on a hub; write {scheme}:OWNER/NAME, and @REVISION after it if wanted"
        )
    return Address(scheme, kind, name, revision)


def patterns_of(files: str) -> list[str]:
    """The patterns in a list with commas between them; none when it is empty."""
    return [pattern.strip() for pattern in files.split(",") if pattern.strip()]


def is_wanted(name: str, files: str) -> bool:
    """Whether a file of a repository fits one of the patterns; `*` stands for slashes too."""
    patterns = patterns_of(files)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
