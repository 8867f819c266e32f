"""Texts -> MinHash sketches -> which of them say the same.

Similarity is the Jaccard index of the sets of character 3-grams (Broder 1997); a sketch of 64 hashes
estimates it with a standard error of sqrt(J (1 - J) / 64), 0.04 at J = 0.9.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NUM_HASHES = 64
ROWS_PER_BAND = 4
"""Two texts are compared when 4 neighbouring hashes of 16 agree: 98.8 % of pairs at J = 0.7, all at 0.9."""
ROUNDS = 4
"""How often the texts of a bucket that are unlike its first are compared among themselves again."""

Sketches = NDArray[np.uint16]
"""(n, 64): the low 16 bits of each minimal hash, so that a band of 4 is one 64-bit number."""
Indices = NDArray[np.int64]


class Grams(NamedTuple):
    """The hashed 3-grams of texts, one after the other."""

    hashes: NDArray[np.uint64]
    """(number of grams of all texts,)"""
    offsets: NDArray[np.uint64]
    """(n + 1,): text i has the grams from offsets[i] to offsets[i + 1]."""


def hash_grams(texts: Sequence[str]) -> Grams:
    """The 3-grams of each text; it has as many as it has characters, the last two padded."""
    codes = np.frombuffer("\0\0".join([*texts, ""]).encode("utf-32-le"), dtype=np.uint32)
    lengths = np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))
    starts = np.concatenate([[0], np.cumsum(lengths + 2)])[:-1]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    wide = codes.astype(np.uint64)
    grams = wide[places] << np.uint64(42) | wide[places + 1] << np.uint64(21) | wide[places + 2]
    return Grams(_scatter(grams), offsets.astype(np.uint64))


def _scatter(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each value as a number without pattern (the finaliser of MurmurHash3), since MinHash wants such."""
    mixed = (values ^ values >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    mixed = (mixed ^ mixed >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    return mixed ^ mixed >> np.uint64(33)


def sketch(grams: Grams) -> NDArray[np.uint32]:
    """(n, 64) minimal hashes. Those of two texts together are the smaller of each."""
    if len(grams.offsets) == 1:
        return np.empty((0, NUM_HASHES), dtype=np.uint32)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(grams.hashes, grams.offsets, NUM_HASHES, 42)
    return np.array(matrix.to_rows(), dtype=np.uint32)


def similarity(sketches: Sketches, left: Indices, right: Indices) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of each pair."""
    found = np.empty(len(left))
    for start in range(0, len(left), 1 << 18):  # 2 x 32 MiB at a time
        part = slice(start, start + (1 << 18))
        found[part] = (sketches[left[part]] == sketches[right[part]]).mean(axis=1)
    return found


class Pairs(NamedTuple):
    """Texts that may be alike, with the estimate."""

    left: Indices
    right: Indices
    similarity: NDArray[np.float64]


def find_pairs(sketches: Sketches, threshold: float) -> Pairs:
    """Pairs that share a band and are estimated at or above the threshold, left before right.

    Each text of a bucket is compared with the bucket's first, those unlike it again with the first of
    them, and so on: enough to join every cluster, without the square of its size.
    """
    bands = np.ascontiguousarray(sketches).view(np.uint64)
    lefts, rights, found = list[Indices](), list[Indices](), list[NDArray[np.float64]]()
    for column in bands.T:
        band = np.ascontiguousarray(column)
        members = np.argsort(band, kind="stable")
        for _ in range(ROUNDS):
            keys = band[members]
            is_first = np.ones(len(keys), dtype=bool)
            is_first[1:] = keys[1:] != keys[:-1]
            firsts = members[is_first][np.cumsum(is_first) - 1]
            left, right = firsts[~is_first], members[~is_first]
            estimate = similarity(sketches, left, right)
            is_like = estimate >= threshold
            lefts.append(left[is_like])
            rights.append(right[is_like])
            found.append(estimate[is_like])
            members = right[~is_like]
            if not len(members):
                break
    return Pairs(np.concatenate(lefts), np.concatenate(rights), np.concatenate(found))


def join(num_texts: int, left: Indices, right: Indices) -> Indices:
    """(n,): for each text the first of all that it is joined to, itself when it is that or stands alone."""
    edges = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(num_texts, num_texts))
    _, labels = connected_components(edges, directed=False)
    firsts = np.full(num_texts, num_texts, dtype=np.int64)
    np.minimum.at(firsts, labels, np.arange(num_texts))
    return firsts[labels]


def find_repeats(sketches: Sketches, threshold: float) -> Indices:
    """(n,): for each text the earlier one that it repeats, itself when it is to be kept.

    What it repeats is always kept and itself estimated at or above the threshold: texts that are only
    linked through others stay.
    """
    num_texts = len(sketches)
    kept = np.arange(num_texts)
    if not num_texts:
        return kept
    pairs = find_pairs(sketches, threshold)
    firsts = join(num_texts, pairs.left, pairs.right)
    rest = np.flatnonzero(firsts != kept)
    is_like = similarity(sketches, firsts[rest], rest) >= threshold
    kept[rest[is_like]] = firsts[rest[is_like]]
    return kept


def jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """The share of the 3-grams of either text that both have; 1 for two texts without any."""
    one, other = set(left.tolist()), set(right.tolist())
    return len(one & other) / len(one | other) if one or other else 1.0


def first_with(keys: NDArray[np.uint64]) -> Indices:
    """(n,): the first row that has the same key as each."""
    _, firsts, places = np.unique(keys, return_index=True, return_inverse=True)
    return firsts[places]
