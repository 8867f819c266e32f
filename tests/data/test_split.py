"""Whole groups on one side, shares kept in every stratum, held-out sets out of training."""

import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from medtune.data.config import Held
from medtune.data.dedup import hash_grams, sketch
from medtune.data.split import choose, divide, group, hold, order_of
from medtune.data.table import OPEN, PARTS, RISKS, ROW

TRAIN, VALID, TEST, GOLD, RED = (PARTS.index(name) for name in ("train", "valid", "test", "gold", "red_team"))


def table_of(num_rows: int, **columns: object) -> np.ndarray:
    table = np.zeros(num_rows, dtype=ROW)
    table["id"] = [random.Random(place).getrandbits(64) for place in range(num_rows)]
    table["part"], table["risk"] = OPEN, OPEN
    for name, values in columns.items():
        table[name] = values
    return table


def share_of(parts: np.ndarray, part: int) -> float:
    return float((parts == part).mean())


def test_the_shares_are_kept_and_the_seed_has_a_say() -> None:
    table = table_of(2000)
    groups = np.arange(2000)
    parts = divide(table, groups, valid=0.1, test=0.2, seed=1)
    assert (share_of(parts, VALID), share_of(parts, TEST)) == (0.1, 0.2)
    assert (parts != divide(table, groups, valid=0.1, test=0.2, seed=2)).any()


def test_numbers_of_records_may_be_given() -> None:
    parts = divide(table_of(500), np.arange(500), valid=30, test=50, seed=1)
    assert Counter(parts.tolist()) == {TRAIN: 420, VALID: 30, TEST: 50}


def test_groups_stay_whole_and_do_not_make_the_shares_drift() -> None:
    groups = np.repeat(np.arange(0, 3000, 6), 6)
    parts = divide(table_of(3000), groups, valid=0.1, test=0.1, seed=3)
    sides = defaultdict(set)
    for first, part in zip(groups.tolist(), parts.tolist(), strict=True):
        sides[first].add(part)
    assert all(len(side) == 1 for side in sides.values())
    assert share_of(parts, TEST) == pytest.approx(0.1, abs=0.01)
    assert share_of(parts, VALID) == pytest.approx(0.1, abs=0.01)


def test_every_stratum_has_its_share() -> None:
    strata = np.repeat([1, 2, 3, 4], [900, 70, 25, 5]).astype(np.uint64)
    parts = divide(table_of(1000, stratum=strata), np.arange(1000), valid=0.1, test=0.1, seed=3)
    for stratum, size in Counter(strata.tolist()).items():
        own = parts[strata == stratum]
        assert abs((own == TEST).sum() - 0.1 * size) <= 1
        assert abs((own == VALID).sum() - 0.1 * size) <= 1
    assert Counter(parts.tolist()) == {TRAIN: 800, VALID: 100, TEST: 100}


def test_the_order_of_rows_has_no_say() -> None:
    table = table_of(600, stratum=np.arange(600) % 3)
    table["id"] = np.sort(table["id"])  # prepare sorts by content; what may differ is which rows are there
    parts = divide(table, np.arange(600), valid=0.1, test=0.1, seed=3)
    fewer = np.flatnonzero(np.arange(600) % 10 != 0)
    again = divide(table[fewer], np.arange(len(fewer)), valid=0.1, test=0.1, seed=3)
    assert (parts[fewer] == again).mean() > 0.9  # most stay where they were when rows are taken away
    assert (order_of(table["id"], 5) == order_of(table["id"][::-1], 5)[::-1]).all()


def test_a_group_goes_where_one_of_its_rows_is_bound() -> None:
    part = np.full(8, OPEN)
    part[[1, 3, 5]] = RED, PARTS.index("val"), TRAIN
    groups = np.array([0, 0, 2, 2, 4, 4, 6, 6])
    parts = divide(table_of(8, part=part), groups, valid=0, test=0, seed=1)
    assert [PARTS[part] for part in parts] == [
        "red_team", "red_team", "valid", "val", "train", "train", "train", "train"
    ]  # fmt: skip


