import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import Measured, Told, manifest, prepared, target

from squall.metrics.histogram import Histogram
from squall.metrics.limit import ROOM
from squall.metrics.series import Selector
from squall.metrics.slots import SlotStore
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
        if number == 4999:
            series.opened(0.5, 0.25, 0.125)
        series.add(0.0, 0.001 * number, 0.0, 0.0, 0.001, 0.0, 10, 20)
    measured = Measured().take(recorder.measure(0))
    assert measured.count("http_reqs") == measured.count("http_req_errors") == 5000
    assert measured.rate("http_req_failed") == (5000, 5000)
    assert measured.trend("http_req_total").max == pytest.approx(4.999)
    blocked = measured.trend("http_req_blocked")
    assert (blocked.count, blocked.zero, blocked.max, blocked.min) == (5000, 4999, 0.5, 0.0)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("requests", [1, 31, 32, 33, 160])
def test_what_has_been_measured_of_opened_connections_never_becomes_less(requests, late):
    """Also when a buffer is full exactly at the end of a slot, and whenever a connection is told of."""
    recorder, store = Recorder(0, "a"), SlotStore()
    series = recorder.requests((), failed=True, error="reset")
    for slot in range(5):
        for _ in range(requests):
            if not late:
                series.opened(0.5, 0.25, 0.0)
            series.add(0.0, 1.0, 0.0, 0.0, 0.001, 0.0, 10, 20)
            if late:
                series.opened(0.5, 0.25, 0.0)
        assert store.add(recorder.measure(slot)) == 0
    for metric in ("http_req_blocked", "http_req_connecting", "http_req_tls_handshaking", "http_req_total"):
        found = store.total(Selector(metric))
        assert isinstance(found, Histogram)
        assert found.count == 5 * requests, metric
    blocked = store.total(Selector("http_req_blocked"))
    assert isinstance(blocked, Histogram)
    assert late or blocked.zero == 0


def test_series_have_a_hard_cap_and_what_is_beyond_is_counted():
    recorder = Recorder(0, "a", max_series=10)
    for number in range(1000):
        tags = make_tags(scenario="s", user=str(number))
        recorder.requests(tags, failed=False).add(0, 1, 0, 0, 1, 0, 1, 1)
    snapshot = recorder.measure(0)
    measured = Measured().take(snapshot)
    assert measured.count("http_reqs") == 1000
    assert measured.count("http_reqs", scenario="s") == 1000
    assert measured.count("series_dropped") == 980
    assert len(recorder._sources) == 21  # as they are, as many in the reserve, and the one without the tag


def test_series_of_another_scenario_are_kept_whatever_one_makes():
    recorder = Recorder(0, "a", max_series=200)
    for number in range(1000):
        tags = make_tags(scenario="a", step="one", it=str(number), team="red")
        recorder.requests(tags, failed=False).add(0, 1, 0, 0, 1, 0, 1, 1)
    planned = recorder.counter("arrivals_planned", make_tags(scenario="b"))
    planned.value += 7
    for team in ("red", "blue"):
        tags = make_tags(scenario="b", step="two", status="500", it="x", team=team)
        recorder.requests(tags, failed=True, error="http_5xx").add(0, 1, 0, 0, 1, 0, 1, 1)
    measured = Measured().take(recorder.measure(0))
    assert measured.rate("http_req_failed", scenario="b", step="two", status="500") == (2, 2)
    assert measured.rate("http_req_failed", scenario="b", team="blue", it="x") == (1, 1)
    assert measured.count("arrivals_planned", scenario="b") == 7
    assert measured.count("http_reqs", scenario="a", step="one", team="red") == 1000
    assert measured.count("series_dropped") == 800
    assert recorder.limit.cut == {"it"}


def test_no_combination_of_tags_makes_series_without_end():
    recorder = Recorder(0, "a", max_series=20)
    for number in range(2000):
        tags = make_tags(scenario="a", x=str(number % 50), y=str(number % 49))
        recorder.counter("iterations", tags).value += 1
        # A tag of the manifest that has the name of one of Squall's.
        recorder.counter("iterations", make_tags(scenario="a", check=str(number))).value += 1
    measured = Measured().take(recorder.measure(0))
    assert measured.count("iterations", scenario="a") == 4000
    assert len(recorder._sources) <= 2 * 20 + ROOM * 20 + 1
    assert recorder.limit.warning().startswith("too many different values of the tags x, y:")


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


async def test_a_run_with_too_many_tag_values_says_so_once(monkeypatch):
    monkeypatch.setattr("squall_runner.engine.engine.Recorder", partial(Recorder, max_series=110))
    told = Told()
    async with target() as server:
        step = {"http": {"url": "/"}, "tags": {"it": "${uuid()}"}}
        async with prepared(manifest(server.url, [step], vus=1, iterations=400), told) as engine:
            await engine.drive(time.monotonic_ns())
            measured = Measured().take(engine.measure(0))
            engine.measure(1)
    assert measured.count("http_reqs", scenario="main") == 400
    assert measured.count("series_dropped") == 290
    ((level, event, fields),) = told.notes
    assert (level, event) == ("warning", "TagsDropped")
    assert "tag it:" in fields["message"]
