"""What a plan may be told beside the keys of the run it is about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from medtune.config import Config, Input, judge, read_yaml
from medtune.errors import UserError
from medtune.spellings import unknown_key
from medtune.train.config import PtConfig, SftConfig
from medtune.train.profiles import filled_keys

ABSENT = "(none)"
"""Stands for a file that a plan does not need."""


class PlanConfig(Config):
    """What will be trained on and what memory it will take, before any weight is loaded.

    CONFIG is that of `sft` or `pt` (the one with `documents`); all its keys may be given, and these.
    """

    shape: str | None = None
    """A built-in shape in place of the model's own config, such as `qwen3-4b`; a wrong name lists them."""
    tokenizer: Input | None = None
    """Tokenizer to count tokens with when `shape` stands for the model. Without it tokens are estimated."""
    num_rows: int | None = Field(default=None, ge=1)
    """Rows in place of the data, which then need not be there."""
    tokens_per_row: float | None = Field(default=None, gt=0)
    """Mean tokens of a row, beside `num_rows`."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Speed of all devices together, from a trial run or a benchmark; it gives the hours."""


class Asked(NamedTuple):
    """What a plan is about."""

    command: str
    config: SftConfig | PtConfig
    plan: PlanConfig
    filled: dict[str, Any]
    """What the profile added."""


def read_plan(path: Path | None, overrides: Sequence[str]) -> Asked:
    """The checked config of the run and what the plan was told beside it."""
    values = read_yaml(path, overrides)
    where = str(path or "command line")
    if "steps" in values and "root" in values:
        raise UserError(
            f"{where}: is a recipe; write the keys of one sft or pt step into a file of their own"
        )
    told = {key: values.pop(key) for key in list(values) if key in PlanConfig.model_fields}
    plan = judge(PlanConfig, told, where)
    command, kind = ("pt", PtConfig) if "documents" in values else ("sft", SftConfig)
    strange = [key for key in values if key not in kind.model_fields]
    if strange:
        known = [*kind.model_fields, *PlanConfig.model_fields]
        raise UserError("\n".join(f"{where}: {key}: {unknown_key(key, known)}" for key in strange))
    values.setdefault("out", ABSENT)
    if plan.num_rows:
        values.setdefault("train" if command == "sft" else "documents", [ABSENT])
    if plan.shape:  # the weights of the built-in shapes are published in bfloat16
        given = values.get("model")
        values["model"] = {"path": ABSENT, "dtype": "bfloat16", **(given if isinstance(given, dict) else {})}
    return Asked(command, judge(kind, values, where), plan, filled_keys(values))
