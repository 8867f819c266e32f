"""Which part each record goes to. Content decides and never the order of rows."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medtune.data.config import Held
from medtune.data.dedup import Grams, Indices, find_pairs, first_with, hash_grams, jaccard, join
from medtune.data.table import OPEN, PARTS, RISKS, Table

MARGIN = 0.15
"""Estimates this near to the threshold are settled by the texts themselves: 2.6 standard errors at 0.7."""
OPEN_PARTS = ("train", "valid", "test")

Parts = NDArray[np.int8]


def group(table: Table, threshold: float, read_asked: Callable[[Table], list[str]]) -> Indices:
    """(n,): the first row that asks the same as each, directly or through others.

    `read_asked` gives what rows ask, as it is compared.
    """
    if not len(table):
        return np.empty(0, dtype=np.int64)
    pairs = find_pairs(np.ascontiguousarray(table["asked"]), threshold - MARGIN)
    is_sure = pairs.similarity >= threshold + MARGIN
    has_case = np.flatnonzero(table["case"])
    first_of_case = has_case[first_with(table["case"][has_case])]
    left = np.concatenate([pairs.left[is_sure], first_of_case])
    right = np.concatenate([pairs.right[is_sure], has_case])
    firsts = join(len(table), left, right)
    doubtful = np.flatnonzero(~is_sure & (firsts[pairs.left] != firsts[pairs.right]))
    both = np.unique(np.stack([pairs.left[doubtful], pairs.right[doubtful]], axis=1), axis=0)
    for start in range(0, len(both), 1 << 14):
        some = both[start : start + (1 << 14)]
        rows, places = np.unique(some, return_inverse=True)  # a row may stand in many pairs
        grams = hash_grams(read_asked(table[rows]))
        places = places.reshape(some.shape)
        is_like = np.array(
            [
                jaccard(_grams(grams, one), _grams(grams, other)) >= threshold
                for one, other in zip(places[:, 0].tolist(), places[:, 1].tolist(), strict=True)
            ]
        )
        left, right = np.append(left, some[is_like, 0]), np.append(right, some[is_like, 1])
    return join(len(table), left, right)


def _grams(grams: Grams, place: int) -> NDArray[np.uint64]:
    return grams.hashes[int(grams.offsets[place]) : int(grams.offsets[place + 1])]


def order_of(ids: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A random number for each id, the same for the same seed everywhere."""
    hashes = [hashlib.blake2b(b"%d:%016x" % (seed, key), digest_size=8).digest() for key in ids.tolist()]
    return np.frombuffer(b"".join(hashes), dtype="<u8")


def divide(table: Table, groups: Indices, *, valid: float, test: float, seed: int) -> Parts:
    """(n,): the part of each row. Whole groups go together, to the part that one of their rows is bound to.

    The others are taken by the order of their groups' hashes: test until it has its share, then valid, the
    rest trains; so in each stratum, where the first row of a group tells the group's.
    """
    parts = table["part"].astype(np.int8)
    bound = np.full(len(table), OPEN, dtype=np.int8)
    np.maximum.at(bound, groups, parts)
    bound = bound[groups]
    is_free = bound == OPEN
    parts = np.where(parts == OPEN, _open_part(bound), parts)
    sizes = np.bincount(groups[is_free], minlength=len(table))
    firsts = np.flatnonzero(sizes)
    keys = order_of(table["id"][firsts], seed)
    strata = table["stratum"][firsts]
    total = int(sizes.sum())
    wanted = {"test": test, "valid": valid}
    shares = {name: value if value < 1 else value / max(total, 1) for name, value in wanted.items()}
    place_of = np.zeros(len(table), dtype=np.int8)
    carried = dict.fromkeys(shares, 0.0)
    for stratum in np.unique(strata):
        own = firsts[strata == stratum][np.argsort(keys[strata == stratum], kind="stable")]
        ends = np.cumsum(sizes[own])
        begins = ends - sizes[own]
        start = 0
        for name, share in shares.items():
            carried[name] += share * int(ends[-1])
            room, begin = round(carried[name]), int(begins[start]) if start < len(own) else 0
            end = start + int(np.searchsorted(begins[start:], begin + room))
            place_of[own[start:end]] = PARTS.index(name)
            # What rounding leaves over is carried to the next stratum, what a large group took more too.
            carried[name] -= int(sizes[own[start:end]].sum())
            start = end
        place_of[own[start:]] = PARTS.index("train")
    return np.where(is_free, place_of[groups], parts).astype(np.int8)


def _open_part(bound: Parts) -> Parts:
    """The part of dialogues whose group is bound: exam items' dev and val are valid for them."""
    as_open = np.array([PARTS.index({"dev": "valid", "val": "valid"}.get(name, name)) for name in PARTS])
    return as_open[bound].astype(np.int8)


def hold(table: Table, groups: Indices, parts: Parts, held: Held, *, name: str, seed: int) -> Parts:
    """The parts with `held.size` records moved to the part `name`: the riskiest first, with their groups."""
    if not held.size:
        return parts
    pool = [PARTS.index(part) for part in held.pool]
    caps = {risk: round(share * held.size) for risk, share in held.risk.items()}
    is_open = np.isin(parts, pool) & (table["part"] == OPEN)
    rows = np.flatnonzero(is_open)
    order = rows[np.lexsort((order_of(table["id"][rows], seed), -table["risk"][rows].astype(int)))]
    members: dict[int, list[int]] = defaultdict(list)
    for row in rows.tolist():
        members[int(groups[row])].append(row)
    moved, taken = parts.copy(), Counter[str]()
    for row in order.tolist():
        if taken.total() >= held.size:
            break
        risk = RISKS[table["risk"][row]] if table["risk"][row] != OPEN else "low"
        if moved[row] == PARTS.index(name) or taken[risk] >= caps.get(risk, held.size):
            continue
        for member in members[int(groups[row])]:
            moved[member] = PARTS.index(name)
            taken[risk] += 1
    return moved


def choose(
    ids: NDArray[np.uint64],
    sources: NDArray[np.int16],
    *,
    most: Sequence[int | None],
    weights: Sequence[float | None],
    seed: int,
) -> NDArray[np.bool_]:
    """(n,): whether each row stays.

    No source gives more than its most, and weighted sources give in proportion to their weights; of a source
    the first by hash stay.
    """
    counts = np.bincount(sources, minlength=len(most)).astype(int)
    room = [min(int(count), cap) if cap else int(count) for count, cap in zip(counts, most, strict=True)]
    weighted = [place for place, weight in enumerate(weights) if weight]
    if weighted:
        unit = min(room[place] / (weights[place] or 1.0) for place in weighted)
        for place in weighted:
            room[place] = min(room[place], round(unit * (weights[place] or 1.0)))
    stays = np.ones(len(ids), dtype=bool)
    for place, (count, limit) in enumerate(zip(counts, room, strict=True)):
        if limit < count:
            own = np.flatnonzero(sources == place)
            stays[own[np.argsort(order_of(ids[own], seed), kind="stable")][limit:]] = False
    return stays
