"""Sketches estimate Jaccard similarity; repeats are like what is kept; order has no say."""

import random

import numpy as np
import pytest

from medtune.data.dedup import (
    find_pairs,
    find_repeats,
    first_with,
    hash_grams,
    jaccard,
    join,
    similarity,
    sketch,
)

WORDS = "头痛发热咳嗽胸闷气短腹泻恶心呕吐乏力失眠多梦口干口苦腰酸背痛关节肿胀皮疹瘙痒心悸盗汗"


def text_of(chance: random.Random, length: int = 120) -> str:
    return "".join(chance.choice(WORDS) for _ in range(length))


def change(text: str, count: int, chance: random.Random) -> str:
    signs = list(text)
    for place in chance.sample(range(len(signs)), count):
        signs[place] = "乙"
    return "".join(signs)


def sketches_of(texts: list[str]) -> np.ndarray:
    return sketch(hash_grams(texts)).astype(np.uint16)


def oracle(one: str, other: str) -> float:
    left, right = (
        {(text + "\0\0")[place : place + 3] for place in range(len(text))} for text in (one, other)
    )
    return len(left & right) / len(left | right)


def test_grams_are_the_padded_threes_of_each_text() -> None:
    grams = hash_grams(["abcd", "", "ab", "abcd"])
    assert grams.offsets.tolist() == [0, 4, 4, 6, 10]
    assert grams.hashes[:4].tolist() == grams.hashes[6:].tolist()
    assert len(set(grams.hashes[:6].tolist())) == 6  # abc bcd cd_ d__ ab_ b__


def test_jaccard_is_that_of_the_sets_of_threes() -> None:
    chance = random.Random(1)
    for _ in range(50):
        one = text_of(chance, chance.randint(1, 60))
        other = change(one, min(len(one), chance.randint(0, 8)), chance)
        grams = hash_grams([one, other])
        cut = int(grams.offsets[1])
        assert jaccard(grams.hashes[:cut], grams.hashes[cut:]) == pytest.approx(oracle(one, other))


def test_the_estimate_is_unbiased_and_as_exact_as_64_hashes_allow() -> None:
    chance = random.Random(2)
    ones = [text_of(chance) for _ in range(400)]
    others = [change(one, chance.randint(0, 12), chance) for one in ones]
    sketches = sketches_of([*ones, *others])
    left, right = np.arange(400), np.arange(400, 800)
    errors = similarity(sketches, left, right) - [oracle(*pair) for pair in zip(ones, others, strict=True)]
    assert abs(errors.mean()) < 0.01
    assert errors.std() < 0.07


def test_the_sketch_of_two_texts_together_is_the_smaller_of_each() -> None:
    chance = random.Random(5)
    left, right = text_of(chance), text_of(chance)
    one, other, both = (sketch(hash_grams([text])) for text in (left, right, f"{left}\0\0{right}"))
    assert (np.minimum(one, other) == both).mean() > 0.95  # the two grams across the seam apart


def test_pairs_above_the_threshold_are_found() -> None:
    chance = random.Random(3)
    ones = [text_of(chance) for _ in range(300)]
    others = [change(one, 3, chance) for one in ones]  # J about 0.86
    found = find_pairs(sketches_of([*ones, *others]), 0.7)
    hits = {(left, right) for left, right in zip(found.left.tolist(), found.right.tolist(), strict=True)}
    assert sum((place, place + 300) in hits for place in range(300)) >= 295
    assert all(right - left == 300 for left, right in hits)


def test_a_repeat_is_like_the_one_kept_and_that_one_stays() -> None:
    chance = random.Random(4)
    chain = [text_of(chance)]
    for _ in range(8):  # each like the one before, the last unlike the first
        chain.append(change(chain[-1], 3, chance))
    sketches = sketches_of(chain)
    kept = find_repeats(sketches, 0.8)
    for place, first in enumerate(kept.tolist()):
        assert kept[first] == first <= place
        assert similarity(sketches, np.array([first]), np.array([place]))[0] >= 0.8 or first == place
    assert len(set(kept.tolist())) > 1


def test_exact_copies_repeat_the_first_and_empty_sets_are_fine() -> None:
    assert find_repeats(sketches_of(["头痛怎么办"] * 4 + ["咳嗽怎么办"]), 0.9).tolist() == [0, 0, 0, 0, 4]
    assert find_repeats(sketches_of([]), 0.9).tolist() == []
    assert find_repeats(sketches_of(["头痛"]), 0.9).tolist() == [0]


def test_join_and_first_with_name_the_first_of_each_set() -> None:
    assert join(5, np.array([3, 1]), np.array([1, 4])).tolist() == [0, 1, 2, 1, 1]
    assert first_with(np.array([7, 3, 7, 3, 9], dtype=np.uint64)).tolist() == [0, 1, 0, 1, 4]
