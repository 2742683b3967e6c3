"""What is put on the wire, byte by byte and property by property; the real server is asked in `test_real_receiver`."""

from __future__ import annotations

import re
import struct

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.export.buffer import Buffer
from squall.export.histograms import GAP, NUMBERS, SECONDS, Native, classic, le, native
from squall.export.names import Names, label_name, labels_of
from squall.export.wire import STALE, Body, Writer, identity, read
from squall.metrics import buckets
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, Kind, catalogue, custom

values = st.lists(
    st.floats(min_value=0, max_value=1e12, allow_nan=False) | st.floats(min_value=1e-6, max_value=10),
    max_size=60,
)


def unpacked(made: Native) -> dict[int, int]:
    """Counts by bucket, as a receiver reads spans and deltas."""
    found, bucket, count, at = {}, 0, 0, 0
    for offset, length in made.spans:
        bucket += offset
        for _ in range(length):
            count += made.deltas[at]
            if count:
                found[bucket] = count
            at, bucket = at + 1, bucket + 1
    assert at == len(made.deltas)
    return found


@given(values, st.integers(0, 6))
def test_native_histograms_have_the_counts_of_the_buckets_at_every_schema(
    samples: list[float], schema: int
) -> None:
    trend = Histogram.of(samples)
    made = native(trend, schema)
    expected: dict[int, int] = {}
    for sample in samples:
        if sample > buckets.ZERO_THRESHOLD:
            # Every bucket of a lower schema is made of 2^(6 - schema) neighbours.
            bucket = ((buckets.index(sample) - 1) >> (6 - schema)) + 1
            assert (
                schema == 0
                or sample <= buckets.upper_bound(bucket, schema)
                or bucket >= buckets.MAX_INDEX >> 6
            )
            expected[bucket] = expected.get(bucket, 0) + 1
    assert unpacked(made) == expected
    assert made.count == len(samples) == made.zero + sum(expected.values())
    assert made.total == trend.sum


@given(values)
def test_spans_are_apart_and_begin_and_end_with_something(samples: list[float]) -> None:
    made = native(Histogram.of(samples))
    assert all(offset > GAP for offset, _ in made.spans[1:])
    assert all(length > 0 for _, length in made.spans)


@given(values, values, st.integers(0, 6))
def test_downscaling_and_adding_may_change_places(a: list[float], b: list[float], schema: int) -> None:
    whole = Histogram.of(a + b)
    one, other = unpacked(native(Histogram.of(a), schema)), unpacked(native(Histogram.of(b), schema))
    assert unpacked(native(whole, schema)) == {
        bucket: one.get(bucket, 0) + other.get(bucket, 0) for bucket in one.keys() | other.keys()
    }


@given(values, st.sampled_from([SECONDS, NUMBERS]))
def test_classic_buckets_count_what_is_below_but_for_the_bound_s_own_width(
    samples: list[float], limits: tuple[float, ...]
) -> None:
    found = classic(Histogram.of(samples), limits)
    assert found == sorted(found)
    assert found[-1] == len(samples)
    for limit, count in zip(limits, found, strict=False):
        assert (
            sum(each <= limit * 0.994 for each in samples)
            <= count
            <= sum(each <= limit * 1.006 for each in samples)
        )


def test_bounds_read_as_people_write_them() -> None:
    assert [le(limit) for limit in (0.001, 0.25, 1.0, 300.0, 5e6, 2e9)] == [
        *("0.001", "0.25", "1", "300", "5000000", "2000000000")
    ]


def test_a_counter_on_the_wire_to_the_byte() -> None:
    writer = Writer()
    writer.sample(identity("up", (("job", "x"),)), 1000, 1.5)
    body = writer.body()
    sample = b"\x09" + struct.pack("<d", 1.5) + b"\x10\xe8\x07"
    series = (
        b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01x\x12" + bytes([len(sample)]) + sample
    )
    assert bytes(cramjam.snappy.decompress_raw(body.data)) == b"\x0a" + bytes([len(series)]) + series
    assert (body.samples, body.at_ms) == (1, 1000)


