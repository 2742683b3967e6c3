"""Makes one measurement of the snapshots of all runners, second by second.

Runners send cumulative values, each at its own pace, some repeatedly, some late; attempts come and go. The hub needs
what happened in each slot, in any window of recent slots, and in all, over the whole fleet, and may never count
anything twice. So the store remembers the last cumulative value of each series of each attempt, and adds only the
difference: to the slot, and to the total. A snapshot that is older than what its attempt has delivered of a series changes
nothing; one that arrives late adds to its own slot, also when that has been looked at before.

A window of minutes is thousands of histograms, most of them with a few samples among many empty buckets. So a slot that is no
longer one of the latest is packed, as on the wire; one that is asked for is unpacked for the answer.

A difference that spans several slots, since snapshots between were lost, counts for the last of them. One from a
folded snapshot (see `retention`) counts for the totals only.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from squall.metrics.attempt import Attempt
from squall.metrics.histogram import Histogram
from squall.metrics.limit import SeriesLimit
from squall.metrics.names import BUILT_IN, Catalogue, Kind, Metric
from squall.metrics.room import BUCKET_BYTES, ENTRY_BYTES, Room
from squall.metrics.series import (
    Aggregate,
    Counter,
    Gauge,
    Rate,
    Selector,
    SeriesKey,
    Tags,
    minus,
)
from squall.metrics.series import merge as merge_aggregates
from squall.metrics.series import then as then_aggregates
from squall.metrics.snapshot import TrendWire, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from squall.metrics.snapshot import SeriesDef, Snapshot

MAX_SERIES: Final = 50_000
"""Default cap on series with tags of the manifest, see `SeriesLimit`; more than one runner with all its series has."""

FRESH_SLOTS: Final = 4
"""How many of the latest slots are not packed: runners are still delivering them."""

_Additive: TypeAlias = Counter | Rate | Histogram
_Kept: TypeAlias = Counter | Rate | Gauge | Histogram | TrendWire
_AttemptKey: TypeAlias = tuple[int, str]


@dataclass(slots=True, eq=False)
class _Series:
    """One series of the fleet."""

    key: SeriesKey
    metric: Metric
    total: _Additive | None = None
    """All differences until now; None for gauges, which have `past` and `folded` instead."""
    before: dict[int, _Additive] = field(default_factory=dict)
    """By anchor: the differences up to and with that slot."""
    past: dict[int, Gauge] = field(default_factory=dict)
    """By anchor, -1 included: what a gauge was in slots after it that are kept no more."""
    folded: dict[_AttemptKey, Gauge] = field(default_factory=dict)
    """What a gauge was in the slots that a runner had folded."""


class SlotStore:
    """The merged measurements of a run.

    Args:
        catalogue: The metrics that exist; values of others are ignored and counted in `refused`.
        keep: How many of the latest slots stay known one by one: the longest window, plus how late a slot may be judged.
        anchors: Last slots after which totals are wanted (`total(..., after=...)`), known from the start.
        max_series: How many series with tags of the manifest are kept as they are.
        room: How much may be kept in all.

    Attributes:
        limit: Knows which tags were dropped beyond that.
    """

    def __init__(
        self,
        catalogue: Catalogue = BUILT_IN,
        *,
        keep: int = 60,
        anchors: Iterable[int] = (),
        max_series: int = MAX_SERIES,
        room: Room | None = None,
    ) -> None:
        self._room = room or Room()
        self._catalogue = catalogue
        self._keep = keep
        self._anchors = tuple(sorted({anchor for anchor in anchors if anchor >= 0}))
        self.limit = SeriesLimit(max_series)
        self._attempts: dict[_AttemptKey, Attempt[_Series]] = {}
        self._series: dict[SeriesKey, _Series] = {}
        self._slots: dict[int, dict[_Series, _Kept]] = {}
        self._packed = -1
        """All slots up to this one are packed, but for what came in later."""
        self._matching: dict[Selector, list[_Series]] = {}
        self._rollups: dict[int, dict[Selector, Aggregate | None]] = defaultdict(dict)
        self.latest = -1
        """The highest slot that any runner has delivered; -1 before the first."""
        self.refused = 0
        """Series of runners that were refused: not in the catalogue, or of another kind than there."""

    # -- taking in ------------------------------------------------------------------------------------------

    def add(self, snapshot: Snapshot) -> int:
        """Take in a snapshot.

        Returns:
            How many values belong to series that this store was never told of: snapshots were lost, so the runner
            should be asked to replay what it keeps. 0 when all is well.

        Raises:
            ValueError: It is malformed, counts less than the attempt had counted before, or there is no room for it. What it
                brought before the malformed value has been taken in.
        """
        if snapshot.slot < 0:
            raise ValueError(f"slots count from 0, not {snapshot.slot}")
        key = (snapshot.runner, snapshot.attempt)
        attempt = self._attempts.get(key)
        if attempt is None:
            attempt = self._attempts[key] = Attempt(self._room)
        for definition in snapshot.defs:
            if not attempt.knows(definition.id):
                self._define(attempt, definition)
        self._advance(snapshot.slot)
        put = partial(self._put_folded, key) if snapshot.folded else self._put
        return attempt.take(snapshot, partial(put, snapshot.slot))

    def _define(self, attempt: Attempt[_Series], definition: SeriesDef) -> None:
        attempt.admit(definition)
        metric = self._catalogue.get(definition.metric)
        if metric is None or metric.kind is not definition.kind:
            self.refused += 1
            attempt.refuse(definition.id)
            return
        tags = self.limit.admit(definition.metric, definition.tags)
        key = SeriesKey(definition.metric, tags)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(key, metric)
            for selector, matching in self._matching.items():
                if selector.matches(key):
                    matching.append(series)
        attempt.define(definition.id, series, metric)

    def _advance(self, slot: int) -> None:
        """Let go of slots that are too old to be kept one by one."""
        if slot <= self.latest:
            return
        self.latest = slot
        for old in sorted(known for known in self._slots if known <= slot - self._keep):
            for series, aggregate in self._slots.pop(old).items():
                self._room.take(-_kept_bytes(aggregate))
                if isinstance(aggregate, Gauge):
                    self._remember(series, old, aggregate)
        for old in [known for known in self._rollups if known <= slot - self._keep]:
            del self._rollups[old]
        last = slot - FRESH_SLOTS
        for aging in [known for known in self._slots if self._packed < known <= last]:
            for series, kept in self._slots[aging].items():
                if isinstance(kept, Histogram):
                    self._slots[aging][series] = packed = pack(kept)
                    self._room.take(_kept_bytes(packed) - _kept_bytes(kept))
        self._packed = max(self._packed, last)

    def _remember(self, series: _Series, slot: int, gauge: Gauge) -> None:
        for anchor in (-1, *self._anchors):
            if slot > anchor and anchor in series.past:
                series.past[anchor].then(gauge)
            elif slot > anchor:
                series.past[anchor] = gauge.copy()

    def _put(self, slot: int, series: _Series, value: Aggregate) -> None:
        """Add a difference, or a gauge's value, to its slot and to the totals."""
        if not isinstance(value, Gauge):
            self._put_total(slot, series, value)
        if slot <= self.latest - self._keep:
            return
        values = self._slots.setdefault(slot, {})
        known = values.get(series)
        before = _kept_bytes(known)
        # The first is kept as it is: nobody else has it, and of most there is one.
        values[series] = kept = value if known is None else _into(_unpacked(known), value)
        self._room.take(_kept_bytes(kept) - before)
        self._rollups[slot].clear()

    def _put_folded(self, attempt: _AttemptKey, slot: int, series: _Series, value: Aggregate) -> None:
        if isinstance(value, Gauge):
            self._room.take(ENTRY_BYTES * (attempt not in series.folded))
            series.folded[attempt] = value
        else:
            self._put_total(slot, series, value)

    def _put_total(self, slot: int, series: _Series, value: _Additive) -> None:
        series.total = self._grown(series.total, value)
        for anchor in self._anchors:
            if slot <= anchor:
                series.before[anchor] = self._grown(series.before.get(anchor), value)

    def _grown(self, known: _Additive | None, value: _Additive) -> _Additive:
        before = _kept_bytes(known)
        total = _into(known, value)
        self._room.take(_kept_bytes(total) - before)
        return total

    # -- reading --------------------------------------------------------------------------------------------

    def delivered(self, runner: int, attempt: str | None = None) -> int:
        """The last slot that a runner, or one of its attempts, has delivered; -1 when there is none."""
        if attempt is not None:
            known = self._attempts.get((runner, attempt))
            return known.slot if known else -1
        return max((a.slot for (who, _), a in self._attempts.items() if who == runner), default=-1)

    def complete(self, slot: int, runners: Iterable[int]) -> bool:
        """Whether all these runners have delivered the slot, or a later one."""
        reached: dict[int, int] = {}
        for (runner, _), attempt in self._attempts.items():
            reached[runner] = max(attempt.slot, reached.get(runner, -1))
        return all(reached.get(runner, -1) >= slot for runner in runners)

    def series(self) -> list[SeriesKey]:
        """All series, in the order in which they came up."""
        return list(self._series)

    def view(self, slot: int) -> Iterator[tuple[SeriesKey, Aggregate]]:
        """What happened in one slot, by series; nothing for slots that are no longer kept."""
        for series, kept in self._slots.get(slot, {}).items():
            yield series.key, _unpacked(kept)

    def window(self, selector: Selector, first: int, last: int) -> Aggregate | None:
        """What happened in the slots from `first` to `last`, both included, over all series selected.

        None when nothing did, or when none of these slots is kept any more.
        """
        merged: Aggregate | None = None
        for slot in range(max(first, self.latest - self._keep + 1), min(last, self.latest) + 1):
            part = self._rollup(selector, slot)
            if part is None:
                continue
            if merged is None:
                merged = part.copy()
            else:
                then_aggregates(merged, part)
        return merged

    def total(self, selector: Selector, *, after: int = -1, last: int | None = None) -> Aggregate | None:
        """What happened after the slot `after` and until the end of the slot `last`, over all series selected.

        Args:
            selector: Which series.
            after: -1 for the whole run, or one of the anchors.
            last: None for everything until now, or a slot of those still kept; it leaves out what faster runners have
                delivered already.

        Returns:
            None when no value of these series has come in.

        Raises:
            KeyError: `after` is not one of the anchors.
        """
        if after >= 0 and after not in self._anchors:
            raise KeyError(f"slot {after} is no anchor of this store")
        last = self.latest if last is None else last
        merged: Aggregate | None = None
        for series in self._select(selector):
            part = self._of_series(series, after, last)
            if part is not None:
                merged = _into(merged, part)
        return merged

    def totals(self, metric: str, by: Iterable[str] = ()) -> dict[Tags, Aggregate]:
        """The whole run's aggregates of a metric, grouped by the values of some tags.

        Series that lack one of the tags are left out; without tags, the one key is `()`.
        """
        names = tuple(by)
        groups: dict[Tags, Aggregate] = {}
        for series in self._select(Selector(metric)):
            tags = dict(series.key.tags)
            part = self._of_series(series, -1, self.latest)
            if part is not None and all(name in tags for name in names):
                group = tuple((name, tags[name]) for name in names)
                groups[group] = _into(groups.get(group), part)
        return groups

    def every_total(self) -> Iterator[tuple[SeriesKey, Aggregate]]:
        """Every series with its aggregate over the whole run."""
        for series in self._series.values():
            part = self._of_series(series, -1, self.latest)
            if part is not None:
                yield series.key, part

    def standing(self, slot: int) -> Iterator[tuple[SeriesKey, Aggregate]]:
        """How every series stands at the end of a slot that is still kept.

        What was counted until then, without what faster runners have delivered already; of gauges what they were in this very
        slot, and nothing of those that were not in it. Whoever asks may change what is given.
        """
        values = self._slots.get(slot, {})
        for series in self._series.values():
            if series.metric.kind is Kind.GAUGE:
                gauge = values.get(series)
                if isinstance(gauge, Gauge):
                    yield series.key, gauge.copy()
                continue
            part = self._of_series(series, -1, slot)
            if part is not None:
                yield series.key, part

    def _of_series(self, series: _Series, after: int, last: int) -> Aggregate | None:
        """One series' aggregate after one slot and until another; the caller may change it."""
        if series.metric.kind is Kind.GAUGE:
            return self._gauge(series, after, last)
        if series.total is None:
            return None
        total: Aggregate = series.total.copy()
        before = series.before.get(after) if after >= 0 else None
        if before is not None:
            total = minus(total, before)
        for slot in range(max(last, after) + 1, self.latest + 1):
            later = self._slots.get(slot, {}).get(series)
            if later is not None:
                total = minus(total, _unpacked(later))
        return total

    def _gauge(self, series: _Series, after: int, last: int) -> Gauge | None:
        merged: Gauge | None = None
        if after < 0:
            for folded in series.folded.values():
                merged = _into(merged, folded)
        history = [series.past[after]] if after in series.past else []
        for slot in range(max(after + 1, self.latest - self._keep + 1), last + 1):
            value = self._slots.get(slot, {}).get(series)
            if isinstance(value, Gauge):
                history.append(value)
        for value in history:
            if merged is None:
                merged = value.copy()
            else:
                merged.then(value)
        return merged

    def _rollup(self, selector: Selector, slot: int) -> Aggregate | None:
        """One slot over all series selected; remembered until the slot changes, and not to be changed."""
        known = self._rollups[slot]
        if selector not in known:
            merged: Aggregate | None = None
            values = self._slots.get(slot, {})
            for series in self._select(selector):
                if series in values:
                    merged = _into(merged, _unpacked(values[series]))
            known[selector] = merged
        return known[selector]

    def _select(self, selector: Selector) -> list[_Series]:
        found = self._matching.get(selector)
        if found is None:
            found = [series for key, series in self._series.items() if selector.matches(key)]
            self._matching[selector] = found
        return found


def _unpacked(kept: _Kept) -> Aggregate:
    """An aggregate; a histogram that was packed is a new one."""
    return unpack(kept) if isinstance(kept, TrendWire) else kept


def _kept_bytes(kept: _Kept | None) -> int:
    """What a value takes, roughly; nothing when there is none."""
    if kept is None:
        return 0
    if isinstance(kept, Histogram):
        return ENTRY_BYTES + BUCKET_BYTES * kept.counts.size
    if isinstance(kept, TrendWire):
        return ENTRY_BYTES + len(kept.counts) + len(kept.places)
    return ENTRY_BYTES


_A = TypeVar("_A", bound=Aggregate)


def _into(known: _A | None, value: _A) -> _A:
    """Both merged into the first, or a copy of the second when there is no first."""
    if known is None:
        return cast("_A", value.copy())
    merge_aggregates(known, value)
    return known
