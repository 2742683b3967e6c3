"""What a runner sends each second: everything it has measured so far, in few bytes.

A snapshot holds cumulative values since the start of the runner's attempt, at the end of a slot (a second of the
run's clock). So one that arrives twice, late or not at all loses nothing that a later one does not bring. To stay small it
holds only what changed since the snapshot before, gauges excepted: those stand in each snapshot, for
an absent gauge means that its runner is gone. Series are numbered by the runner; the first snapshot with
a series defines its number.

A hub that restarts has nothing. `retention` keeps what such a hub must be sent.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import msgspec
import numpy as np

from squall.metrics.buckets import MAX_INDEX, MIN_INDEX
from squall.metrics.histogram import Counts, Histogram
from squall.metrics.names import Kind

_WIDTHS: Final = tuple(np.dtype(width) for width in ("<u1", "<u2", "<u4", "<u8"))
_PLACE: Final = np.dtype("<u2")


class TrendWire(msgspec.Struct, frozen=True, array_like=True):
    """A histogram, packed: counts as little-endian integers of the smallest width that holds them all.

    Attributes:
        offset: Bucket of the first count.
        width: Bytes per count: 1, 2, 4 or 8.
        counts: All counts from `offset` on, or, with `places`, only those that are not zero.
        places: For few counts far apart: where each lies after `offset`, as 2-byte integers.
        zero: Samples in the zero bucket.
        sum: Sum of the samples.
        min: Smallest sample.
        max: Largest sample.
    """

    offset: int
    width: int
    counts: bytes
    places: bytes
    zero: int
    sum: float
    min: float
    max: float


def pack(trend: Histogram) -> TrendWire:
    """The wire form of a histogram."""
    if not trend.count:
        return TrendWire(0, 1, b"", b"", 0, 0.0, 0.0, 0.0)
    used = np.flatnonzero(trend.counts)
    if not used.size:
        return TrendWire(0, 1, b"", b"", trend.zero, trend.sum, trend.min, trend.max)
    first, last = int(used[0]), int(used[-1])
    dense = trend.counts[first : last + 1]
    size = max(0, (int(dense.max()).bit_length() - 1) // 8).bit_length()
    width, places = 1 << size, b""
    if used.size * (width + 2) < dense.size * width:
        dense, places = dense[used - first], (used - first).astype(_PLACE).tobytes()
    packed = dense.astype(_WIDTHS[size]).tobytes()
    return TrendWire(trend.offset + first, width, packed, places, trend.zero, trend.sum, trend.min, trend.max)


def unpack(wire: TrendWire) -> Histogram:
    """The histogram of a wire form.

    Raises:
        ValueError: The wire form is not one that `pack` makes: a defect or an attack, never a number to trust.
    """
    counts = unpack_counts(wire)
    return Histogram.from_parts(
        offset=wire.offset, counts=counts, zero=wire.zero, total=wire.sum, low=wire.min, high=wire.max
    )


def unpack_counts(wire: TrendWire) -> Counts:
    """The counts from `wire.offset` on.

    Raises:
        ValueError: As for `unpack`.
    """
    if wire.width not in (1, 2, 4, 8) or wire.zero < 0 or not _finite(wire):
        raise ValueError("malformed trend: width, zero count or sum out of range")
    packed = np.frombuffer(wire.counts, _WIDTHS[wire.width.bit_length() - 1])
    if not wire.places:
        counts = packed.astype(np.int64)
    else:
        places = np.frombuffer(wire.places, _PLACE)
        if places.size != packed.size:
            raise ValueError("malformed trend: as many places as counts are needed")
        counts = np.zeros(int(places.max()) + 1, dtype=np.int64)
        counts[places] = packed
    if wire.width == 8 and counts.size and int(counts.min()) < 0:
        raise ValueError("malformed trend: a count beyond 2^63")
    if counts.size and not MIN_INDEX <= wire.offset <= MAX_INDEX + 1 - counts.size:
        raise ValueError("malformed trend: buckets beyond the range of a histogram")
    return counts


def _finite(wire: TrendWire) -> bool:
    return math.isfinite(wire.sum) and math.isfinite(wire.min) and math.isfinite(wire.max)


class SeriesDef(msgspec.Struct, frozen=True, array_like=True):
    """Which series a number means, within one attempt of one runner."""

    id: int
    metric: str
    kind: Kind
    tags: tuple[tuple[str, str], ...] = ()


CounterWire: TypeAlias = tuple[int, float]
"""id, value."""
RateWire: TypeAlias = tuple[int, int, int]
"""id, hits, total."""
GaugeWire: TypeAlias = tuple[int, float, float, float]
"""id, last value, smallest and largest within the slot."""


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that changed in one runner until the end of one slot; see the module.

    Attributes:
        runner: Index of the runner within the run.
        attempt: A word that is new for each process: a runner that was lost and comes back counts anew, from zero.
        slot: The slot at whose end these values held; slot 0 is the first second of the run.
        defs: Series that occur for the first time.
        counters: Cumulative values.
        rates: Cumulative hits and totals.
        gauges: Of this slot alone, all of them.
        trends: Cumulative histograms.
        folded: It stands for all slots up to `slot` (only in a replay, see `Retention`): it belongs to the totals, and
            not to any window, as nobody knows any more what happened in which slot.
    """

    runner: int
    attempt: str
    slot: int
    defs: list[SeriesDef] = []
    counters: list[CounterWire] = []
    rates: list[RateWire] = []
    gauges: list[GaugeWire] = []
    trends: list[tuple[int, TrendWire]] = []
    folded: bool = False


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as MessagePack."""
    return _ENCODER.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """The snapshot in `data`.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return _DECODER.decode(data)
