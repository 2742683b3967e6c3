"""The rate of arrivals over time, its area (arrivals so far) and the inverse, in exact integers.

An open-model schedule is a curve of straight lines; the number of arrivals due is the area under it. Adding
up intervals in floating point drifts, so that a rate of 2,000/s for 30 s gives 59,999 arrivals or 60,001, and
two shards disagree about who sends which. Here both the area and the time at which it reaches a given value
are computed from the stages with integers of any size: they are exact inverses of each other, at any length.

Areas are counted in `units`, of which `RateCurve.unit` make one arrival. A rate of `f` parts per nanosecond,
where `unit / 2` parts make an arrival, has an area of `2 * f` units per nanosecond; the 2 removes the half in
the area of a ramp, `f*e + (t - f)*e*e / (2*d)` with `e` the time since its start and `d` its duration.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import isqrt, lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class RateRamp:
    """A straight line to `target` arrivals per nanosecond that takes `duration_ns`; a jump when zero."""

    duration_ns: int
    target: Fraction


@dataclass(frozen=True, slots=True)
class Segment:
    """A stage that takes time: when it starts, the area `before` it, and its line in parts per nanosecond."""

    start_ns: int
    duration_ns: int
    before: int
    from_: int
    to: int

    def units_at(self, elapsed: int) -> int:
        """The area since time zero, rounded down, `elapsed` ns after the segment's start."""
        slope = (self.to - self.from_) * elapsed * elapsed
        return self.before + (2 * self.from_ * self.duration_ns * elapsed + slope) // self.duration_ns

    def time_at(self, units: int) -> int:
        """The first nanosecond at which the area is at least `units`, which the segment must reach.

        On a ramp this is the smallest whole `e` that solves `slope*e*e + 2*b*e >= n`, where `b` is `from_ * d`
        and `n` is `missing * d`. With the square completed, comparing squares of whole numbers needs no more
        than the integer square root, rounded to the proper side.
        """
        missing, d, slope = units - self.before, self.duration_ns, self.to - self.from_
        if slope == 0:
            return self.start_ns - (-missing // (2 * self.from_)) if missing > 0 else self.start_ns
        b, n = self.from_ * d, missing * d
        square = b * b + slope * n
        if slope > 0:
            root = isqrt(square - 1) + 1 if square > 0 else 0  # rounded up
            return self.start_ns - ((b - root) // slope)
        return self.start_ns - ((isqrt(square) - b) // -slope)


class RateCurve:
    """Arrivals per nanosecond over time, counted from the scenario's start.

    Args:
        start: The rate at time zero, per nanosecond.
        ramps: The stages, in order.
    """

    __slots__ = ("_ends", "_starts", "end_ns", "segments", "unit")

    def __init__(self, start: Fraction, ramps: tuple[RateRamp, ...]) -> None:
        parts = lcm(start.denominator, *(ramp.target.denominator for ramp in ramps))
        self.unit = 2 * parts
        levels = [int(rate * parts) for rate in (start, *(ramp.target for ramp in ramps))]
        times = list(accumulate((ramp.duration_ns for ramp in ramps), initial=0))
        segments: list[Segment] = []
        area = 0
        for (f, t), (a, b) in zip(pairwise(levels), pairwise(times), strict=True):
            if b > a:
                segments.append(Segment(a, b - a, area, f, t))
                area += (f + t) * (b - a)
        self.segments = tuple(segments)
        self.end_ns = times[-1]
        self._starts = [segment.start_ns for segment in segments]
        self._ends = [segment.before for segment in segments[1:]] + [area]

    @property
    def total_units(self) -> int:
        """The area under the whole curve."""
        return self._ends[-1]

    def rate(self, t_ns: int) -> Fraction:
        """Arrivals per second at this moment; 0 outside `[0, end_ns)`."""
        if not 0 <= t_ns < self.end_ns:
            return Fraction(0)
        return self._rate_in(self.segments[bisect_right(self._starts, t_ns) - 1], t_ns)

    def rate_before(self, t_ns: int) -> Fraction:
        """The rate that the line just before this moment comes to; 0 outside `(0, end_ns]`."""
        if not 0 < t_ns <= self.end_ns:
            return Fraction(0)
        return self._rate_in(self.segments[bisect_left(self._starts, t_ns) - 1], t_ns)

    def _rate_in(self, s: Segment, t_ns: int) -> Fraction:
        level = s.from_ + Fraction((s.to - s.from_) * (t_ns - s.start_ns), s.duration_ns)
        return level * 2 * 1_000_000_000 / self.unit

    def peak(self) -> Fraction:
        """The highest rate that holds for any time, in arrivals per second."""
        top = max((max(s.from_, s.to) for s in self.segments), default=0)
        return Fraction(top * 2 * 1_000_000_000, self.unit)

    def units_at(self, t_ns: int) -> int:
        """The area up to this moment, rounded down to whole units."""
        if t_ns <= 0:
            return 0
        if t_ns >= self.end_ns:
            return self.total_units
        segment = self.segments[bisect_right(self._starts, t_ns) - 1]
        return segment.units_at(t_ns - segment.start_ns)

    def time_at(self, units: int) -> int:
        """The first nanosecond at which the area has reached `units`.

        Raises:
            ValueError: The curve never has that area.
        """
        if units > self.total_units:
            raise ValueError("the schedule ends before that")
        return self.segments[bisect_left(self._ends, units)].time_at(units)

    def times(self, first: int, step: int) -> Iterator[int]:
        """When the area reaches `first`, `first + step`, `first + 2*step`, ... up to the end of the curve.

        The same as `time_at` for each, about ten times as fast where the rate is constant: an open model pulls
        tens of thousands of these a second.
        """
        units = first
        for segment, end in zip(self.segments, self._ends, strict=True):
            if units > end or segment.from_ == segment.to == 0:
                continue
            if segment.from_ == segment.to:
                start, before, per_ns = segment.start_ns, segment.before, -2 * segment.from_
                yield from (start - (u - before) // per_ns for u in range(units, end + 1, step))
                units += (end - units) // step * step + step
            else:
                solve = segment.time_at
                while units <= end:
                    yield solve(units)
                    units += step
