"""What a runner keeps so that a hub which restarted can go on where the other one was.

A fresh hub needs the totals, the last seconds one by one for its windows, and, for thresholds with `after`, the totals
as they stood when that moment had come. Keeping every snapshot of a long run would grow without bound, so a runner
keeps the last N encoded, folds older ones into one base, and notes the base once at each of a few anchors.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from squall.metrics.snapshot import (
    CounterWire,
    GaugeWire,
    RateWire,
    SeriesDef,
    Snapshot,
    TrendWire,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class Retention:
    """The snapshots of one attempt, as a fresh hub needs them.

    Args:
        slots: How many of the latest snapshots to keep one by one: the longest window in slots, or more.
        anchors: Last slots whose totals must stay known: for `after: 30s` that is slot 29.
    """

    def __init__(self, slots: int, anchors: Iterable[int] = ()) -> None:
        if slots < 1:
            raise ValueError(f"at least one slot must be kept, not {slots}")
        self._slots = slots
        self._anchors = deque(sorted(set(anchors)))
        self._recent: deque[tuple[int, bytes]] = deque()
        self._anchored: list[bytes] = []
        self._base: _Base | None = None

    def add(self, snapshot: Snapshot) -> bytes:
        """Keep the snapshot of the next slot; returns it encoded, ready to be sent."""
        data = encode(snapshot)
        self._recent.append((snapshot.slot, data))
        while len(self._recent) > self._slots:
            self._fold(decode(self._recent.popleft()[1]))
        return data

    def replay(self, after: int | None = None) -> list[bytes]:
        """The encoded snapshots to send, in order.

        Args:
            after: The last slot that the hub says it has of this attempt, without gaps; None for a hub that has nothing.
                A hub may be sent more than it lacks: what it has already does no harm.
        """
        if after is not None and self._recent and self._recent[0][0] <= after + 1:
            return [data for slot, data in self._recent if slot > after]
        base = [encode(self._base.snapshot())] if self._base else []
        return [*self._anchored, *base, *(data for _, data in self._recent)]

    def _fold(self, old: Snapshot) -> None:
        while self._anchors and old.slot > self._anchors[0]:
            self._anchors.popleft()
            if self._base:
                self._anchored.append(encode(self._base.snapshot()))
        if self._base is None:
            self._base = _Base()
        self._base.fold(old)


class _Base:
    """The latest value of each series among the snapshots folded in."""

    def __init__(self) -> None:
        self._latest: Snapshot | None = None
        self._defs: list[SeriesDef] = []
        self._counters: dict[int, CounterWire] = {}
        self._rates: dict[int, RateWire] = {}
        self._gauges: dict[int, GaugeWire] = {}
        self._trends: dict[int, TrendWire] = {}

    def fold(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        self._defs.extend(snapshot.defs)
        self._counters.update((wire[0], wire) for wire in snapshot.counters)
        self._rates.update((wire[0], wire) for wire in snapshot.rates)
        self._trends.update(snapshot.trends)
        for series, last, low, high in snapshot.gauges:
            known = self._gauges.get(series, (series, last, low, high))
            self._gauges[series] = (series, last, min(low, known[2]), max(high, known[3]))

    def snapshot(self) -> Snapshot:
        latest = self._latest
        assert latest is not None, "a base exists once something was folded into it"
        return Snapshot(
            runner=latest.runner,
            attempt=latest.attempt,
            slot=latest.slot,
            defs=self._defs,
            counters=list(self._counters.values()),
            rates=list(self._rates.values()),
            gauges=list(self._gauges.values()),
            trends=list(self._trends.items()),
            folded=True,
        )
