"""What a runner keeps so that a hub which restarted can go on where the other one was.

A fresh hub needs the totals, the last seconds one by one for its windows, and, for thresholds with `after`, the totals
as they stood when that moment had come. Keeping every snapshot of a long run would grow without bound, so a runner
keeps the last N, folds older ones into one base, and notes the base once at each of a few anchors.

All of it is held for the rare hub that restarts, in every runner, in the memory that the load needs. So it is small. Snapshots
are kept compressed, after the counts of each histogram were combined with those of the snapshot before, by exclusive or:
what did not change in this second becomes zero. Cumulative counts themselves have ever more digits, the longer a run lasts.
The base holds histograms as the bytes they were sent as. Definitions are the largest part by far, as objects ten times what they
are on the wire, and never change: they stay compressed, and are not even decoded.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from squall.metrics.snapshot import CounterWire, GaugeWire, RateWire, Snapshot, TrendWire, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LEVEL: Final = 1
"""Of compression: a snapshot is made each second, between requests that are to be on time."""


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
        self._last: dict[int, TrendWire] = {}
        """The histograms of the last snapshot: what those of the next are combined with."""
        self._folded: dict[int, TrendWire] = {}
        """Those of the snapshot before the first of the recent ones."""

    def add(self, snapshot: Snapshot) -> bytes:
        """Keep the snapshot of the next slot; returns it encoded, ready to be sent."""
        news = msgspec.structs.replace(snapshot, trends=_apart(snapshot.trends, self._last))
        self._last = dict(snapshot.trends)
        self._recent.append((snapshot.slot, _compressed(encode(news))))
        while len(self._recent) > self._slots:
            self._fold(*self._recent.popleft())
        return encode(snapshot)

    def replay(self, after: int | None = None) -> list[bytes]:
        """The encoded snapshots to send, in order.

        Args:
            after: The last slot that the hub says it has of this attempt, without gaps; None for a hub that has nothing.
                A hub may be sent more than it lacks: what it has already does no harm.
        """
        recent, before = [], self._folded
        for slot, kept in self._recent:
            frame = _restored(kept, before)
            before = dict(frame.trends)
            recent.append((slot, _ENCODER.encode(frame)))
        if after is not None and recent and recent[0][0] <= after + 1:
            return [data for slot, data in recent if slot > after]
        base = [self._base.encoded()] if self._base else []
        return [*map(zlib.decompress, self._anchored), *base, *(data for _, data in recent)]

    def _fold(self, slot: int, kept: bytes) -> None:
        while self._anchors and slot > self._anchors[0]:
            self._anchors.popleft()
            if self._base:
                self._anchored.append(_compressed(self._base.encoded()))
        if self._base is None:
            self._base = _Base()
        frame = _restored(kept, self._folded)
        self._folded = dict(frame.trends)
        self._base.fold(frame)


_NONE: Final = msgspec.Raw(b"\x90")
"""An empty array in MessagePack."""


class _Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `Snapshot` whose definitions stay as they are encoded."""

    runner: int
    attempt: str
    slot: int
    defs: msgspec.Raw = _NONE
    counters: list[CounterWire] = []
    rates: list[RateWire] = []
    gauges: list[GaugeWire] = []
    trends: list[tuple[int, TrendWire]] = []


class _Folded(_Frame, frozen=True, omit_defaults=True):
    """A folded `Snapshot` whose histograms were encoded before."""

    trends: list[tuple[int, msgspec.Raw]] = []  # type: ignore[assignment]  # never decoded: an encoder is all that sees it
    folded: bool = False


_DECODER: Final = msgspec.msgpack.Decoder(_Frame)
_ARRAY: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_ENCODER: Final = msgspec.msgpack.Encoder()


class _Base:
    """The latest value of each series among the snapshots folded in."""

    def __init__(self) -> None:
        self._latest = _Frame(0, "", -1)
        self._defs: list[bytes] = []
        """Compressed, of one snapshot each: definitions in MessagePack, one after the other."""
        self._defined = 0
        self._counters: dict[int, float] = {}
        self._rates: dict[int, tuple[int, int]] = {}
        self._gauges: dict[int, tuple[float, float, float]] = {}
        self._trends: dict[int, bytes] = {}

    def fold(self, frame: _Frame) -> None:
        defs = _ARRAY.decode(frame.defs)
        if defs:
            self._defined += len(defs)
            self._defs.append(_compressed(b"".join(map(bytes, defs))))
        self._counters.update(frame.counters)
        self._rates.update((series, (hits, total)) for series, hits, total in frame.rates)
        self._trends.update((series, _ENCODER.encode(wire)) for series, wire in frame.trends)
        for series, last, low, high in frame.gauges:
            known = self._gauges.get(series, (last, low, high))
            self._gauges[series] = (last, min(low, known[1]), max(high, known[2]))
        self._latest = _Frame(frame.runner, frame.attempt, frame.slot)

    def encoded(self) -> bytes:
        """One snapshot that stands for all of them."""
        return _ENCODER.encode(
            _Folded(
                runner=self._latest.runner,
                attempt=self._latest.attempt,
                slot=self._latest.slot,
                defs=_array(self._defined, b"".join(map(zlib.decompress, self._defs))),
                counters=list(self._counters.items()),
                rates=[(series, *value) for series, value in self._rates.items()],
                gauges=[(series, *value) for series, value in self._gauges.items()],
                trends=[(series, msgspec.Raw(wire)) for series, wire in self._trends.items()],
                folded=True,
            )
        )


def _array(count: int, items: bytes) -> msgspec.Raw:
    """An array in MessagePack: a byte that says so, how many there are, and they."""
    return msgspec.Raw(b"\xdd" + count.to_bytes(4, "big") + items)


def _compressed(data: bytes) -> bytes:
    return zlib.compress(data, _LEVEL)


def _restored(kept: bytes, before: Mapping[int, TrendWire]) -> _Frame:
    """What was kept of a snapshot, with its histograms as they were."""
    frame = _DECODER.decode(zlib.decompress(kept))
    return msgspec.structs.replace(frame, trends=_apart(frame.trends, before))


def _apart(
    trends: Iterable[tuple[int, TrendWire]], before: Mapping[int, TrendWire]
) -> list[tuple[int, TrendWire]]:
    """Histograms, combined with what they were before where they have the same form; done again, it is undone."""
    return [
        (series, wire if series not in before else _combined(wire, before[series])) for series, wire in trends
    ]


def _combined(wire: TrendWire, before: TrendWire) -> TrendWire:
    counts = wire.counts
    same = wire.offset == before.offset and wire.width == before.width and wire.places == before.places
    if not same or len(counts) != len(before.counts):
        return wire
    news = int.from_bytes(counts, "little") ^ int.from_bytes(before.counts, "little")
    return TrendWire(
        wire.offset,
        wire.width,
        news.to_bytes(len(counts), "little"),
        wire.places,
        wire.zero,
        wire.sum,
        wire.min,
        wire.max,
    )
