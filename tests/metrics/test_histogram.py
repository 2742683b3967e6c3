from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.metrics import buckets
from squall.metrics.histogram import Histogram
from squall.metrics.snapshot import TrendWire, pack, unpack

VALUES = st.one_of(
    st.floats(1e-12, 1e17, allow_nan=False),
    st.floats(1e-6, 100.0),
    st.sampled_from([0.0, -1.0, 1.0, 0.5, 2.0**-30, 2.0**50, 1e16]),
    st.integers(buckets.MIN_INDEX, buckets.MAX_INDEX).map(buckets.upper_bound),
)
SAMPLES = st.lists(VALUES, max_size=60)


def test_boundaries_are_those_of_prometheus_and_closed_above():
    all_buckets = np.arange(buckets.MIN_INDEX, buckets.MAX_INDEX + 1)
    upper = np.array([buckets.upper_bound(int(i)) for i in all_buckets])
    assert np.array_equal(buckets.indices(upper), all_buckets)
    assert np.array_equal(buckets.indices(np.nextafter(upper[:-1], np.inf)), all_buckets[1:])
    assert [buckets.index(v) for v in upper[:500].tolist()] == all_buckets[:500].tolist()
    exact = 2.0 ** (all_buckets / 64)
    assert np.allclose(upper, exact, rtol=1e-15)
    # In the last place the format's constants differ from rounded powers; these are from its table.
    assert buckets.upper_bound(-64 + 6) == 0.5335702003384117
    assert buckets.upper_bound(32) == 2 * 0.7071067811865475


