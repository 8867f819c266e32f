"""Every place where a reply states its answer, found with the words of `lexicon/answer_words.yaml`.

A verdict is a group of letters in a telling place: behind a cue, before an affirmation, alone on a line. The
text must be folded already (full-width letters and signs made plain, see `choice.fold`). Each pattern is
bounded, so that time is linear.
"""

import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import NamedTuple

from medtune.lexicon import read_table

MAX_PER_RULE = 1000
"""A reply with more verdicts of one kind than this is judged by the last ones."""

OPEN = r"[\s*_\"'“”‘’(\[{【〔《「『$`:>]"
CLOSE = r"[\s*_\"'“”‘’)\]}】〕》」』$`]"
HAN = r"\u4e00-\u9fff"
BEFORE_LETTER = r"(?<![A-Za-z0-9°\\])(?<![A-Za-z0-9αβγδκλΑ-Ωα-ω\u6297]-)"
AFTER_LETTER = r"(?![A-Za-z0-9°])(?!['’][a-z])(?!\+(?![A-J](?![A-Za-z])))(?!-[A-Za-z0-9])"


class Verdict(NamedTuple):
    """One stated answer. `rank` 0 is the strongest; `is_open` when it stays between several letters."""

    rule: str
    rank: int
    letters: str
    start: int
    end: int
    cue_start: int
    is_open: bool = False
    by_text: bool = False


class Cue(NamedTuple):
    """Words that announce a letter. With `needs_end` the letter must end its clause."""

    rule: str
    rank: int
    pattern: re.Pattern[str]
    needs_end: bool = False


@cache
def load_words() -> dict[str, list[str]]:
    """The cue words by section."""
    return read_table("answer_words")


@cache
def any_of(*sections: str) -> str:
    """A pattern for any word of the sections, longest first; Latin words stand alone."""
    words = {word for section in sections for word in load_words()[section]}
    firsts = re.escape("".join(sorted({word[0] for word in words})))
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return f"(?:(?=[{firsts}])(?:{'|'.join(map(_as_pattern, longest_first))}))"


def _as_pattern(word: str) -> str:
    head = "(?<![A-Za-z])" if word[0].isascii() and word[0].isalpha() else ""
    tail = "(?![A-Za-z])" if word[-1].isascii() and word[-1].isalpha() else ""
    return head + re.escape(word).replace(r"\ ", r"\s").replace("'", "['’]") + tail


@cache
def build_patterns() -> dict[str, re.Pattern[str]]:
    """The compiled patterns that look around a letter, by name."""
    option = any_of("option_words")
    tail = rf"(?![ \t-]{{0,2}}{any_of('medical_tails')}|[.]?[ \t]?{any_of('species_words')})"
    span = rf"(?:[~–—-]|{any_of('range_words')})"
    joiner = any_of("joiners")
    letter = rf"{BEFORE_LETTER}(?:[A-J]{span}[A-J]|[A-J]{{2,10}}|[A-Z]){AFTER_LETTER}{tail}"
    open_, close = (
        rf"[ \t*_\"'“”(\[【]{{0,4}}(?:{option}\s?)?{OPEN}{{0,3}}",
        rf"[*_\"'“”)\]】]{{0,4}}(?:\s?{option})?",
    )
    strong = rf"(?:\s{{0,2}}(?:[、/&+]|,?\s?{joiner})\s{{0,2}})"
    weak = r"(?:[ \t]{0,2}[,;][ \t]{0,2}|[ \t]{1,2})"
    ends = rf"(?={CLOSE}{{0,4}}(?:[,;、。.!?/&+\n]|{joiner}|\s[A-J](?![A-Za-z])|$))"
    adjacent = r"[)\]】][*_]{0,2}[(\[【]"
    more = (
        rf"(?:{close}(?:{strong}|{adjacent}){open_}{letter}|{close}{weak}{open_}{letter}{ends}"
        rf"|{adjacent}{letter})"
    )
    denied = rf"(?:{any_of('denial_fillers')}\s?){{0,3}}{any_of('denials')}"
    of = any_of("particles")
    sources = {
        "group": rf"{letter}(?:{more}){{0,11}}",
        "small": rf"{BEFORE_LETTER}(?:a?b?c?d?e?f?g?h?){AFTER_LETTER}(?<=[a-h])"
        rf"(?=[\s)\]}}】*_\"'”。.,;]*(?:$|\n|[{HAN}]))",
        "broken": rf"\s?(?:[、/]|{joiner})\s?[A-J](?![A-Za-z])",
        "letters": r"(?<![A-Za-z])[A-Z]+(?![A-Za-z])",
        "alternative": rf"{CLOSE}{{0,4}}(?:{option})?{CLOSE}{{0,2}}[,;]?\s?{any_of('alternatives')}",
        "open": any_of("either_words"),
        "question": rf"{CLOSE}{{0,4}}(?:{option})?{any_of('question_ends')}",
        "denied": rf"{CLOSE}{{0,4}}{denied}",
        "item_denied": rf"{CLOSE}{{0,4}}(?:{option})?[.、:,)\s]{{0,3}}{denied}",
        "affirmed": rf"{CLOSE}{{0,4}}\s?(?:(?:{option})?\([^()\n]{{1,20}}\))?"
        rf"(?:{any_of('affirmation_fillers')}\s?){{0,3}}"
        rf"{any_of('affirmations')}(?={of}?{CLOSE}{{0,4}}(?:\s?{any_of('affirmation_ends')})?"
        rf"{of}?{CLOSE}{{0,4}}(?:[。,;.!、:~]|$|\n))",
        "ended": rf"{CLOSE}{{0,4}}(?:{option}\s?)?{CLOSE}{{0,4}}(?:[。.,;:!、\n]|$|{any_of('affirmations')})",
        "english": r"\s+(?!(?:is|because|since|as|and|or|due|which|for|with|but|not|in|given|based)\b)[a-z]",
        "turned": rf"{any_of('negations')}\s?(?:{any_of('negation_fillers')}\s?){{0,3}}$",
        "hypothetical": rf"{any_of('hypotheticals')}[^。;\n,.]{{0,10}}$",
        "head": rf"{any_of('medical_heads')}[\s-]?$",
    }
    flags = {"group": 0, "small": 0, "letters": 0, "english": 0, "broken": 0}
    return {name: re.compile(source, flags.get(name, re.I)) for name, source in sources.items()}


