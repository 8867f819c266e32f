"""What the tests of curate share: records as files, and the samples as records."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input
from medtune.data.config import PrepareConfig, Source
from medtune.data.prepare import run as prepare
from medtune.records import Dialogue, Message, Question, dialogue_id, question_id


def make_talk(question: str, answer: str) -> Dialogue:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Dialogue(id=dialogue_id(turns), messages=turns)


def make_question(
    stem: str, *options: str, answer: str = "A", split: str = "val", case: str | None = None
) -> Question:
    letters = dict(zip("ABCDE", options, strict=False))
    return Question.model_validate(
        {"id": question_id(stem, case, letters), "stem": stem, "case": case, "options": letters,
         "answer": answer, "subject": "内科", "split": split}
    )  # fmt: skip


@pytest.fixture
def talk() -> Callable[[str, str], Dialogue]:
    return make_talk


@pytest.fixture
def question() -> Callable[..., Question]:
    return make_question


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, Iterable[Dialogue | Question]], Input]:
    def write(name: str, records: Iterable[Dialogue | Question]) -> Input:
        write_jsonl(tmp_path / name, records)
        return Input(tmp_path / name)

    return write


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples as records: `train.jsonl` (talks), `val.jsonl` and `test.jsonl` (single-answer items)."""
    out = tmp_path_factory.mktemp("samples")
    names = ("consult_alpaca.jsonl", "consult_sharegpt.jsonl", "consult_gb18030.csv", "exam.jsonl")
    sources = tuple(Source(path=Input(f"samples:{name}")) for name in names)
    prepare(PrepareConfig(out=out, source=sources, answers="single", valid=0, test=0))
    return out


@pytest.fixture(scope="session")
def small_pool(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Input:
    """Every eighth talk of the samples."""
    talks = list(read_jsonl(sample_dir / "train.jsonl", Dialogue))[::8]
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    write_jsonl(path, talks)
    return Input(path)