@given(SAMPLES)
def test_many_at_once_are_counted_like_one_by_one(samples):
    one_by_one = Histogram()
    for value in samples:
        one_by_one.record(value)
    at_once = Histogram()
    at_once.record_many(np.array(samples * 1, dtype=np.float64))
    padded = Histogram()  # enough values for the vectorised path
    padded.record_many(np.array(samples + [1.0] * 20))
    assert at_once == one_by_one
    assert padded.minus(Histogram.of([1.0] * 20)).count == len(samples)
    assert np.array_equal(
        padded.minus(Histogram.of([1.0] * 20)).trimmed().counts, one_by_one.trimmed().counts
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_nothing_is_counted(bad):
    trend = Histogram()
    for few in ([1.0, bad], [1.0] * 50 + [bad]):
        with pytest.raises(ValueError, match="finite"):
            trend.record_many(np.array(few))
    with pytest.raises(ValueError, match="finite"):
        trend.record(bad)
    assert trend == Histogram()


def test_values_beyond_the_range_are_kept_at_its_ends():
    trend = Histogram.of([-3.0, 0.0, 1e-12, 1e30])
    assert (trend.zero, trend.count, trend.min, trend.max) == (3, 4, -3.0, 1e30)
    assert trend.counts.size <= buckets.MAX_INDEX - buckets.MIN_INDEX + 1
    assert trend.quantile(1.0) == 1e30
    assert trend.quantile(0.5) <= buckets.ZERO_THRESHOLD


@pytest.mark.parametrize("distribution", ["lognormal", "exponential", "bimodal"])
def test_percentiles_of_a_million_samples_are_within_0_6_percent_of_exact(distribution):
    random = np.random.default_rng(7)
    n = 10**6
    samples = {
        "lognormal": lambda: random.lognormal(-3.0, 1.2, n),
        "exponential": lambda: random.exponential(0.08, n),
        "bimodal": lambda: np.concatenate(
            [random.normal(0.02, 0.002, n * 9 // 10).clip(1e-4), random.normal(1.5, 0.2, n // 10).clip(1e-4)]
        ),
    }[distribution]()
    whole = Histogram()
    whole.record_many(samples)
    qs = [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 0.9999]
    exact = np.quantile(samples, qs)
    assert np.max(np.abs(np.array(whole.quantiles(qs)) / exact - 1)) < 0.006
    assert (whole.quantile(0), whole.quantile(1)) == (samples.min(), samples.max())
    assert whole.mean == pytest.approx(samples.mean())

    merged = Histogram()
    for part in np.array_split(samples, 8):
        shard = Histogram()
        shard.record_many(part)
        merged.merge(shard)
    assert merged == whole


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_any_quantile_of_any_samples_is_within_half_a_bucket(samples, q):
    found = Histogram.of(samples).quantile(q)
    assert found == pytest.approx(float(np.quantile(samples, q)), rel=0.0055)


@given(SAMPLES, SAMPLES, SAMPLES)
def test_merging_is_commutative_and_associative(a, b, c):
    left, right, all_at_once = Histogram.of(c), Histogram.of(b), Histogram.of(a + b + c)
    left.merge(Histogram.of(a))
    left.merge(Histogram.of(b))
    right.merge(Histogram.of(c))
    total = Histogram.of(a)
    total.merge(right)
    assert left == total == all_at_once


@given(SAMPLES, SAMPLES)
def test_subtraction_gives_the_later_samples(first, later):
    earlier = Histogram.of(first)
    total = earlier.copy()
    total.merge(Histogram.of(later))
    new = total.minus(earlier)
    assert new.count == len(later)
    assert np.array_equal(new.trimmed().counts, Histogram.of(later).trimmed().counts)
    if later:
        assert new.max >= max(later)
        assert new.min <= min(later)
        assert new.max <= total.max
        assert new.min >= total.min
        if max(later) > max(first, default=-math.inf):
            assert new.max == max(later)


def test_an_extreme_reached_before_is_known_to_its_bucket():
    total = Histogram.of([0.001, 9.0])
    total.merge(later := Histogram.of([0.2, 0.3]))
    new = total.minus(Histogram.of([0.001, 9.0]))
    assert later.max <= new.max <= later.max * 1.011
    assert later.min / 1.011 <= new.min <= later.min


@pytest.mark.parametrize("earlier", [[5.0], [1.0, 1.0, 1.0], [0.0], [1.0] * 9 + [100.0]])
def test_what_is_no_earlier_state_is_refused(earlier):
    with pytest.raises(ValueError, match="earlier state"):
        Histogram.of([1.0, 1.0]).minus(Histogram.of(earlier))


@given(SAMPLES)
def test_the_wire_form_brings_the_same_histogram(samples):
    trend = Histogram.of(samples)
    assert unpack(pack(trend)) == trend


@pytest.mark.parametrize(("count", "width"), [(1, 1), (255, 1), (256, 2), (65536, 4), (2**32, 8)])
def test_the_wire_form_is_as_narrow_as_its_largest_count_allows(count, width):
    trend = Histogram.of([0.1, 0.102, 0.104])
    trend.counts *= count
    wire = pack(trend)
    assert wire.width == width
    assert np.array_equal(unpack(wire).trimmed().counts, trend.trimmed().counts)


def test_samples_far_apart_do_not_send_the_buckets_between():
    wire = pack(Histogram.of([1e-6, 1.0, 1e6]))
    assert len(wire.counts) + len(wire.places) <= 3 * 3


GOOD = TrendWire(0, 1, b"\x01\x02", b"", 0, 3.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "wire",
    [
        TrendWire(10**9, 1, b"\x01", b"", 0, 1.0, 1.0, 1.0),
        TrendWire(buckets.MIN_INDEX - 1, 1, b"\x01", b"", 0, 1.0, 1.0, 1.0),
        TrendWire(buckets.MAX_INDEX, 1, b"\x01\x01", b"", 0, 1.0, 1.0, 1.0),
        TrendWire(0, 3, b"\x01\x01\x01", b"", 0, 1.0, 1.0, 1.0),
        TrendWire(0, 2, b"\x01\x01\x01", b"", 0, 1.0, 1.0, 1.0),
        TrendWire(0, 1, b"\x01", b"\x01\x00\x02\x00", 0, 1.0, 1.0, 1.0),
        TrendWire(0, 1, b"", b"\x01", 0, 1.0, 1.0, 1.0),
        TrendWire(0, 1, b"\x01", b"", -1, 1.0, 1.0, 1.0),
        TrendWire(0, 1, b"\x01", b"", 0, math.nan, 1.0, 1.0),
        TrendWire(0, 1, b"\x01", b"", 0, 1.0, -math.inf, 1.0),
        TrendWire(0, 8, b"\xff" * 8, b"", 0, 1.0, 1.0, 1.0),
    ],
)
def test_a_malformed_wire_form_is_refused(wire):
    assert unpack(GOOD).count == 3
    with pytest.raises(ValueError):
        unpack(wire)


@given(st.lists(st.floats(1e-9, 1e14), min_size=1, max_size=50), st.integers(0, 5))
def test_a_lower_schema_counts_as_if_recorded_there(samples, schema):
    lower = Histogram.of(samples).buckets(schema)
    assert int(lower.counts.sum()) == len(samples)
    for place, count in enumerate(lower.counts.tolist()):
        low = buckets.upper_bound(lower.offset + place - 1, schema)
        high = buckets.upper_bound(lower.offset + place, schema)
        assert count == sum(low < value <= high for value in samples)


def test_there_is_no_higher_schema():
    with pytest.raises(ValueError, match="schema 7"):
        Histogram.of([1.0]).buckets(7)


@settings(max_examples=60)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), st.floats(1e-7, 1e7))
def test_the_fraction_below_a_value_is_exact_to_its_bucket(samples, value):
    trend = Histogram.of(samples)
    data = np.array(samples)
    low, high = np.mean(data <= value / 1.011), np.mean(data <= value * 1.011)
    assert low - 1e-12 <= trend.fraction_below(value) <= high + 1e-12


def test_without_samples_there_is_no_number():
    empty = Histogram()
    assert all(math.isnan(x) for x in (empty.mean, empty.quantile(0.5), empty.fraction_below(1.0)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        empty.quantile(1.01)
