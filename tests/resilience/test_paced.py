"""Rate limits against a real server: what it sees, and how the wait is counted."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from support.driving import Target, Told, drive, manifest, prepared, stopped_while_waiting, target

SLACK = 0.15
"""Seconds; the server notices a request after it was sent, later on a busy machine, and not each as much as the other. Without a limit all
requests would come within less."""


def limited(url: str, steps: list[dict[str, Any]], *limits: dict[str, Any], **more: Any) -> dict[str, Any]:
    http = {"baseUrl": url, "rateLimits": list(limits)} | more.pop("http", {})
    spec = {"http": http} | more.pop("spec", {})
    return manifest(url, steps, spec=spec, **more)


def within(server: Target, rate: float, burst: int) -> None:
    """No stretch of what the server has seen holds more than rate and burst."""
    moments = sorted(seen.at for seen in server.seen)
    for i, first in enumerate(moments):
        for j in range(i, len(moments)):
            assert j - i + 1 <= burst + rate * (moments[j] - first + SLACK), (i, j)


GET = [{"name": "get", "http": {"url": "/get"}}]


async def test_a_host_gets_its_rate_and_no_more():
    async with target() as server:
        test = limited(server.url, GET, {"rate": 100, "burst": 5}, vus=10, iterations=10)
        measured = await drive(test)
    within(server, 100, 5)
    moments = [seen.at for seen in server.seen]
    assert len(moments) == 100
    assert max(moments) - min(moments) >= 0.95 - SLACK
    waits = measured.trend("rate_limit_wait", host="127.0.0.1")
    assert waits.count == 100
    assert measured.unknown(set()) == set()


async def test_waiting_is_part_of_the_request_and_seen_as_blocked():
    async with target() as server:
        test = limited(server.url, GET, {"rate": 10}, vus=1, iterations=4)
        measured = await drive(test)
    waited = measured.trend("rate_limit_wait")
    total, blocked = measured.trend("http_req_total"), measured.trend("http_req_blocked")
    assert total.count == blocked.count == waited.count == 4
    assert 0.2 < waited.sum < 0.35
    assert waited.sum <= blocked.sum <= total.sum
    assert measured.trend("http_req_duration").sum <= total.sum - waited.sum + 1e-9
    assert measured.trend("http_req_response_time").sum >= total.sum - 1e-9


async def test_the_wait_is_that_of_the_first_hop():
    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/there"})

    async with target() as server:
        server.answers["/get"] = moved
        measured = await drive(limited(server.url, GET, {"rate": 10}, vus=1, iterations=3))
    assert server.paths() == ["/get", "/there"] * 3
    assert measured.trend("http_req_blocked", status="302").max > 0.05
    assert measured.trend("http_req_blocked", status="200").max < 0.05
    assert measured.trend("http_req_total", status="200").max > 0.05


async def test_a_turn_after_the_timeout_is_a_failure_at_once():
    async with target() as server:
        steps = [{"name": "get", "http": {"url": "/get", "timeout": "150ms"}}]
        began = time.monotonic()
        measured = await drive(
            limited(server.url, steps, {"rate": 1, "timeUnit": "10s"}, vus=3, iterations=2)
        )
        took = time.monotonic() - began
    assert len(server.seen) == 1
    assert took < 5
    assert measured.count("http_reqs") == 1
    assert measured.rate("http_req_failed", error="rate_limited", method="GET") == (5, 5)
    assert measured.rate("http_req_failed") == (5, 6)
    assert measured.count("http_req_errors", error="rate_limited") == 5
    assert measured.count("step_failures", error="rate_limited") == 5
    assert measured.trend("http_req_total").count == 1
    assert took >= 0.2, "a request that was not sent is followed by a pause"


async def test_a_turn_that_leaves_next_to_no_time_is_not_taken():
    async with target() as server:
        steps = [{"name": "get", "http": {"url": "/get", "timeout": "10500ms"}}]
        told = Told()
        limit = {"rate": 1, "timeUnit": "10s"}
        measured = await drive(limited(server.url, steps, limit, vus=2, iterations=1), told=told)
    assert len(server.seen) == 1
    assert measured.count("http_req_errors", error="rate_limited") == 1
    assert "would come when more than 90% of its 10.5 s are over" in told.messages()


async def test_a_timeout_after_a_wait_names_the_wait():
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with target() as server:
        server.answers["/get"] = never
        steps = [{"http": {"url": "/quick"}}, {"name": "get", "http": {"url": "/get", "timeout": "500ms"}}]
        told = Told()
        measured = await drive(limited(server.url, steps, {"rate": 5}, vus=1, iterations=1), told=told)
    assert len(server.seen) == 2
    assert measured.count("http_req_errors", error="timeout") == 1
    assert re.search(r"of its 0\.5 s had gone by in the queue of its rate limit", told.messages())


async def test_spacing_is_kept_between_any_two():
    async with target() as server:
        await drive(limited(server.url, GET, {"spacing": "50ms"}, vus=5, iterations=2))
    within(server, 20, 1)
    assert server.seen[-1].at - server.seen[0].at >= 9 * 0.05 - SLACK


async def test_hosts_do_not_share_what_does_not_name_both():
    async with target() as one, target() as other:
        steps = [{"http": {"url": f"{server.url}/x"}} for server in (one, other)]
        limit = {"host": f"127.0.0.1:{one.port}", "rate": 20}
        measured = await drive(limited(one.url, steps, limit, vus=1, iterations=6))
        assert measured.trend("rate_limit_wait", host=f"127.0.0.1:{one.port}").count == 6
        assert measured.trend("rate_limit_wait").count == 6
        assert len(other.seen) == 6


async def test_polls_and_retries_take_their_turns():
    async with target() as server:
        server.answer("/get", status=503)
        retry = {"initial": "1ms", "maxRetries": 3, "backoff": {"factor": "1"}}
        steps = [
            {"http": {"url": "/get"}, "onError": "continue"},
            {"poll": {"http": {"url": "/job"}, "until": "false", "interval": "10ms", "deadline": "250ms"}},
        ]
        test = limited(server.url, steps, {"spacing": "60ms"}, http={"retry": retry})
        measured = await drive(test)
    assert server.paths()[:4] == ["/get"] * 4
    gaps = [later.at - earlier.at for earlier, later in pairwise(server.seen)]
    assert min(gaps) > 0.04
    assert measured.trend("rate_limit_wait").count == len(server.seen)


async def test_a_stop_ends_the_waiting():
    async with target() as server:
        test = limited(
            server.url, GET, {"rate": 1, "timeUnit": "20s"}, executor="constant-vus", vus=200, duration="1h"
        )
        test["spec"]["http"]["timeout"] = "10m"
        async with prepared(test, Told()) as engine:
            measured = await stopped_while_waiting(engine, lambda: bool(server.seen))
        assert len(server.seen) == 1
    assert measured.count("http_reqs") == 1
    assert measured.count("iterations_interrupted") == 200


@pytest.mark.parametrize("shards", [(0,), (0, 1)])
async def test_a_runner_has_the_part_of_its_shards(shards: tuple[int, ...]):
    async with target() as server:
        test = limited(
            server.url, GET, {"rate": 60, "burst": 3}, spec={"shards": 3},
            executor="constant-vus", vus=30, duration="1s", gracefulStop="0s",
        )  # fmt: skip
        await drive(test, shards=shards)
    within(server, 20 * len(shards), len(shards))
    assert len(server.seen) >= 20 * len(shards) * 0.8


async def test_a_limit_that_names_no_host_is_refused():
    async with target() as server:
        test = limited(server.url, GET, {"host": "http://shop", "rate": 1})
        with pytest.raises(Exception, match="rateLimits"):
            await drive(test)
