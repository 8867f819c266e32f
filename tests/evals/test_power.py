"""What an exam of some size can show."""

import re

import pytest

from medtune.errors import UserError
from medtune.evals.power import power_lines
from medtune.scorers.stats import minimum_detectable_difference, needed_items


def told(*keys: str) -> str:
    return "\n".join(power_lines(keys))


@pytest.mark.parametrize(("n", "points"), [(175, 6.7), (443, 4.2), (818, 3.1), (2000, 2.0), (11200, 0.8)])
def test_points_that_can_be_found(n: int, points: float) -> None:
    (found,) = re.findall(r"differently +([\d.]+) points", told(f"n={n}", "d=0.1"))
    assert float(found) == points


def test_interval_and_unpaired_difference_of_the_medical_exams() -> None:
    text = told("n=818")
    assert "77.1% to 82.6%" in text
    assert "different items: 5.5 points" in text
    assert re.findall(r"differently +([\d.]+)", text) == ["2.2", "3.1", "4.4", "5.4"]


@pytest.mark.parametrize("discordant", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("difference", [0.01, 0.02, 0.045])
def test_needed_items_are_just_enough(difference: float, discordant: float) -> None:
    n = needed_items(difference, discordant)
    assert n is not None
    assert minimum_detectable_difference(n, discordant) <= difference + 1e-12
    assert minimum_detectable_difference(n - 1, discordant) > difference


def test_no_number_of_items_finds_more_than_differs() -> None:
    assert needed_items(0.2, 0.1) is None
    assert "no number of items" in told("difference=0.2", "d=0.1")


@pytest.mark.parametrize("keys", [(), ("n=100", "difference=0.1"), ("n=0",), ("n=10", "d=2"), ("m=10",)])
def test_what_makes_no_sense_is_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(UserError):
        told(*keys)
