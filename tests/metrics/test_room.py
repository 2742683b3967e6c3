"""What the measurements of one run may take."""

from __future__ import annotations

import pytest
from support.measured import WIDE

from squall.metrics.attempt import MAX_DEFINED
from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.room import Room
from squall.metrics.slots import SlotStore
from squall.metrics.snapshot import SeriesDef, Snapshot, TrendWire, pack

MIB = 1 << 20


def store(size: int = MIB) -> SlotStore:
    return SlotStore(keep=10, room=Room(size))


def trends(slot: int, count: int, wire: TrendWire, first: int = 0) -> Snapshot:
    numbers = range(first, first + count)
    defs = [SeriesDef(n, "http_req_duration", Kind.TREND, (("x", str(n)),)) for n in numbers]
    return Snapshot(0, "a", slot, defs=defs, trends=[(n, wire) for n in numbers])


def test_a_few_bytes_that_unfold_are_counted_unfolded():
    with pytest.raises(ValueError, match="take more than 1 MiB"):
        store().add(trends(0, 30, WIDE))


def test_no_tag_is_longer_than_the_room():
    long = SeriesDef(0, "http_reqs", Kind.COUNTER, (("x", "y" * MIB),))
    with pytest.raises(ValueError, match="take more than 1 MiB"):
        store().add(Snapshot(0, "a", 0, defs=[long]))


def test_no_attempt_defines_more_than_an_honest_one_ever_would():
    defs = [SeriesDef(n, "http_reqs", Kind.COUNTER) for n in range(MAX_DEFINED + 1)]
    with pytest.raises(ValueError, match=f"more than {MAX_DEFINED} series"):
        store(256 * MIB).add(Snapshot(0, "a", 0, defs=defs))


def test_what_is_refused_is_counted_too():
    defs = [SeriesDef(n, "no_such_metric", Kind.COUNTER) for n in range(5000)]
    with pytest.raises(ValueError, match="take more than 1 MiB"):
        store().add(Snapshot(0, "a", 0, defs=defs))


def seconds(made: SlotStore, count: int) -> None:
    defs = [SeriesDef(n, "http_reqs", Kind.COUNTER, (("x", str(n)),)) for n in range(400)]
    made.add(Snapshot(0, "a", 0, defs=[*defs, SeriesDef(999, "http_req_duration", Kind.TREND)]))
    histogram = Histogram()
    for slot in range(count):
        histogram.record(0.001 * (slot + 1))
        counters = [(n, float(slot + 1)) for n in range(400)]
        made.add(Snapshot(0, "a", slot, counters=counters, trends=[(999, pack(histogram))]))


def test_values_in_slots_are_counted_and_let_go_with_them():
    """A window of ten slots takes as much after a hundred of them as after ten."""
    seconds(store(), 100)
    with pytest.raises(ValueError, match="take more than 1 MiB"):
        seconds(SlotStore(keep=50, room=Room(MIB)), 100)


def test_sending_less_again_and_again_makes_no_room():
    """An older snapshot changes nothing, so it gives nothing back either."""
    made = store()
    made.add(trends(5, 5, WIDE))
    for _ in range(1000):
        made.add(trends(4, 5, TrendWire(0, 1, b"\x01", b"", 0, 1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="take more than 1 MiB"):
        made.add(trends(5, 30, WIDE, first=10))
