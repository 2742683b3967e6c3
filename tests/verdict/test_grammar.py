from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, Kind, Unit, custom
from squall.metrics.series import Counter, Gauge, Rate
from squall.verdict.grammar import compile_expression
from squall.verdict.quantity import ThresholdError, quantity

CUSTOM = {
    "own_size": custom("own_size", Kind.TREND, unit=Unit.BYTES),
    "own_plain": custom("own_plain", Kind.TREND, unit=Unit.ONE),
    "own_gauge": custom("own_gauge", Kind.GAUGE),
}
METRICS = {**BUILT_IN, **CUSTOM}


@pytest.mark.parametrize(
    ("metric", "text", "expected"),
    [
        ("http_req_duration", "p(95)<500", ("p", 0.95, "<", 0.5)),
        ("http_req_duration", "p(95)<500ms", ("p", 0.95, "<", 0.5)),
        ("http_req_duration", " p( 99.9 ) <= 2s ", ("p", 0.999, "<=", 2.0)),
        ("http_req_duration", "avg<1m30s", ("avg", 0, "<", 90.0)),
        ("http_req_duration", "med < 250us", ("med", 0, "<", 250e-6)),
        ("http_req_duration", "max<1.5s", ("max", 0, "<", 1.5)),
        ("http_req_duration", "min>1", ("min", 0, ">", 0.001)),
        ("http_req_duration", "count>=100", ("count", 0, ">=", 100)),
        ("http_req_duration", "below(500ms)>=95%", ("below", 0.5, ">=", 0.95)),
        ("http_req_duration", "below(500)>0.95", ("below", 0.5, ">", 0.95)),
        ("http_req_failed", "rate<1%", ("rate", 0, "<", 0.01)),
        ("http_req_failed", "rate<0.01", ("rate", 0, "<", 0.01)),
        ("checks", "rate===1", ("rate", 0, "==", 1.0)),
        ("checks", "rate!=0", ("rate", 0, "!=", 0.0)),
        ("http_reqs", "count>=12500", ("count", 0, ">=", 12500)),
        ("http_reqs", "count>=12_500", ("count", 0, ">=", 12500)),
        ("http_reqs", "rate>100/s", ("rate", 0, ">", 100)),
        ("http_reqs", "rate>100", ("rate", 0, ">", 100)),
        ("http_reqs", "rate>6000/m", ("rate", 0, ">", 100)),
        ("data_received", "count<10KiB", ("count", 0, "<", 10240)),
        ("data_received", "rate<10MB/s", ("rate", 0, "<", 1e7)),
        ("cpu_throttled", "count<2s", ("count", 0, "<", 2.0)),
        ("cpu_throttled", "count<2", ("count", 0, "<", 2.0)),
        ("vus", "max>=200", ("max", 0, ">=", 200)),
        ("vus", "value==10", ("value", 0, "==", 10)),
        ("cpu_usage", "max<90%", ("max", 0, "<", 0.9)),
        ("memory_resident", "max<2GiB", ("max", 0, "<", 2 * 2**30)),
        ("own_size", "p(95)<10KiB", ("p", 0.95, "<", 10240)),
        ("own_plain", "p(95)<500", ("p", 0.95, "<", 500)),
        ("own_plain", "p(95)<500ms", ("p", 0.95, "<", 0.5)),
        ("own_gauge", "value>-5.5", ("value", 0, ">", -5.5)),
        (None, "value<2e9", ("value", 0, "<", 2e9)),
        (None, "value<2GiB", ("value", 0, "<", 2 * 2**30)),
        (None, "value<=5%", ("value", 0, "<=", 0.05)),
    ],
)
def test_what_can_be_written(metric, text, expected):
    found = compile_expression(text, METRICS[metric] if metric else None)
    aggregation, argument, comparator, limit = expected
    assert (found.aggregation, found.comparator) == (aggregation, comparator)
    assert found.argument == pytest.approx(argument, rel=1e-12)
    assert found.limit == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "text", "offset", "message", "hint"),
    [
        ("http_req_duration", "", 0, "does not begin with an aggregation", "p(95)<500ms"),
        ("http_req_duration", "<500", 0, "does not begin", ""),
        ("http_req_duration", "p(95)", 5, "comparator is missing", "p(95)<500ms"),
        ("http_req_duration", "p(95<500", 1, ") is missing", ""),
        ("http_req_duration", "p(95)<", 6, "no number", "500ms"),
        ("http_req_duration", "p(95)<fast", 6, "no number", ""),
        ("http_req_duration", "p(95)=500", 5, "no comparator", "<="),
        ("http_req_duration", "p(95)=<500", 5, "no comparator", "<="),
        ("http_req_duration", "p(101)<500", 2, "no percentile", "p(100)"),
        ("http_req_duration", "p()<500", 2, "needs an argument", "p(95)"),
        ("http_req_duration", "p<500", 1, "needs an argument", "p(95)"),
        ("http_req_duration", "avg(95)<500", 4, "no argument", "without"),
        ("http_req_duration", "p(95)<500msec", 9, "no unit", "did you mean ms"),
        ("http_req_duration", "p(95)<1%", 6, "not compared with a percentage", "a time"),
        ("http_req_duration", "p(95)<10KiB", 6, "not compared with a size", "a time"),
        ("http_req_duration", "p(95)<1.5x", 6, "multiple of what", "relativeTo"),
        ("http_req_duration", "average<5", 0, "no aggregation", "did you mean avg?"),
        ("http_req_duration", "maxx<5", 0, "no aggregation", "did you mean max?"),
        ("http_req_duration", "rate<5", 0, "is a trend, which has no 'rate'", "p(95)"),
        ("http_req_duration", "below(1s)>95", 10, "between 0 and 1", "did you mean 95%?"),
        ("http_req_failed", "rate<5", 5, "between 0 and 1", "did you mean 5%?"),
        ("http_req_failed", "rate>1", 5, "no share is above 1", "did you mean 1%?"),
        ("http_req_failed", "rate > 100%", 7, "can never hold", "write >="),
        ("http_req_failed", "rate<0", 5, "no share is below 0", "write <="),
        ("http_req_duration", "below(1s)>1.0", 10, "no share is above 1", "did you mean 1%?"),
        ("http_req_failed", "rate<5ms", 5, "not compared with a time", ""),
        ("http_req_failed", "p(95)<5", 0, "is a rate", "rate"),
        ("http_reqs", "avg<5", 0, "is a counter", "count, rate"),
        ("http_reqs", "count<5s", 6, "not compared with a time", ""),
        ("http_reqs", "rate>5MB/s", 5, "not compared with a size per time", ""),
        ("http_reqs", "rate>5/d", 6, "no unit", "/s"),
        ("vus", "p(95)<5", 0, "is a gauge", "value, min, max"),
        ("poll_count", "p(95)<500ms", 6, "not compared with a time", ""),
        (None, "p(95)<5", 0, "a query has no", "value"),
    ],
)
def test_what_cannot_be_written_and_what_is_said_to_it(metric, text, offset, message, hint):
    with pytest.raises(ThresholdError) as caught:
        compile_expression(text, METRICS[metric] if metric else None)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.offset == offset


