"""A trend as Prometheus has it: native, with the buckets that it was recorded in, or classic, with a few of them for older receivers.

Native histograms (exponential buckets, Prometheus 2.40) are exact: Squall's buckets are theirs. Buckets are written as spans of neighbours
and the differences between them; a short gap costs less as zeros than as a span of its own. Classic buckets are fixed, and their
bounds are moved to the nearest bound of a bucket in which there are counts, at most 0.55 % away: counts are then exact for that bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from squall.metrics import buckets
from squall.metrics.buckets import SCHEMA
from squall.metrics.names import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.metrics.histogram import Histogram

GAP: Final = 2
"""So many empty buckets between two that are not are written as zeros."""
SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0),
)
"""Upper bounds of the classic buckets of times."""
NUMBERS: Final = tuple(base * 10.0**power for power in range(10) for base in (1.0, 2.0, 5.0))
"""And of all others."""


@dataclass(frozen=True, slots=True)
class Native:
    """A native histogram without negative buckets.

    Attributes:
        count: All samples.
        total: Their sum.
        schema: 2^schema buckets for each power of two.
        zero: Samples in the zero bucket.
        spans: Where there are buckets: how many are left out before, and how many there are.
        deltas: Of each bucket's count to that of the one before.
    """

    count: int
    total: float
    schema: int
    zero: int
    spans: tuple[tuple[int, int], ...]
    deltas: Sequence[int]


def native(trend: Histogram, schema: int = SCHEMA) -> Native:
    """A trend as a native histogram."""
    found = trend.buckets(schema)
    used = found.counts.nonzero()[0]
    if not used.size:
        return Native(trend.count, trend.sum, schema, trend.zero, (), ())
    gaps = (used[1:] - used[:-1] > GAP + 1).nonzero()[0]
    first = [int(used[0]), *used[gaps + 1].tolist()]
    last = [*used[gaps].tolist(), int(used[-1])]
    spans: list[tuple[int, int]] = []
    parts, end = (
        [],
        -found.offset,
    )  # the first span says where the buckets begin, the others how far they are apart
    for begin, until in zip(first, last, strict=True):
        spans.append((begin - end, until + 1 - begin))
        parts.append(found.counts[begin : until + 1])
        end = until + 1
    counts = np.concatenate(parts)
    counts[1:] -= counts[:-1].copy()
    return Native(trend.count, trend.sum, schema, trend.zero, tuple(spans), counts.tolist())


def bounds(unit: Unit) -> tuple[float, ...]:
    """Upper bounds of the classic buckets of a unit, without the infinite one."""
    return SECONDS if unit is Unit.SECONDS else NUMBERS


def classic(trend: Histogram, limits: tuple[float, ...]) -> list[int]:
    """How many samples are at most each of these bounds, and how many there are."""
    cumulative = trend.counts.cumsum().tolist()
    found = []
    for limit in limits:
        at = _nearest(limit) - trend.offset
        below = cumulative[min(at, len(cumulative) - 1)] if at >= 0 and cumulative else 0
        found.append(trend.zero + below)
    return [*found, trend.count]


def _nearest(limit: float) -> int:
    """The bucket whose upper bound is nearest to a value."""
    bucket = buckets.index(limit)
    low, high = buckets.upper_bound(bucket - 1), buckets.upper_bound(bucket)
    return bucket if limit >= math.sqrt(low * high) else bucket - 1


def le(limit: float) -> str:
    """A bound as the value of the label `le`."""
    return f"{limit:g}" if limit < 1e6 else f"{limit:.0f}"
