"""Groups stay whole, shares are met, and the split depends on nothing but content and seed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from medtune.data.split import split_groups

GROUPS = [f"问题{number % 150}" for number in range(400)]


def test_shares_are_met_to_within_one_group() -> None:
    parts = split_groups(GROUPS, valid=0.1, test=0.2, seed=42)
    rows = Counter(parts[group] for group in GROUPS)
    biggest = max(Counter(GROUPS).values())
    assert parts.keys() == set(GROUPS)
    assert 80 <= rows["test"] < 80 + biggest
    assert 40 <= rows["valid"] < 40 + biggest
    assert sum(rows.values()) == 400


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    parts = split_groups(GROUPS, valid=0.1, test=0.1, seed=1)
    assert split_groups(GROUPS[::-1], valid=0.1, test=0.1, seed=1) == parts
    assert split_groups(GROUPS, valid=0.1, test=0.1, seed=2) != parts


def test_without_shares_everything_trains() -> None:
    assert set(split_groups(GROUPS, valid=0, test=0, seed=1).values()) == {"train"}
    assert split_groups([], valid=0.5, test=0.1, seed=1) == {}


@given(
    st.lists(st.sampled_from("甲乙丙丁戊己庚辛"), max_size=60),
    st.floats(0, 0.5),
    st.floats(0, 0.49),
    st.integers(0, 9),
)
def test_each_group_has_one_part_and_test_comes_before_valid(
    groups: list[str], valid: float, test: float, seed: int
) -> None:
    parts = split_groups(groups, valid=valid, test=test, seed=seed)
    rows = Counter(parts[group] for group in groups)
    assert parts.keys() == set(groups)
    assert set(parts.values()) <= {"train", "valid", "test"}
    assert rows["test"] >= round(test * len(groups))
