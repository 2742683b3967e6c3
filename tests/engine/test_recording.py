import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import Measured

from squall.metrics.histogram import Histogram
from squall_runner.recording import MAX_TAG_VALUE, GaugeSeries, Recorder, make_tags

ROWS = st.lists(
    st.tuples(*(st.floats(0, 50) for _ in range(5)), st.integers(0, 10**6), st.integers(0, 10**9)),
    max_size=60,
)


def test_tags_have_one_form():
    assert make_tags(b="2", a="1", c="") == (("a", "1"), ("b", "2"))
    assert make_tags(own=(("scenario", "mine"), ("x", "y")), scenario="s") == (("scenario", "s"), ("x", "y"))
    assert make_tags(a="x" * 1000) == (("a", "x" * MAX_TAG_VALUE),)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_rows_become_the_metrics_that_they_say(batches):
    recorder = Recorder(0, "a")
    measured = Measured()
    everything = []
    for slot, rows in enumerate(batches):
        series = recorder.requests(make_tags(step="s"), failed=False)
        for start, took, early, sending, waiting, sent, received in rows:
            series.add(start, start + took, start - early, sending, waiting, 0.0, sent, received)
        everything += rows
        measured.take(recorder.measure(slot))
    assert measured.count("http_reqs") == len(everything)
    if not everything:
        return
    table = np.array(everything)
    start, took, early, sending, waiting, sent, received = table.T
    expected = {
        "http_req_total": (start + took) - start,
        "http_req_response_time": (start + took) - (start - early),
        "http_req_duration": sending + waiting,
        "http_req_sending": sending,
        "http_req_waiting": waiting,
        "http_req_receiving": np.zeros(len(table)),
        "http_req_blocked": np.zeros(len(table)),
    }
    for metric, values in expected.items():
        found, wanted = measured.trend(metric), Histogram.of(values)
        assert found.count == wanted.count, metric
        assert found.sum == pytest.approx(wanted.sum)
        assert (found.min, found.max) == (wanted.min, wanted.max)
    assert measured.count("data_sent") == sent.sum()
    assert measured.count("data_received") == received.sum()
    assert measured.rate("http_req_failed") == (0, len(table))


def test_full_buffers_lose_nothing():
    recorder = Recorder(0, "a")
    series = recorder.requests((), failed=True, error="reset")
    for number in range(5000):
        series.add(0.0, 0.001 * number, 0.0, 0.0, 0.001, 0.0, 10, 20)
    series.opened(0.5, 0.25, 0.125)
    measured = Measured().take(recorder.measure(0))
    assert measured.count("http_reqs") == measured.count("http_req_errors") == 5000
    assert measured.rate("http_req_failed") == (5000, 5000)
    assert measured.trend("http_req_total").max == pytest.approx(4.999)
    blocked = measured.trend("http_req_blocked")
    assert (blocked.count, blocked.zero, blocked.max, blocked.min) == (5000, 4999, 0.5, 0.0)


def test_series_have_a_hard_cap_and_what_is_beyond_is_counted():
    recorder = Recorder(0, "a", max_series=10)
    for number in range(1000):
        tags = make_tags(scenario="s", user=str(number))
        recorder.requests(tags, failed=False).add(0, 1, 0, 0, 1, 0, 1, 1)
    snapshot = recorder.measure(0)
    measured = Measured().take(snapshot)
    assert measured.count("http_reqs") == 1000
    assert measured.count("http_reqs", overflow="true", scenario="s") == 990
    assert measured.count("series_dropped") == 990
    assert len({tags for _, tags in recorder._ids}) <= 12
    assert len(recorder._sources) == 10


def test_a_gauge_keeps_the_extremes_of_its_slot():
    recorder = Recorder(0, "a")
    gauge = recorder.gauge("vus", (), 0.0)
    for value in (5, 2, 3):
        gauge.set(value)
    assert Measured().take(recorder.measure(0)).gauges == {0: (3, 0.0, 5)}
    assert recorder.measure(1).gauges == [(0, 3, 3, 3)]


def test_a_gauge_that_was_never_set_is_not_there():
    recorder = Recorder(0, "a")
    assert isinstance(recorder.gauge("depth"), GaugeSeries)
    assert recorder.measure(0).gauges == []


def test_unchanged_series_are_not_sent_again():
    recorder = Recorder(0, "a")
    recorder.counter("iterations").value += 1
    recorder.trend("iteration_duration").add(0.5)
    recorder.rate("checks").add(hit=True)
    first, second = recorder.measure(0), recorder.measure(1)
    assert (len(first.counters), len(first.trends), len(first.rates), len(first.defs)) == (1, 1, 1, 3)
    assert (second.counters, second.trends, second.rates, second.defs) == ([], [], [], [])
