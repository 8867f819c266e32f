"""Words and their meanings as data: one file a lexicon, its source in the first lines."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""The loader in C takes a tenth of the time."""


@cache
def read_words(name: str) -> frozenset[str]:
    """The entries of `NAME.txt`, lower case, comments left out."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))


@cache
def read_table(name: str) -> dict[str, Any]:
    """The mapping in `NAME.yaml`."""
    table = yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=LOADER)
    assert isinstance(table, dict), f"{name}.yaml holds a mapping"
    return table
