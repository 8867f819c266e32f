"""Which words of a lexicon stand in a text, and where: one pass, however many words there are."""

import re
from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

import ahocorasick

from medtune.scorers.automaton import by_branch, flat

Meaning = TypeVar("Meaning")
Term = TypeVar("Term")
Sign = TypeVar("Sign")
Cue = TypeVar("Cue")
Hit = tuple[int, int, Meaning]
"""Start and end of a word, as offsets in the UTF-8 text, and what the lexicon says of it.
Of use to tell which hits touch each other. A plain tuple: there are many."""


class Finder(Generic[Meaning]):
    """Finds the words of one lexicon. Case does not matter."""

    def __init__(self, words: Mapping[str, Meaning]) -> None:
        self._all = Reader(words, {}, {}, {})

    def find(self, text: str) -> list[Hit[Meaning]]:
        """The hits in order. Of words that lie within each other only the longest counts."""
        return self._all.read(text).terms


class Reading(NamedTuple, Generic[Term, Sign, Cue]):
    """What three lexicons find in a text, and the flags of all the words of a fourth."""

    code: str
    """The text as `encode` gives it."""
    terms: list[Hit[Term]]
    signs: list[Hit[Sign]]
    cues: list[Hit[Cue]]
    flags: int


class Reader(Generic[Term, Sign, Cue]):
    """Several lexicons looked up in one pass. Each tells its hits as if it were alone.

    The words of the last one have flags, which are gathered wherever they stand, within other words too.
    """

    def __init__(
        self,
        terms: Mapping[str, Term],
        signs: Mapping[str, Sign],
        cues: Mapping[str, Cue],
        flags: Mapping[str, int],
    ) -> None:
        lexicons = terms, signs, cues
        own = [{encode(word): meaning for word, meaning in words.items()} for words in lexicons]
        bits = {encode(word): flag for word, flag in flags.items()}
        self._automaton = ahocorasick.Automaton()
        for code in by_branch({*own[0], *own[1], *own[2], *bits}):
            # What ends together is told at once, by the longest word: the rest of an ending is passed over.
            ends = [code[place:] for place in range(len(code)) if _may_follow(code, place)]
            found = (next(((len(end), words[end]) for end in ends if end in words), None) for words in own)
            flag = 0
            for end in ends:
                flag |= bits.get(end, 0)
            term, sign, cue = found
            # Sizes stand beside the meanings, in one flat tuple: it is unpacked for each hit of each text.
            sizes = [pair[0] if pair else 0 for pair in (term, sign, cue)]
            meanings = [pair[1] if pair else None for pair in (term, sign, cue)]
            self._automaton.add_word(code, (_stands_alone(code), flag, *sizes, *meanings))
        self._automaton.make_automaton()

    def read(self, text: str) -> Reading[Term, Sign, Cue]:
        """The hits in order. Of words of a lexicon that lie within each other only the longest counts."""
        code = encode(text)
        terms: list[Hit[Term]] = []
        signs: list[Hit[Sign]] = []
        cues: list[Hit[Cue]] = []
        flags = 0
        seen = term_start = sign_start = cue_start = -1
        for last, found in self._automaton.iter(code):
            # At one end the longest word comes first.
            if last == seen:
                continue
            is_latin, flag, term_size, sign_size, cue_size, term, sign, cue = found
            end = last + 1
            if is_latin:
                start = end - is_latin
                if _is_latin(code[start - 1 : start]) or _is_latin(code[end : end + 1]):
                    continue
            seen = last
            flags |= flag
            # Ends only grow. Written out three times: a call for each hit costs more than the hit.
            if term_size:
                start = end - term_size
                while start <= term_start:
                    terms.pop()
                    term_start = terms[-1][0] if terms else -1
                terms.append((start, end, term))
                term_start = start
            if sign_size:
                start = end - sign_size
                while start <= sign_start:
                    signs.pop()
                    sign_start = signs[-1][0] if signs else -1
                signs.append((start, end, sign))
                sign_start = start
            if cue_size:
                start = end - cue_size
                while start <= cue_start:
                    cues.pop()
                    cue_start = cues[-1][0] if cues else -1
                cues.append((start, end, cue))
                cue_start = start
        return Reading(code, terms, signs, cues, flags)


def any_sign(signs: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds one of some characters, ten times as fast as a set that takes them one by one."""
    return re.compile(f"[{re.escape(''.join(sorted(signs)))}]")


def encode(text: str) -> str:
    """The text in lower case as one sign a byte of UTF-8."""
    return flat(text.lower())


def _stands_alone(code: str) -> int:
    """The length of a Latin word such as HIV, which must stand alone (not the `cea` of `ocean`), or 0."""
    return len(code) if _is_latin(code[0]) and _is_latin(code[-1]) else 0


def _may_follow(code: str, place: int) -> bool:
    """Whether a word may begin at this place of another one."""
    return not (place and _is_latin(code[place - 1]) and _stands_alone(code[place:]))


def _is_latin(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()
