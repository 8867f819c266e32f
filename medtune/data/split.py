"""Which part of a split a record goes to."""

import hashlib
from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def split_groups(groups: Sequence[str], *, valid: float, test: float, seed: int) -> dict[str, str]:
    """`train`, `valid` or `test` for each group: whole groups, by the order of their hashes with the seed.

    The shares are of rows: groups go to test until it has its share, then to valid, the rest trains.
    """
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    wanted = {"test": round(test * len(groups)), "valid": round(valid * len(groups))}
    parts: dict[str, str] = {}
    for group in order:
        part = next((name for name, room in wanted.items() if room > 0), "train")
        if part != "train":
            wanted[part] -= sizes[group]
        parts[group] = part
    return parts
