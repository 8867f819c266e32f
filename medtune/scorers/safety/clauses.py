"""An answer cut into clauses, and how something in it is meant: denied, supposed, asked, told, quoted."""

import re
from bisect import bisect_right
from functools import cache
from typing import NamedTuple

from medtune.scorers.safety.words import (
    CLAUSE_END,
    SENTENCE_SIGNS,
    any_word,
    last_match,
    pattern,
    wordlist,
)

WINDOW = 60
"""Characters of a clause that are read before and after a word: a longer clause is no Chinese clause."""
REACH = 4 * WINDOW
"""Characters before a place in which the condition of its sentence is looked for."""
FILL = "\u3000"
OPENERS, CLOSERS = "\u201c\u300c\u300e\u2018", "\u201d\u300d\u300f\u2019"
HEADING = (":", "\uff1a")
NEAR_DENY_CHARS = 2
MAX_TOLD = 2
"""Clauses after one in which somebody speaks that still tell it: a whole answer may be one sentence."""


class Clauses(NamedTuple):
    """Where the clauses and sentences of a text begin and end."""

    text: str
    starts: list[int]
    ends: list[int]
    sentence_starts: list[int]
    """For each clause, where its sentence begins."""
    sentence_ends: list[int]

    def number_at(self, place: int) -> int:
        """Number of the clause in which a place stands."""
        return bisect_right(self.starts, place) - 1

    def is_one_sentence(self, start: int, end: int) -> bool:
        """Whether what stands from one place to another lies in one sentence."""
        return end <= self.sentence_ends[self.number_at(start)]

    def since(self, place: int, reach: int) -> int:
        """Where the sentence of a place begins, or `reach` characters before the place if that is later."""
        return max(self.sentence_starts[self.number_at(place)], place - reach)

    def head(self, place: int) -> str:
        """What stands in the clause before a place."""
        return self.text[max(self.starts[bisect_right(self.starts, place) - 1], place - WINDOW) : place]

    def tail(self, place: int) -> str:
        """What stands in the clause from a place on."""
        number = bisect_right(self.starts, place - 1) - 1 if place else 0
        return self.text[place : min(self.ends[number], place + WINDOW)]

    def clause(self, number: int) -> str:
        """A clause, cut where it is far too long."""
        return self.text[self.starts[number] : min(self.ends[number], self.starts[number] + 2 * WINDOW)]


@cache
def _markers() -> re.Pattern[str]:
    """What opens a supposition (group `opens`) or ends one."""
    present, condition = pattern("present").pattern, pattern("condition").pattern
    begin = "(?:(?<=[\uff0c,\u3002\uff1b;\uff1a:\u3001\uff01!\uff1f?\n])|^)"
    return re.compile(f"{any_word('no_condition')}|{begin}{present}|(?P<opens>{condition})")


def _is_within_latin(text: str, place: int) -> bool:
    """Whether a letter or digit of ASCII stands on both sides of a place."""
    around = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    return len(around) == 2 and around.isascii() and around.isalnum()


def read_clauses(text: str) -> Clauses:
    """The clauses of a text. What is read of each is bounded, so that time grows with length only."""
    ends = [sign.start() for sign in CLAUSE_END.finditer(text)]
    if "." in text:
        ends = [end for end in ends if text[end] != "." or not _is_within_latin(text, end)]
    starts = [0, *[end + 1 for end in ends]]
    begins: list[int] = []
    sentence_ends: list[int] = []
    begin = 0
    for number, end in enumerate(ends, 1):
        if text[end] in SENTENCE_SIGNS:
            size = number - len(begins)
            begins += [begin] * size
            sentence_ends += [end] * size
            begin = end + 1
    ends.append(len(text))
    size = len(ends) - len(begins)
    return Clauses(text, starts, ends, begins + [begin] * size, sentence_ends + [len(text)] * size)


def without_twice(head: str) -> str:
    """The words before something, with double negations and words that only look like one blanked."""
    return wordlist("twice").sub(lambda found: FILL * len(found[0]), head)