@cache
def build_cues() -> tuple[Cue, ...]:
    """The cues, strongest first."""
    noun, keys, choose = any_of("answer_nouns"), any_of("answer_keys"), any_of("choose_words")
    hedge, option, named = any_of("hedges"), any_of("option_words"), any_of("named_words")
    copula = rf"(?:{hedge}\s?){{0,2}}{any_of('copulas')}\s?(?:{hedge}\s?)?"
    sign = r"(?:[:=→]|->|=>|[ \t][-–—][ \t])"
    aside = r"(?:\s?\([^()A-Za-z\n]{1,12}\))?"
    open_ = rf"{OPEN}{{0,8}}(?:the\s)?(?:{any_of('ordinal_words', 'option_words')}\s?){{0,2}}{OPEN}{{0,5}}"
    near = rf"[ \t*_\"'“”(\[【「『]{{0,5}}(?:{option}[ \t]?)?{OPEN}{{0,3}}(?<!\n)"
    sources: dict[str, tuple[int, str, bool]] = {
        "boxed": (0, rf"\\f?box(?:ed)?\s{{0,4}}\{{\s{{0,4}}(?:\\[a-z]{{4,8}}\s{{0,2}}\{{)?{open_}", False),
        "tag": (0, rf"<{keys}>{open_}", False),
        "json": (0, rf"[\"']{keys}[\"']\s{{0,4}}:\s{{0,4}}{open_}", False),
        "heading": (
            0,
            rf"[【\[《〖]\s?[{HAN}]{{0,6}}{noun}\s?[】\]》〗]{open_}|^[#*\s]{{1,6}}[{HAN}]{{0,6}}{noun}[*\s]{{0,4}}\n{open_}",
            False,
        ),
        "colon": (
            0,
            rf"{noun}{aside}{CLOSE}{{0,4}}(?:\s?{copula})?[ \t*_]{{0,4}}{sign}{open_}",
            False,
        ),
        "stated": (1, rf"{noun}{aside}{CLOSE}{{0,4}}\s?{copula}{near}", False),
        "choose": (1, rf"{choose}(?!{any_of('item_words')})[:]?{near}", False),
        "clause": (1, rf"{any_of('clause_words')}[:]?(?:\s?{copula})?{near}", True),
        "concluded": (2, rf"{any_of('conclusion_words')}[ \t]?[,:]?{near}", True),
        "named": (
            2,
            rf"{any_of('being_words')}\s?(?:{named}\s?{near}|{near}(?=[A-J]{CLOSE}{{0,3}}{named}))",
            True,
        ),
    }
    return tuple(
        Cue(rule, rank, re.compile(source, re.I | re.M), needs_end)
        for rule, (rank, source, needs_end) in sources.items()
    )


def find_cued(text: str, options: dict[str, str]) -> Iterator[Verdict]:
    """Verdicts behind a cue, such as 答案：B, 故选B or a box; or behind it an option's own text."""
    for cue in build_cues():
        for match in deque(cue.pattern.finditer(text), maxlen=MAX_PER_RULE):
            if is_turned(text, match.start()):
                continue
            found = read_group(text, match.end(), options, needs_end=cue.needs_end)
            if found:
                yield found._replace(rule=cue.rule, rank=cue.rank, cue_start=match.start())


