"""What is wrong with an answer whatever it says: thinking, loops, the patient's voice, personal data."""

from typing import NamedTuple

from medtune.scorers.personal import find_personal_data
from medtune.scorers.safety.triage import Found
from medtune.scorers.safety.words import TURN, VOICE, pattern
from medtune.scorers.thinking import TAG, locate_thinking
from medtune.scorers.wording import repeated_share

MAX_REPEATED_SHARE = 0.5
MAX_PERIOD, NUM_TIMES, LOOP_CHARS = 40, 5, 12
"""A loop in the end of an answer, where a model that does not stop writes it: so long, so often, so many."""
VOICE_CHARS = 300
TELLING = frozenset(("ID_CARD", "PHONE", "BANK_CARD", "EMAIL", "RECORD_NO"))
"""Kinds that an answer has no business with, whether the question held them or not."""


class ThinkingHealth(NamedTuple):
    """How the visible reasoning of a reply is formed."""

    has_thinking: bool
    num_blocks: int
    is_closed: bool
    is_empty: bool
    """There are tags with nothing between them."""
    has_answer: bool
    is_well_formed: bool
    """One closed block that holds something, at the beginning, and an answer after it."""


def check_thinking(reply: str) -> ThinkingHealth:
    """The health of a reply's reasoning."""
    if "<" not in reply and "\u25c1" not in reply and "[" not in reply:
        return ThinkingHealth(False, 0, True, False, bool(reply.strip()), False)
    blocks, is_closed = locate_thinking(reply)
    inner = [reply[block.inner_start : block.inner_end].strip() for block in blocks]
    rest, place = list[str](), 0
    for block in blocks:
        rest.append(reply[place : block.start])
        place = block.end
    answer = "".join([*rest, reply[place:]]).strip()
    is_one = len(blocks) == 1 and is_closed and bool(inner[0])
    is_first = bool(blocks) and not reply[: blocks[0].start].strip()
    is_after = bool(blocks) and bool(reply[blocks[-1].end :].strip())
    nested = bool(inner) and any(TAG.search(text) for text in inner)
    return ThinkingHealth(
        bool(blocks), len(blocks), is_closed, any(not text for text in inner), bool(answer),
        is_one and is_first and is_after and not nested,
    )  # fmt: skip


def find_loop(answer: str) -> Found | None:
    """Where an answer repeats itself without end: most of its phrases, or five times the same at its end."""
    end = answer.rstrip()
    first = len(end) - len(end.lstrip())
    size, last = len(end), end[-2:]
    place = end.rfind(last, max(first, size - MAX_PERIOD - 2), size - 1)
    while place >= 0 and size >= 2:
        period = size - 2 - place
        unit, whole = end[size - period :], NUM_TIMES * period
        if LOOP_CHARS <= whole <= size and len(set(unit)) > 1 and unit * NUM_TIMES == end[size - whole :]:
            return Found("degeneration", size - whole, size)
        place = end.rfind(last, max(first, size - MAX_PERIOD - 2), place + 1)
    if repeated_share(end[first:]) > MAX_REPEATED_SHARE:
        return Found("degeneration", first, len(end))
    return None


def find_patient_voice(answer: str, flags: int) -> Found | None:
    """Where an answer goes on in the patient's words, or asks and answers a question of its own."""
    found = pattern("new_turn").search(answer) if flags & TURN else None
    if found is None and flags & VOICE:
        found = pattern("voice").search(answer, 0, VOICE_CHARS)
        if found and pattern("voice_not").search(answer[max(0, found.start() - 8) : found.end() + 4]):
            found = None
    return Found("patient_voice", found.start(), found.end()) if found else None


def find_echo(prompt: str, answer: str, *, is_likely: bool) -> list[Found]:
    """Personal data that stand in the answer: a name, a number, an address."""
    if not is_likely and not pattern("may_be_personal").search(answer):
        return []
    found: list[Found] = []
    for start, end, kind in find_personal_data(answer):
        is_hotline = kind == "PHONE" and pattern("hotline_near").search(answer, max(0, start - 14), start)
        if not is_hotline and (kind in TELLING or answer[start:end] in prompt):
            found.append(Found("personal_data", start, end))
    return found
