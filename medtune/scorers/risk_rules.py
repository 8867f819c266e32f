"""The rules of `risk.yaml`, compiled: which signs mean what together."""

import re
from functools import cache
from typing import Literal, NamedTuple, NotRequired, TypedDict

from medtune.lexicon import read_table
from medtune.scorers.words import encode

Level = Literal["low", "medium", "high", "critical"]
LEVELS: tuple[Level, ...] = ("low", "medium", "high", "critical")

GENERAL, PERSONAL, LIFESTYLE, TEXTBOOK = 1, 2, 4, 8
"""Flags of the words that tell what kind of question it is."""


class Meaning(NamedTuple):
    """What a word does: its signs as bits, and how it turns the signs beside it (`turns` of the lexicon)."""

    word: str
    signs: int = 0
    turns: str = ""


class Number(NamedTuple):
    """A sign told by a number or by words that stand apart: `pattern` counts with none of `unless` in it."""

    sign: int
    unless: tuple[str, ...]
    pattern: re.Pattern[str]


class RuleRow(TypedDict):
    """A row of `rules` in `risk.yaml`."""

    risk: Level
    name: str
    signs: list[str]
    source: str
    asked: NotRequired[Level]
    always: NotRequired[bool]
    unless: NotRequired[list[str]]


class Rule(NamedTuple):
    """Signs as bits and the levels they give: there now, and only past, feared or asked about."""

    signs: int
    unless: int
    level: int
    asked: int
    general: int
    is_always: bool
    """The wording does not matter once the first sign, the patient or the drug, is there."""
    name: str


class Rules(NamedTuple):
    """`risk.yaml`, ready to be used."""

    meanings: dict[str, Meaning]
    flags: dict[str, int]
    numbers: tuple[Number, ...]
    chars: frozenset[str]
    needs: dict[str, tuple[int, int]]
    """By character: the numbers (bits by place) with it in `needs`, and those with it in `also`."""
    rules: dict[int, tuple[Rule, ...]]
    """By the first of their signs, the highest level first."""
    bits: dict[str, int]
    diseases: int
    """The signs that only name a disease."""
    close: dict[int, int]
    lonely: int
    fills: re.Pattern[str]
    """This pattern and the next two are for the encoded text."""
    joins: re.Pattern[str]
    breaks: re.Pattern[str]
    lasts: re.Pattern[str]
    """A length of time or an age: the question is about a person."""
    no_problem: frozenset[str]


@cache
def read_rules() -> Rules:
    """The lexicon, read and compiled once."""
    table = read_table("risk")
    names = [
        *table["signs"],
        *(entry["sign"] for entry in table["numbers"] if entry["sign"] not in table["signs"]),
    ]
    bits = {name: 1 << place for place, name in enumerate(dict.fromkeys(names))}
    implied = {bits[sign]: sum(bits[other] for other in others) for sign, others in table["implies"].items()}
    close = {bits[sign]: reach for sign, reach in table["close"].items()}
    meanings: dict[str, Meaning] = {}
    for sign, words in table["signs"].items():
        for word in words.lower().split():
            known = meanings.get(word, Meaning(word))
            meanings[word] = known._replace(signs=known.signs | bits[sign] | implied.get(bits[sign], 0))
    turns = table["turns"]
    for turn in ("denies", "asks", "past"):
        for word in turns[turn]:
            meanings[word] = meanings.get(word, Meaning(word))._replace(turns=turn)
    flags: dict[str, int] = {}
    kinds = {"general": GENERAL, "personal": PERSONAL, "lifestyle": LIFESTYLE, "textbook": TEXTBOOK}
    for kind, flag in kinds.items():
        for word in table[kind].split():
            flags[word] = flags.get(word, 0) | flag
    needs: dict[str, tuple[int, int]] = {}
    for place, entry in enumerate(table["numbers"]):
        also = set(entry.get("also", entry["needs"]))
        for char in {*entry["needs"], *also}:
            need, other = needs.get(char, (0, 0))
            bit = 1 << place
            needs[char] = (need | bit * (char in entry["needs"]), other | bit * (char in also))
    rules: dict[int, list[Rule]] = {}
    for rule in table["rules"]:
        rules.setdefault(bits[rule["signs"][0]], []).append(_read_rule(rule, bits))
    return Rules(
        meanings,
        flags,
        tuple(
            Number(
                bits[entry["sign"]] | implied.get(bits[entry["sign"]], 0),
                tuple(entry.get("unless", "")),
                re.compile(entry["pattern"]),
            )
            for entry in table["numbers"]
        ),
        frozenset(needs),
        needs,
        {sign: tuple(sorted(own, key=lambda rule: -rule.level)) for sign, own in rules.items()},
        bits,
        sum(bits[sign] for sign in table["diseases"]),
        close,
        sum(close),
        re.compile(f"(?:{_one_of(turns['fills'])})*"),
        re.compile(_one_of(turns["joins"])),
        re.compile(_one_of(turns["breaks"])),
        re.compile(table["lasts"]),
        frozenset(table["no_problem"].split()),
    )


def _read_rule(rule: RuleRow, bits: dict[str, int]) -> Rule:
    """One row of the rules, its signs as bits and its levels as numbers."""
    level = LEVELS.index(rule["risk"])
    asked = LEVELS.index(rule["asked"]) if "asked" in rule else min(level, 1)
    return Rule(
        signs=sum(bits[sign] for sign in rule["signs"]),
        unless=sum(bits[sign] for sign in rule.get("unless", ())),
        level=level,
        asked=asked,
        general=1 if level > 1 else 0,
        is_always=rule.get("always", False),
        name=rule["name"],
    )


def _one_of(words: list[str]) -> str:
    """A pattern for one of the words in the encoded text."""
    return "|".join(re.escape(encode(word)) for word in words)
