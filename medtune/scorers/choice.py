"""The answer letter or letters in free text, or the reason why there is none. Never a guess."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

from medtune.scorers.layout import find_leading, find_lines, read_items
from medtune.scorers.thinking import mask_thinking
from medtune.scorers.verdicts import (
    CLOSE,
    Verdict,
    any_of,
    build_patterns,
    find_affirmed,
    find_cued,
    find_everything,
    is_turned,
    match_option_text,
)

Status = Literal["ok", "ok_by_text", "ambiguous", "refused", "empty", "truncated", "none", "out_of_range"]

LOOKALIKES = {
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", " "),
    **{
        chr(first + index): chr(ord("A") + index)
        for first in (0x1F110, 0x1F150, 0x1F170)
        for index in range(26)
    },
    "∶": ":",
}
"""What NFKC does not make plain: zero-width signs, letters in brackets, discs and boxes, the ratio sign."""


NOWHERE = (0, 0)
HEAD_CHARS, TAIL_CHARS = 2_000, 20_000
"""Of a longer reply, reasoning aside, only the beginning and the end are read."""


class Found(NamedTuple):
    """A reply's answer: the letters in order or None, why, by which rule, and where it stands in the text."""

    answer: str | None
    status: Status
    rule: str
    span: tuple[int, int]
    """Start and end in the text; (0, 0) where nothing was found."""


def find_choice(text: str, options: Mapping[str, str], *, multi: bool = False) -> Found:
    """The letters that a reply chooses among the options, or None with the reason.

    `options` maps letters to their texts, with which alone a reply may answer too; a text may be empty. With
    `multi` several letters may be right, or one. Stronger rules win over weaker ones, later verdicts over
    earlier ones when the reply says so; other contradictions are ambiguous.
    """
    labels = "".join(sorted(options))
    folded, is_closed = mask_thinking(fold(text))
    if not is_closed:
        return Found(None, "truncated", "", NOWHERE)
    if not re.search(r"\w", folded):
        return Found(None, "empty", "", NOWHERE)
    written = {letter: fold(option).strip().rstrip("。.") for letter, option in options.items()}
    removed = max(0, len(folded) - HEAD_CHARS - TAIL_CHARS)
    read = f"{folded[:HEAD_CHARS]}{folded[HEAD_CHARS + removed :]}" if removed else folded
    found = _judge_first_question(read, labels, written, is_multiple=multi)
    start, end = found.span
    return found._replace(span=(start + removed, end + removed)) if start >= HEAD_CHARS else found


def _judge_first_question(text: str, labels: str, options: dict[str, str], *, is_multiple: bool) -> Found:
    """The answer before a base model goes on with a question of its own, if there is one there."""
    next_question = _next_question().search(text)
    if next_question:
        head = _judge(text[: next_question.start()], labels, options, is_multiple=is_multiple)
        if head.status in {"ok", "ok_by_text"}:
            return head
    return _judge(text, labels, options, is_multiple=is_multiple)


def fold(text: str) -> str:
    """The text in NFKC, character by character, every offset kept: what would grow longer stays as it is."""
    plain = {ord(sign): LOOKALIKES.get(sign) or unicodedata.normalize("NFKC", sign) for sign in set(text)}
    return text.translate(
        {code: sign for code, sign in plain.items() if len(sign) == 1 and ord(sign) != code}
    )


@cache
def _next_question() -> re.Pattern[str]:
    return re.compile(
        rf"(?<=\S)\s{{0,8}}\n\s{{0,8}}[#*【\[]{{0,4}}{any_of('next_question')}\s?{any_of('numerals')}{{0,3}}\s?[】\]:.*]",
        re.I,
    )


def _judge(text: str, labels: str, options: dict[str, str], *, is_multiple: bool) -> Found:
    verdicts = [*find_lines(text, labels, is_multiple=is_multiple), *find_cued(text, options)]
    verdicts += find_affirmed(text)
    if not any(_pattern("everything_words").search(option) for option in options.values()):
        verdicts += find_everything(text, labels)
    verdicts = verdicts or find_leading(text, labels, options, is_multiple=is_multiple)
    if verdicts:
        return _settle(text, verdicts, labels, options, is_multiple=is_multiple)
    named = find_named(text, options, is_multiple=is_multiple)
    if named:
        return named
    refusal = _pattern("refusals").search(text)
    if refusal:
        return Found(None, "refused", "refusal", refusal.span())
    return Found(None, "none", "", NOWHERE)


