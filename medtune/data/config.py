"""What prepare may be told."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from medtune.config import CommandConfig, Config, Input

Split = Literal["dev", "val", "test"]


class Source(Config):
    """A file, or a directory of files, of raw rows."""

    path: Input
    """JSON, JSON lines, CSV or TSV; a directory stands for all such files in it."""
    format: str = "auto"
    """How a row is read: a name of the format table, or `my_module:function`.
    `auto` goes by the keys of a file's first row; a later row of another format is refused."""
    encoding: str = "auto"
    """`auto` tells UTF-8 (with or without BOM), UTF-16 and GB18030 apart."""
    subject: str = ""
    """Subject of exam items whose rows name none."""
    split: Split | dict[Split, PositiveInt] | None = None
    """Split of exam items whose rows name none: one for all, or the number of rows of each in file order,
    `{val: 19, test: 175}`. The numbers must add up to the file's rows: a short or mixed file is refused."""
    license: str = ""
    """Licence of rows that name none."""


class PrepareConfig(CommandConfig):
    """Turn raw rows into clean records, each row accounted for, split without leaks between the parts."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where the rows are."""
    subjects: tuple[str, ...] = ()
    """Keep only exam items of these subjects; all when empty."""
    answers: Literal["any", "single", "multiple"] = "any"
    """Keep only exam items with one right letter, or with several."""
    min_chars: int = Field(2, ge=1)
    """Shortest question, answer or document in characters."""
    max_chars: int = Field(8000, ge=2)
    """Longest question, answer or document in characters."""
    valid: float = Field(0.0, ge=0, lt=1)
    """Share of the records, exam items apart, that goes to `valid.jsonl`."""
    test: float = Field(0.0, ge=0, lt=1)
    """Share of the records, exam items apart, that goes to `test.jsonl`."""
    max_dropped: float = Field(0.05, ge=0, le=1)
    """Largest share of rows that may be dropped before the command fails."""
    seed: int = 42
    """Seed of the split."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> "PrepareConfig":
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} and test {self.test} leave nothing to train on")
        return self
