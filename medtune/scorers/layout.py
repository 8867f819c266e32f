"""Answers that show by their place alone: a letter on a line of its own, the one item of a list."""

import re
from functools import cache

from medtune.scorers.verdicts import (
    CLOSE,
    OPEN,
    Verdict,
    any_of,
    build_patterns,
    list_letters,
)


def find_lines(text: str, labels: str, *, is_multiple: bool) -> list[Verdict]:
    """Verdicts that are a line of their own: the first one, the last one, or the whole reply."""
    lines = [match for match in re.finditer(r"[^\n]*\S[^\n]*", text)]
    ends = lines if is_multiple and len(lines) <= len(labels) else [lines[0], lines[-1]]
    bare = [_read_line(text, line.start(), line.end()) for line in ends]
    found = [verdict for verdict in bare if verdict]
    if is_multiple and len(lines) > 1 and len(found) == len(lines):
        letters = "".join(sorted({letter for verdict in found for letter in verdict.letters}))
        return [found[0]._replace(letters=letters, end=found[-1].end)]
    return [verdict for verdict in (bare[0], bare[-1]) if verdict]


def _read_line(text: str, start: int, end: int) -> Verdict | None:
    """The verdict of a line that holds letters and signs only."""
    if end - start > 80:
        return None
    option = any_of("option_words")
    match = re.compile(rf"[^\w\n]*(?:{option}\s?)?[^\w\n]*", re.I).match(text, start, end)
    group = build_patterns()["group"].match(text, match.end() if match else start)
    if not group:
        small = re.compile(r"\W*([a-z]|a?b?c?d?e?)\W*").fullmatch(text, start, end)
        small = small if small and small[1] else None
        return Verdict("line", 0, small[1].upper(), small.start(1), small.end(1), start) if small else None
    if group.end() > end or not re.compile(rf"[^\w?]*(?:{option})?[^\w?]*", re.I).fullmatch(
        text, group.end(), end
    ):
        return None
    is_open = bool(build_patterns()["open"].search(group[0]))
    return Verdict("line", 0, list_letters(group[0]), group.start(), group.end(), start, is_open)


@cache
def _item() -> re.Pattern[str]:
    """An item of a list: a letter and a sign behind it, at a line's start or behind a sign."""
    tail = rf"(?![ \t-]?{any_of('medical_tails')}|[.]?[ \t]?{any_of('species_words')})"
    word = rf"(?:{any_of('option_words')}\s?)?"
    start = rf"(?:^{OPEN}{{0,6}}(?:[-•]\s?)?{word}{OPEN}{{0,3}}|[;,、。 \t]{OPEN}{{0,3}})"
    lone = r"(?!\s?[A-J](?![A-Za-z]))"
    sign = rf"(?:[*)】\]]{{0,4}}\s?(?:[.:)】\]]|、{lone})|\s|(?=,\s?{any_of('explanation_words')}))"
    return re.compile(rf"{start}(?-i:(?P<letter>[A-J])){tail}(?:{sign})", re.I | re.M)


def read_items(text: str, pick: Verdict, *, is_multiple: bool) -> str:
    """The letters of further list items behind a verdict: 答案：A. …；C. … Or line by line."""
    if not re.compile(rf"{CLOSE}{{0,4}}[.、:)]").match(text, pick.end):
        return ""
    line = re.compile(r"[^\n。]{0,600}").match(text, pick.end)
    end = line.end() if line else pick.end
    inline = _list_items(text, pick.end, end)
    is_list = is_multiple or "\n" in text[pick.cue_start : pick.start]
    if inline or not is_list:
        return inline
    stop = re.compile(r"\n\s*\n|\n(?!\s*[*(\[\-]{0,4}\s?[A-J](?![A-Za-z]))").search(
        text, pick.end, pick.end + 3000
    )
    return _list_items(text, pick.end, stop.start() if stop else pick.end + 3000, only_lines=True)


def _list_items(text: str, start: int, end: int, *, only_lines: bool = False) -> str:
    denied = build_patterns()["item_denied"]
    items = [
        item
        for item in _item().finditer(text, start, end)
        if text[item.end() - 1] in ".:)】]、" and not denied.match(text, item.end("letter"))
    ]
    return "".join(
        item["letter"] for item in items if not only_lines or "\n" in text[item.start() - 1 : item.end()]
    )


def find_leading(text: str, labels: str, options: dict[str, str], *, is_multiple: bool) -> list[Verdict]:
    """A verdict where the first or the last line is an item such as `B. text`, the only one of the reply."""
    start = len(text) - len(text.lstrip())
    if len(written := options.get(text[start], "")) > 1 and text.startswith(written, start + 1):
        return [Verdict("leading", 4, text[start], start, start + 1, start)]
    denied, group = build_patterns()["item_denied"], build_patterns()["group"]
    items = [item for item in _item().finditer(text) if item["letter"] in labels]
    if any(
        (whole := group.match(text, item.start("letter"))) and whole.end() > item.end("letter")
        for item in items
    ):
        return []
    lines = [match for match in re.finditer(r"[^\n]*\S[^\n]*", text)]
    kept = [item for item in items if not denied.match(text, item.end("letter"))]
    letters = "".join(sorted({item["letter"] for item in kept}))
    if not kept or len(kept) != len(items):
        return []
    is_list = is_multiple and len(kept) == len(lines) and letters != labels
    if len(letters) > 1 and not is_list:
        return []
    places = [line for line in (lines[0], lines[-1]) if line.start() <= kept[0].start("letter") < line.end()]
    before = text[places[0].start() : kept[0].start("letter")] if places else ""
    is_leading = places and not re.search(r"\w", re.sub(any_of("option_words"), "", before, flags=re.I))
    if not is_leading and not is_list:
        return []
    first = kept[0]
    if text[first.end() - 1].isspace() and re.compile(r"\s*[a-z]").match(text, first.end("letter")):
        return []
    return [Verdict("leading", 4, letters, first.start("letter"), kept[-1].end("letter"), first.start())]
