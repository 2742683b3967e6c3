"""The hub's smaller parts: clock offsets, tokens, journal, series file, timeline, limits, Prometheus."""

from __future__ import annotations

import gzip
import hmac
import json
import os
from types import SimpleNamespace

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from support.fakerunner import manifest

from squall.hub import journal, promql, tokens
from squall.hub.clock import ClockOffset
from squall.hub.journal import Journal
from squall.hub.limits import Limits
from squall.hub.promql import Prometheus, PrometheusError, value_of
from squall.hub.series import SeriesFile, row
from squall.hub.timeline import MAX_EVENTS, Timeline
from squall.hub.tokens import bears, run_token
from squall.metrics.histogram import Histogram
from squall.metrics.series import Counter, Gauge, Rate, SeriesKey
from squall.spec.loadtest import LoadTest

SECOND = 10**9
times = st.integers(0, 10**18)
delays = st.integers(0, SECOND)


@given(
    offset=st.integers(-(10**18), 10**18),
    pings=st.lists(st.tuples(times, delays, delays), min_size=1, max_size=200),
)
def test_the_offset_is_wrong_by_half_the_smallest_round_trip_at_most(offset, pings):
    clock = ClockOffset()
    for sent, there, back in pings:
        clock.add(sent, sent + there + offset, sent + there + back)
    kept = pings[-120:]
    smallest = min(there + back for _, there, back in kept)
    assert clock.round_trip_ns == smallest
    moment = 5 * SECOND
    assert abs(clock.to_remote(moment) - (moment + offset)) <= smallest / 2 + 1
    assert clock.to_hub(clock.to_remote(moment)) == moment


def test_a_ping_is_not_answered_before_it_is_sent():
    with pytest.raises(ValueError, match="before"):
        ClockOffset().add(10, 0, 9)


def test_a_token_is_of_one_run_and_one_key():
    assert run_token(b"k", "a") != run_token(b"k", "b")
    assert run_token(b"k", "a") != run_token(b"l", "a")
    assert bears(f"Bearer {run_token(b'k', 'a')}", run_token(b"k", "a").encode())
    for wrong in (None, "", "Bearer ", "Basic x", run_token(b"k", "a"), "Bearer é"):
        assert not bears(wrong, run_token(b"k", "a").encode())


def test_tokens_are_compared_in_constant_time(monkeypatch):
    """Whatever is wrong with a token, and however much of it is right, one comparison that does not end early decides."""
    token = run_token(b"k", "a")
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(tokens, "hmac", SimpleNamespace(compare_digest=compare))
    wrong = [
        None,
        "",
        "Basic x",
        "Bearer ",
        f"Bearer {token[:-1]}",
        f"Bearer {token[:-1]}!",
        f"Bearer {token}!",
    ]
    for header in [*wrong, f"Bearer {token}"]:
        assert bears(header, token.encode()) is (header == f"Bearer {token}")
    assert [other for _, other in compared] == [token.encode()] * 8


def test_a_journal_survives_being_cut_anywhere(tmp_path):
    path = tmp_path / journal.NAME
    first = Journal(path)
    first.write("run", {"name": "ä"}, durable=True)
    first.write("start", {"at": 1})
    first.close()
    whole = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0, "setup's values may be secret"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        again = Journal(path)
        again.write("stop", {"at": 2})
        again.close()
        kinds = [record["kind"] for record in journal.read(path)]
        complete = [
            kind for kind, end in (("run", whole.index(b"}")), ("start", len(whole) - 2)) if length > end
        ]
        assert kinds == [*complete, "stop"]


def test_series_are_readable_after_every_flush_and_written_once(tmp_path):
    path = tmp_path / "series.jsonl.gz"
    file = SeriesFile(path)
    for slot in range(25):
        file.add(slot, [(SeriesKey("http_reqs"), Counter(float(slot)))])
    assert file.written == 19
    again = SeriesFile(path, file.written)  # the process was killed: what was not written comes again
    for slot in range(15, 25):
        again.add(slot, [(SeriesKey("http_reqs"), Counter(float(slot)))])
    again.flush()
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [(row["t"], row["v"]) for row in rows] == [(slot + 1, slot) for slot in range(25)]


