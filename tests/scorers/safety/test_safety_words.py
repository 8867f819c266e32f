"""The lexicons of the safety rules hold together: no key twice, no sign missing that opens a pattern."""

import re
from collections import Counter
from re import _constants as code  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from typing import Any

import pytest

from medtune.lexicon import FOLDER
from medtune.scorers.safety.words import expand, written

GUARD = re.compile(r"\(\?=(\[[^\]]*\])\)\{(\w+)\}")
"""Signs without which a named pattern is not tried: it is long, and a look at one sign is quick."""
LEXICONS = sorted(path.name for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", LEXICONS)
def test_no_key_of_a_lexicon_stands_twice(name: str) -> None:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    keys = Counter(line.split(":")[0] for line in lines if re.match(r"\w+:", line))
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("name", LEXICONS)
def test_no_sign_of_a_lexicon_is_broken(name: str) -> None:
    assert "\ufffd" not in (FOLDER / name).read_text(encoding="utf-8")


def test_signs_before_a_pattern_are_those_that_it_begins_with() -> None:
    guards = GUARD.findall(written("change"))
    assert len(guards) == 4
    for signs, name in guards:
        begins = first_signs(f"{{{name}}}")
        assert begins == {sign for sign in begins if re.match(signs, sign)}, name
        assert re.sub(r"\\", "", signs)[1:-1] == "".join(sorted(begins)), name


def test_words_of_leaving_off_begin_with_the_signs_before_them() -> None:
    ends = r"\{change_end\}\|\{change_bar\}\|\{change_again\}"
    found = re.search(rf"\(\?=(\[[^\]]*\])\)\(\?:{ends}\)", written("change"))
    assert found
    assert all(
        re.match(found[1], sign)
        for name in ("change_end", "change_bar", "change_again")
        for sign in first_signs(f"{{{name}}}")
    )


@pytest.mark.parametrize("name", ["urgent", "decline", "courtesy", "measure", "advice", "referral"])
def test_signs_before_a_long_list_are_those_that_it_begins_with(name: str) -> None:
    found = re.search(r"\(\?=(\[[^\]]*\])\)\{" + name + r"_any\}", written(name))
    assert found
    begins = first_signs(f"{{{name}_any}}")
    assert re.sub(r"\\", "", found[1])[1:-1] == "".join(sorted(begins))
    assert all(re.match(found[1], sign) for sign in begins)


def test_signs_of_a_change_are_those_that_any_of_its_patterns_begins_with() -> None:
    found = re.match(r"\(\?=(\[[^\]]*\])\)\(\?:\{change\}\)$", written("change_at"))
    assert found
    assert re.sub(r"\\", "", found[1])[1:-1] == "".join(sorted(first_signs("{change}")))


def first_signs(text: str) -> set[str]:
    """Every sign that a pattern of the lexicon can begin with, by Python's own reading of it."""
    signs, is_empty = signs_of(parser.parse(expand(text)))
    assert not is_empty
    return signs


def signs_of(sequence: Any) -> tuple[set[str], bool]:
    """(the signs a sequence can begin with, whether it can be empty)."""
    signs: set[str] = set()
    for kind, value in sequence:
        own, is_empty = signs_of_one(kind, value)
        signs |= own
        if not is_empty:
            return signs, False
    return signs, True


def signs_of_one(kind: Any, value: Any) -> tuple[set[str], bool]:
    if kind is code.LITERAL:
        return {chr(value)}, False
    if kind is code.IN:
        members = [signs_of_member(*member) for member in value]
        return set().union(*members), False
    if kind is code.BRANCH:
        ways = [signs_of(way) for way in value[1]]
        return set().union(*(signs for signs, _ in ways)), any(is_empty for _, is_empty in ways)
    if kind is code.SUBPATTERN:
        return signs_of(value[3])
    if kind in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
        signs, is_empty = signs_of(value[2])
        return signs, is_empty or value[0] == 0
    assert kind in (code.ASSERT, code.ASSERT_NOT, code.AT), kind
    return set(), True


def signs_of_member(kind: Any, value: Any) -> set[str]:
    if kind is code.LITERAL:
        return {chr(value)}
    assert kind is code.RANGE, kind
    return {chr(number) for number in range(value[0], value[1] + 1)}
