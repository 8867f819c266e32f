"""How dangerous the situation in a question is, with the rule and the words that say so."""

import re
from functools import cache, lru_cache
from typing import NamedTuple, TypeVar

from medtune.scorers.risk_rules import (
    GENERAL,
    LEVELS,
    LIFESTYLE,
    PERSONAL,
    TEXTBOOK,
    Level,
    Meaning,
    Rules,
    read_rules,
)
from medtune.scorers.specialty import Word, read_words
from medtune.scorers.words import Hit, Reader, Reading, any_sign

MAX_CHARS = 2_000
"""Of a longer question only the beginning is read."""

PROBLEMS, HEAVY = ("disease", "symptom"), 2
"""Kinds of medical words that name a problem, from this weight on."""

MIN_CONCERN = 8
"""A shorter text tells of no concern."""

NOW, ASKED = 0, 1
CHAR = 3
"""Bytes of a Chinese character."""
FAR_FILL, FAR_JOIN = 45, 9
"""Bytes that may stand between a denial and a sign, and between the members of a list."""
FAR = 1 << 30
"""Where a sign stands that has no place of its own: a number."""

Sign = tuple[int, int, str, int, int]
"""A word found: its signs, whether they are there now or only asked about, the word, its start and end.
A plain tuple: there are many."""


Cue = TypeVar("Cue")


class Risk(NamedTuple):
    """A level, the name of the rule that gave it (empty for none), and the words that count as its signs."""

    level: Level
    rule: str
    evidence: tuple[str, ...]
    is_knowledge: bool = False
    """Nobody is ill: what is asked for is knowledge."""


def find_risk(question: str) -> Risk:
    """The level of what a user says. Answers are not to be given in: their warnings are no signs."""
    text = question[:MAX_CHARS]
    return judge_risk(text, _reader().read(text))


def judge_risk(question: str, reading: Reading[Word, Meaning, Cue]) -> Risk:
    """The level, from a question that is read already."""
    rules = read_rules()
    text = question[:MAX_CHARS].lower()
    flags = reading.flags
    signs, denied = _find_signs(text, reading, rules)
    now = said = 0
    for sign in signs:
        said |= sign[0]
        if sign[1] == NOW:
            now |= sign[0]
    is_ill = bool(now & ~rules.diseases & rules.bits["symptom"])
    may_be_general = bool(flags & GENERAL) or not is_ill
    is_general = may_be_general and not _is_personal(text, flags, rules)
    best, name, mask = _judge(
        said, now, is_general=is_general and bool(flags & GENERAL), is_textbook=bool(flags & TEXTBOOK)
    )
    is_mere = not mask & now & ~rules.diseases and not is_ill
    if best > 1 or (best and not (is_mere and (is_general or flags & LIFESTYLE))):
        words = dict.fromkeys(sign[2] for sign in signs if sign[0] & mask)
        return Risk(LEVELS[best], name, tuple(words), is_general)
    if best or is_general or said & rules.bits["mild"] or flags & LIFESTYLE:
        return Risk("low", "", (), is_general)
    problems = tuple(
        word.text
        for *_, word in reading.terms
        if word.kind in PROBLEMS
        and word.heaviest >= HEAVY
        and word.text not in denied
        and word.text not in rules.no_problem
    )
    if problems:
        return Risk("medium", "problem named", problems)
    # A person is told of, and nothing says that only advice for daily life is wanted.
    is_concern = not flags & GENERAL and not denied and len(text) >= MIN_CONCERN
    is_concern = is_concern and (may_be_general or _is_personal(text, flags, rules))
    return Risk("medium", "concern", ()) if is_concern else Risk("low", "", ())


def _is_personal(text: str, flags: int, rules: Rules) -> bool:
    return bool(flags & PERSONAL or rules.lasts.search(text))


