"""Where a name of a person begins or ends: what surnames, given names and their neighbours look like."""

import re

from medtune.scorers.personal_words import (
    CALLED_BY,
    COMPOUND,
    FOLLOWERS,
    FOREIGN,
    FREQUENT,
    GIVEN,
    HAN,
    HANS,
    LEFT_CUES,
    LOOKALIKES,
    NEIGHBOURS,
    NEVER,
    NOT_BEFORE_TITLES,
    PREPOSITIONS,
    PUBLIC_FIGURES,
    SURNAME,
    WORDY,
    characters,
    listed,
)

MASKED = frozenset(characters("masked"))
MIDDLE_DOT = "\u00b7\u2022\u2027\u30fb"
PART = rf"[^{characters('particles')}\W\da-zA-Z_]"
DOTTED = re.compile(rf"(?:{PART}){{1,8}}(?:[{MIDDLE_DOT}](?:{PART}){{1,8}}){{1,3}}")
HAN_RUN = re.compile(f"[{HAN}]{{1,6}}")
NO_NAMES = frozenset(listed("no_names"))


def surname_at(text: str, start: int) -> int:
    """How many characters of the place are a surname: 2, 1 or 0."""
    if text[start : start + 2] in COMPOUND:
        return 2
    return 1 if start < len(text) and text[start] in SURNAME else 0


def is_end(text: str, place: int) -> bool:
    """Whether a name may end before the place: no Chinese character follows, or a word that follows names."""
    return place >= len(text) or text[place] not in HANS or FOLLOWERS.longest(text, place) > 0


def is_hard_end(text: str, place: int) -> bool:
    """Whether no Chinese character stands at the place."""
    return place >= len(text) or text[place] not in HANS


def is_hard_start(text: str, place: int) -> bool:
    """Whether neither a Chinese character nor a digit stands before the place."""
    return place == 0 or not (text[place - 1] in HANS or text[place - 1].isdecimal())


def has_cue(text: str, start: int) -> bool:
    """Whether a name may begin at the place: nothing Chinese before it, or what leads to names."""
    return is_hard_start(text, start) or text[start - 1] in LEFT_CUES


def is_wordy(text: str, start: int, end: int) -> bool:
    """Whether a character of the name is more often a word of running text, or its surname a preposition."""
    return text[start] in PREPOSITIONS or any(char in WORDY for char in text[start + 1 : end])


def is_other_word(text: str, start: int, length: int) -> bool:
    """Whether what stands here is known as another word, or names a person of public knowledge."""
    if PUBLIC_FIGURES.longest(text, start):
        return True
    other = LOOKALIKES.longest(text, start)
    # A two-character word may begin a real name of three: a frequent surname and two given characters.
    return other >= length or (
        other > 0 and (text[start] not in FREQUENT or is_wordy(text, start, start + length))
    )


def is_covered(text: str, start: int, length: int) -> bool:
    """Whether what stands here is another word, or the end of one that begins before it."""
    return LOOKALIKES.covers(text, start) or is_other_word(text, start, length)


def name_end(text: str, start: int, *, is_sure: bool = False) -> int:
    """Where the name that begins at the place ends, 0 when none does. `is_sure`: a label announced a name."""
    length = surname_at(text, start)
    if not length or CALLED_BY.longest(text, start + length):
        return 0
    first = start + length
    tail = text[first : first + 2]
    if not tail or tail[0] in MASKED or tail[0] in NEVER or tail[0] not in HANS:
        return 0
    is_one, is_two = tail[0] in GIVEN, False
    if len(tail) == 2 and tail[1] not in NEVER and tail[1] not in MASKED and tail[1] in HANS:
        is_two = tail[1] in GIVEN
    else:
        tail = tail[0]
    ends_one, ends_two = is_end(text, first + 1), len(tail) == 2 and is_end(text, first + 2)
    title_after_one = CALLED_BY.longest(text, first + 1)
    word_after_one = (
        max(FOLLOWERS.longest(text, first + 1), title_after_one) if ends_one or title_after_one else 0
    )
    if is_sure:
        if ends_two and not (word_after_one > 1 or (word_after_one and not is_two)):
            return first + 2
        if ends_one:
            return first + 1
        return first + 2 if is_one and is_two else first + 1 if is_one else 0
    return weak_end(text, start, first, tail)


def is_neighbour(text: str, place: int) -> bool:
    """Whether a frequent word begins at the place."""
    return text[place : place + 2] in NEIGHBOURS or text[place : place + 3] in NEIGHBOURS


def is_split_word(text: str, place: int) -> bool:
    """Whether a frequent word begins at the place, and none behind its first character."""
    return is_neighbour(text, place) and not (
        is_neighbour(text, place + 1) or FOLLOWERS.longest(text, place + 1)
    )