def test_held_sets_take_the_riskiest_of_their_pool_with_their_groups() -> None:
    risk = np.array([RISKS.index("low")] * 90 + [RISKS.index("high")] * 6 + [RISKS.index("critical")] * 4)
    table = table_of(100, risk=risk)
    groups = np.arange(100)
    groups[97] = 96
    parts = divide(table, groups, valid=0.3, test=0.3, seed=1)
    held = hold(table, groups, parts, Held(size=5, pool=("train", "valid", "test")), name="gold", seed=1)
    gold = np.flatnonzero(held == GOLD)
    assert set(range(96, 100)) <= set(gold.tolist())
    assert len(gold) == 5
    assert (held[held != GOLD] == parts[held != GOLD]).all()


def test_held_sets_leave_other_parts_and_bound_rows_alone_and_keep_their_caps() -> None:
    table = table_of(200, risk=np.arange(200) % 4, part=np.where(np.arange(200) < 20, TEST, OPEN))
    parts = divide(table, np.arange(200), valid=0.3, test=0.3, seed=1)
    caps = Held(size=20, pool=("test",), risk={"critical": 0.2, "high": 0.3})
    held = hold(table, np.arange(200), parts, caps, name="gold", seed=1)
    gold = np.flatnonzero(held == GOLD)
    assert (parts[gold] == TEST).all() and (gold >= 20).all()
    assert Counter(RISKS[risk] for risk in table["risk"][gold]) == {"critical": 4, "high": 6, "medium": 10}


def test_sources_give_no_more_than_their_most_and_by_weight() -> None:
    ids = table_of(1000)["id"]
    sources = np.repeat([0, 1, 2], [600, 300, 100]).astype(np.int16)
    stays = choose(ids, sources, most=[None, None, 50], weights=[1.0, 2.0, None], seed=1)
    assert np.bincount(sources[stays]).tolist() == [150, 300, 50]
    assert choose(ids, sources, most=[None] * 3, weights=[None] * 3, seed=1).all()


# ---- what asks the same ----


def read_asked_of(texts: list[str]):
    def read(rows: np.ndarray) -> list[str]:
        return [texts[line] for line in rows["line"].tolist()]

    return read


def test_questions_alike_are_one_group_and_items_of_a_case_too() -> None:
    texts = [
        "我最近总是头痛还伴有恶心请问这种情况是怎么回事需要去医院检查吗",
        "我最近总是头痛还伴有恶心请问这种情况是怎么回事需要去医院看吗",
        "高血压患者平时的饮食应该注意些什么能不能吃咸鸭蛋和腌菜",
        "糖尿病人可以吃哪些水果每天吃多少比较合适",
        "病例题一",
        "完全不同的另一问",
    ]
    table = table_of(6, line=np.arange(6), case=[0, 0, 0, 0, 9, 9])
    table["asked"] = sketch(hash_grams(texts)).astype(np.uint16)
    assert group(table, 0.7, read_asked_of(texts)).tolist() == [0, 0, 2, 3, 4, 4]


def test_no_pair_above_the_threshold_stands_apart() -> None:
    chance = random.Random(6)
    words = "头痛发热咳嗽胸闷气短腹泻恶心呕吐乏力失眠多梦口干口苦腰酸背痛关节肿胀皮疹瘙痒心悸盗汗"
    texts = ["".join(chance.choice(words) for _ in range(50)) for _ in range(150)]
    for text in list(texts):
        for count in (2, 4):
            signs = list(text)
            for place in chance.sample(range(50), count):
                signs[place] = "乙"
            texts.append("".join(signs))
    table = table_of(len(texts), line=np.arange(len(texts)))
    table["asked"] = sketch(hash_grams(texts)).astype(np.uint16)
    groups = group(table, 0.7, read_asked_of(texts))
    sets = [{(text + "\0\0")[place : place + 3] for place in range(50)} for text in texts]
    alike = [
        (one, other)
        for one in range(len(texts))
        for other in range(one)
        if len(sets[one] & sets[other]) / len(sets[one] | sets[other]) >= 0.7
    ]
    apart = [pair for pair in alike if groups[pair[0]] != groups[pair[1]]]
    assert len(alike) > 100
    assert len(apart) <= 0.02 * len(alike)