def test_a_disk_that_is_full_is_said_and_leaves_what_was_written(tmp_path, monkeypatch):
    path = tmp_path / "series.jsonl.gz"
    file = SeriesFile(path)
    file.add(0, [(SeriesKey("http_reqs"), Counter(1.0))])
    file.flush()
    before = path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[: len(data) // 2]))
    file.add(1, [(SeriesKey("http_reqs"), Counter(1.0))])
    file.flush()
    assert "No space left" in file.problem
    assert path.read_bytes() == before


def test_rows_hold_what_charts_need():
    tags = (("scenario", "s"),)
    assert row(0, SeriesKey("a", tags), Counter(2.0)) == {"t": 1, "m": "a", "g": {"scenario": "s"}, "v": 2.0}
    assert row(1, SeriesKey("a"), Rate(1, 4)) == {"t": 2, "m": "a", "h": 1, "n": 4}
    assert row(1, SeriesKey("a"), Gauge(1, 0, 3)) == {"t": 2, "m": "a", "v": 1, "min": 0, "max": 3}
    made = row(1, SeriesKey("a"), Histogram.of([1.0, 1.0]))
    assert (made["n"], made["sum"], made["p50"], made["p99"]) == (2, 2.0, 1.0, 1.0)
    assert row(1, SeriesKey("a"), Histogram()) == {"t": 2, "m": "a", "n": 0, "sum": 0.0}


def test_a_timeline_is_bounded_and_says_so():
    timeline = Timeline()
    for i in range(MAX_EVENTS + 3):
        timeline.add(i, "warning", "E", "the same")
    assert len(timeline.events) == MAX_EVENTS
    assert timeline.warnings == ("the same", "3 further events are not listed")


def test_the_first_message_of_each_kind_of_failure_is_kept():
    timeline = Timeline()
    for message in ("first", "second"):
        assert timeline.example({"error": "reset", "scenario": "s", "step": "get", "message": message})
    assert not timeline.example({"message": "no failed request"})
    assert timeline.examples == {("reset", "s", "get"): "first"}


def test_runners_keep_what_a_fresh_hub_needs():
    spec = manifest(
        thresholds=[
            {"metric": "checks", "expression": "rate>0.9", "over": "90s", "for": "30s"},
            {"metric": "checks", "expression": "rate>0.9", "after": "20s"},
        ],
        safety={"lostControl": "10s"},
    )
    limits = Limits.of(LoadTest.model_validate(spec).spec)
    assert limits.keep_slots >= 90 + 30 + 10
    assert limits.anchors == (19,)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"resultType": "scalar", "result": [1, "2.5"]}, 2.5),
        ({"resultType": "vector", "result": []}, None),
        ({"resultType": "vector", "result": [{"value": [1, "NaN"]}]}, None),
        (
            {
                "resultType": "vector",
                "result": [{"value": [1, "3"]}, {"value": [1, "7"]}, {"value": [1, "NaN"]}],
            },
            7,
        ),
    ],
)
def test_the_one_number_of_an_answer(data, value):
    assert value_of(data) == value


@pytest.mark.parametrize(
    "data",
    [
        {"resultType": "matrix", "result": []},
        {"resultType": "string", "result": [1, "x"]},
        {"resultType": "vector", "result": [{}]},
        {"resultType": "vector", "result": None},
        {"resultType": "scalar", "result": [1, "x"]},
        {"resultType": "scalar"},
    ],
)
def test_an_answer_that_is_no_number_is_an_error(data):
    with pytest.raises(PrometheusError):
        value_of(data)


@pytest.fixture
async def prometheus():
    """Something that answers as the query says."""

    async def answer(request: web.Request) -> web.StreamResponse:
        query = (await request.post())["query"]
        match query:
            case "slow":
                await request.content.read()
                import asyncio

                await asyncio.sleep(5)
                return web.Response()
            case "broken":
                return web.json_response({"status": "error", "error": "parse error"}, status=400)
            case "html":
                return web.Response(text="<html>", status=502)
            case "list":
                return web.json_response([])
            case "close":
                assert request.transport is not None
                request.transport.close()
                return web.Response()
        value = {"resultType": "scalar", "result": [1, query]}
        return web.json_response({"status": "success", "data": value})

    app = web.Application()
    app.add_routes([web.post("/prom/api/v1/query", answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = Prometheus(f"http://127.0.0.1:{runner.addresses[0][1]}/prom/")
    yield client
    await client.close()
    await runner.cleanup()


async def test_prometheus_is_asked_all_at_once_and_errors_stay_apart(prometheus, monkeypatch):
    monkeypatch.setattr(promql, "TIMEOUT_SECONDS", 0.2)
    answers = await prometheus.ask_all(["1", "slow", "broken", "html", "list", "close", "2", "1"], 100.0)
    assert answers["1"] == 1.0
    assert answers["2"] == 2.0
    reasons = {q: str(answer) for q, answer in answers.items() if isinstance(answer, PrometheusError)}
    assert set(reasons) == {"slow", "broken", "html", "list", "close"}
    assert "parse error" in reasons["broken"]
    assert "502" in reasons["html"]
    assert "no answer within" in reasons["slow"]


async def test_nobody_listening_is_an_error_and_not_a_hang():
    client = Prometheus("http://127.0.0.1:1")
    with pytest.raises(PrometheusError):
        await client.ask("1", 0.0)
    await client.close()
