"""Series of one metric each: what has been measured of it in this process, and what of that is news.

They are written to in hot paths, so writing is an append or an addition; the work is done when a slot ends and a
`Collector` asks each series for what has changed.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np

from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.snapshot import SeriesDef, TrendWire, pack

Tags: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, sorted by name, without empty values."""


class Collector:
    """Gathers one snapshot: numbers the series as they first appear.

    Args:
        ids: Numbers of the series known so far; grows.
    """

    __slots__ = ("counters", "defs", "gauges", "ids", "rates", "trends")

    def __init__(self, ids: dict[tuple[str, Tags], int]) -> None:
        self.ids = ids
        self.defs: list[SeriesDef] = []
        self.counters: list[tuple[int, float]] = []
        self.rates: list[tuple[int, int, int]] = []
        self.gauges: list[tuple[int, float, float, float]] = []
        self.trends: list[tuple[int, TrendWire]] = []

    def id(self, metric: str, kind: Kind, tags: Tags) -> int:
        """The number of a series."""
        known = self.ids.get((metric, tags))
        if known is None:
            known = self.ids[metric, tags] = len(self.ids)
            self.defs.append(SeriesDef(known, metric, kind, tags))
        return known

    def counter(self, metric: str, tags: Tags, value: float) -> None:
        """Take a counter."""
        self.counters.append((self.id(metric, Kind.COUNTER, tags), value))

    def rate(self, metric: str, tags: Tags, hits: int, total: int) -> None:
        """Take a rate."""
        self.rates.append((self.id(metric, Kind.RATE, tags), hits, total))

    def trend(self, metric: str, tags: Tags, histogram: Histogram) -> None:
        """Take a trend."""
        self.trends.append((self.id(metric, Kind.TREND, tags), pack(histogram)))


class Source(Protocol):
    """Something that has measured and can say so."""

    def collect(self, out: Collector) -> None:
        """Put what has changed into a snapshot."""


class TrendSeries:
    """A trend: append values, in the metric's base unit, to `pending`."""

    __slots__ = ("_sent", "histogram", "metric", "pending", "tags")

    def __init__(self, metric: str, tags: Tags) -> None:
        self.metric = metric
        self.tags = tags
        self.pending: list[float] = []
        self.histogram = Histogram()
        self._sent = 0

    def add(self, value: float) -> None:
        """Count one finite value."""
        pending = self.pending
        pending.append(value)
        if len(pending) >= 4096:
            self.flush()

    def flush(self) -> None:
        """Account for what is pending."""
        if self.pending:
            self.histogram.record_many(np.array(self.pending, dtype=np.float64))
            self.pending.clear()

    def collect(self, out: Collector) -> None:
        """Put what has changed into a snapshot."""
        self.flush()
        if self.histogram.count != self._sent:
            self._sent = self.histogram.count
            out.trend(self.metric, self.tags, self.histogram)


class CounterSeries:
    """A counter: add to `value`."""

    __slots__ = ("_sent", "metric", "tags", "value")

    def __init__(self, metric: str, tags: Tags) -> None:
        self.metric = metric
        self.tags = tags
        self.value: float = 0
        self._sent: float = 0

    def collect(self, out: Collector) -> None:
        """Put what has changed into a snapshot."""
        if self.value != self._sent:
            self._sent = self.value
            out.counter(self.metric, self.tags, self.value)


class RateSeries:
    """A rate: add 1 to `total`, and 1 to `hits` when it was one."""

    __slots__ = ("_sent", "hits", "metric", "tags", "total")

    def __init__(self, metric: str, tags: Tags) -> None:
        self.metric = metric
        self.tags = tags
        self.hits = 0
        self.total = 0
        self._sent = 0

    def add(self, *, hit: bool) -> None:
        """Count one value."""
        self.total += 1
        if hit:
            self.hits += 1

    def collect(self, out: Collector) -> None:
        """Put what has changed into a snapshot."""
        if self.total != self._sent:
            self._sent = self.total
            out.rate(self.metric, self.tags, self.hits, self.total)


class GaugeSeries:
    """A gauge; in every snapshot, with the extremes it had since the one before."""

    __slots__ = ("_high", "_low", "_set", "metric", "tags", "value")

    def __init__(self, metric: str, tags: Tags, value: float | None = None) -> None:
        self.metric = metric
        self.tags = tags
        self._set = value is not None
        self.value = self._low = self._high = value or 0.0

    def set(self, value: float) -> None:
        """Take a new value."""
        if not self._set:
            self._low = self._high = value
            self._set = True
        self.value = value
        if value < self._low:
            self._low = value
        elif value > self._high:
            self._high = value

    def collect(self, out: Collector) -> None:
        """Put it into a snapshot."""
        if self._set:
            number = out.id(self.metric, Kind.GAUGE, self.tags)
            out.gauges.append((number, self.value, self._low, self._high))
            self._low = self._high = self.value
