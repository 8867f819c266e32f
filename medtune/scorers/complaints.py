"""What a medical text speaks of: complaints, drugs and body parts, and of which people."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import ahocorasick

from medtune.lexicon import read_table, read_words
from medtune.scorers.automaton import build_automaton, flat

KINDS = {
    "disease": 1.0,
    "condition": 0.9,
    "drug": 0.8,
    "symptom": 0.7,
    "test": 0.5,
    "picture": 0.5,
    "part": 0.35,
}
"""How much it says that two texts name the same thing. A name of several kinds is of the first."""

NUMERALS = "\u96f6\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341"
"""Zero to ten."""

MATTERS = ("disease", "condition", "symptom")

AGE = re.compile(rf"(\d{{1,3}}|[{NUMERALS}\u4e24]{{1,3}})(?:\u5468|\u591a)?\u5c81")
MONTHS = re.compile(r"\d\u4e2a?(?:\u591a|\u534a)?\u6708(?:\u5927|\u7684\u5b9d|\u5b9d)")
"""An age in years, in figures or in Chinese numerals; a baby's in months."""

MAY_BE_UNFIT = re.compile("[\u614e\u7981\u5fcc\u9664]")
UNFIT = re.compile("|".join(map(flat, "\u614e\u7981\u5fcc\u9664")))
"""A group named before these signs is warned or left out, not spoken to; in a text, and in a flat one."""

UNFIT_BYTES = 36
"""How far before, three bytes a character."""


class Concept(NamedTuple):
    """A thing with names: topics and clinical pictures that it belongs to are bits of a number."""

    weight: float
    is_disease: bool
    is_matter: bool
    """Whether it is a disease or complaint, not a drug, test or part."""
    is_drug: bool
    topics: int
    pictures: int


class Lexicon(NamedTuple):
    """All names in one automaton, the concepts by number, and what tells in a question."""

    finder: ahocorasick.Automaton
    """name -> (number of its concept or None, the groups of people that it tells of)"""
    concepts: tuple[Concept, ...]
    telling: re.Pattern[str]
    """Runs of characters that are not of the most frequent."""
    asks_other: re.Pattern[str]
    """What a question says whose right answer names other diseases."""


class Matter(NamedTuple):
    """What a text speaks of: how often each concept and each group of people."""

    concepts: dict[int, int]
    groups: dict[str, int]


def parts_of(name: str) -> Iterator[str]:
    """What stands inside a name, two characters at least: such a name belongs where its parts do."""
    for size in range(2, len(name)):
        for start in range(len(name) - size + 1):
            yield name[start : start + size]


@cache
def read_lexicon() -> Lexicon:
    """The names of complaints, of clinical pictures and of groups of people."""
    concepts: list[Concept] = []
    owner: dict[str, int] = {}

    def learn(names: list[str], kind: str, *, topic: int = 0, picture: int = 0) -> None:
        """A name that is known joins what is known of it; names of one thing are merged."""
        known = sorted({owner[name] for name in names if name in owner})
        merged = [concepts[number] for number in known]
        number = known[0] if known else len(concepts)
        if not known:
            concepts.append(Concept(0.0, False, False, False, 0, 0))
        weight = max([KINDS[kind], *(concept.weight for concept in merged)])
        is_disease = kind != "condition" and (
            kind == "disease" or any(concept.is_disease for concept in merged)
        )
        is_new_picture = kind == "picture" and not known
        is_matter = kind in MATTERS or is_new_picture or any(concept.is_matter for concept in merged)
        is_drug = kind == "drug" or any(concept.is_drug for concept in merged)
        topics, pictures = topic, picture
        for concept in merged:
            topics, pictures = topics | concept.topics, pictures | concept.pictures
        concepts[number] = Concept(weight, is_disease, is_matter, is_drug, topics, pictures)
        for name, old in owner.items() if len(known) > 1 else ():
            if old in known:
                owner[name] = number
        for name in names:
            owner[name] = number

    for place, by_kind in enumerate(read_table("complaints").values()):
        for kind, groups in by_kind.items():
            for group in groups.split():
                learn(group.lower().split("="), kind, topic=1 << place)
    for place, line in enumerate(sorted(read_words("pictures"))):
        for name in line.split():
            learn([name], "picture", picture=1 << place)
    for name, number in owner.items():
        for part in parts_of(name):
            if part in owner:
                held = concepts[owner[part]]
                whole = concepts[number]
                concepts[number] = whole._replace(
                    topics=whole.topics | held.topics, pictures=whole.pictures | held.pictures
                )
    groups_of: dict[str, list[str]] = {}
    for group, names in read_table("populations").items():
        for name in names.split():
            groups_of.setdefault(name, []).append(group)
    entries: dict[str, tuple[int | None, tuple[str, ...]]] = {}
    for name in sorted({*owner, *groups_of}):
        told = groups_of.get(name, [])
        if told != ["nobody"]:
            told = [*told, *(group for part in parts_of(name) for group in groups_of.get(part, ()))]
        entries[name] = (owner.get(name), tuple(sorted(set(told))))
    common = re.escape("".join(sorted(read_words("common_signs"))))
    asks_other = re.compile("|".join(map(re.escape, sorted(read_words("asks_other")))))
    return Lexicon(build_automaton(entries), tuple(concepts), re.compile(rf"[^\W_{common}]+"), asks_other)


def years_of(age: str) -> int:
    """The years that figures or Chinese numerals up to 99 say."""
    if age.isdecimal():
        return int(age)
    tens, ten, ones = age.rpartition(NUMERALS[10])
    if not ten:
        return max(NUMERALS.find(age[-1]), 2)
    return 10 * max(NUMERALS.find(tens[-1:]) if tens else 1, 1) + max(NUMERALS.find(ones[:1]), 0)


def read_matter(text: str) -> Matter:
    """The concepts and groups of people that a text names."""
    concepts: dict[int, int] = {}
    groups: dict[str, int] = {}
    people: list[tuple[int, tuple[str, ...]]] = []
    signs = flat(text)
    for end, (concept, tells) in read_lexicon().finder.iter_long(signs):
        if concept is not None:
            concepts[concept] = concepts.get(concept, 0) + 1
        if tells:
            people.append((end + 1, tells))
    is_unfit = UNFIT.search if people and MAY_BE_UNFIT.search(text) else None
    for end, tells in people:
        if not (is_unfit and is_unfit(signs, end, end + UNFIT_BYTES)):
            for group in tells:
                groups[group] = groups.get(group, 0) + 1
    if "\u5c81" in text:
        for age in AGE.findall(text):
            years = years_of(age)
            group = "child" if years <= 14 else "elderly" if years >= 60 else "adult"
            groups[group] = groups.get(group, 0) + 1
    if "\u6708" in text and MONTHS.search(text):
        groups["child"] = groups.get("child", 0) + 1
    return Matter(concepts, groups)
