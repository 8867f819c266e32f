"""What stands around a drug that an answer names: the verb, words that speak of it, that it is needed."""

from medtune.scorers.safety.clauses import Clauses, is_denied, without_twice
from medtune.scorers.safety.words import last_match, pattern

MAX_GAP = 16
"""Characters between a verb and the drug that is its object."""
MIN_PART = 5
"""Characters before a space that are read as a clause of their own."""


def is_mention(rest: str) -> bool:
    """Whether the words after a drug speak of it; that it is so much a day tells to take it."""
    return pattern("mention").match(rest) is not None and not pattern("is_portion").match(rest)


def need(head: str, rest: str) -> tuple[str, str] | None:
    """What stands around a drug without which it does not go, less the words that say so."""
    without = pattern("need_head").search(head)
    if not without or is_denied(head[: without.start()]):
        return None
    fails = pattern("need_tail").match(rest)
    if not fails:
        return None if without["fails"] else (head[: without.start()], rest)
    return head[: without.start()], rest[fails.end() :]


def around(clauses: Clauses, start: int, end: int) -> tuple[str, str]:
    """The clause before a drug without double negations, and after it and other drugs that go with it."""
    number = clauses.number_at(start)
    head, tail = clauses.head(start), clauses.tail(end)
    if pattern("have").search(head) and (topic := pattern("have_of").match(tail)):
        # What is at home, and then what to do with it.
        tail = tail[topic.end() :]
    form = pattern("after").match(tail)
    if pattern("like").match(head) and clauses.starts[number] > clauses.sentence_starts[number]:
        # An example after a comma or a bracket: the verb stands before it.
        before = clauses.head(clauses.ends[number - 1])
        if pattern("use_end").search(before):
            head = before + head
    tail = tail[form.end() :] if form else tail
    if " " in head and not pattern("verb_space").search(head):
        space = last_match(pattern("space"), head)
        head = head[space.end() :] if space and space.start() >= MIN_PART else head
    if " " in tail and (space := pattern("space").search(tail)):
        tail = tail[: space.start()]
    return without_twice(head), tail


def last_verb(head: str) -> int | None:
    """Where the verb begins whose object stands at the end of the head."""
    begin = max(0, len(head) - MAX_GAP - 6)
    last = last_match(pattern("use"), head, begin)
    if last is None or len(head) - last.end() > MAX_GAP or pattern("gap_no").search(head[last.end() :]):
        return None
    return last.start()


def is_imperative(head: str, verb: int | None) -> bool:
    """Whether nothing but adverbs stands before the verb."""
    return verb is not None and bool(pattern("adverbs").fullmatch(head[:verb]))
