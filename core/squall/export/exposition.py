"""Makes the requests of a run, second by second: which series there are, their samples, and how each of them begins and ends.

Prometheus reads more out of a counter than its values, so each of these is a promise:

- A counter begins with a zero, one push before its first value: without it, `increase` would leave out all that the first value holds.
- It never goes back, not by the last bit of a float either, nor when another process goes on: that would be read as a restart, and counted
  twice.
- All samples of one push have one time, and no time comes twice: a receiver refuses what comes late, and all that is with it.
- A request has one sample of a series. So it can be repeated when its answer is lost: the same sample again is no news to a receiver, but one
  that was there before the last is late. That is why zeros go ahead, in a request of their own. (Prometheus of old, such as 2.42, takes
  the end of a native histogram for news, as NaN is not equal to NaN; what it then refuses, it has.)
- A gauge whose runner is gone, and every series at the end of a run, is ended by a stale marker, and does not linger for five minutes.
- Series have a budget. What comes beyond is counted with fewer labels, in series that have `overflow="true"`: sums stay right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from squall.export.histograms import Native, bounds, classic, le, native
from squall.export.names import PREFIX, Family, Labels, Names, Point, labels_of
from squall.export.wire import STALE, Writer, identity
from squall.metrics.names import Kind
from squall.metrics.series import Counter, Gauge, Rate, SeriesKey, merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from squall.export.model import Form
    from squall.export.wire import Body
    from squall.metrics.names import Catalogue, Metric
    from squall.metrics.series import Aggregate

SERIES_PER_REQUEST: Final = 1000
PIECE: Final = 50
"""Series of a request that are written at once: a few milliseconds. A runner that is kept for 50 counts as too busy to be believed."""
METADATA_EVERY: Final = 60
"""Pushes from one description of the families to the next."""
STALE_AFTER_MS: Final = 5000
"""The last values stand for this long before the series end, so that whoever draws one point in five seconds draws them."""
ROUNDING: Final = 1e-9
"""Sums of a series that another process has begun are this share larger at first, as that may have added in another order, and so have pushed
more by the last bits. Whole numbers are exact."""
_KEPT: Final = frozenset({"scenario", "error"})
"""The tags that are left beyond the budget."""


class Standing(NamedTuple):
    """How everything stands at one moment.

    Attributes:
        at_ms: The moment, Unix time in milliseconds.
        before_ms: The moment before: where series that are new have their zero.
        measured: Each series with what was counted until then; of gauges, what they are.
        points: All there are.
    """

    at_ms: int
    before_ms: int
    measured: list[tuple[SeriesKey, Aggregate]]
    points: list[Point]


@dataclass(slots=True, eq=False)
class _Series:
    """The series of Prometheus that one measured series becomes."""

    metric: Metric
    ids: tuple[bytes, ...]
    """Their labels, encoded."""
    limits: tuple[float, ...] = ()
    """Of classic buckets; none for native histograms."""
    begun: bool = False
    resumed: bool = False
    """Another process has begun it, and nothing is known of what that pushed but that it was as much, up to a rounding."""
    alive: bool = False
    last: list[float] = field(default_factory=list)
    empty: Native | None = None
    """Of a native histogram: what it begins with."""


class Exposition:
    """All series of one exporter.

    Args:
        catalogue: The metrics of the run.
        form: How series look.
        labels: That every series has, those of the form beside.
        own: Families of the points, whose names no metric may have.
        prefix: Of the metrics' names.

    Attributes:
        folded: Measured series that were counted with fewer labels, as the budget was spent.
        series: How many series of Prometheus there are.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        form: Form,
        labels: Labels,
        *,
        own: Iterable[Family] = (),
        prefix: str = PREFIX,
    ) -> None:
        self._catalogue = catalogue
        self._form = form
        # What the run is called comes from Squall; what the installation adds must not hide it.
        self._common = tuple(sorted({**dict(form.labels), **dict(labels)}.items()))
        self._reserved = frozenset(name for name, _ in self._common)
        own = tuple(own)
        self._names = Names(catalogue, (family.name for family in own), prefix)
        self._own = own
        self._targets: dict[SeriesKey, _Series] = {}
        self._series: dict[bytes, _Series] = {}
        self._before: frozenset[SeriesKey] = frozenset()
        self._points: dict[tuple[str, Labels], bytes] = {}
        self._shown: set[bytes] = set()
        self._pushes = 0
        self.folded = 0
        self.series = 0

    def resume(self, known: Iterable[SeriesKey]) -> None:
        """Series that another process has begun to push: a zero now would be read as a restart."""
        self._before = frozenset(known)

    # -- requests ---------------------------------------------------------------------------------------------

    def bodies(self, standing: Standing) -> Iterator[Body | None]:
        """The requests that say how everything stands, and None in between where others should have their turn."""
        zeros, values = Writer(), Writer()
        if self._pushes % METADATA_EVERY == 0:
            values.metadata((*self._own, *self._names.all()))
        self._pushes += 1
        merged = self._merged(standing.measured)
        for count, (series, value) in enumerate(merged.items(), 1):
            if self._begins(series, standing):
                _begin(zeros, series, standing.before_ms)
            self._write(values, series, value, standing.at_ms)
            if values.samples >= SERIES_PER_REQUEST:
                yield from _bodies(zeros, values)
                zeros, values = Writer(), Writer()
            elif count % PIECE == 0:
                yield None
        for series in self._series.values():
            if series.alive and series.metric.kind is Kind.GAUGE and series not in merged:
                _end(values, series, standing.at_ms)
        self._write_points(values, standing)
        yield from _bodies(zeros, values)

    def end(self, at_ms: int) -> Iterator[Body]:
        """The requests that end all measured series at a moment."""
        writer = Writer()
        for series in self._series.values():
            if series.alive:
                _end(writer, series, at_ms)
            if writer.samples >= SERIES_PER_REQUEST:
                yield writer.body()
                writer = Writer()
        yield from _bodies(writer)

    # -- which series -----------------------------------------------------------------------------------------

    def _merged(self, measured: Iterable[tuple[SeriesKey, Aggregate]]) -> dict[_Series, Aggregate]:
        found: dict[_Series, Aggregate] = {}
        for key, value in measured:
            series = self._targets.get(key) or self._admit(key)
            if series in found:
                merge(found[series], value)
            else:
                found[series] = value
        return found

    def _admit(self, key: SeriesKey) -> _Series:
        """Find a place for a series that is new: its own, or that of one that looks the same to Prometheus."""
        metric = self._catalogue[key.metric]
        made = self._make(metric, key)
        if made.ids[0] not in self._series:
            if self.series + len(made.ids) <= self._form.max_series:
                self.series += len(made.ids)
            else:
                self.folded += 1
                few = tuple(tag for tag in key.tags if tag[0] in _KEPT)
                made = self._make(metric, SeriesKey(key.metric, (*few, ("overflow", "true"))))
        made = self._series.setdefault(made.ids[0], made)
        if key in self._before:
            made.begun = made.resumed = True
        self._targets[key] = made
        return made

    def _make(self, metric: Metric, key: SeriesKey) -> _Series:
        labels = (*self._common, *labels_of(key.tags, self._reserved))
        families = self._names.of(metric.name)
        if metric.kind is not Kind.TREND:
            ids = tuple(identity(family.name, labels) for family in families)
            return _Series(metric, ids, last=[0.0] * len(ids))
        (family,) = families
        if self._form.histograms == "native":
            empty = Native(0, 0.0, self._form.schema, 0, (), ())
            return _Series(metric, (identity(family.name, labels),), last=[0.0], empty=empty)
        limits = bounds(metric.unit)
        bucket = [
            identity(f"{family.name}_bucket", (*labels, ("le", text))) for text in (*map(le, limits), "+Inf")
        ]
        ids = (*bucket, identity(f"{family.name}_count", labels), identity(f"{family.name}_sum", labels))
        return _Series(metric, ids, limits, last=[0.0] * len(ids))

    # -- samples ----------------------------------------------------------------------------------------------

    def _begins(self, series: _Series, standing: Standing) -> bool:
        """Whether a series needs its zero."""
        new = not series.begun and series.metric.kind is not Kind.GAUGE
        series.begun = True
        return new and standing.before_ms < standing.at_ms

    def _write(self, writer: Writer, series: _Series, value: Aggregate, at_ms: int) -> None:
        series.alive = True
        if isinstance(value, Gauge):
            writer.sample(series.ids[0], at_ms, value.last)
        elif series.empty is not None:
            writer.histogram(series.ids[0], at_ms, native(value, self._form.schema))  # type: ignore[arg-type]  # a trend has a histogram
        else:
            figures = _figures(series, value)
            if series.resumed:
                series.resumed = False
                figures = [figure if figure % 1 == 0 else figure * (1 + ROUNDING) for figure in figures]
            series.last = list(map(max, figures, series.last))  # never less than before
            for name, figure in zip(series.ids, series.last, strict=True):
                writer.sample(name, at_ms, figure)

    def _write_points(self, writer: Writer, standing: Standing) -> None:
        shown = set()
        for family, labels, value in standing.points:
            name = self._points.get((family.name, labels))
            if name is None:
                name = self._points[family.name, labels] = identity(
                    family.name, tuple(sorted((*self._common, *labels_of(labels, self._reserved))))
                )
            if name not in shown and math.isfinite(value):
                shown.add(name)
                writer.sample(name, standing.at_ms, value)
        for name in self._shown - shown:
            writer.sample(name, standing.at_ms, STALE)
        self._shown = shown


def _figures(series: _Series, value: Aggregate) -> list[float]:
    """The values of a series' series, in their order."""
    match value:
        case Counter():
            return [value.value]
        case Rate():
            return [value.hits, value.total]
        case Gauge():
            return [value.last]
        case _:
            return [*classic(value, series.limits), value.count, value.sum]


def _begin(writer: Writer, series: _Series, at_ms: int) -> None:
    for name in series.ids:
        if series.empty is not None:
            writer.histogram(name, at_ms, series.empty)
        else:
            writer.sample(name, at_ms, 0.0)


def _end(writer: Writer, series: _Series, at_ms: int) -> None:
    series.alive = False
    for name in series.ids:
        if series.empty is not None:
            # What marks the end of a histogram is its sum.
            writer.histogram(name, at_ms, Native(0, STALE, series.empty.schema, 0, (), ()))
        else:
            writer.sample(name, at_ms, STALE)


def _bodies(*writers: Writer) -> Iterator[Body]:
    return (each.body() for each in writers if each.samples)
