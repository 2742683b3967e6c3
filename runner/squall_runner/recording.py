"""Recording what happens at next to no cost, and turning it into snapshots.

A busy runner finishes tens of thousands of requests a second, each with fifteen metrics. Accounting for
them one by one would cost more than sending them. So the hot path only writes a row of numbers into the buffer of
its series; histograms are filled from whole buffers by numpy, when a buffer is full or a slot ends. Buffers, series
and tag values are bounded: memory does not grow with the number of requests, URLs or error texts.

Values are cumulative since the recorder was made, which is what a `Snapshot` wants.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, TypeVar, cast

import numpy as np

from squall.metrics.histogram import Histogram
from squall.metrics.limit import SeriesLimit
from squall.metrics.snapshot import Snapshot
from squall_runner.series import Collector, CounterSeries, GaugeSeries, RateSeries, Source, Tags, TrendSeries

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "CounterSeries",
    "GaugeSeries",
    "RateSeries",
    "Recorder",
    "RequestSeries",
    "Tags",
    "TrendSeries",
    "make_tags",
]

MAX_SERIES: Final = 2_000
"""Distinct sets of tags per runner; beyond it, values lose tags of the manifest (`SeriesLimit`), see `series_dropped`."""
MAX_TAG_VALUE: Final = 200
"""Longer tag values are cut: a tag is a word, not a document."""

_ROW: Final = Struct("8d")
_ROWS_FIRST: Final = 32
_ROWS_MOST: Final = 1024  # 64 KiB; accounting for a full buffer takes a fraction of a millisecond


def make_tags(*, own: Tags = (), **tags: str) -> Tags:
    """Tags in their one form: sorted, empty ones left out, the user's own beneath Squall's."""
    merged = dict(own) | tags
    return tuple(sorted((name, value[:MAX_TAG_VALUE]) for name, value in merged.items() if value))


_S = TypeVar("_S", bound=Source)


class RequestSeries:
    """Everything measured of finished requests that share their tags.

    Args:
        tags: Scenario, stage, step, method, status, error class and the user's own.
        failed: Whether these requests count as failed.
        error: The class of the failure, empty without one.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_collected",
        "_end",
        "_opened",
        "blocked",
        "connecting",
        "count",
        "duration",
        "error",
        "failed",
        "received",
        "receiving",
        "response_time",
        "sending",
        "sent",
        "tags",
        "tls",
        "total",
        "waiting",
    )  # fmt: skip

    def __init__(self, tags: Tags, *, failed: bool, error: str = "") -> None:
        self.tags = tags
        self.failed = failed
        self.error = error
        self.count = 0
        self.sent = 0.0
        self.received = 0.0
        self._opened: list[tuple[float, float, float]] = []
        self._buffer = bytearray(_ROW.size * _ROWS_FIRST)
        self._end = len(self._buffer)
        self._at = 0
        self._collected = 0
        self.total, self.response_time, self.duration = Histogram(), Histogram(), Histogram()
        self.sending, self.waiting, self.receiving = Histogram(), Histogram(), Histogram()
        self.blocked, self.connecting, self.tls = Histogram(), Histogram(), Histogram()

    # ---- The hot path: one call per finished request. Reused connections, nearly all of them, need the row only. ----
    def add(  # noqa: PLR0917 - called positionally, on the hot path
        self,
        start: float,
        end: float,
        intended: float,
        sending: float,
        waiting: float,
        receiving: float,
        bytes_sent: int,
        bytes_received: int,
        pack_row: Callable[..., None] = _ROW.pack_into,
    ) -> None:
        """Count a request; times are seconds of one clock, `intended` is when it should have been sent."""
        at = self._at
        pack_row(
            self._buffer, at, start, end, intended, sending, waiting, receiving, bytes_sent, bytes_received
        )
        self._at = at = at + 64
        if at == self._end:
            self._full()

    def opened(self, blocked: float, connecting: float, tls: float) -> None:
        """The request that is counted next had to wait for a connection or open one."""
        self._opened.append((blocked, connecting, tls))

    def _full(self) -> None:
        self.flush()
        if self._end < _ROWS_MOST * _ROW.size:
            self._buffer = bytearray(self._end * 4)
            self._end = len(self._buffer)

    def flush(self) -> None:
        """Account for the rows in the buffer."""
        rows = self._at // _ROW.size
        if not rows:
            return
        table = np.frombuffer(self._buffer, dtype=np.float64, count=rows * 8).reshape(rows, 8).T.copy()
        self._at = 0
        start, end, intended, sending, waiting, receiving, sent, received = table
        self.total.record_many(end - start)
        self.response_time.record_many(end - intended)
        self.duration.record_many(sending + waiting + receiving)
        self.sending.record_many(sending)
        self.waiting.record_many(waiting)
        self.receiving.record_many(receiving)
        self.sent += float(sent.sum())
        self.received += float(received.sum())
        self.count += rows
        self._flush_opened(rows)

    def _flush_opened(self, rows: int) -> None:
        # Never more of them than rows: all others are counted as 0, and what has been counted can never become less.
        opened: NDArray[np.float64] = np.array(self._opened[:rows], dtype=np.float64).reshape(-1, 3).T
        del self._opened[:rows]
        for histogram, values in zip((self.blocked, self.connecting, self.tls), opened, strict=True):
            histogram.record_many(values)
            histogram.merge(_zeros(rows - values.size))

    def collect(self, out: Collector) -> None:
        """Put what has changed into a snapshot."""
        self.flush()
        if self.count == self._collected:
            return
        self._collected = self.count
        tags = self.tags
        out.counter("http_reqs", tags, self.count)
        out.rate("http_req_failed", tags, self.count if self.failed else 0, self.count)
        out.counter("data_sent", tags, self.sent)
        out.counter("data_received", tags, self.received)
        if self.error:
            out.counter("http_req_errors", tags, self.count)
        for metric, histogram in self._trends():
            out.trend(metric, tags, histogram)

    def _trends(self) -> tuple[tuple[str, Histogram], ...]:
        return (
            ("http_req_total", self.total),
            ("http_req_response_time", self.response_time),
            ("http_req_duration", self.duration),
            ("http_req_blocked", self.blocked),
            ("http_req_connecting", self.connecting),
            ("http_req_tls_handshaking", self.tls),
            ("http_req_sending", self.sending),
            ("http_req_waiting", self.waiting),
            ("http_req_receiving", self.receiving),
        )


