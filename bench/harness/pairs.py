"""Ratios of things that were measured side by side, and how far they can be trusted.

What a machine does otherwise changes costs by more than what is to be told apart. It falls on both of a pair alike, so each pair gives a
ratio of its own; and of several ratios the median is told with the interval in which it lies, whatever their distribution: of n values
in order, the k-th and the k-th last have the median between them unless fewer than k are on one side of it, which has a binomial
probability.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SURE: Final = 0.95
FEWEST: Final = 6
"""Pairs: of fewer, not even the whole range holds the median so surely."""


@dataclass(frozen=True, slots=True)
class Median:
    """A median, and the interval in which it is with a probability of 95 % or more."""

    low: float
    value: float
    high: float


def median(ratios: Sequence[float]) -> Median:
    """The median of at least six ratios.

    Raises:
        ValueError: There are fewer.
    """
    count = len(ratios)
    if count < FEWEST:
        raise ValueError(f"{count} pairs are too few to be sure of anything: take {FEWEST} or more")
    beyond = outside = 0
    while 2 * (outside + comb(count, beyond)) / 2**count <= 1 - SURE:
        outside += comb(count, beyond)
        beyond += 1
    ordered = sorted(ratios)
    return Median(ordered[beyond - 1], statistics.median(ordered), ordered[-beyond])
