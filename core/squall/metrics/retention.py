"""What a runner keeps so that a hub which restarted can go on where the other one was.

A fresh hub needs the totals, the last seconds one by one for its windows, and, for thresholds with `after`, the totals
as they stood when that moment had come. Keeping every snapshot of a long run would grow without bound, so a runner
keeps the last N, folds older ones into one base, and notes the base once at each of a few anchors.

All of it is held for the rare hub that restarts, in every runner, in the memory that the load needs. So it is small: snapshots
are kept compressed (cumulative counts of neighbouring buckets have much in common), and the base holds histograms as the
bytes they were sent as. Definitions are the largest part by far, as objects ten times what they are on the wire, and never
change: they stay compressed, and are not even decoded.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from squall.metrics.snapshot import CounterWire, GaugeWire, RateWire, Snapshot, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    def add(self, snapshot: Snapshot) -> bytes:
        """Keep the snapshot of the next slot; returns it encoded, ready to be sent."""
        data = encode(snapshot)
        self._recent.append((snapshot.slot, _compressed(data)))
        while len(self._recent) > self._slots:
            self._fold(*self._recent.popleft())
        return data

    def replay(self, after: int | None = None) -> list[bytes]:
        """The encoded snapshots to send, in order.

        Args:
            after: The last slot that the hub says it has of this attempt, without gaps; None for a hub that has nothing.
                A hub may be sent more than it lacks: what it has already does no harm.
        """
        if after is not None and self._recent and self._recent[0][0] <= after + 1:
            return [zlib.decompress(kept) for slot, kept in self._recent if slot > after]
        base = [self._base.encoded()] if self._base else []
        anchored, recent = self._anchored, [kept for _, kept in self._recent]
        return [*map(zlib.decompress, anchored), *base, *map(zlib.decompress, recent)]

    def _fold(self, slot: int, kept: bytes) -> None:
        while self._anchors and slot > self._anchors[0]:
            self._anchors.popleft()
            if self._base:
                self._anchored.append(_compressed(self._base.encoded()))
        if self._base is None:
            self._base = _Base()
        self._base.fold(_DECODER.decode(zlib.decompress(kept)))


_NONE: Final = msgspec.Raw(b"\x90")
"""An empty array in MessagePack."""


class _Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `Snapshot` whose definitions and histograms stay as they are encoded."""

    runner: int
    attempt: str
    slot: int
    defs: msgspec.Raw = _NONE
    counters: list[CounterWire] = []
    rates: list[RateWire] = []
    gauges: list[GaugeWire] = []
    trends: list[tuple[int, msgspec.Raw]] = []
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
        # Copies: what was decoded would keep the whole snapshot.
        self._trends.update((series, bytes(wire)) for series, wire in frame.trends)
        for series, last, low, high in frame.gauges:
            known = self._gauges.get(series, (last, low, high))
            self._gauges[series] = (last, min(low, known[1]), max(high, known[2]))
        self._latest = _Frame(frame.runner, frame.attempt, frame.slot)

    def encoded(self) -> bytes:
        """One snapshot that stands for all of them."""
        return _ENCODER.encode(
            _Frame(
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
