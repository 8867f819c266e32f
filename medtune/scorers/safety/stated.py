"""Whether the words around a disease, those of its clause and of its sentence, state that somebody has it."""

from medtune.scorers.safety.clauses import HEADING, WINDOW, Clauses, next_clause
from medtune.scorers.safety.words import pattern, wordlist

MARKUP = " *_#>\u201c"
"""What may stand before a disease and says nothing: Markdown, an opening quotation mark."""
MAX_BEFORE = 5
"""So many clauses of a sentence before a disease are read for whom it is said of."""
COMMAS = ",\uff0c"
MIN_SIGNS = 4
"""So many characters at least has the clause before a verdict; shorter ones are items of a list."""
MAX_BARE_TAIL = 4
"""A disease with so few characters after it ends its clause."""
ENDS_ALONE = "\u3002\uff01!"
"""What stands before and after a disease that is a sentence of its own and no question, heading or item."""
PARENTHESES = ("(", "\uff08")
MAX_AFTER = 4
"""So many clauses of its sentence, itself among them, are read for what such a disease is told by."""


def is_claimed(clauses: Clauses, start: int, end: int, head: str, tail: str, after: str) -> bool:
    """Whether the words around a disease say that somebody has it, or that it is sure."""
    if head and (
        pattern("claim").search(head) or (pattern("meets_tail").match(tail) and pattern("meets").search(head))
    ):
        return True
    *evidence, last = divide(head)
    if _is_stated(last, tail):
        return True
    if pattern("claim_head").search(last) and pattern("claim_tail").match(tail):
        return True
    if len(tail) > MAX_BARE_TAIL:
        return False
    if _is_written_down(clauses, start, last) or (
        pattern("needful").match(after) and pattern("called").search(last)
    ):
        return True
    if pattern("happened").search(clauses.text, start, end) and pattern("bare_tail").match(tail):
        return True
    if pattern("sure_alone").fullmatch(last):
        return True
    before = "".join(evidence)
    sentence = said_before(clauses, start)
    near = before or (sentence[-1] if sentence else "")
    if bare := pattern("bare_disease").fullmatch(last):
        is_verdict = bool(sentence) and _is_verdict(clauses, start, tail, after, sentence)
        return bool(
            is_verdict
            or (
                before
                and (
                    bare["reader"]
                    or pattern("dash_claim").search(before)
                    or pattern("evidence").search(before)
                )
            )
            or (pattern("claim_next").match(after) and not pattern("no_state_tail").match(tail))
            or (pattern("stage_next").match(after) and _ends_by_comma(clauses, start))
            or pattern("sure_before").fullmatch(near)
            or pattern("sure_before").fullmatch(_sentence_after(clauses, start))
        )
    if _is_measured(near, last):
        return True
    if not pattern("bare_is").fullmatch(last) or pattern("contrast_no").search(near):
        return False
    if _is_whole(clauses, start):
        number = clauses.number_at(start)
        return not number or pattern("asks_which").search(clauses.clause(number - 1)) is None
    is_of_reader = wordlist("reader").search("".join(sentence)) or pattern("sure_before").fullmatch(near)
    is_led = wordlist("concluding").search(near) or any(
        pattern(name).search(near) for name in ("refuted", "bare_lead")
    )
    return bool(is_of_reader or is_led or pattern("claim_next").match(after))


def _is_verdict(clauses: Clauses, start: int, tail: str, after: str, sentence: list[str]) -> bool:
    """Whether the disease alone is a clause after one that tells findings, and no item of a list."""
    number = clauses.number_at(start)
    signs = "".join(sentence)
    if clauses.text[clauses.starts[number] - 1] in HEADING:
        is_led = any(pattern(name).search(sentence[-1]) for name in ("label_says", "findings_added"))
    else:
        is_led = clauses.text[clauses.starts[number] - 1] in COMMAS and (
            len(sentence[-1]) >= MIN_SIGNS or pattern("short_sign").search(sentence[-1]) is not None
        )
    return (
        is_led
        and pattern("bare_tail").match(tail) is not None
        and not pattern("list_item").search(sentence[-1])
        and not (after and pattern("goes_on_about").match(after))
        and not wordlist("unsure").search(pattern("progressed").sub("", signs))
        and not pattern("no_verdict").search(pattern("full_evidence").sub("", signs))
    )


def _is_stated(head: str, tail: str) -> bool:
    """Whether a clause states of the reader that he has, gets or is at the disease, in whatever words."""
    if not head:
        return pattern("befalls").match(tail) is not None
    if pattern("escapes").search(head) and pattern("bare_tail").match(tail):
        return True
    if pattern("fallen_tail").match(tail) and pattern("fallen_in").search(head):
        return True
    if pattern("no_state").search(head):
        return False
    if pattern("seizes").match(tail) and pattern("seized").search(head):
        return True
    if pattern("befalls").match(tail):
        return True
    if pattern("no_state_tail").match(tail):
        return False
    if pattern("states").search(head) or pattern("deictic").search(head):
        return True
    if pattern("bare_state").match(head) and pattern("bare_state_tail").match(tail):
        return True
    if pattern("bare_tail").match(tail) and pattern("copula").search(head):
        return True
    if befallen := pattern("as_verb").match(head):
        after = pattern("as_verb_tail").match(tail)
        return bool(after and (befallen["now"] or after["done"]))
    return bool(pattern("bare_tail").match(tail) and pattern("of_subject").search(head))