def test_a_native_histogram_on_the_wire_to_the_byte() -> None:
    writer = Writer()
    writer.histogram(b"", 5, Native(3, 2.5, 1, 0, ((-1, 2),), (1, 1)))
    histogram = (
        b"\x08\x03"  # count_int, a varint
        b"\x19" + struct.pack("<d", 2.5)  # sum
        + b"\x20\x02"  # schema 1, zigzag
        + b"\x29" + struct.pack("<d", 2.0**-30)  # zero_threshold
        + b"\x30\x00"  # zero_count_int, there although it is 0
        + b"\x5a\x04\x08\x01\x10\x02"  # positive_spans: offset -1 zigzag, length 2
        + b"\x62\x02\x02\x02"  # positive_deltas, packed, zigzag
        + b"\x78\x05"  # timestamp
    )  # fmt: skip
    series = b"\x22" + bytes([len(histogram)]) + histogram
    assert bytes(cramjam.snappy.decompress_raw(writer.body().data)) == b"\x0a" + bytes([len(series)]) + series


def test_the_stale_marker_is_that_very_nan() -> None:
    writer = Writer()
    writer.sample(identity("up", ()), 1, STALE)
    (series,) = read(writer.body().data).timeseries
    assert struct.pack("<d", series.samples[0].value) == bytes.fromhex("020000000000f07f")


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(ValueError, match="not a write request"):
        read(b"\xff\xff")


# -- names --------------------------------------------------------------------------------------------------------


def test_no_two_metrics_have_one_name() -> None:
    own = [
        custom("login", Kind.RATE),
        custom("login_samples", Kind.COUNTER),
        custom("run_info", Kind.GAUGE),
        custom("http_req_duration_seconds_count", Kind.GAUGE),
        custom("checks_passed", Kind.COUNTER),
    ]
    names = Names(catalogue(own), taken=("squall_run_info",))
    found = [family.name for family in names.all()]
    assert len(set(found)) == len(found)
    assert names.of("login")[1].name == "squall_login_samples_total"
    assert names.of("login_samples")[0].name == "squall_login_samples_total_"
    assert names.of("run_info")[0].name == "squall_run_info_"
    assert names.of("checks_passed")[0].name == "squall_checks_passed_total_"
    assert names.of("http_req_duration_seconds_count")[0].name == "squall_http_req_duration_seconds_count_"


def test_rates_are_named_after_what_they_count() -> None:
    names = Names(BUILT_IN)
    assert [family.name for family in names.of("http_req_failed")] == [
        "squall_http_req_failed_total",
        "squall_http_req_failed_samples_total",
    ]
    assert [family.name for family in names.of("checks")] == [
        "squall_checks_passed_total",
        "squall_checks_total",
    ]
    assert {family.kind for family in names.of("http_req_total")} == {"histogram"}


@given(st.lists(st.tuples(st.text(min_size=1, max_size=12), st.text(max_size=12)), max_size=6))
def test_whatever_tags_are_called_labels_are_valid_and_different(tags: list[tuple[str, str]]) -> None:
    found = labels_of(tags, frozenset({"run"}))
    names = [name for name, _ in found]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and not name.startswith("__") for name in names)
    assert not {"run", "le"} & set(names)
    assert all(text for _, text in found)


def test_a_label_s_value_is_utf_8_and_not_too_long_in_bytes() -> None:
    assert labels_of([("a", "x" * 2000), ("b", "é" * 512), ("c", "€" * 512)]) == (
        *(("a", "x" * 1024), ("b", "é" * 512), ("c", "€" * 341)),
    )
    ((_, value),) = labels_of([("reason", "no file caf\udce9.yaml\0")])
    assert value == "no file caf?.yaml\0"
    assert identity("up", (("reason", value),))


def test_a_tag_that_means_something_else_is_moved_aside() -> None:
    assert label_name("run", {"run"}) == "exported_run"
    assert label_name("le") == "exported_le"
    assert label_name("user-id") == "user_id"
    assert label_name("2nd") == "_2nd"


# -- the buffer ---------------------------------------------------------------------------------------------------


def body(size: int, at: int = 0) -> Body:
    return Body(bytes(size), 10, at)


def test_the_oldest_give_way_but_not_what_is_on_its_way() -> None:
    buffer = Buffer(lambda: 60)
    first, second, third = body(40, 1), body(40, 2), body(40, 3)
    buffer.put(first)
    assert buffer.hold() is first
    buffer.put(second)
    buffer.put(third)
    assert (buffer.size, buffer.samples, buffer.dropped) == (80, 20, 10)
    buffer.done()
    assert buffer.hold() is third
    assert buffer.oldest_ms() == 3
    buffer.done()
    assert (len(buffer), buffer.size, buffer.oldest_ms()) == (0, 0, None)


def test_one_request_alone_may_be_larger_than_the_buffer() -> None:
    buffer = Buffer(lambda: 10)
    buffer.put(body(50))
    assert (len(buffer), buffer.dropped) == (1, 0)
    assert buffer.clear() == 10
