"""Names of persons by weight: their characters, what stands beside them, less the words they look like."""

import re
from collections.abc import Iterator

from medtune.scorers.personal_cues import (
    BEFORE_WORD,
    CITATION,
    KNOWN_PAIRS,
    LABEL,
    LEAD,
    LEFT_SIZES,
    LEFT_WEIGHT,
    ROLE,
    ROLE_END,
    SURE_RIGHT,
    Beside,
    crossing_weight,
    left_of,
    may_tell,
    right_of,
    word_weight,
)
from medtune.scorers.personal_peoples import foreign_names
from medtune.scorers.personal_weights import (
    CHAR_WEIGHT,
    SURNAME_WEIGHT,
    cue_words,
    is_given,
    is_plain,
    raw_weight,
)
from medtune.scorers.personal_words import (
    CALLED_BY,
    COMMON,
    COMPOUND,
    FREQUENT,
    HAN,
    HANS,
    LOOKALIKES,
    NEVER,
    TITLES,
    Span,
    any_of,
)

ENOUGH = 5.0
"""The weight from which a candidate is taken for a name."""
MOST_RIGHT = 5.5
SURE = 4.0
ACTION, MOST_ACTION, MOST_GIVEN = 1.5, 2.0, 1.0
LEAST_LOSS, NEVER_LOSS = -2.5, -5.0
COLONS = ":\uff1a"
LITTLE = 2.0
"""The weight up to which what stands before a candidate says little."""

FIRSTS = "".join(sorted({*SURNAME_WEIGHT, *(word[0] for word in COMPOUND)}))
NO_GIVEN = "".join(sorted(NEVER))
# What leads to little leads to frequent surnames only.
LEADS = "".join(sorted({word[-1] for word, weight in LEFT_WEIGHT.items() if weight > LITTLE}))
OF_WEIGHT = "".join(sorted(char for char in FIRSTS if SURNAME_WEIGHT.get(char, 1.0) >= 1.0))
CANDIDATE = re.compile(
    f"[{FIRSTS}](?![{NO_GIVEN}])(?=[{HAN}])"
    f"(?:(?<=[{LEADS}].)|(?<=[{''.join(LEFT_SIZES)}][{OF_WEIGHT}])|(?<![{HAN}\\d_a-zA-Z].))"
)
ONE = (1,)
NOTE = r"[(\uff08][^)\uff09\n]{1,16}[)\uff09]"
NEXT = re.compile(
    rf"(?:[ ]?(?:{any_of(TITLES)}))?(?:{NOTE})?[ ]?"
    rf"(?:[\u3001/;\uff1b,\uff0c]|{any_of(cue_words('and_words'))})[ ]?"
)
IN_SURE_LIST = 7.0
"""The weight of a place in a list of names that a heading announced."""
SURE_NEXT = frozenset("\u3001/;\uff1b" + "".join(cue_words("and_words")))


def best_at(text: str, start: int, left: Beside) -> int:
    """Where the likeliest name that begins at the place ends, 0 when none weighs enough."""
    best, best_end = ENOUGH, 0
    if not left.is_free and text[start - 1 : start + 1] in COMMON:
        best += 2.5
    is_line = start == 0 or text[start - 1] in "\n\u3010"
    for size in (2, 1) if text[start : start + 2] in COMPOUND else ONE:
        first = start + size
        surname = text[start:first]
        if size == 1 and surname not in SURNAME_WEIGHT:
            continue
        for count in (2, 1):
            end = first + count
            given = text[first:end]
            if len(given) < count or not HANS.issuperset(given) or not is_given(given):
                continue
            weight = raw_weight(surname, given) + left.weight
            is_told = may_tell(text, end)
            if weight + (MOST_RIGHT if is_told else MOST_ACTION) < best:
                continue
            loss = word_weight(text, start, size, end)
            if not is_told and weight + MOST_ACTION + loss < best:
                continue
            right = right_of(text, end, is_line)
            weight += right.weight
            if right.weight == ACTION and left.weight >= LEAD:
                weight += 0.5
            if right is BEFORE_WORD and not is_plain(surname, given):
                weight -= 2.5
            if size == 1 and SURNAME_WEIGHT[surname] < 0 and text[end : end + 1] in HANS:
                weight -= 2.0 if given[0] in FREQUENT or raw_weight("", given) < 2 else 0.0
            if weight < best or (weight == best and best_end):
                continue
            # After a comma and before sex or age even a word is a name.
            is_sure = (left.weight == LABEL and right.is_free) or (
                right.weight >= SURE and text[end] not in COLONS and SURNAME_WEIGHT.get(surname, 0) >= 0
            )
            weight += max(loss, LEAST_LOSS) if is_sure and loss > NEVER_LOSS else loss
            if weight >= best and text[end : end + 1] in HANS:
                weight += crossing_weight(text, first, end)
            if weight >= best and not CALLED_BY.longest(text, first):
                best, best_end = weight, end
    if best_end and not left.is_free and left.weight < ROLE_END and LOOKALIKES.covers(text, start):
        return 0
    return best_end


