"""What other tools' files say of an exam: an answer each, and the accuracies printed beside them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from medtune.errors import UserError
from medtune.records import Way


class Foreign(BaseModel):
    """Base of what is read of another tool's files; the fields that are not needed are not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


T = TypeVar("T", bound=Foreign)


class Answer(NamedTuple):
    """A model's answer to one item, letters as they were shown to the model."""

    place: str
    """File and line, or the name of the entry."""
    part: str
    """The task, subset or set that the item belongs to there."""
    text: str
    """What was asked: the stem, or the whole prompt with the stem and the options in it."""
    gold: str
    letters: str | None
    """What the tool took for the answer; None where it found none."""
    options: dict[str, str] | None = None
    """By letter; None where they stand in the text only."""
    logprobs: dict[str, float] | None = None
    reply: str | None = None
    is_error: bool = False
    """Whether the model gave nothing at all."""
    marked: float | None = None
    """1 or 0, as the tool counted it; None where it does not say."""

    @property
    def is_right(self) -> bool:
        """Whether the letters are the right ones by the source's own key."""
        return self.letters == self.gold


class Stated(NamedTuple):
    """An accuracy that is printed beside the rows."""

    where: str
    parts: frozenset[str]
    accuracy: float | None
    n: int | None


class Source(NamedTuple):
    """What a source holds."""

    tool: str
    model: str
    """Empty where the files do not name it."""
    way: Way
    answers: list[Answer]
    stated: list[Stated]


def read_rows(path: Path, kind: type[T], *, tool: str) -> Iterator[tuple[str, T]]:
    """Place and content of each line; a file without lines and a line that is no such row are refused."""
    place = f"{path}:0"
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}:{number}"
            yield place, check(kind, line, place=place, tool=tool)
    if place == f"{path}:0":
        raise UserError(f"{path}: holds no rows; run {tool} again, or leave this file out")


def check(kind: type[T], content: bytes, *, place: str, tool: str) -> T:
    """The content as a row of that kind; one that is cut, or of another kind, is named."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        said = ": ".join([*filter(None, [".".join(map(str, first["loc"]))]), first["msg"]])
        raise UserError(
            f"{place}: is no whole row of {tool} ({said}); make the file again, or name files of one kind"
        ) from None


def read_letters(text: str | None) -> str | None:
    """`B`, `A, C` or `[a]` as the letters in order; None for anything that is not letters alone."""
    if text is None:
        return None
    bare = "".join(sign for sign in text if sign not in " ,，、;()[]'\"").upper()
    if not bare or not all("A" <= sign <= "Z" for sign in bare):
        return None
    return "".join(sorted(set(bare)))


def need_letters(text: str | None, *, place: str) -> str:
    """The letters of a right answer; a row without them cannot be counted."""
    letters = read_letters(text)
    if letters is None:
        raise UserError(
            f"{place}: its right answer is {text!r:.40} and no option letter; name the files of one exam "
            "with lettered options only"
        )
    return letters


def text_of(content: JsonValue) -> str:
    """The text of a prompt: as it is, of the last message of the user, or of its parts."""
    match content:
        case str():
            return content
        case {"content": inner}:
            return text_of(inner)
        case {"text": str(text)}:
            return text
        case [*entries] if any(isinstance(one, dict) and one.get("role") == "user" for one in entries):
            return text_of(
                [one for one in entries if isinstance(one, dict) and one.get("role") == "user"][-1]
            )
        case [*entries]:
            return "\n".join(filter(None, map(text_of, entries)))
        case _:
            return ""


def one_model(names: Sequence[str], *, where: str) -> str:
    """The model that all files are of; those of several are refused."""
    known = sorted(set(names))
    if len(known) > 1:
        raise UserError(
            f"{where}: holds answers of {len(known)} models, {', '.join(known)}; name one's files"
        )
    return known[0]
