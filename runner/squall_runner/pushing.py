"""Pushes the series of one runner to Prometheus, for those who want to see each shard by itself.

The hub pushes what the fleet has measured, and that is what a percentile of all must be read from. These series have names of their own
(`squall_shard_...`), so that no sum counts anything twice. What is known each second is what the hub is sent as well: cumulative values, of
which a snapshot holds those that have changed.

The time of their samples is that of this machine's clock, as it was when the load began.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from squall.export.exporter import Exporter
from squall.export.manifest import run_labels, settings_of
from squall.export.names import SHARD_PREFIX
from squall.export.run import HEALTH
from squall.hub.limits import SECOND
from squall.metrics.declared import catalogue_of
from squall.metrics.series import Counter, Gauge, Rate, SeriesKey
from squall.metrics.snapshot import TrendWire, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Assignment
    from squall.metrics.series import Aggregate
    from squall.metrics.snapshot import Snapshot
    from squall.spec.structs import LoadTest, PrometheusOutput


class ShardPushing:
    """Pushes what one runner measures.

    Args:
        output: Where to, and how.
        test: The manifest.
        assignment: What the runner was given.
        clock: Nanoseconds, monotonic.
        note: Told of what people should know; see `Hooks`.

    Raises:
        UsageError: A file for TLS cannot be used.
    """

    def __init__(
        self,
        output: PrometheusOutput,
        test: LoadTest,
        assignment: Assignment,
        *,
        clock: Callable[[], int],
        note: Callable[..., None],
    ) -> None:
        settings = settings_of(
            output,
            secrets=assignment.secrets,
            files=assignment.files,
            policies=assignment.allowed_hosts,
        )
        shard = ",".join(map(str, assignment.shards))
        labels = (*run_labels(test, assignment.run), ("shard", shard))
        self._catalogue = catalogue_of(test.spec)
        self._clock = clock
        self._note = note
        self._runner = assignment.runner
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._exporter = Exporter(
            settings,
            self._catalogue,
            labels,
            clock=lambda: clock() + self._offset_ns,
            say=self._say,
            own=HEALTH,
            prefix=SHARD_PREFIX,
        )
        self._start_ns = self._before_ns = 0
        self._keys: dict[int, SeriesKey] = {}
        self._counted: dict[int, Counter | Rate | TrendWire] = {}
        self._gauges: list[tuple[SeriesKey, Aggregate]] = []

    def start(self, start_ns: int) -> None:
        """The load begins at a moment of the clock; needs a running event loop."""
        self._start_ns = start_ns + self._offset_ns
        # One that takes another's place begins now: what was before is the other's, of the same series.
        self._before_ns = max(self._start_ns, self._clock() + self._offset_ns)
        self._exporter.start()

    def measured(self, snapshot: Snapshot) -> None:
        """A slot is over."""
        with self._exporter.harmless():
            self._take(snapshot)
            at_ns = self._start_ns + (snapshot.slot + 1) * SECOND
            if self._exporter.takes(at_ns):
                self._exporter.push(at_ns, self._before_ns, self._standing())

    def _take(self, snapshot: Snapshot) -> None:
        for new in snapshot.defs:
            self._keys[new.id] = SeriesKey(new.metric, new.tags)
        self._counted.update((number, Counter(value)) for number, value in snapshot.counters)
        self._counted.update((number, Rate(hits, total)) for number, hits, total in snapshot.rates)
        self._counted.update(snapshot.trends)
        self._gauges = [
            (self._keys[number], Gauge(last, low, high, self._catalogue[self._keys[number].metric].merge))
            for number, last, low, high in snapshot.gauges
        ]

    async def finish(self) -> None:
        """The load is over: push the last values, and say what is not there."""
        try:
            with self._exporter.harmless():
                now = self._clock() + self._offset_ns
                for text in await self._exporter.finish(now, self._before_ns, self._standing()):
                    self._say("warning", "RemoteWriteLost", text)
        finally:
            await self._exporter.close()

    def _say(self, level: str, event: str, text: str) -> None:
        self._note(level, event, message=f"runner {self._runner}: {text}")

    def _standing(self) -> list[tuple[SeriesKey, Aggregate]]:
        counted = [(self._keys[number], _aggregate(value)) for number, value in self._counted.items()]
        return [*counted, *self._gauges]


def _aggregate(value: Counter | Rate | TrendWire) -> Aggregate:
    """A value that may be changed."""
    return unpack(value) if isinstance(value, TrendWire) else value.copy()