def is_hopeless(text: str, start: int, left: Beside) -> bool:
    """Whether a candidate that little leads to begins as another word does, told at low cost."""
    surname = SURNAME_WEIGHT.get(text[start], 1.0)
    if not left.is_free and surname < 1.0:
        return True
    pair = text[start : start + 2]
    most = surname + left.weight + CHAR_WEIGHT.get(pair[1], 0.0) + MOST_GIVEN + MOST_ACTION
    if most < ENOUGH and not (may_tell(text, start + 2) or may_tell(text, start + 3) or pair in COMPOUND):
        return True
    if pair not in KNOWN_PAIRS:
        return False
    for end in (start + 2, start + 3):
        if text[end : end + 1] not in HANS and SURE_RIGHT.match(text, end):
            return False
    return True


def names_by_weight(text: str) -> Iterator[Span]:
    """Names whose shape and surroundings together weigh enough."""
    done = 0
    is_cited: bool | None = None
    for found in CANDIDATE.finditer(text):
        start = found.start()
        if start < done:
            continue
        left = left_of(text, start)
        if left.weight <= LITTLE:
            if left.weight < 0 or is_hopeless(text, start, left):
                continue
            if is_cited is None:
                is_cited = CITATION.search(text) is not None
            if is_cited:
                continue
        end = best_at(text, start, left)
        in_list = IN_SURE_LIST if left.weight >= ROLE else ROLE
        while end:
            yield Span(start, end, "NAME")
            done = end
            # A list of names speaks for each of its members.
            gap = NEXT.match(text, end)
            if not gap:
                break
            start = gap.end()
            is_sure = gap[0].rstrip()[-1] in SURE_NEXT
            end = best_at(text, start, Beside(in_list if is_sure else 1.5, True))


LIST_ITEM = f"[{FIRSTS}](?![{NO_GIVEN}])[{HAN}][{HAN}]?(?:[(\uff08][^)\uff09\n]{{1,12}}[)\uff09])?"
LIST_SIGN = re.compile(f"\u3001[{FIRSTS}](?![{NO_GIVEN}])[{HAN}]")
LIST = re.compile(f"(?<![{HAN}\\d\u3001]){LIST_ITEM}(?:\u3001{LIST_ITEM})+")
IN_LIST = re.compile(f"(?:^|\u3001)([{HAN}]{{2,4}})")
MEAN_OF_LIST = 0.8


def listed_names(text: str) -> Iterator[Span]:
    """Names in a list all of whose members look like names."""
    for found in LIST.finditer(text):
        spans: list[Span] = []
        total = 0.0
        for item in IN_LIST.finditer(found[0]):
            start, end = found.start() + item.start(1), found.start() + item.end(1)
            if found.end() == end and end - start == 3 and text[end : end + 1] in HANS:
                end = max((end - 1, end), key=lambda place: right_of(text, place, False).weight)
            shape = raw_weight(text[start], text[start + 1 : end]) if text[start] in SURNAME_WEIGHT else -9.0
            shape += word_weight(text, start, 1, end)
            if shape < -1.0 or LOOKALIKES.longest(text, start):
                break
            total += shape
            spans.append(Span(start, end, "NAME"))
        else:
            right = right_of(text, found.end(), False) if spans else Beside(-9.0, False)
            if total >= MEAN_OF_LIST * len(spans) and (
                right.is_free or spans[-1].end < found.end() or right.weight > 0
            ):
                yield from spans


FAMILIAR_SIGNS = cue_words("familiar")
FAMILIAR = re.compile(
    f"[{''.join(FAMILIAR_SIGNS)}]([{''.join(sorted(FREQUENT - {*cue_words('not_familiar')}))}])"
)


def familiar_names(text: str) -> Iterator[Span]:
    """The surname in what acquaintances are called by: nothing else stands between two borders."""
    for found in FAMILIAR.finditer(text):
        left = left_of(text, found.start())
        covered = LOOKALIKES.covers(text, found.start(1)) or LOOKALIKES.longest(text, found.start(1))
        if left.weight >= 1.0 and right_of(text, found.end(), False).weight > 0 and not covered:
            yield Span(found.start(1), found.end(), "NAME")


def weighed_names(text: str) -> Iterator[Span]:
    """Names that no single cue tells: by weight, in lists, of acquaintances and of other peoples."""
    yield from names_by_weight(text)
    if LIST_SIGN.search(text):
        yield from listed_names(text)
    if any(sign in text for sign in FAMILIAR_SIGNS):
        yield from familiar_names(text)
    yield from foreign_names(text)
