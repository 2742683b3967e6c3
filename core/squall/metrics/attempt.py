"""Turns the cumulative values of one attempt of one runner into differences.

Repetition, loss and disorder are settled here and nowhere else: per series, a value counts only when its slot is
later than that of the last one taken, and then by what it has grown. Gauges do not grow: each slot's counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from squall.metrics.names import Kind, Metric
from squall.metrics.room import BUCKET_BYTES, DEFINITION_BYTES
from squall.metrics.series import Aggregate, Counter, Gauge, Rate
from squall.metrics.snapshot import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.metrics.histogram import Histogram
    from squall.metrics.room import Room
    from squall.metrics.snapshot import CounterWire, GaugeWire, RateWire, SeriesDef, Snapshot, TrendWire

S = TypeVar("S")

GAUGE_SLOTS: Final = 4096
"""How many of the latest slots a gauge's repetition is noticed in."""
_ALL_SLOTS: Final = (1 << GAUGE_SLOTS) - 1
MAX_DEFINED: Final = 50_000
"""Series of one attempt; a runner that keeps to its own cap has fewer."""


@dataclass(slots=True)
class _Source(Generic[S]):
    """One series of the attempt, and what was last taken of it."""

    series: S
    metric: Metric
    slot: int = -1
    value: float = 0.0
    hits: int = 0
    total: int = 0
    trend: Histogram | None = None
    seen: int = 0
    """Of a gauge: bit k is set when the slot k before the last one was taken."""


_Grown: TypeAlias = Callable[[_Source[S], Any, int], Aggregate | None]


class Attempt(Generic[S]):
    """What one attempt has delivered; `S` is the caller's notion of a series.

    Args:
        room: Where what is kept of it is counted.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._sources: dict[int, _Source[S] | None] = {}
        self.slot = -1
        """The last slot it has delivered."""

    def knows(self, number: int) -> bool:
        """Whether this number of a series was defined (or refused)."""
        return number in self._sources

    def admit(self, definition: SeriesDef) -> None:
        """Make room for a definition, before anything else is made of it.

        Raises:
            ValueError: There is none.
        """
        if len(self._sources) >= MAX_DEFINED:
            raise ValueError(f"it defines more than {MAX_DEFINED} series")
        self._room.take(DEFINITION_BYTES + sum(len(name) + len(value) for name, value in definition.tags))

    def define(self, number: int, series: S, metric: Metric) -> None:
        """From now on this number means this series."""
        self._sources[number] = _Source(series, metric)

    def refuse(self, number: int) -> None:
        """From now on values with this number are ignored."""
        self._sources[number] = None

    def take(self, snapshot: Snapshot, put: Callable[[S, Aggregate], None]) -> int:
        """Hand each difference that the snapshot brings to `put`, which may keep and change it.

        Returns:
            How many values have a number that was never defined.

        Raises:
            ValueError: A value is malformed, smaller than before, or of another kind than its series.
        """
        unknown = 0
        kinds: tuple[tuple[Kind, _Grown[S], Sequence[Any]], ...] = (
            (Kind.COUNTER, _grown_counter, snapshot.counters),
            (Kind.RATE, _grown_rate, snapshot.rates),
            (Kind.TREND, _grown_trend, snapshot.trends),
            (Kind.GAUGE, _gauge if snapshot.folded else _seen_gauge, snapshot.gauges),
        )
        for kind, grown, wires in kinds:
            for wire in wires:
                number = wire[0]
                source = self._sources.get(number)
                if source is None:
                    unknown += number not in self._sources
                    continue
                if source.metric.kind is not kind:
                    raise ValueError(f"{source.metric.name} is a {source.metric.kind}, not a {kind}")
                before = source.trend
                value = grown(source, wire, snapshot.slot)
                if source.trend is not before:
                    self._room.take(_size(source.trend) - _size(before))
                if value is not None:
                    put(source.series, value)
        self.slot = max(self.slot, snapshot.slot)
        return unknown


def _grown_counter(source: _Source[S], wire: CounterWire, slot: int) -> Counter | None:
    if slot <= source.slot:
        return None
    value = wire[1]
    if not source.value <= value < math.inf:
        raise ValueError(f"{source.metric.name} went from {source.value} to {value}; counters only grow")
    grown = Counter(value - source.value)
    source.slot, source.value = slot, value
    return grown


def _grown_rate(source: _Source[S], wire: RateWire, slot: int) -> Rate | None:
    if slot <= source.slot:
        return None
    _, hits, total = wire
    grown = Rate(hits - source.hits, total - source.total)
    if not 0 <= grown.hits <= grown.total:
        raise ValueError(f"{source.metric.name} went from {source.hits}/{source.total} to {hits}/{total}")
    source.slot, source.hits, source.total = slot, hits, total
    return grown


def _grown_trend(source: _Source[S], wire: tuple[int, TrendWire], slot: int) -> Histogram | None:
    if slot <= source.slot:
        return None
    trend = unpack(wire[1])
    # Without the empty buckets of the whole run, which are more and more: windows hold many differences.
    grown = trend.minus(source.trend) if source.trend else trend.trimmed()
    source.slot, source.trend = slot, trend
    return grown


def _size(trend: Histogram | None) -> int:
    return BUCKET_BYTES * trend.counts.size if trend else 0


def _gauge(source: _Source[S], wire: GaugeWire, _slot: int) -> Gauge:
    """A gauge as it comes; a folded one stands for many slots, whichever of them were seen one by one."""
    name, (_, last, low, high) = source.metric.name, wire
    if not -math.inf < low <= last <= high < math.inf:
        raise ValueError(f"{name}: {last} is not within {low}..{high}")
    return Gauge(last, low, high, source.metric.merge)


def _seen_gauge(source: _Source[S], wire: GaugeWire, slot: int) -> Gauge | None:
    ahead = slot - source.slot
    if ahead <= 0 and source.seen >> -ahead & 1:
        return None
    gauge = _gauge(source, wire, slot)
    if ahead > 0:
        before = source.seen << ahead if ahead < GAUGE_SLOTS else 0
        source.slot, source.seen = slot, (before & _ALL_SLOTS) | 1
    elif -ahead < GAUGE_SLOTS:
        source.seen |= 1 << -ahead
    return gauge
