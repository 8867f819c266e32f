"""How much of one text stands in another."""

import re
from collections.abc import Set

WORD = re.compile(r"[^\W_]+")


def bare(text: str) -> str:
    """The text as it is compared with others: lower case, letters and digits only."""
    return "".join(WORD.findall(text.lower()))


def grams_of(text: str, size: int) -> frozenset[str]:
    """The character n-grams of a text, letters and digits only, lower case; a shorter text is one gram."""
    whole = bare(text)
    if len(whole) <= size:
        return frozenset({whole} if whole else ())
    return frozenset(whole[start : start + size] for start in range(len(whole) - size + 1))


def coverage(wanted: Set[str], found: Set[str]) -> float:
    """Share of the wanted grams that were found, 0 when none is wanted."""
    return len(wanted & found) / len(wanted) if wanted else 0.0