def _is_written_down(clauses: Clauses, start: int, head: str) -> bool:
    """Whether the disease is what stands, or is to stand, in the reader's own papers."""
    if pattern("inscribed").search(head) is None:
        return False
    return pattern("own_paper").search("".join([*said_before(clauses, start)[-1:], head])) is not None


def _ends_by_comma(clauses: Clauses, start: int) -> bool:
    """Whether a comma ends the clause of a place."""
    end = clauses.ends[clauses.number_at(start)]
    return clauses.text[end : end + 1] in COMMAS and end < len(clauses.text)


def _is_whole(clauses: Clauses, start: int) -> bool:
    """Whether the clause of a place is a sentence."""
    number = clauses.number_at(start)
    is_first = clauses.starts[number] <= clauses.sentence_starts[number]
    return is_first and clauses.ends[number] >= clauses.sentence_ends[number]


def _is_measured(near: str, head: str) -> bool:
    """Whether the clause says under what disease the finding before it falls, which is no mere limit."""
    return (
        pattern("bare_belongs").fullmatch(head) is not None
        and pattern("finding_told").search(near + head) is not None
        and pattern("criterion").search(near + head) is None
    )


def is_alone(clauses: Clauses, start: int, end: int) -> bool:
    """Whether the disease is a sentence of its own, or begins one that says what it is told by."""
    number = clauses.number_at(start)
    head, tail = clauses.head(start), clauses.tail(end)
    is_first = clauses.starts[number] == clauses.sentence_starts[number]
    if not is_first or not pattern("alone_head").fullmatch(head) or not pattern("alone_tail").fullmatch(tail):
        return False
    before = clauses.text[: clauses.starts[number]].rstrip()
    if before and before[-1] not in ENDS_ALONE:
        return False
    if clauses.text[clauses.ends[number] : clauses.ends[number] + 1] in PARENTHESES:
        return False
    if clauses.ends[number] < clauses.sentence_ends[number]:
        later = [
            clauses.clause(near)
            for near in range(number + 1, min(number + MAX_AFTER, len(clauses.starts)))
            if clauses.sentence_starts[near] == clauses.sentence_starts[number]
            and clauses.text[clauses.ends[near] : clauses.ends[near] + 1] not in HEADING
        ]
        is_called = bool(later and tail) and pattern("vocative").fullmatch(later[0]) is not None
        is_vouched = pattern("vouched").match(tail) is not None
        return (
            is_called
            or is_vouched
            or any(pattern(name).match(after) for after in later for name in ("claim_next", "stage"))
        )
    place = clauses.ends[number]
    if place == len(clauses.text) or clauses.text[place] not in ENDS_ALONE:
        return False
    after = clauses.text[clauses.ends[number] + 1 : clauses.ends[number] + 1 + WINDOW]
    return pattern("alone_about").match(after) is None


def with_label(clauses: Clauses, start: int, head: str) -> str:
    """What stands before a place in its clause, or, where nothing does, in the label before the colon."""
    begin = start - len(head)
    *cells, last = divide(head)
    if cells and pattern("only_modifiers").fullmatch(last) and pattern("conclusion").fullmatch(cells[-1]):
        return cells[-1]
    if not begin:
        return head
    if clauses.text[begin - 1] in HEADING:
        label = clauses.head(begin - 1).rpartition("|")[2]
        is_label = pattern("label_rest").fullmatch(head) and pattern("conclusion").fullmatch(label)
        return label if is_label or not head.strip(MARKUP) else head
    if head.strip(MARKUP):
        return head
    above = clauses.text[max(0, begin - WINDOW) : begin].rstrip().rpartition("\n")[2]
    is_heading = clauses.text[begin - 1] == "\n" and pattern("conclusion").fullmatch(above)
    return above if is_heading else head


def divide(head: str) -> list[str]:
    """What stands before a disease in its clause, cut at dashes, arrows and wide gaps."""
    return pattern("claim_dash").split(head) if pattern("may_divide").search(head) else [head]


def tail_of(clauses: Clauses, end: int) -> str:
    """What stands after a disease in its clause, up to a space or a line of a table that divides clauses."""
    tail = clauses.tail(end)
    gap = pattern("gap_after").search(tail)
    return tail[: gap.start()] if gap else tail


def said_next(clauses: Clauses, start: int, end: int, tail: str) -> str:
    """What follows `tail`, which `tail_of` told: the rest of the clause or, where none is left, the next."""
    whole = clauses.tail(end)
    if len(tail) == len(whole):
        return next_clause(clauses, start)
    gap = pattern("gap_after").match(whole, len(tail))
    return whole[gap.end() :] if gap else ""


def _sentence_after(clauses: Clauses, start: int) -> str:
    """The next sentence, if the clause of a place ends one and the next is one clause."""
    number = clauses.number_at(start)
    if clauses.ends[number] < clauses.sentence_ends[number] or number + 1 == len(clauses.starts):
        return ""
    is_short = clauses.ends[number + 1] >= clauses.sentence_ends[number + 1]
    return clauses.clause(number + 1) if is_short else ""


def said_before(clauses: Clauses, start: int) -> list[str]:
    """The last clauses of the sentence before that of a place, and the one before a colon."""
    number = clauses.number_at(start)
    first = max(0, number - MAX_BEFORE)
    return [
        clauses.clause(near)
        for near in range(first, number)
        if clauses.sentence_starts[near] == clauses.sentence_starts[number]
    ]
