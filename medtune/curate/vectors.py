"""Vectors that `embed` made, what they mean, and whether those of two directories may be compared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from medtune.config import Input
from medtune.curate.embed_config import Role, TextRecipe
from medtune.errors import UserError
from medtune.records import Row

Settings = dict[str, str | int | list[int] | None]
VECTORS, IDS, SPACE = "vectors.npy", "ids.txt", "space.json"


class Prompts(Row):
    """What stands before a text, by what it is to be compared as."""

    passage: str = ""
    query: str = ""


class Space(Row):
    """What vectors mean. Two directories may be compared when all but their role is equal."""

    type: Literal["tfidf", "sentence-transformers", "api", "states"]
    """The embedder."""
    model: str
    """Its model: a hub id with its revision, a name and where it is served, or a digest of files."""
    dim: int
    """Numbers in a vector."""
    text: TextRecipe
    """What of a record was embedded."""
    role: Role
    """What its texts are to be compared as."""
    prompts: Prompts = Prompts()
    """What stood before a text of either role."""
    max_tokens: int | None = None
    """Tokens after which texts were cut."""
    max_chars: int | None = None
    """Characters after which texts were cut."""
    settings: Settings = {}  # noqa: RUF012  # pydantic copies it
    """How it was fitted, or computed."""


class Vectors(NamedTuple):
    """Vectors and what they mean."""

    array: np.memmap
    """(n, dim), float16 or float32, rows of unit length; on disk until it is read."""
    space: Space
    folder: Path

    def read_ids(self) -> Iterator[str]:
        """The record id of each row, one at a time: a list of millions would take as much as a search."""
        with (self.folder / IDS).open(encoding="utf-8") as lines:
            for line in lines:
                yield line.rstrip("\n")


def open_vectors(folder: Input) -> Vectors:
    """The vectors of a directory that `embed` made; what does not fit together is refused."""
    home = folder.path
    for name in (VECTORS, IDS, SPACE):
        if not (home / name).is_file():
            raise UserError(f"{folder}: holds no {name}; name a directory that `medtune embed` made")
    space = read_space(home)
    try:
        array = np.load(home / VECTORS, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{home / VECTORS}: damaged: {' '.join(str(error).split())}") from None
    if array.dtype not in (np.float16, np.float32) or array.ndim != 2 or not array.flags.c_contiguous:
        raise UserError(
            f"{home / VECTORS}: {array.dtype} numbers in {array.ndim} dimensions; rows of float16 or float32 "
            "are wanted"
        )
    vectors = Vectors(array, space, home)
    num_ids = sum(1 for _ in vectors.read_ids())
    if array.shape != (num_ids, space.dim):
        raise UserError(
            f"{home / VECTORS}: {array.shape[0]} rows of {array.shape[1]} numbers, where {IDS} has "
            f"{num_ids} lines and {SPACE} says {space.dim} numbers; embed again"
        )
    return vectors


def read_space(home: Path) -> Space:
    """What the vectors of a directory mean."""
    path = home / SPACE
    if not path.is_file():
        raise UserError(f"{home}: holds no {SPACE}; name a directory that `medtune embed` made")
    try:
        return Space.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def refuse_other_space(pool: Vectors, questions: Vectors) -> None:
    """Nothing, or a UserError that says in what the vectors of two directories differ."""
    if told := differences(pool.space, questions.space):
        raise UserError(
            f"{pool.folder} and {questions.folder} cannot be compared: {told}; embed the questions with "
            f"like={pool.folder}"
        )


def differences(one: Space, other: Space) -> str:
    """What two spaces differ in, empty where their vectors may be compared. The role is no difference."""
    first, second = (space.model_dump(exclude={"role"}) for space in (one, other))
    return ", ".join(
        f"{key} {first[key]} against {second[key]}" for key in first if first[key] != second[key]
    )
