"""The one histogram: what every trend is from the moment of recording to the last report.

Latencies of many runners must become one percentile, and percentiles cannot be averaged. Histograms with
the same fixed buckets can be added, whatever the number of shards, without losing anything more than
the width of a bucket. So a trend is counts in Prometheus' exponential buckets (see `buckets`), plus count,
sum, and the exact extremes; samples themselves are never kept.

A value read back (quantile, fraction) is off by 0.55 % at most: half a bucket, the centre standing for all
that fell into it; the smallest and the largest sample are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from squall.metrics import buckets
from squall.metrics.buckets import MAX_INDEX, MIN_INDEX, SCHEMA, ZERO_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

Counts = NDArray[np.int64]

_FEW: Final = 16  # below this many values a plain loop beats numpy's fixed cost per call
_CHUNK: Final = 8192  # values per vectorised pass: all its intermediates stay in the processor's cache
_sum, _lowest = np.add.reduce, np.minimum.reduce  # what the methods of arrays call, without their detours
_GROWTH: Final = 32  # buckets of slack on growth, so that a widening range does not reallocate each time


@dataclass(frozen=True, slots=True)
class Buckets:
    """Counts at some schema, for outputs: `counts[k]` belongs to bucket `offset + k`."""

    schema: int
    offset: int
    counts: Counts


class Histogram:
    """Counts of values in exponential buckets, with count, sum, min and max.

    Values are finite floats in base units (seconds, bytes, ...). Values up to 2^-30, negative ones included, count
    as zero; their own size is still seen in `sum`, `min` and `max`. Not safe for use by several threads.

    `counts[k]` belongs to bucket `offset + k`; both, like the other attributes, are for reading only.
    """

    __slots__ = ("count", "counts", "max", "min", "offset", "sum", "zero")

    def __init__(self) -> None:
        self.offset = 0
        self.counts: Counts = np.zeros(0, dtype=np.int64)
        self.zero: int = 0
        self.count: int = 0
        self.sum: float = 0.0
        self.min: float = math.inf
        self.max: float = -math.inf

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """A histogram of the given values."""
        new = cls()
        new.record_many(np.fromiter(values, dtype=np.float64))
        return new

    @classmethod
    def from_parts(
        cls, *, offset: int, counts: Counts, zero: int, total: float, low: float, high: float
    ) -> Self:
        """A histogram of counts that are known already; `counts` is kept, not copied.

        Args:
            offset: The bucket of `counts[0]`.
            counts: Samples per bucket.
            zero: Samples in the zero bucket.
            total: Sum of the samples.
            low: Smallest sample; ignored when there are none.
            high: Largest sample; ignored when there are none.
        """
        new = cls()
        new.offset = offset
        new.counts = counts
        new.zero = zero
        new.count = zero + int(_sum(counts))
        if new.count:
            new.sum, new.min, new.max = total, low, high
        return new

    # -- recording ------------------------------------------------------------------------------------------

    def record(self, value: float) -> None:
        """Count one value.

        Raises:
            ValueError: The value is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"a trend takes finite numbers only, not {value}")
        self._record(value)

    def record_many(self, values: NDArray[np.float64]) -> None:
        """Count many values at once, in any order.

        Raises:
            ValueError: A value is not finite; then none was counted.
        """
        size = values.size
        if size <= _FEW:
            few = values.tolist()
            if not all(map(math.isfinite, few)):
                raise ValueError("a trend takes finite numbers only")
            for value in few:
                self._record(value)
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("a trend takes finite numbers only")
        self._count_chunks(values, low, high)
        self.count += size
        self.sum += float(values.sum())
        self.min = min(self.min, low)
        self.max = max(self.max, high)

    def _record(self, value: float) -> None:
        self.count += 1
        self.sum += value
        self.min = min(self.min, value)
        self.max = max(self.max, value)
        if value <= ZERO_THRESHOLD:
            self.zero += 1
            return
        at = buckets.index(value) - self.offset
        if not 0 <= at < self.counts.size:
            self._cover(at + self.offset, at + self.offset + 1)
            at = buckets.index(value) - self.offset
        self.counts[at] += 1

    def _count_chunks(self, values: NDArray[np.float64], low: float, high: float) -> None:
        if low <= ZERO_THRESHOLD:
            size = values.size
            values = values[values > ZERO_THRESHOLD]
            self.zero += size - values.size
            if not values.size:
                return
            low = float(values.min())
        self._cover(buckets.index(low), buckets.index(high) + 1)
        for start in range(0, values.size, _CHUNK):
            found = buckets.indices(values[start : start + _CHUNK])
            found -= self.offset
            self.counts += np.bincount(found, minlength=self.counts.size)

    def _cover(self, first: int, end: int) -> None:
        """Make room for the buckets from `first` up to but without `end`."""
        size = self.counts.size
        if size and self.offset <= first and end <= self.offset + size:
            return
        if size:
            first, end = min(first, self.offset), max(end, self.offset + size)
        first = max(MIN_INDEX, first - _GROWTH)
        end = min(MAX_INDEX + 1, end + _GROWTH)
        wider = np.zeros(end - first, dtype=np.int64)
        if size:
            wider[self.offset - first : self.offset - first + size] = self.counts
        self.offset, self.counts = first, wider

    # -- arithmetic -----------------------------------------------------------------------------------------

    def merge(self, other: Histogram) -> None:
        """Add another histogram to this one."""
        if not other.count:
            return
        size = other.counts.size
        if size:
            at = other.offset - self.offset
            if at < 0 or at + size > self.counts.size:
                self._cover(other.offset, other.offset + size)
                at = other.offset - self.offset
            own = self.counts[at : at + size]
            own += other.counts
        self.zero += other.zero
        self.count += other.count
        self.sum += other.sum
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)

    then = merge

    def minus(self, earlier: Histogram) -> Histogram:
        """What was recorded since an earlier state of this histogram, without empty buckets at either end.

        An extreme that was reached since then is exact; else the new samples' extreme is known to the width of
        its bucket only, and the bucket's outer bound is given (within what the whole history allows).

        Raises:
            ValueError: `earlier` holds samples that this histogram does not.
        """
        counts, first = self._counts_since(earlier)
        new = Histogram()
        new.zero, new.count = self.zero - earlier.zero, self.count - earlier.count
        if counts.size:
            new.offset, new.counts = self.offset + first, counts
        if new.zero < 0 or (counts.size and _lowest(counts) < 0):
            raise ValueError("not an earlier state: it has more samples than this histogram")
        if new.count:
            new.sum = self.sum - earlier.sum
            new.min = self.min if self.min < earlier.min else max(self.min, _floor(new))
            new.max = self.max if self.max > earlier.max else min(self.max, _ceiling(new))
        return new

    def _counts_since(self, earlier: Histogram) -> tuple[Counts, int]:
        """What the buckets have more than an earlier state, without empty ends, and how many are left out below."""
        counts = self.counts.copy()
        size = earlier.counts.size
        if size:
            at = earlier.offset - self.offset
            if at < 0 or at + size > counts.size:
                earlier = earlier.trimmed()
                at, size = earlier.offset - self.offset, earlier.counts.size
                if size and (at < 0 or at + size > counts.size):
                    raise ValueError("not an earlier state: it has samples where this histogram has none")
            changed = counts[at : at + size]
            changed -= earlier.counts
        return _trim(counts)

    def copy(self) -> Histogram:
        """An independent copy, without room to grow: most copies are kept as they are, and many."""
        new = Histogram()
        new.offset, new.counts = self.offset, self.counts.copy()
        new.zero, new.count, new.sum = self.zero, self.count, self.sum
        new.min, new.max = self.min, self.max
        return new

    def trimmed(self) -> Histogram:
        """The same histogram without empty buckets at either end."""
        counts, first = _trim(self.counts)
        new = Histogram()
        new.offset, new.counts = (self.offset + first if counts.size else 0), counts
        new.zero, new.count, new.sum = self.zero, self.count, self.sum
        new.min, new.max = self.min, self.max
        return new

    def __eq__(self, other: object) -> bool:
        """Equal buckets, extremes, and sums up to the rounding that another order of adding causes."""
        if not isinstance(other, Histogram):
            return NotImplemented
        mine, theirs = self.trimmed(), other.trimmed()
        return (
            (mine.count, mine.zero, mine.min, mine.max) == (theirs.count, theirs.zero, theirs.min, theirs.max)
            and mine.offset == theirs.offset
            and np.array_equal(mine.counts, theirs.counts)
            and math.isclose(mine.sum, theirs.sum, rel_tol=1e-9, abs_tol=1e-9)
        )

    __hash__ = None  # type: ignore[assignment]  # it changes while it records

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, sum={self.sum:g}, min={self.min:g}, max={self.max:g})"

    # -- reading --------------------------------------------------------------------------------------------

    @property
    def mean(self) -> float:
        """The arithmetic mean; NaN without samples."""
        return self.sum / self.count if self.count else math.nan

    def quantile(self, q: float) -> float:
        """The value below which the fraction `q` of the samples lies, as numpy's default method defines it.

        The two samples around the rank are estimated by the centres of their buckets and interpolated between;
        the first and the last sample are exact. NaN without samples.

        Raises:
            ValueError: `q` is not within 0..1.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs: Iterable[float]) -> list[float]:
        """Several quantiles for the price of little more than one."""
        wanted = list(qs)
        if not all(0.0 <= q <= 1.0 for q in wanted):
            raise ValueError(f"quantiles lie between 0 and 1: {wanted}")
        if not self.count:
            return [math.nan] * len(wanted)
        cumulative = self.counts.cumsum()
        found = []
        for q in wanted:
            rank = q * (self.count - 1)
            below = math.floor(rank)
            low = self._sample(below, cumulative)
            high = low if rank == below else self._sample(below + 1, cumulative)
            found.append(low + (high - low) * (rank - below))
        return found

    def _sample(self, rank: int, cumulative: Counts) -> float:
        """The estimate of the sample with this rank (from 0) among all samples in order."""
        if rank <= 0:
            return self.min
        if rank >= self.count - 1:
            return self.max
        if rank < self.zero:
            return min(max(0.0, self.min), self.max)
        at = int(cumulative.searchsorted(rank - self.zero, side="right"))
        return min(max(buckets.centre(self.offset + at), self.min), self.max)

    def fraction_below(self, value: float) -> float:
        """The fraction of samples that are at most `value`; NaN without samples.

        Within the bucket of `value`, samples are taken to lie evenly.
        """
        if not self.count:
            return math.nan
        if value < self.min:
            return 0.0
        if value >= self.max:
            return 1.0
        if value <= ZERO_THRESHOLD:
            return self.zero / self.count
        bucket = buckets.index(value)
        at = min(max(bucket - self.offset, 0), self.counts.size)
        below = float(self.zero + int(self.counts[:at].sum()))
        if at < self.counts.size and bucket >= self.offset:
            low, high = buckets.upper_bound(bucket - 1), buckets.upper_bound(bucket)
            share = min(1.0, (value - low) / (high - low))
            below += share * int(self.counts[at])
        return below / self.count

    def buckets(self, schema: int = SCHEMA) -> Buckets:
        """The counts, at schema 6 or exactly added up for a lower one (0 at least), without empty ends.

        Raises:
            ValueError: The schema is not one of 0..6.
        """
        if not 0 <= schema <= SCHEMA:
            raise ValueError(f"schema {schema} is not within 0..{SCHEMA}")
        mine = self.trimmed()
        if schema == SCHEMA or not mine.counts.size:
            return Buckets(schema, mine.offset, mine.counts)
        places = ((np.arange(mine.counts.size) + mine.offset - 1) >> (SCHEMA - schema)) + 1
        offset = int(places[0])
        counts = np.zeros(int(places[-1]) - offset + 1, dtype=np.int64)
        np.add.at(counts, places - offset, mine.counts)
        return Buckets(schema, offset, counts)


def _trim(counts: Counts) -> tuple[Counts, int]:
    """Counts without empty buckets at either end, as a copy, and how many were left out below."""
    used = counts.nonzero()[0]
    if not used.size:
        return counts[:0].copy(), 0
    first = int(used[0])
    return counts[first : int(used[-1]) + 1].copy(), first


def _floor(trend: Histogram) -> float:
    """The outer bound of the lowest bucket in use, of a histogram without empty ends; infinite where it has none."""
    if trend.zero or not trend.counts.size:
        return -math.inf
    return buckets.upper_bound(trend.offset - 1)


def _ceiling(trend: Histogram) -> float:
    """Likewise of the highest bucket."""
    if not trend.counts.size:
        return ZERO_THRESHOLD
    last = trend.offset + trend.counts.size - 1
    return math.inf if last == MAX_INDEX else buckets.upper_bound(last)