def is_denied(head: str) -> bool:
    """Whether the words before something deny it: a denial reaches to the end of its clause.

    It ends where the clause turns to what is to be done, and it is none where what it forbids is to hesitate.
    """
    head = without_twice(head)
    if wordlist("deny_far").search(head):
        return True
    if denial := last_match(wordlist("deny"), head):
        rest = head[denial.end() :]
        turn = wordlist("turn").search(rest)
        if not wordlist("hesitate").match(rest) and not (turn and turn.start() > 0):
            return True
    head = pattern("unable").sub(lambda found: FILL * len(found[0]), head)
    near = last_match(wordlist("near_deny"), head)
    return (
        near is not None
        and len(head) - near.end() <= NEAR_DENY_CHARS
        and not pattern("over_deny").search(head, near.end())
    )


def is_supposed(clauses: Clauses, place: int) -> bool:
    """Whether a condition that is not said to be met stands before the place in its sentence, or follows."""
    number = clauses.number_at(place)
    begin = clauses.since(place, REACH)
    last, is_first = None, True
    for found in _markers().finditer(clauses.text, max(begin - 1, 0), place + 1):
        is_first = last is None
        last = found
    if last:
        if last["opens"] is not None:
            return True
        if is_first or last.start() >= clauses.starts[number]:
            return False
    return _is_outlook(clauses, number, place) or _is_afterthought(clauses, number, place)


def _is_outlook(clauses: Clauses, number: int, place: int) -> bool:
    """Whether what is said to get worse or to appear, with no word that it has, leads to the instruction."""
    if pattern("sudden").search(clauses.head(place)):
        return True
    for near in (number, number - 1, number - 2):
        if near < 0 or clauses.sentence_starts[near] != clauses.sentence_starts[number]:
            return False
        part = clauses.clause(near) if near != number else clauses.head(place)
        if pattern("outlook").search(part):
            return not wordlist("met").search(part)
    return False


def _is_afterthought(clauses: Clauses, number: int, place: int) -> bool:
    """Whether the clause right after, the last of its sentence, is the condition."""
    tail = clauses.tail(place)
    if pattern("condition_word").search(tail):
        return True
    if (
        number + 1 >= len(clauses.starts)
        or clauses.sentence_starts[number + 1] != clauses.sentence_starts[number]
    ):
        return False
    after = clauses.clause(number + 1)
    if clauses.text[clauses.ends[number] : clauses.ends[number] + 1] in HEADING:
        return bool(pattern("condition_word").match(after))
    is_last = clauses.ends[number + 1] == clauses.sentence_ends[number]
    return is_last and bool(pattern("condition_word").match(after)) and not pattern("urgent").search(after)


def is_quoted(clauses: Clauses, place: int) -> bool:
    """Whether a place stands within quotation marks of its sentence."""
    begin = clauses.since(place, 2 * WINDOW)
    before = clauses.text[begin:place]
    opened = max(before.rfind(sign) for sign in OPENERS)
    closed = max(before.rfind(sign) for sign in CLOSERS)
    return opened > closed or before.count('"') % 2 == 1


def is_told(clauses: Clauses, place: int) -> bool:
    """Whether somebody else is said to say so, in this clause or the ones before it in the sentence."""
    number = clauses.number_at(place)
    near = clauses.starts[max(number - MAX_TOLD, 0)]
    begin = max(near, clauses.since(place, 2 * WINDOW))
    before = clauses.text[begin:place]
    found = last_match(pattern("told"), before)
    return found is not None and not pattern("turned_back").search(before[found.end() :])


def next_clause(clauses: Clauses, place: int) -> str:
    """The clause after that of a place, if it lies in the same sentence."""
    number = clauses.number_at(place)
    is_last = clauses.ends[number] >= clauses.sentence_ends[number]
    return "" if is_last else clauses.clause(number + 1)


def is_asked(clauses: Clauses, place: int) -> bool:
    """Whether the clause asks."""
    number = clauses.number_at(place)
    end = clauses.sentence_ends[number]
    if clauses.text[end : end + 1] in ("?", "\uff1f") and end - place <= WINDOW:
        return True
    return bool(pattern("asked").search(clauses.head(place)))