def _zeros(count: int) -> Histogram:
    none = np.zeros(0, dtype=np.int64)
    return Histogram.from_parts(offset=0, counts=none, zero=count, total=0.0, low=0.0, high=0.0)


class Recorder:
    """All series of one runner.

    Args:
        runner: Index of the runner within the run.
        attempt: The process's own word, see `Snapshot`.
        max_series: Distinct sets of tags before values lose tags of the manifest.

    Attributes:
        limit: Knows which tags were dropped.
    """

    def __init__(self, runner: int, attempt: str, *, max_series: int = MAX_SERIES) -> None:
        self._runner = runner
        self._attempt = attempt
        self.limit = SeriesLimit(max_series)
        self._sources: dict[tuple[str, Tags], Source] = {}
        self._ids: dict[tuple[str, Tags], int] = {}
        self._dropped = CounterSeries("series_dropped", ())

    def requests(self, tags: Tags, *, failed: bool, error: str = "") -> RequestSeries:
        """The series of requests with these tags; callers keep it when the tags cannot change."""
        return self._get("http", tags, lambda kept: RequestSeries(kept, failed=failed, error=error))

    def trend(self, metric: str, tags: Tags = ()) -> TrendSeries:
        """The trend with these tags."""
        return self._get(metric, tags, lambda kept: TrendSeries(metric, kept))

    def counter(self, metric: str, tags: Tags = ()) -> CounterSeries:
        """The counter with these tags."""
        return self._get(metric, tags, lambda kept: CounterSeries(metric, kept))

    def rate(self, metric: str, tags: Tags = ()) -> RateSeries:
        """The rate with these tags."""
        return self._get(metric, tags, lambda kept: RateSeries(metric, kept))

    def gauge(self, metric: str, tags: Tags = (), value: float | None = None) -> GaugeSeries:
        """The gauge with these tags; with a `value` it is there from the beginning."""
        return self._get(metric, tags, lambda kept: GaugeSeries(metric, kept, value))

    def _get(self, metric: str, tags: Tags, make: Callable[[Tags], _S]) -> _S:
        found = self._sources.get((metric, tags))
        if found is None:
            kept = self.limit.admit(metric, tags)
            self._dropped.value += kept != tags
            found = self._sources.get((metric, kept))
            if found is None:
                found = self._sources[metric, kept] = make(kept)
        return cast("_S", found)

    def measure(self, slot: int) -> Snapshot:
        """Everything until now, cumulative; of the series that changed since the call before."""
        out = Collector(self._ids)
        for source in list(self._sources.values()):
            source.collect(out)
        self._dropped.collect(out)
        return Snapshot(
            runner=self._runner,
            attempt=self._attempt,
            slot=slot,
            defs=out.defs,
            counters=out.counters,
            rates=out.rates,
            gauges=out.gauges,
            trends=out.trends,
        )