def test_a_multiple_belongs_to_relative_to():
    found = compile_expression("p(95)<1.5x", METRICS["http_req_duration"], relative=True)
    assert (found.limit, found.relative) == (1.5, True)
    for metric, text in [
        ("http_req_duration", "p(95)<500ms"),
        ("http_req_duration", "count<2x"),
        ("http_reqs", "rate<2x"),
        ("vus", "max<0x"),
    ]:
        with pytest.raises(ThresholdError):
            compile_expression(text, METRICS[metric], relative=True)


@given(st.text(alphabet="p(95)<>= 1.0msxKi%/avgbelow{}é", max_size=30))
def test_any_text_is_read_or_refused_within_it(text):
    refused = None
    try:
        compile_expression(text, METRICS["http_req_duration"])
    except ThresholdError as error:
        refused = error
    assert refused is None or 0 <= refused.offset <= len(text)


@given(st.integers(0, 10**9), st.sampled_from(["", "ms", "s", "%", "KiB", "/s", "x"]))
def test_a_quantity_is_its_number_times_its_unit(number, unit):
    factor = {"": 1, "ms": 1e-3, "s": 1, "%": 1e-2, "KiB": 1024, "/s": 1, "x": 1}[unit]
    assert quantity(f"{number}{unit}").value == pytest.approx(number * factor)


TREND = Histogram.of([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("metric", "text", "aggregate", "value"),
    [
        ("http_req_duration", "min<1", TREND, 0.1),
        ("http_req_duration", "max<1", TREND, 0.4),
        ("http_req_duration", "avg<1", TREND, 0.25),
        ("http_req_duration", "med<1", TREND, 0.25),
        ("http_req_duration", "count<1", TREND, 4),
        ("http_req_duration", "below(250ms)>1%", TREND, 0.5),
        ("http_req_duration", "p(50)<1", Histogram(), None),
        ("http_reqs", "count<1", Counter(50), 50),
        ("http_reqs", "rate<1", Counter(50), 5),
        ("http_req_failed", "rate<1", Rate(1, 4), 0.25),
        ("http_req_failed", "rate<1", Rate(), None),
        ("vus", "value<1", Gauge(3, 1, 7), 3),
        ("vus", "min<1", Gauge(3, 1, 7), 1),
        ("vus", "max<1", Gauge(3, 1, 7), 7),
    ],
)
def test_what_an_aggregation_gives_of_ten_seconds(metric, text, aggregate, value):
    found = compile_expression(text, METRICS[metric]).value(aggregate, 10.0)
    assert found == (None if value is None else pytest.approx(value, rel=0.006))


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [("<5", 4.9, 5), ("<=5", 5, 5.1), (">5", 5.1, 5), (">=5", 5, 4.9), ("==5", 5, 4), ("!=5", 4, 5)],
)
def test_comparators(text, good, bad):
    found = compile_expression(f"value{text}", None)
    assert found.holds(good)
    assert not found.holds(bad)
    assert found.holds(good + 1, limit=6)
    assert not found.holds(bad + 1, limit=6)