def weak_end(text: str, start: int, first: int, tail: str) -> int:
    """Where a name ends that nothing announced for certain; 0 when it may as well be another word."""
    is_known = text[start] in FREQUENT or first - start == 2
    if not is_known and text[start] in PREPOSITIONS:
        return 0
    for size in (2, 1):
        end = first + size
        given = tail[:size]
        if len(given) < size or not all(char in GIVEN for char in given):
            continue
        is_free = is_hard_end(text, end)
        num_wordy = sum(char in WORDY for char in given)
        follower = FOLLOWERS.longest(text, end)
        if size == 2 and (FOLLOWERS.longest(text, first + 1) > 1 or is_split_word(text, first + 1)):
            continue
        is_plain = not num_wordy and not any(char in FOREIGN for char in given)
        if not (
            (is_free and (is_known or num_wordy < size))
            or (size == 2 and is_plain and (is_known or follower))
            or (size == 2 and (is_known and follower and num_wordy < size))
            or (size == 1 and is_plain and (follower or (is_known and is_neighbour(text, end))))
        ):
            continue
        if not is_other_word(text, start, end - start if is_free else 2):
            return end
    return 0


def bounded_end(text: str, start: int) -> int:
    """Where a name of any given name ends, when a frequent surname begins it and nothing Chinese follows."""
    end = name_end(text, start, is_sure=True) if text[start : start + 1] in FREQUENT else 0
    return end if end and is_hard_end(text, end) and not is_other_word(text, start, 2) else 0


def dotted_end(text: str, start: int) -> int:
    """Where a name of several parts with dots between them ends, 0 when none begins here."""
    dotted = DOTTED.match(text, start)
    if not dotted:
        return 0
    end = dotted.end()
    last = max(dotted[0].rfind(dot) for dot in MIDDLE_DOT) + start
    cuts = (place for place in range(last + 3, end) if FOLLOWERS.longest(text, place))
    return next(cuts, end)


def labelled_end(text: str, start: int) -> int:
    """Where the name after a label and a colon ends: a whole bounded run counts, whatever it looks like."""
    dotted = dotted_end(text, start)
    if dotted:
        return dotted
    run = HAN_RUN.match(text, start)
    if not run or run[0] in NO_NAMES:
        return 0
    size = len(run[0])
    is_name_like = not any(char in MASKED for char in run[0]) and run[0][0] not in NEVER
    if is_name_like and is_hard_end(text, run.end()):
        length = surname_at(text, start)
        if length and CALLED_BY.longest(text, start + length):
            return 0
        if length and length < size <= length + 2 and not FOLLOWERS.longest(text, run.end() - 1):
            if not any(char in NEVER for char in run[0][length:]):
                return run.end()
        elif not length and size in (2, 3) and all(char in GIVEN for char in run[0]):
            return run.end()
    return name_end(text, start, is_sure=True)


def is_in_title(text: str, start: int) -> bool:
    """Whether the character before a title is part of the title or of a word before it."""
    return LOOKALIKES.covers(text, start) or LOOKALIKES.longest(text, start) > 2


def name_start(text: str, end: int, *, is_full: bool = False) -> int:
    """Where the name that ends at the place begins, -1 when none does. `is_full`: a surname alone is none."""
    if end < 1 or text[end - 1] not in HANS:
        return -1
    for size in (4, 3, 2):
        start = end - size
        if start >= 0 and text[start : start + 2] in COMPOUND and (size > 2 or not is_full):
            given = text[start + 2 : end]
            is_given = all(char in HANS and char not in NEVER for char in given)
            is_title = size > 2 and CALLED_BY.longest(text, start + 2)
            if is_given and not is_title and not LOOKALIKES.covers(text, start):
                return start
    last = text[end - 1]
    if last in GIVEN or last not in FREQUENT:
        for size in (3, 2):
            start = end - size
            if start < 0 or not (is_full_name(text, start, end) or is_bounded_pair(text, start, end)):
                continue
            is_free = is_hard_start(text, start)
            if not is_full or (is_free and text[start] in FREQUENT and text[start + 1] not in WORDY):
                return start
            if has_left(text, start, size) and not is_wordy(text, start, end):
                return start
    start = end - 1
    if is_full or last not in SURNAME or last in NOT_BEFORE_TITLES or is_in_title(text, start):
        return -1
    return start if last in FREQUENT or has_cue(text, start) else -1


def has_left(text: str, start: int, size: int) -> bool:
    """Whether a full name stands free on its left side; a longer one needs less."""
    return has_cue(text, start) or (size == 3 and text[start] in FREQUENT)


def is_bounded_pair(text: str, start: int, end: int) -> bool:
    """Whether a frequent surname and any other character stand free on their left side."""
    pair = text[start:end]
    if (
        len(pair) != 2
        or pair[0] not in FREQUENT
        or pair[1] in NEVER
        or pair[1] in MASKED
        or pair[1] not in HANS
    ):
        return False
    return (
        is_hard_start(text, start)
        and not is_covered(text, start, 2)
        and not CALLED_BY.longest(text, start + 1)
    )


def is_full_name(text: str, start: int, end: int) -> bool:
    """Whether a single surname and a given name of one or two characters fill the place."""
    surname, given = text[start], text[start + 1 : end]
    if (
        surname not in SURNAME
        or not all(char in GIVEN for char in given)
        or CALLED_BY.longest(text, start + 1)
    ):
        return False
    if surname in PREPOSITIONS and not is_hard_start(text, start):
        return False
    if surname not in FREQUENT and not has_cue(text, start):
        return False
    return not is_covered(text, start, end - start)
