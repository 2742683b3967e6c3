"""Builds snapshots as runners send them, from what is said to have been measured in each slot."""

from __future__ import annotations

from squall.metrics.buckets import MAX_INDEX, MIN_INDEX
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, Catalogue, Kind
from squall.metrics.series import SeriesKey
from squall.metrics.snapshot import SeriesDef, Snapshot, TrendWire, pack

WIDE = TrendWire(
    MIN_INDEX,
    1,
    b"\x01\x01",
    (0).to_bytes(2, "little") + (MAX_INDEX - MIN_INDEX).to_bytes(2, "little"),
    0,
    2.0,
    1.0,
    1.0,
)
"""Two samples as far from each other as can be: a dozen bytes that stand for five thousand buckets."""


class Runner:
    """One attempt of one runner: takes values, and gives cumulative snapshots of what changed."""

    def __init__(self, runner: int = 0, attempt: str = "a", catalogue: Catalogue = BUILT_IN) -> None:
        self.runner, self.attempt, self.catalogue = runner, attempt, catalogue
        self._ids: dict[SeriesKey, int] = {}
        self._defs: list[SeriesDef] = []
        self._counters: dict[int, float] = {}
        self._rates: dict[int, tuple[int, int]] = {}
        self._trends: dict[int, Histogram] = {}
        self._gauges: dict[int, list[float]] = {}
        self._changed: set[int] = set()

    def _id(self, metric: str, tags: dict[str, str]) -> int:
        key = SeriesKey.of(metric, **tags)
        if key not in self._ids:
            self._ids[key] = len(self._ids)
            self._defs.append(SeriesDef(self._ids[key], metric, self.catalogue[metric].kind, key.tags))
        self._changed.add(self._ids[key])
        return self._ids[key]

    def add(self, metric: str, *values: float, **tags: str) -> Runner:
        """Measure values; of a rate each value is 0 or 1."""
        number, kind = self._id(metric, tags), self.catalogue[metric].kind
        if kind is Kind.COUNTER:
            self._counters[number] = self._counters.get(number, 0.0) + sum(values)
        elif kind is Kind.RATE:
            hits, total = self._rates.get(number, (0, 0))
            self._rates[number] = (hits + int(sum(values)), total + len(values))
        elif kind is Kind.TREND:
            self._trends.setdefault(number, Histogram()).merge(Histogram.of(values))
        else:
            self._gauges[number] = list(values)
        return self

    def snapshot(self, slot: int) -> Snapshot:
        """The snapshot at the end of a slot."""
        changed, self._changed = self._changed, set()
        defs, self._defs = self._defs, []
        gauges, self._gauges = self._gauges, {}
        return Snapshot(
            runner=self.runner,
            attempt=self.attempt,
            slot=slot,
            defs=defs,
            counters=[(n, v) for n, v in self._counters.items() if n in changed],
            rates=[(n, h, t) for n, (h, t) in self._rates.items() if n in changed],
            gauges=[(n, v[-1], min(v), max(v)) for n, v in gauges.items()],
            trends=[(n, pack(h)) for n, h in self._trends.items() if n in changed],
        )
