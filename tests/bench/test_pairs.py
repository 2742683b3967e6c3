"""A ratio with its interval is only worth something if the true one is in there as often as is said, and if a difference is seen."""

from __future__ import annotations

import random

import pytest
from harness.pairs import median


def ratios(chance: random.Random, true: float, count: int) -> list[float]:
    """Noise that is lopsided and has outliers, as a busy machine's."""
    return [
        true * chance.choice((0.97, 1.0, 1.0, 1.03)) * chance.lognormvariate(0, 0.02) for _ in range(count)
    ]


@pytest.mark.parametrize("count", [6, 8, 15, 40])
def test_the_true_median_is_within_as_often_as_is_said(count: int) -> None:
    chance, inside = random.Random(count), 0
    for _ in range(2000):
        found = median([chance.lognormvariate(0, 0.1) for _ in range(count)])
        assert found.low <= found.value <= found.high
        inside += found.low <= 1.0 <= found.high
    assert inside >= 0.94 * 2000


def test_more_pairs_tell_more_exactly() -> None:
    chance = random.Random(2)
    few, many = (median(ratios(chance, 1.1, count)) for count in (8, 60))
    assert many.high - many.low < few.high - few.low
    assert many.low > 1.05


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        median([1.0] * 5)
    assert median([1, 2, 3, 4, 5, 6]).high == 6
