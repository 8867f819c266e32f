"""Which exam questions stand in a text: word for word, reworded, or only alike."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from medtune.records import Question
from medtune.scorers.overlap import bare

Kind = Literal["same item", "same question", "reworded", "alike", "twin"]
"""The whole item; its stem with the right answer; nearly the stem with it; part of the stem with it; the stem
with other options."""
KINDS: tuple[Kind, ...] = ("same item", "same question", "reworded", "alike", "twin")
"""The most telling first."""
CONTAMINATED: frozenset[Kind] = frozenset(("same item", "same question"))
SUSPECT: frozenset[Kind] = frozenset(("reworded", "alike"))
Drop = Literal["contaminated", "reworded", "suspect"]
UNWANTED: dict[Drop, frozenset[Kind]] = {
    "contaminated": CONTAMINATED,
    "reworded": CONTAMINATED | frozenset[Kind](("reworded",)),
    "suspect": CONTAMINATED | SUSPECT,
}
"""What is taken out of training data: what holds an item for certain; also what asks it in other words; also
what says part of it beside its answer, which may be no more than the fact itself."""

GRAM_CHARS = 4
MAX_GRAM_ITEMS = 0.02
"""A gram that stands in a larger share of the questions belongs to the wording of exams, not to one item."""
MIN_COVERED = 0.3
"""A text that holds less of a stem's grams is not looked at."""
REWORDED, ALIKE = 0.75, 0.55
"""Share of the stem that stands in the text in order. 病人 and 患者 or 肾衰竭 and 肾功能衰竭 exchanged leave
0.92; two questions about different diseases in the same words have 0.5 to 0.75."""
MIN_TELLING_CHARS = 3
"""A shorter right answer, such as a figure, stands in many texts: it tells nothing beside part of a stem."""
SHORT_STEM_CHARS = 15
"""A shorter stem, without its options, cannot be searched for: not finding it says nothing."""
NEAR_GOLD = 0.85
NEAR_CHARS = 1000
"""How far before and after the question its options are looked for: a book names everything somewhere."""


class Probe(NamedTuple):
    """An exam item as it is searched for: letters and digits only, lower case."""

    id: str
    stem: str
    options: tuple[str, ...]
    golds: tuple[str, ...]


class Match(NamedTuple):
    """An item that was found in a text."""

    probe: int
    """Its number."""
    kind: Kind
    share: float
    """Of the stem that stands in the text, in order, 0 to 1."""
    options_found: int


def make_probe(id: str, stem: str, options: Mapping[str, str], answer: str) -> Probe:
    """The item as it is searched for."""
    texts = {letter: bare(text) for letter, text in options.items()}
    golds = tuple(texts[letter] for letter in answer)
    return Probe(id, bare(stem), tuple(text for text in texts.values() if text), golds)


def probe_of(item: Question) -> Probe:
    """The item as it is searched for; a case that it shares with others is part of its stem."""
    return make_probe(item.id, (item.case or "") + item.stem, item.options, item.answer)


def is_unscannable(probe: Probe) -> bool:
    """Whether the stem is too short for a text without the options to be told apart from chance."""
    return len(probe.stem) < SHORT_STEM_CHARS


