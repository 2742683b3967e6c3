"""The circuit breaker against a server that fails and recovers."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from aiohttp import web
from support.driving import Measured, Target, Told, drive, manifest, prepared, target
from support.processes import free_ports

BREAKER = {"errorRate": "50%", "window": "10s", "minRequests": 10, "openFor": "300ms", "probes": 2}


def broken(url: str, steps: list[dict[str, Any]], breaker: dict[str, Any] | None = None, **more: Any) -> Any:
    http = {"baseUrl": url, "circuitBreaker": BREAKER | (breaker or {})} | more.pop("http", {})
    spec = {"http": http} | more.pop("spec", {})
    return manifest(url, steps, spec=spec, **more)


GET = [{"name": "get", "http": {"url": "/get"}, "onError": "continue"}]


class Moody:
    """Answers with the status that it is told."""

    def __init__(self, server: Target) -> None:
        self.status = 200
        server.answers["/get"] = self.answer

    async def answer(self, _: web.Request) -> web.Response:
        return web.json_response({}, status=self.status)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_circuit_opens_rejects_and_closes_again():
    told = Told()
    async with target() as server:
        moody = Moody(server)
        host = f"127.0.0.1:{server.port}"
        steps = [*GET, {"think": {"duration": "10ms"}}]
        test = broken(server.url, steps, executor="constant-vus", vus=5, duration="1h")
        async with prepared(test, told) as engine:
            measured = Measured()
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            await until(lambda: len(server.seen) >= 20)
            moody.status = 500
            await until(lambda: measured.take(engine.measure(0)).gauge("circuit_state", host=host)[0] == 2)
            await asyncio.sleep(0.1)
            sent = len(server.seen)
            await asyncio.sleep(0.1)
            assert len(server.seen) == sent, "an open circuit lets nothing through"
            await until(lambda: measured.take(engine.measure(0)).count("circuit_opened", host=host) == 2)
            assert sent < len(server.seen) <= sent + 2, "probes only"
            moody.status = 200
            await until(lambda: measured.take(engine.measure(0)).gauge("circuit_state", host=host)[0] == 0)
            again = len(server.seen)
            await until(lambda: len(server.seen) > again + 20)
            engine.stop(1)
            await asyncio.wait_for(run, 10)
            measured.take(engine.measure(0))
    rejected = measured.count("circuit_rejected", host=host)
    assert rejected > 0
    assert measured.count("http_reqs") == len(server.seen)
    assert measured.rate("http_req_failed", error="circuit_open") == (rejected, rejected)
    assert measured.count("http_req_errors", error="circuit_open", method="GET", step="get") == rejected
    assert (
        measured.trend("http_req_total").count
        == measured.trend("http_req_duration").count
        == len(server.seen)
    )
    assert 0.6 < measured.count("circuit_open_time", host=host) < 20
    events = [event for _, event, _ in told.notes if event.startswith("Circuit")]
    assert events == ["CircuitOpened", "CircuitOpened", "CircuitClosed"]
    assert measured.unknown(set()) == set()


async def test_whose_request_is_rejected_pauses():
    async with target() as server:
        server.answer("/get", status=500)
        test = broken(server.url, GET, {"openFor": "10m"}, vus=2, iterations=9)
        began = time.monotonic()
        measured = await drive(test)
        took = time.monotonic() - began
    assert len(server.seen) <= 11
    rejected = measured.count("circuit_rejected")
    assert rejected == 18 - len(server.seen) >= 7
    assert took >= 0.1 * (rejected // 2)
    assert measured.count("step_failures", error="circuit_open") == rejected


async def test_shards_of_a_runner_share_the_circuit_and_hosts_have_their_own():
    async with target() as bad, target() as good:
        bad.answer("/x", status=503)
        steps = [
            {"name": s, "http": {"url": f"{u}/x"}, "onError": "continue"}
            for s, u in (("bad", bad.url), ("good", good.url))
        ]
        test = broken(bad.url, steps, {"openFor": "10m"}, vus=4, iterations=10, spec={"shards": 2})
        measured = await drive(test, shards=(0, 1))
        assert (
            measured.count("circuit_opened")
            == measured.count("circuit_opened", host=f"127.0.0.1:{bad.port}")
            == 1
        )
        assert len(bad.seen) < 20
        assert len(good.seen) == 40


async def test_what_is_no_failure_of_the_host_does_not_open_it():
    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{port}/"})

    (port,) = free_ports(1)
    async with target() as server:
        server.answer("/missing", status=404)
        server.answers["/moved"] = moved
        steps = [{"http": {"url": path}, "onError": "continue"} for path in ("/missing", "/moved")]
        measured = await drive(broken(server.url, steps, vus=2, iterations=20))
    assert measured.count("circuit_opened") == 0
    assert measured.rate("http_req_failed")[0] == 80


async def test_connections_that_fail_open_it():
    (port,) = free_ports(1)
    async with target() as server:
        steps = [{"http": {"url": f"http://127.0.0.1:{port}/"}, "onError": "continue"}]
        measured = await drive(broken(server.url, steps, {"openFor": "10m"}, iterations=12))
    assert measured.count("circuit_opened", host=f"127.0.0.1:{port}") == 1
    assert measured.count("http_reqs", error="connect_refused") == 10
    assert measured.count("circuit_rejected") == 2


async def test_retries_meet_the_circuit_and_do_not_retry_a_rejection():
    async with target() as server:
        server.answer("/get", status=503)
        http = {"retry": {"initial": "1ms", "maxRetries": 20, "budget": "100%", "backoff": {"factor": "1"}}}
        measured = await drive(broken(server.url, GET, {"openFor": "10m"}, http=http))
    assert len(server.seen) == 10
    assert measured.count("http_retries") == 10
    assert measured.count("circuit_rejected") == 1
    assert measured.count("step_failures", error="circuit_open") == 1


async def test_polls_meet_it_as_well():
    async with target() as server:
        server.answer("/job", status=500)
        poll = {"http": {"url": "/job"}, "until": "true", "interval": "10ms"}
        steps = [{"name": "job", "poll": poll, "onError": "continue"}]
        measured = await drive(broken(server.url, steps, {"openFor": "10m"}, iterations=12))
    assert measured.count("poll_reqs") == len(server.seen) == 10
    assert measured.count("circuit_rejected") == 2
    assert measured.rate("job_failed") == (12, 12)
    assert measured.count("step_failures", error="circuit_open") == 2


async def test_teardown_is_sent_whatever_the_circuit_says():
    async with target() as server:
        server.answer("/get", status=500)
        test = broken(server.url, GET, {"openFor": "10m"}, iterations=12)
        test["spec"]["teardown"] = {"steps": [{"http": {"url": "/clean"}}]}
        async with prepared(test, Told()) as engine:
            await engine.drive(time.monotonic_ns())
            await engine.teardown()
    assert server.paths()[-1] == "/clean"


async def test_a_probe_that_was_cut_off_gives_its_place_back():
    """A ramp takes away the VU whose probe hangs; the next one probes in its place."""
    hang = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        if len(server.seen) == 5:
            with suppress(TimeoutError):
                await asyncio.wait_for(hang.wait(), 20)
        return web.json_response({}, status=500 if len(server.seen) < 5 else 200)

    async with target() as server:
        server.answers["/get"] = answer
        breaker = {"minRequests": 4, "probes": 1, "openFor": "100ms"}
        test = broken(server.url, GET, breaker, iterations=4)
        other = {
            "name": "probing", "executor": "constant-vus", "vus": 1, "duration": "1s", "gracefulStop": "0s",
            "startTime": "400ms", "steps": GET,
        }  # fmt: skip
        last = {
            "name": "last",
            "executor": "per-vu-iterations",
            "iterations": 1,
            "startTime": "1600ms",
            "steps": GET,
        }
        test["spec"]["scenarios"] += [other, last]
        measured = await drive(test)
        hang.set()
    assert measured.count("circuit_opened") == 1
    assert len(server.seen) == 6
    assert measured.gauge("circuit_state")[0] == 0
