"""What is wrong with the wording of a text: repetition, advertising, a cut end, words put in by a machine."""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

import ahocorasick

from medtune.lexicon import read_table, read_words
from medtune.scorers.automaton import build_automaton, flat

PHRASE_CHARS = 8
"""Characters of a phrase: shorter ones recur in any text."""

MAX_SAMPLED_CHARS = 4000
MIN_SAMPLED_SHARE = 0.1
"""Up to this length a sample is looked at first, and a text with less repetition in it is let pass."""

HAN = re.compile("[\u4e00-\u9fff]+")
FIRST_BYTES = b"\xe5\xe6\xe7\xe8\xe9"
"""With these nearly all Chinese characters begin in UTF-8, and no other sign: they are fast to count."""
OTHER_LETTERS = re.compile(r"[^\W\d_\u4e00-\u9fff]+")
SENTENCE_END = re.compile("[\u3002\uff01\uff1f!?\n]")
CUT_SIGNS = tuple("\uff0c,\uff1a\u3001\uff08\u3010\u300a\u201c\u2018\u300c([{<")
"""No text ends in a comma, a colon, or a bracket or quotation mark that opens."""
MIN_CUT_CHARS = 20
"""A shorter text is a term or a figure, and may end in any word."""
FINAL_SIGNS = tuple("\u3002\uff01\uff1f\uff1b.!?;~\u2026\u201d\u2019\u300d\uff09)\u3011]\u300b")
OPENERS = {"\uff08": "\uff09", "\u201c": "\u201d", "\u300a": "\u300b", "\u3010": "\u3011"}
NUMBER = re.compile(r"(?<!\d)(?:1[3-9]\d{9}|400[- ]?\d{3,4}[- ]?\d{3,4}|0\d{2,3}[- ]\d{7,8})(?!\d)")
"""Mobile, 400 and area-code telephone numbers, in texts that were not de-identified."""


class Finder(NamedTuple):
    """The words of both lexicons in one automaton with the kind of each, and patterns that look closer."""

    automaton: ahocorasick.Automaton
    mended: re.Pattern[str]
    meant: dict[str, str]
    invitation: re.Pattern[str]
    public: re.Pattern[str]


@cache
def read_finder() -> Finder:
    """The words of advertisements and the pairs of words that Chinese does not have."""
    advertisement, collocations = read_table("advertisement"), read_table("collocations")
    meant: dict[str, str] = collocations["mend"]
    words = {
        **dict.fromkeys(advertisement["contact"].split(), "contact"),
        **dict.fromkeys(advertisement["alone"].split(), "alone"),
        **dict.fromkeys(meant, "meant"),
        **dict.fromkeys(collocations["drop"].split(), "turned"),
    }
    automaton = build_automaton({word: (kind, word) for word, kind in words.items()})
    longest_first = sorted(meant, key=lambda word: (-len(word), word))
    return Finder(
        automaton,
        any_of(longest_first),
        meant,
        any_of(advertisement["invitation"].split()),
        any_of(advertisement["public"].split()),
    )


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds the first of some words, in the order given."""
    return re.compile("|".join(map(re.escape, words)))


def repeated_share(text: str) -> float:
    """Share of a text's phrases that stood in it before, 0 to 1; 0 where hardly any did or there are few."""
    num_phrases = len(text) - PHRASE_CHARS + 1
    if num_phrases < 2 * PHRASE_CHARS:
        return 0.0
    if num_phrases <= MAX_SAMPLED_CHARS:
        # One phrase in eight, looked for in the rest, tells most texts apart at a tenth of the time.
        starts = range(0, num_phrases, PHRASE_CHARS)
        again = sum([text.find(text[start : start + PHRASE_CHARS], start + 1) >= 0 for start in starts])
        if again < MIN_SAMPLED_SHARE * len(starts):
            return 0.0
    return 1 - len({text[start : start + PHRASE_CHARS] for start in range(num_phrases)}) / num_phrases


def han_share(text: str) -> float:
    """Share of Chinese characters among the letters of a text, 1 where it has no letters or few others."""
    code = text.encode("utf-8", "surrogatepass")
    if (len(code) - len(code.translate(None, FIRST_BYTES))) * 2 > len(text):
        return 1.0
    num_han = len("".join(HAN.findall(text)))
    if num_han * 2 > len(text):
        return 1.0
    num_other = sum(map(len, OTHER_LETTERS.findall(text)))
    return num_han / (num_han + num_other) if num_han + num_other else 1.0


@cache
def open_ends() -> tuple[str, ...]:
    """The words after which a sentence must go on."""
    return tuple(sorted(read_words("open_ends")))


def find_cut_end(text: str) -> str | None:
    """The end at which a text was cut off, None when it may be whole. A missing full stop is no sign."""
    end = text.rstrip()
    if end.endswith(FINAL_SIGNS):
        return None
    if end.endswith(CUT_SIGNS) or (len(end) >= MIN_CUT_CHARS and end.endswith(open_ends())):
        return end[-6:]
    last = SENTENCE_END.split(end)[-1]
    for opener, closer in OPENERS.items():
        if opener in last and last.count(opener) > last.count(closer):
            return end[-6:]
    return None


class Faults(NamedTuple):
    """The words in a text that no adviser writes, None where there is none."""

    advertisement: str | None
    turned: str | None
    has_mendable: bool


@lru_cache(maxsize=64)
def find_words(text: str) -> Faults:
    """What advertises in a text, and the first pair of words in it that only a machine makes."""
    advertisement = turned = None
    has_contact = has_mendable = False
    finder = read_finder()
    for _, (kind, word) in finder.automaton.iter(flat(text)):
        match kind:
            case "alone":
                advertisement = advertisement or word
            case "contact":
                has_contact = True
            case "turned":
                turned = turned or word
            case _:
                has_mendable = True
    if has_contact and not advertisement:
        advertisement = _find_invitation(text, finder)
    return Faults(advertisement, turned, has_mendable)


def _find_invitation(text: str, finder: Finder) -> str | None:
    for sentence in SENTENCE_END.split(text):
        if finder.public.search(sentence):
            continue
        is_contact = "[PHONE_" in sentence or "[WECHAT_QQ_" in sentence or "[EMAIL_" in sentence
        if (is_contact or NUMBER.search(sentence)) and (invitation := finder.invitation.search(sentence)):
            return invitation[0]
    return None


def mend_words(text: str) -> tuple[str, int]:
    """The text with the words that alone can have been meant, and how many were put back."""
    if not find_words(text).has_mendable:
        return text, 0
    finder = read_finder()
    once, num_once = finder.mended.subn(lambda found: finder.meant[found[0]], text)
    # Two pairs may overlap, so that the second shows only when the first is mended.
    twice, num_twice = finder.mended.subn(lambda found: finder.meant[found[0]], once)
    return twice, num_once + num_twice
