from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.metrics.histogram import Histogram
from squall.metrics.names import (
    BUILT_IN,
    Kind,
    Merge,
    Unit,
    catalogue,
    custom,
    prometheus_name,
    prometheus_rate_total,
)
from squall.metrics.series import Counter, Gauge, Rate, Selector, SeriesKey, merge, minus, then


@pytest.mark.parametrize(
    ("text", "metric", "tags"),
    [
        ("vus", "vus", ()),
        (" vus ", "vus", ()),
        ("vus{}", "vus", ()),
        ("http_reqs{scenario:a}", "http_reqs", (("scenario", "a"),)),
        ("http_reqs{ stage : hold , scenario : a b }", "http_reqs", (("scenario", "a b"), ("stage", "hold"))),
        ("http_reqs{url:http://x:80/}", "http_reqs", (("url", "http://x:80/"),)),
        ('checks{check:"a, b {c}"}', "checks", (("check", "a, b {c}"),)),
        ("checks{check:duration < 2}", "checks", (("check", "duration < 2"),)),
    ],
)
def test_selectors_can_be_written(text, metric, tags):
    assert Selector.parse(text) == Selector(metric, tags)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{a:b}",
        "http reqs",
        "vus{",
        "vus}",
        "vus{a}",
        "vus{a:}",
        "vus{:b}",
        "vus{a:b,a:c}",
        "1vus",
        "vus{a:b,}",
    ],
)
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValueError):
        Selector.parse(text)


NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
VALUES = st.text(alphabet="abc 123/<>.:-", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(NAMES, st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_selector_reads_what_it_writes_and_matches_its_own_series(metric, tags):
    key = SeriesKey.of(metric, **tags)
    selector = Selector.parse(str(key))
    assert selector == Selector(metric, key.tags)
    assert selector.matches(key)
    assert Selector(metric).matches(key)
    assert selector.matches(SeriesKey.of(metric, **tags, more_than_eight="x"))
    assert not selector.matches(SeriesKey.of(metric + "x", **tags))
    assert not Selector(metric, (*key.tags, ("more_than_eight", "x"))).matches(key)


def test_empty_tags_are_left_out():
    assert SeriesKey.of("vus", stage="", scenario="a").tags == (("scenario", "a"),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http_reqs", "squall_http_reqs_total"),
        ("http_req_duration", "squall_http_req_duration_seconds"),
        ("data_sent", "squall_data_sent_bytes_total"),
        ("vus_max", "squall_vus_max"),
        ("memory_resident", "squall_memory_resident_bytes"),
        ("http_req_failed", "squall_http_req_failed_total"),
    ],
)
def test_names_in_prometheus(name, expected):
    assert prometheus_name(BUILT_IN[name]) == expected


def test_no_two_metrics_share_a_name_in_prometheus():
    names = [prometheus_name(metric) for metric in BUILT_IN.values()]
    names += [prometheus_rate_total(metric) for metric in BUILT_IN.values() if metric.kind is Kind.RATE]
    assert len(set(names)) == len(names)


def test_a_metric_of_the_users_own_joins_the_catalogue():
    own = custom("signup_duration", Kind.TREND)
    assert (own.unit, own.custom, own.reported) == (Unit.SECONDS, True, True)
    assert catalogue([own, own])["signup_duration"] is own
    assert catalogue([own]).keys() > BUILT_IN.keys()


def test_a_metric_that_also_records_durations_is_in_seconds():
    plain, timed = custom("x", Kind.TREND, unit=Unit.ONE), custom("x", Kind.TREND)
    assert catalogue([plain])["x"].unit is Unit.ONE
    for both in ([plain, timed], [timed, plain]):
        assert catalogue(both)["x"].unit is Unit.SECONDS


@pytest.mark.parametrize("name", ["", "9x", "a-b", "a b", "http_reqs", "x" * 200])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(ValueError):
        custom(name, Kind.COUNTER)


def test_one_name_is_one_metric():
    with pytest.raises(ValueError, match="declared as"):
        catalogue([custom("x", Kind.COUNTER), custom("x", Kind.GAUGE)])


@pytest.mark.parametrize(
    ("rule", "merged"),
    [
        (Merge.SUM, Gauge(5, 3, 9)),
        (Merge.MAX, Gauge(3, 2, 5, Merge.MAX)),
        (Merge.LAST, Gauge(3, 2, 5, Merge.LAST)),
    ],
)
def test_gauges_of_two_runners_at_one_time(rule, merged):
    one, two = Gauge(2, 1, 4, rule), Gauge(3, 2, 5, rule)
    expected = merged if rule is Merge.SUM else Gauge(3, 1, 5, rule)
    for first, second in ((one.copy(), two), (two.copy(), one)):
        merge(first, second)
        assert first == expected


def test_a_gauge_over_time():
    gauge = Gauge.at(5)
    gauge.set(9)
    gauge.set(2)
    then(gauge, Gauge(4, 3, 6))
    assert gauge == Gauge(4, 2, 9)


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        (Counter(1), Counter(2), Counter(3)),
        (Rate(1, 2), Rate(0, 2), Rate(1, 4)),
        (Histogram.of([1.0]), Histogram.of([2.0]), Histogram.of([1.0, 2.0])),
    ],
)
def test_what_adds_up_does_so_over_runners_and_over_time(one, two, both):
    for add in (merge, then):
        first = one.copy()
        add(first, two)
        assert first == both
        assert minus(first, one) == two or isinstance(first, Histogram)
    assert one != both


@pytest.mark.parametrize("act", [merge, then, minus])
def test_kinds_do_not_mix(act):
    with pytest.raises(TypeError):
        act(Counter(1), Rate(1, 1))
    with pytest.raises(TypeError):
        minus(Gauge.at(1), Gauge.at(1))


def test_a_rate_without_values_has_no_value():
    assert math.isnan(Rate().value)
    assert Rate(1, 4).value == 0.25
