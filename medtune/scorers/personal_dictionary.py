"""Everyday words that look like names, read from the dictionary of the installed package jieba."""

import re
from collections.abc import Collection
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from medtune.errors import UserError
from medtune.lexicon import read_words

__all__ = ["common_pairs", "everyday_words", "neighbour_words"]

PACKAGE = "jieba"
HAN = "\u4e00-\u9fff"
MIN_NOUN = 300
MIN_PAIR = 60
"""How frequent a word of two characters is at least; nouns, which names are made of as well, are more so."""
MIN_NEIGHBOUR = 10
"""How frequent a word beside a name is at least."""
MIN_SHORT, MIN_LONG = 20, 60
"""How frequent an everyday word is at least: one of two or three characters, one of four."""


@cache
def dictionary() -> str:
    """The dictionary of jieba: a line for each word with its frequency and part of speech."""
    found = find_spec(PACKAGE)
    path = Path(found.origin).parent / "dict.txt" if found and found.origin else None
    if path is None or not path.is_file():
        raise UserError(
            "the search for names needs the dictionary of the package jieba, which is not installed; "
            "install it with: pip install jieba"
        )
    # The package is not imported: it would open its segmenter, and warns while it is read.
    return path.read_text(encoding="utf-8")


def common_pairs(never: Collection[str]) -> frozenset[str]:
    """Frequent words of two characters that are seldom given names; `never`: characters that no name has."""
    han = f"[{HAN}](?<![{''.join(sorted(never))}])"
    # Neither names of persons (nr) nor calls and sounds (e, o).
    pattern = re.compile(rf"^({han}{han}) ([1-9]\d+) (?!nr|[eo])(.)", re.MULTILINE)
    words = (
        word
        for word, frequency, speech in pattern.findall(dictionary())
        if int(frequency) >= (MIN_NOUN if speech == "n" else MIN_PAIR)
    )
    return frozenset(words) - {word for line in read_words("given_name_words") for word in line.split()}


def neighbour_words() -> frozenset[str]:
    """Frequent words of two or three characters, names left out, beside which a name may begin or end."""
    pattern = re.compile(rf"^([{HAN}]{{2,3}}) ([1-9]\d+) (?!nr)", re.MULTILINE)
    return frozenset(
        word for word, frequency in pattern.findall(dictionary()) if int(frequency) >= MIN_NEIGHBOUR
    )


def everyday_words(
    surnames: Collection[str], *, never: Collection[str], compound: Collection[str], known: Collection[str]
) -> frozenset[str]:
    """Words that begin with a surname's character; `known`: those that other lists hold already."""
    no_given = f"[{''.join(sorted(never))}]"
    pattern = re.compile(
        rf"^([{''.join(sorted(surnames))}](?!{no_given})[{HAN}]"
        rf"(?:[{HAN}]|(?!{no_given})[{HAN}]{{2}})?) ([1-9]\d+) (?!nr)",
        re.MULTILINE,
    )
    return frozenset(
        word
        for word, frequency in pattern.findall(dictionary())
        if int(frequency) >= (MIN_LONG if len(word) == 4 else MIN_SHORT)
        and word not in known
        and not (len(word) > 2 and word[:2] in compound)
    )