@lru_cache(maxsize=1 << 16)
def _judge(said: int, now: int, *, is_general: bool, is_textbook: bool) -> tuple[int, str, int]:
    """The highest level that a rule gives, its name and its signs. Few combinations make up most texts."""
    best, name, mask, left = 0, "", 0, said
    while left:
        sign = left & -left
        left ^= sign
        for rule in read_rules().rules.get(sign, ()):
            if rule.level < best:
                break
            if rule.signs & said != rule.signs or rule.unless & said:
                continue
            if rule.is_always:
                level = rule.level
            elif is_general:
                level = 0 if is_textbook else rule.general
            else:
                level = rule.level if rule.signs & now == rule.signs else rule.asked
            if level > best or (level == best and rule.signs.bit_count() > mask.bit_count()):
                best, name, mask = level, rule.name, rule.signs
    return best, name, mask


def _find_signs(
    text: str, reading: Reading[Word, Meaning, Cue], rules: Rules
) -> tuple[list[Sign], list[str]]:
    """The signs that a text affirms, fears or asks about, and the words that it denies."""
    signs: list[Sign] = []
    denied: list[str] = []
    told = lonely = 0
    code = reading.code
    fills, joins = rules.fills.fullmatch, rules.joins.fullmatch
    plain, chronic = rules.bits["symptom"], rules.bits["chronic"]
    deny_end = denied_end = ask_end = sign_end = -1
    for start, end, (word, bits, turns) in reading.signs:
        if bits:
            told |= bits
            if bits == plain and end - start == CHAR and _is_part(reading.terms, start, end):
                bits = chronic
            if (deny_end >= 0 and start - FAR_FILL <= deny_end <= start and fills(code, deny_end, start)) or (
                denied_end >= 0 and start - FAR_JOIN <= denied_end <= start and joins(code, denied_end, start)
            ):
                denied_end = end
                denied.append(word)
            else:
                is_asked = 0 <= ask_end <= start and not rules.breaks.search(code, ask_end, start)
                signs.append((bits, ASKED if is_asked else NOW, word, start, end))
                sign_end = end
                lonely |= bits
        if turns:
            if turns == "denies":
                deny_end = end
            elif turns == "asks":
                ask_end = end
            elif start == sign_end:
                last = signs[-1]
                signs[-1] = (last[0], ASKED, *last[2:])
    if lonely & rules.lonely:
        signs = [
            sign
            for place, sign in enumerate(signs)
            if not sign[0] & rules.lonely or _is_beside(signs, place, rules)
        ]
    needed = possible = 0
    for char in set(_chars().findall(text)):
        need, other = rules.needs[char]
        needed |= need
        possible |= other
    possible &= needed
    while possible:
        bit = possible & -possible
        possible ^= bit
        sign, unless, pattern = rules.numbers[bit.bit_length() - 1]
        if sign & ~told:
            found = pattern.search(text)
            if found and not any(word in found[0] for word in unless):
                signs.append((sign, NOW, found[0], FAR, FAR))
    return signs, denied


def _is_part(terms: list[Hit[Word]], start: int, end: int) -> bool:
    """Whether a word is a part of a disease's name, as the pain of trigeminal neuralgia is."""
    for first, last, word in terms:
        if first > start:
            break
        if last >= end:
            return last - first > end - start and word.kind == "disease"
    return False


def _is_beside(signs: list[Sign], place: int, rules: Rules) -> bool:
    """Whether a sign that means nothing alone stands near another one."""
    bits, _, _, start, end = signs[place]
    reach = rules.close[bits & rules.lonely]
    return any(
        not other[0] & rules.lonely and max(other[3] - end, start - other[4]) <= reach
        for other in signs[max(place - 2, 0) : place + 3]
    )


@cache
def _chars() -> re.Pattern[str]:
    return any_sign(read_rules().chars)


@cache
def _reader() -> Reader[Word, Meaning, None]:
    rules = read_rules()
    return Reader(read_words(), rules.meanings, {}, rules.flags)