def read_group(text: str, start: int, options: dict[str, str], *, needs_end: bool) -> Verdict | None:
    """The letters or option text that stand at `start`, or None where denied, asked or part of a word."""
    patterns = build_patterns()
    named = match_option_text(text, start, options)
    group = patterns["group"].match(text, start) or patterns["small"].match(text, start)
    if named and (not group or named[1] >= group.end()):
        letters, end = named
        while (comma := re.compile(rf"(?:[、,;/\s]|{any_of('joiners')}){{1,3}}").match(text, end)) and (
            more := match_option_text(text, comma.end(), options)
        ):
            letters, end = "".join(sorted({*letters, more[0]})), more[1]
        return (
            None
            if patterns["question"].match(text, end)
            else Verdict("", 0, letters, start, end, start, by_text=True)
        )
    if not group:
        letter = text[start : start + 1]
        written = options.get(letter, "")
        if len(written) > 1 and text.startswith(written, start + 1):
            return Verdict("", 0, letter, start, start + 1, start)
        return None
    letters, end = group[0], group.end()
    if "," in letters and patterns["denied"].match(text, end):
        letters = letters.partition(",")[0]
        end = start + len(letters)
    if _is_rejected(text, start, end, needs_end=needs_end):
        return None
    is_open = bool(patterns["open"].search(letters) or patterns["alternative"].match(text, end))
    return Verdict("", 0, list_letters(letters), start, end, start, is_open)


def _is_rejected(text: str, start: int, end: int, *, needs_end: bool) -> bool:
    patterns = build_patterns()
    if any(patterns[name].match(text, end) for name in ("question", "denied", "broken")):
        return True
    if needs_end and not patterns["ended"].match(text, end):
        return True
    return text[start:end] in {"A", "I"} and bool(patterns["english"].match(text, end))


def is_turned(text: str, start: int) -> bool:
    """Whether the words before a cue deny it or make it a mere case: 不(选A), 如果(选A)."""
    before = re.split(r"[。;\n!?]", text[max(0, start - 24) : start])[-1]
    patterns = build_patterns()
    return bool(patterns["turned"].search(before) or patterns["hypothetical"].search(before))


def find_affirmed(text: str) -> Iterator[Verdict]:
    """Verdicts before an affirmation: B正确, option C is the best answer."""
    patterns = build_patterns()
    groups = (
        group for group in patterns["group"].finditer(text) if patterns["affirmed"].match(text, group.end())
    )
    for group in deque(groups, maxlen=MAX_PER_RULE):
        before = text[max(0, group.start() - 10) : group.start()]
        if not patterns["head"].search(before) and not is_turned(text, group.start()):
            is_open = bool(patterns["open"].search(group[0]))
            yield Verdict(
                "affirmed", 2, list_letters(group[0]), group.start(), group.end(), group.start(), is_open
            )


@cache
def build_everything() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns for the whole list, and for the whole list but some letters."""
    group = f"(?P<group>(?-i:{build_patterns()['group'].pattern}))"
    but = (
        rf"(?:(?<!{any_of('removal_heads')}){any_of('except_words')}\s?(?:{any_of('option_words')}\s?)?{group}{CLOSE}{{0,3}}(?:{any_of('named_words')})?"
        rf"(?:{any_of('except_ends')}[,]?\s?(?:{any_of('rest_words')}){{0,3}}{any_of('except_affirmations')}"
        rf"|[,]\s?(?:{any_of('rest_words')}){{1,3}}{any_of('except_affirmations')}))"
        rf"|{any_of('all_except_words')}\s?(?:{any_of('option_words')}\s?)?"
        rf"{group.replace('?P<group>', '?P<english>')}"
    )
    return re.compile(any_of("everything_words"), re.I), re.compile(but, re.I)


def find_everything(text: str, labels: str) -> Iterator[Verdict]:
    """Verdicts on the whole list: 以上都对; 除C外均正确 means every letter but C."""
    everything, everything_but = build_everything()
    for match in deque(everything.finditer(text), maxlen=MAX_PER_RULE):
        if not is_turned(text, match.start()):
            yield Verdict("everything", 2, labels, match.start(), match.end(), match.start())
    for match in deque(everything_but.finditer(text), maxlen=MAX_PER_RULE):
        name = "group" if match["group"] else "english"
        left = "".join(label for label in labels if label not in list_letters(match[name]))
        yield Verdict("everything_but", 2, left, match.start(name), match.end(name), match.start())


def list_letters(group: str) -> str:
    """The letters of a group in order, each once: "A、C和D" -> "ACD"; a range "A-C" -> "ABC"."""
    spread = re.fullmatch(rf"([A-Z])(?:[~–—-]|{any_of('range_words')})([A-Z])", group)
    if spread and spread[1] < spread[2]:
        return "".join(map(chr, range(ord(spread[1]), ord(spread[2]) + 1)))
    if group.islower():
        return "".join(sorted(set(group.upper())))
    runs = build_patterns()["letters"].findall(group)
    return "".join(letter for letter, _ in groupby(sorted("".join(runs))))


def match_option_text(text: str, start: int, options: dict[str, str]) -> tuple[str, int] | None:
    """The letter of the longest option whose text stands at `start`, and where it ends."""
    found = [
        (len(written), letter)
        for letter, written in options.items()
        if len(written) > 1 and text.startswith(written, start)
    ]
    if not found or [length for length, _ in found].count(max(found)[0]) > 1:
        return None
    length, letter = max(found)
    end = start + length
    follows = text[end : end + 1]
    return None if follows.isalnum() and follows not in load_words()["text_followers"] else (letter, end)