class Index:
    """The grams of many items, to find those that a text may hold."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.probes = probes
        grams = [grams_in(probe.stem) for probe in probes]
        often = Counter(gram for own in grams for gram in own)
        most = max(2, MAX_GRAM_ITEMS * len(probes))
        telling = [{gram for gram in own if often[gram] <= most} for own in grams]
        # A question made of nothing but common wording is searched for by all its grams.
        self._grams = [own or everything for own, everything in zip(telling, grams, strict=True)]
        self._holders: dict[str, list[int]] = {}
        for number, own in enumerate(self._grams):
            for gram in own:
                self._holders.setdefault(gram, []).append(number)

    def find(self, text: str) -> Iterator[Match]:
        """The items that stand in a text, by number."""
        whole = bare(text)
        counts: Counter[int] = Counter()
        for gram in grams_in(whole):
            counts.update(self._holders.get(gram, ()))
        for number in sorted(counts):
            if counts[number] >= MIN_COVERED * len(self._grams[number]):
                match = compare_item(self.probes[number], whole, number=number)
                if match:
                    yield match


def grams_in(text: str) -> frozenset[str]:
    """The character 4-grams of a bare text; a shorter one is its own gram."""
    if len(text) <= GRAM_CHARS:
        return frozenset([text] if text else [])
    return frozenset(text[start : start + GRAM_CHARS] for start in range(len(text) - GRAM_CHARS + 1))


def compare_item(probe: Probe, text: str, *, number: int = 0) -> Match | None:
    """How the item stands in a bare text; None where it does not."""
    share, start, end = lay_over(probe.stem, text)
    if share < ALIKE:
        return None
    rest = f"{text[max(0, start - NEAR_CHARS) : start]}|{text[end : end + NEAR_CHARS]}"
    found = sum(option in rest for option in probe.options)
    has_gold = all(holds(gold, rest) for gold in probe.golds)
    is_whole = share == 1.0 and end - start == len(probe.stem)
    kind = _kind_of(probe, share, is_whole=is_whole, found=found, has_gold=has_gold)
    return Match(number, kind, round(share, 4), found) if kind else None


def _kind_of(probe: Probe, share: float, *, is_whole: bool, found: int, has_gold: bool) -> Kind | None:
    if is_whole:
        if found == len(probe.options) > 1:
            return "same item"
        if has_gold:
            return "same question"
        return "twin" if found or not is_unscannable(probe) else None  # else a mere name, such as a disease's
    if not has_gold:
        return None
    if share >= REWORDED:
        return "reworded"
    is_telling = min(map(len, probe.golds)) >= MIN_TELLING_CHARS or found > len(probe.options) / 2
    return "alike" if is_telling else None


class Laid(NamedTuple):
    """Where a short text stands in a long one."""

    share: float
    """Of its characters that stand there in the same order, in runs of two and more."""
    start: int
    end: int


def lay_over(short: str, text: str) -> Laid:
    """Where the short text stands, or what is most like it."""
    whole = text.find(short)
    if whole >= 0:
        return Laid(1.0, whole, whole + len(short))
    start, end = find_window(short, text)
    longest = SequenceMatcher(None, short, text[start:end], autojunk=False).find_longest_match()
    # Round the longest run, so that what stands beside the question, such as an option, is out.
    slack = max(GRAM_CHARS, len(short) // 4)
    begin = max(0, start + longest.b - longest.a - slack)
    near = text[begin : start + longest.b + len(short) - longest.a + slack]
    blocks = SequenceMatcher(None, short, near, autojunk=False).get_matching_blocks()
    runs = [block for block in blocks if block.size > 1]
    if not runs:
        return Laid(0.0, begin, begin)
    share = sum(run.size for run in runs) / len(short)
    return Laid(share, begin + runs[0].b, begin + runs[-1].b + runs[-1].size)


def find_window(short: str, text: str) -> tuple[int, int]:
    """The part of the text, half as long again as the short one, that holds the most of its grams."""
    wanted = grams_in(short)
    places = [
        start
        for start in range(max(1, len(text) - GRAM_CHARS + 1))
        if text[start : start + GRAM_CHARS] in wanted
    ]
    width, best, first, most = len(short) + len(short) // 2, 0, 0, 0
    for last, place in enumerate(places):
        while places[first] < place - width:
            first += 1
        if last - first + 1 > most:
            most, best = last - first + 1, places[first]
    slack = max(GRAM_CHARS, len(short) // 4)
    return max(0, best - slack), min(len(text), best + width + slack)


def holds(wanted: str, text: str) -> bool:
    """Whether a short text stands in another, a small change allowed from eight characters on."""
    if wanted in text:
        return bool(wanted)
    return len(wanted) >= 8 and lay_over(wanted, text).share >= NEAR_GOLD


def strongest(kinds: Iterable[Kind]) -> Kind | None:
    """The most telling of several kinds."""
    found = set(kinds)
    return next((kind for kind in KINDS if kind in found), None)