def _settle(
    text: str, verdicts: Sequence[Verdict], labels: str, options: dict[str, str], *, is_multiple: bool
) -> Found:
    """The answer that the verdicts amount to."""
    pick, is_contradicted = choose_verdict(text, verdicts)
    letters = pick.letters
    place = (pick.rule, (pick.start, pick.end))
    if not pick.by_text:
        more = read_items(text, pick, is_multiple=is_multiple)
        letters = "".join(sorted({*letters, *more}))
        if not is_multiple and len(letters) == 1 and not more:
            is_contradicted |= _is_mislabelled(text, pick, options)
    if is_contradicted or pick.is_open:
        return Found(None, "ambiguous", *place)
    if not set(letters) <= set(labels):
        return Found(None, "out_of_range", *place)
    if not letters or (len(letters) > 1 and not is_multiple):
        return Found(None, "ambiguous", *place)
    return Found(letters, "ok_by_text" if pick.by_text else "ok", *place)


def choose_verdict(text: str, verdicts: Sequence[Verdict]) -> tuple[Verdict, bool]:
    """The verdict that counts, and whether another one contradicts it.

    It is the last of the strongest rank. An earlier one of that rank may differ if the reply concludes or
    corrects itself in between; a later one of a weaker rank takes its place if the reply corrects itself.
    """
    by_start: dict[int, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.rank):
        by_start.setdefault(verdict.start, verdict)
    ordered = [by_start[start] for start in sorted(by_start)]
    rank = min(verdict.rank for verdict in ordered)
    strongest = [verdict for verdict in ordered if verdict.rank == rank]
    pick = strongest[-1]
    later = [verdict for verdict in ordered if verdict.start >= pick.end and _differs(verdict, pick)]
    if later:
        last = later[-1]
        if last.rank <= 1 and _turns_around(text, pick, last):
            return last, False
        if last.rank <= 1:
            return last, True
    earlier = [verdict for verdict in strongest if _differs(verdict, pick)]
    if not earlier:
        return pick, False
    return pick, not _turns_around(text, earlier[-1], pick, or_concludes=True)


def _differs(one: Verdict, other: Verdict) -> bool:
    return one.letters != other.letters or one.is_open != other.is_open


def _turns_around(text: str, earlier: Verdict, later: Verdict, *, or_concludes: bool = False) -> bool:
    """Whether the reply corrects itself between two verdicts, or marks the later one as its conclusion."""
    if _pattern("correction_words").search(text, earlier.end, later.start):
        return True
    near = max(earlier.end, later.cue_start - 16)
    return or_concludes and bool(_pattern("conclusion_words").search(text, near, later.start))


@cache
def _pattern(section: str) -> re.Pattern[str]:
    return re.compile(any_of(section), re.I)


def _is_mislabelled(text: str, pick: Verdict, options: dict[str, str]) -> bool:
    """Whether another option's text stands behind the letter."""
    sign = re.compile(rf"{CLOSE}{{0,4}}[.、:)]{CLOSE}{{0,3}}").match(text, pick.end)
    named = match_option_text(text, sign.end(), options) if sign else None
    return bool(named and named[0] != pick.letters)


def find_named(text: str, options: dict[str, str], *, is_multiple: bool) -> Found | None:
    """The option whose text alone stands in a short reply; for several letters, the options that fill it."""
    reply = text.strip().rstrip("。.!")
    exact = [letter for letter, written in options.items() if written and written == reply.strip("*_\"' ")]
    if len(exact) == 1:
        start = text.index(options[exact[0]])
        return Found(exact[0], "ok_by_text", "text", (start, start + len(options[exact[0]])))
    written = sorted({text for text in options.values() if len(text) > 1}, key=len, reverse=True)
    if not written or len(reply) > 200 or _pattern("refusals").search(text):
        return None
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, written))})(?![A-Za-z0-9])")
    denied, question = build_patterns()["denied"], build_patterns()["question"]
    mentions = [
        match
        for match in pattern.finditer(text)
        if not is_turned(text, match.start())
        and not denied.match(text, match.end())
        and not question.match(text, match.end())
    ]
    if not mentions:
        return None
    letters = "".join(
        sorted({letter for letter in options for match in mentions if options[letter] == match[0]})
    )
    place = ("text", (mentions[0].start(), mentions[-1].end()))
    is_plain = not re.search(r"\w", _pattern("joiners").sub("", pattern.sub("", text)))
    texts = {match[0] for match in mentions}
    if len(letters) != len(texts) or (len(letters) > 1 and not is_multiple) or (is_multiple and not is_plain):
        return Found(None, "ambiguous", *place)
    return Found(letters, "ok_by_text", *place)
