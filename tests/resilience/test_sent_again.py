"""Retries against real servers: what they send, what they wait for, and how all of it is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from support.driving import (
    Measured,
    Told,
    drive,
    drive_steps,
    manifest,
    prepared,
    stopped_while_waiting,
    target,
)
from support.hostile import OK, Peer, hostile
from support.processes import free_ports

QUICK = {"initial": "5ms", "backoff": {"factor": "1", "jitter": "0%"}}


def with_retry(
    url: str, steps: list[dict[str, Any]], retry: dict[str, Any] | None = None, **more: Any
) -> Any:
    return manifest(url, steps, spec={"http": {"baseUrl": url, "retry": QUICK | (retry or {})}}, **more)


def get(name: str = "get", **http: Any) -> dict[str, Any]:
    return {"name": name, "http": {"url": f"/{name}", **http}, "onError": "continue"}


def failing(times: int, status: int = 503, asks_to_wait: Callable[[], str] | None = None) -> Any:
    """Fails so often, then works; a failure may come with a `Retry-After`."""
    left = times

    async def handle(_: web.Request) -> web.Response:
        nonlocal left
        left -= 1
        if left >= 0:
            headers = {"Retry-After": asks_to_wait()} if asks_to_wait is not None else {}
            return web.json_response({}, status=status, headers=headers)
        return web.json_response({"token": "t"})

    return handle


async def test_each_try_is_a_request_and_the_last_one_decides():
    async with target() as server:
        server.answers["/get"] = failing(2)
        step = get() | {"checks": {"is well": "status == 200"}, "extract": {"token": {"jsonPath": "$.token"}}}
        measured = await drive(with_retry(server.url, [step, {"http": {"url": "/${token}"}}]))
    assert server.paths() == ["/get", "/get", "/get", "/t"]
    assert measured.count("http_reqs", step="get", status="503") == 2
    assert measured.count("http_reqs", step="get", status="200") == 1
    assert measured.rate("http_req_failed", step="get") == (2, 3)
    assert measured.count("http_req_errors", step="get", error="http_5xx") == 2
    assert measured.count("http_retries", step="get", status="503", error="http_5xx", method="GET") == 2
    assert measured.rate("checks", step="get") == (1, 1)
    assert measured.count("step_failures") == 0
    assert measured.count("iterations") == 1
    assert measured.unknown(set()) == set()


async def test_a_failure_that_was_mended_has_an_example():
    told = Told()
    async with target() as server:
        server.answers["/get"] = failing(2)
        measured = await drive(with_retry(server.url, [get()]), told)
    assert measured.count("step_failures") == 0
    (kept,) = [fields for _, _, fields in told.notes if "error" in fields]
    assert (kept["error"], kept["step"]) == ("http_5xx", "get")
    assert "was answered with 503" in kept["message"]


async def test_response_time_counts_from_the_first_try():
    async with target() as server:
        server.answers["/get"] = failing(2)
        measured = await drive(with_retry(server.url, [get()], {"initial": "100ms"}))
    last = measured.trend("http_req_response_time", status="200")
    assert last.min >= 0.2
    assert measured.trend("http_req_total", status="200").max < 0.2
    assert measured.trend("http_req_response_time", status="503").max >= 0.1


async def test_the_step_fails_when_the_last_try_has():
    told = Told()
    async with target() as server:
        server.answer("/get", status=503)
        measured = await drive(with_retry(server.url, [get()]), told)
    assert len(server.seen) == 3
    assert measured.count("step_failures", error="http_5xx") == 1
    assert measured.rate("http_req_failed") == (3, 3)


async def test_a_step_may_have_its_own_retries_or_none():
    async with target() as server:
        for path in ("/default", "/more", "/none"):
            server.answer(path, status=502)
        steps = [
            get("default"),
            get("more", retry=QUICK | {"maxRetries": 4}),
            get("none", retry={"maxRetries": 0}),
        ]
        await drive(with_retry(server.url, steps))
    assert [server.paths().count(path) for path in ("/default", "/more", "/none")] == [3, 5, 1]


def in_a_second() -> str:
    # Dates have whole seconds: this one is at least one second away, at most two.
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize(("asked", "least"), [(lambda: "1", 0.99), (in_a_second, 0.9)])
async def test_a_longer_retry_after_is_respected(asked: Callable[[], str], least: float):
    async with target() as server:
        server.answers["/get"] = failing(1, 429, asked)
        measured = await drive(with_retry(server.url, [get()]))
    first, second = server.seen
    assert least <= second.at - first.at < 5
    assert measured.count("http_retries", status="429", error="http_4xx") == 1
    assert measured.count("iterations") == 1


async def test_a_retry_after_beyond_the_timeout_ends_the_tries():
    async with target() as server:
        server.answer("/get", status=503, headers={"Retry-After": "3600"})
        measured = await drive(with_retry(server.url, [get(timeout="2s")]))
    assert len(server.seen) == 1
    assert measured.count("step_failures", error="http_5xx") == 1


async def test_a_failure_that_retries_have_mended_is_still_seen():
    """Three in ten of the first tries fail: 30 of 130 requests."""
    tries: dict[str, int] = {}

    async def handle(request: web.Request) -> web.Response:
        key = request.query["n"]
        tries[key] = tries.get(key, 0) + 1
        failed = tries[key] == 1 and int(key) % 10 < 3
        return web.json_response({}, status=503 if failed else 200)

    async with target() as server:
        server.answers["/get"] = handle
        steps = [{"name": "get", "http": {"url": "/get?n=${iter}"}}]
        measured = await drive(with_retry(server.url, steps, {"budget": "100%"}, iterations=100))
    hits, total = measured.rate("http_req_failed")
    assert (hits, total) == (30, 130)
    assert hits / total == pytest.approx(0.23, abs=0.001)
    assert measured.count("http_retries", error="http_5xx") == 30
    assert measured.count("iterations") == 100
    assert measured.count("iterations_failed") == measured.count("step_failures") == 0


async def test_the_budget_keeps_retries_a_share_of_the_load():
    async with target() as server:
        server.answer("/get", status=503)
        test = with_retry(server.url, [get()], {"budget": "20%", "initial": "1ms"}, iterations=100)
        measured = await drive(test)
    retries = measured.count("http_retries")
    assert retries == 10 + 20 - 1  # what the first of the hundred saves is more than the reserve can take
    assert measured.count("http_reqs") == len(server.seen) == 100 + retries
    assert measured.count("http_retries_denied", error="http_5xx", status="503") == 95
    assert measured.count("step_failures") == 100


async def test_the_budget_of_the_host_holds_for_a_retry_of_a_step():
    async with target() as server:
        server.answer("/get", status=503)
        step = get(retry={"initial": "1ms", "maxRetries": 5})
        test = with_retry(server.url, [step], {"budget": "0%"}, iterations=50)
        measured = await drive(test)
    assert measured.count("http_retries") == 10


async def test_a_post_is_not_sent_twice_but_may_be_tried_until_it_is_sent():
    with hostile(lambda peer: (peer.request(), peer.reset())[0]) as server:
        steps = [
            get("post", method="POST", raw="x"),
            get("put", method="PUT", raw="x"),
        ]
        measured = await drive(with_retry(server.url, steps))
        assert [request.split(b" ")[0] for request in server.requests] == [b"POST", b"PUT", b"PUT", b"PUT"]
    assert measured.count("http_retries", step="put", error="reset") == 2
    assert measured.count("http_reqs", step="post") == 1
    (port,) = free_ports(1)
    async with target() as other:
        url = f"http://127.0.0.1:{port}/x"
        measured = await drive(with_retry(other.url, [get("gone", method="POST", url=url)]))
    assert measured.count("http_reqs", step="gone", error="connect_refused") == 3
    assert measured.count("http_retries", step="gone", error="connect_refused") == 2


async def test_a_streamed_body_is_read_again_from_its_beginning(tmp_path):
    picture = tmp_path / "cat.png"
    picture.write_bytes(bytes(range(256)) * 2000)
    async with target() as server:
        server.answers["/put"] = failing(1)
        test = with_retry(server.url, [get("put", method="PUT", file="cat.png")])
        test["spec"]["files"] = [{"name": "cat.png", "path": "cat.png"}]
        measured = await drive(test, files={"cat.png": picture})
    assert [seen.body for seen in server.seen] == [picture.read_bytes()] * 2
    assert measured.count("iterations") == 1


def keeps_its_word_once(peer: Peer) -> None:
    """Answers a request, and hangs up on the next one of the connection before anything of an answer."""
    peer.answer(OK)
    peer.request()


async def test_a_stale_connection_counts_as_what_it_is():
    with hostile(keeps_its_word_once) as server:
        steps = [{"name": "get", "http": {"url": "/"}}]
        measured = await drive(manifest(server.url, steps, iterations=5))
    assert measured.count("http_retries", step="get", method="GET", error="stale") == 4
    assert measured.count("http_retries") == 4
    assert measured.rate("http_req_failed") == (0, 5)


async def test_a_stale_connection_of_a_poll_is_counted_too():
    with hostile(keeps_its_word_once) as server:
        measured = await drive(manifest(server.url, [polling(http={"url": "/"})], iterations=3))
    assert measured.count("http_retries", step="job", error="stale") == 2
    assert measured.count("poll_reqs") == 3


async def test_retries_end_with_the_load():
    """A pause of a minute ends at a stop, and nothing is sent after it."""
    async with target() as server:
        server.answer("/get", status=503)
        test = with_retry(
            server.url, [get()], {"initial": "60s", "backoff": {"max": "60s"}},
            executor="constant-vus", vus=5, duration="1h",
        )  # fmt: skip
        async with prepared(test, Told()) as engine:
            measured = await stopped_while_waiting(engine, lambda: len(server.seen) >= 5)
        assert len(server.seen) == 5
    assert measured.count("http_retries") == 0
    assert measured.count("iterations_interrupted") == 5


@pytest.mark.parametrize("kind", ["http", "poll"])
async def test_no_pause_begins_after_a_stop(kind: str):
    """What is in flight at a stop may finish; whoever would pause then, to ask again, is done."""
    release = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({}, status=503 if kind == "http" else 200)

    steps = {
        "http": get(),
        "poll": polling(until="false", interval="60s", deadline="1h", http={"url": "/get"}),
    }
    async with target() as server:
        server.answers["/get"] = answer
        test = with_retry(server.url, [steps[kind]], {"initial": "60s", "backoff": {"max": "60s"}})
        async with prepared(test, Told()) as engine:
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            while not server.seen:
                await asyncio.sleep(0.01)
            engine.stop(3600)
            release.set()
            await asyncio.wait_for(run, 10)
            measured = Measured().take(engine.measure(0))
        assert len(server.seen) == 1
    assert measured.count("http_retries") == 0
    assert measured.count("iterations_interrupted") == 1


async def test_python_functions_retry_as_the_manifest_says(tmp_path):
    file = tmp_path / "steps.py"
    file.write_text("async def ask(vu):\n    await vu.http('GET', '/get')\n")
    async with target() as server:
        server.answers["/get"] = failing(1)
        test = with_retry(server.url, [{"python": {"file": "steps.py", "function": "ask"}}])
        test["spec"]["files"] = [{"name": "steps.py", "path": "steps.py"}]
        measured = await drive(test, files={"steps.py": file})
    assert len(server.seen) == 2
    assert measured.count("http_retries", error="http_5xx") == 1


def polling(**poll: Any) -> dict[str, Any]:
    http = {"url": "/job"} | poll.pop("http", {})
    return {"name": "job", "poll": {"http": http, "until": "true", "interval": "10ms", **poll}}


async def test_a_poll_that_fails_is_sent_again():
    async with target() as server:
        server.answers["/job"] = failing(2)
        measured = await drive(with_retry(server.url, [polling()]))
    assert len(server.seen) == 3
    assert measured.rate("job_failed") == (0, 1)
    assert measured.trend("poll_count").max == 1
    assert measured.count("poll_reqs", error="http_5xx") == 2
    assert measured.count("poll_reqs") == 3
    assert measured.count("http_retries", step="job", error="http_5xx") == 2


async def test_a_poll_told_to_come_back_is_no_retry():
    async with target() as server:
        server.answers["/job"] = failing(5, 429, lambda: "0")
        measured = await drive(with_retry(server.url, [polling()]))
    assert measured.count("http_retries") == 0
    assert measured.trend("poll_count").max == 6


async def test_retries_of_a_poll_end_at_its_deadline():
    async with target() as server:
        server.answer("/job", status=503)
        began = time.monotonic()
        step = polling(
            deadline="500ms", http={"retry": {"initial": "300ms", "maxRetries": 20, "backoff": {}}}
        )
        measured = await drive_steps(server, [step])
        assert time.monotonic() - began < 5
    assert len(server.seen) == 2
    assert measured.rate("job_failed") == (1, 1)


async def test_setup_retries_too_and_is_not_counted():
    async with target() as server:
        server.answers["/login"] = failing(1)
        test = with_retry(server.url, [get()])
        test["spec"]["setup"] = {
            "steps": [{"http": {"url": "/login"}, "extract": {"t": {"jsonPath": "$.token"}}}]
        }
        measured = await drive(test)
    assert server.paths() == ["/login", "/login", "/get"]
    assert measured.count("http_retries") == 0
