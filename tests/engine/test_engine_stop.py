"""A stop: no request after it, and nothing that can hold it up."""

import asyncio
import time

import pytest
from support import pythonsteps
from support.driving import Measured, Told, assignment, manifest, prepared, target

from squall_runner.engine import Engine
from squall_runner.load import LoadError

EXECUTORS = [
    {"executor": "constant-vus", "vus": 20, "duration": "1h"},
    {
        "executor": "ramping-vus",
        "stages": [{"duration": "1s", "target": 30}, {"duration": "1h", "target": 30}],
    },
    {
        "executor": "constant-arrival-rate",
        "rate": 300,
        "duration": "1h",
        "preAllocatedVUs": 20,
        "maxVUs": 100,
    },
    {"executor": "per-vu-iterations", "vus": 20, "iterations": 100_000},
]
THINKING = [{"http": {"url": "/a"}}, {"think": {"duration": "5ms"}}, {"http": {"url": "/b"}}]
ASKING_BY_NAME = [{"http": {"url": f"/{path}?${{vu}}"}} for path in ("a", "b", "finally")]


async def stopped(test, *, grace=0.2, after=0.4, **given):
    """Drive, stop in the middle; returns the stop's moment, how long `drive` took after it, and the figures."""
    async with prepared(test, Told(), **given) as engine:
        run = asyncio.create_task(engine.drive(time.monotonic_ns()))
        await asyncio.sleep(after)
        engine.stop(grace)
        at = time.monotonic()
        await asyncio.wait_for(run, 5)
        took = time.monotonic() - at
        assert engine.last_request_ns <= at * 1e9
        return at, took, Measured().take(engine.measure(0))


@pytest.mark.parametrize("scenario", EXECUTORS)
async def test_no_request_is_sent_after_a_stop(scenario):
    async with target() as server:
        first, second, last = ASKING_BY_NAME
        test = manifest(server.url, [first, THINKING[1], second], **scenario, **{"finally": [last]})
        at, took, measured = await stopped(test)
        sent = measured.count("http_reqs")
        assert sent > 0
        async with asyncio.timeout(10):
            while len(server.seen) < sent:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        # What each VU had written before the stop may still reach the server's handler, on a busy machine much later.
        late = [seen.path for seen in server.seen if seen.at > at]
        assert len(late) == len({path.partition("?")[2] for path in late})
        assert len(server.seen) == sent
    assert took < 1.5
    started = measured.count("iterations_started")
    ended = (
        measured.count("iterations")
        + measured.count("iterations_failed")
        + measured.count("iterations_interrupted")
    )
    assert started == ended


async def test_requests_in_flight_have_the_grace_and_no_more():
    async with target() as server:
        server.answer("/soon", delay=0.5)
        server.answer("/never", delay=30)
        steps = [
            {
                "parallel": {
                    "branches": [
                        {"steps": [{"name": n, "http": {"url": f"/{n}"}}]} for n in ("soon", "never")
                    ]
                }
            }
        ]
        test = manifest(server.url, steps, executor="constant-vus", vus=3, duration="1h")
        _, took, measured = await stopped(test, grace=0.6, after=0.2)
    assert measured.rate("http_req_failed", step="soon") == (0, 3)
    assert measured.count("http_reqs", step="never", error="cancelled") == 3
    assert measured.count("http_req_errors") == measured.count("step_failures") == 0
    assert measured.rate("http_req_failed", step="never") == (0, 0)
    assert measured.count("iterations_interrupted") == 3
    assert 0.55 < took < 1.6


@pytest.mark.parametrize(
    "step",
    [
        {"think": {"duration": "1h"}},
        {"poll": {"http": {"url": "/p"}, "until": "false", "interval": "1h", "deadline": "9h"}},
    ],
)
async def test_pauses_end_at_once(step):
    async with target() as server:
        test = manifest(server.url, [step], executor="constant-vus", vus=5, duration="2h")
        _, took, measured = await stopped(test, grace=30)
    assert took < 1
    assert measured.count("iterations_interrupted") == 5


@pytest.mark.parametrize("function", ["stubborn", "insistent"])
async def test_a_function_that_ignores_cancellation_cannot_hold_up_a_stop(function, monkeypatch):
    monkeypatch.setattr(pythonsteps, "released", False)
    async with target() as server:
        steps = [{"python": {"module": "support.pythonsteps", "function": function, "timeout": "1h"}}]
        test = manifest(server.url, steps, executor="constant-vus", vus=2, duration="1h")
        at, took, _ = await stopped(test, grace=0.1)
        assert took < 3
        await asyncio.sleep(0.1)
        assert [seen for seen in server.seen if seen.at > at + 0.15] == []
    pythonsteps.released = True
    await asyncio.sleep(0.1)


async def test_a_stop_before_the_start_sends_nothing():
    async with target() as server:
        test = manifest(server.url, THINKING, executor="constant-vus", vus=2, duration="1h")
        async with prepared(test, Told()) as engine:
            run = asyncio.create_task(engine.drive(time.monotonic_ns() + 3_600 * 10**9))
            await asyncio.sleep(0.05)
            engine.stop(1)
            engine.stop(1)
            await asyncio.wait_for(run, 2)
            await engine.drive(time.monotonic_ns())
            assert engine.last_request_ns == 0
    assert server.seen == []


async def test_a_second_stop_can_be_in_more_of_a_hurry():
    async with target() as server:
        server.answer("/slow", delay=30)
        test = manifest(
            server.url, [{"http": {"url": "/slow"}}], executor="constant-vus", vus=2, duration="1h"
        )
        async with prepared(test, Told()) as engine:
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            while len(server.seen) < 2:
                await asyncio.sleep(0.01)
            engine.stop(30)
            engine.stop(0)
            await asyncio.wait_for(run, 10)
            measured = Measured().take(engine.measure(0))
    assert measured.count("http_reqs", error="cancelled") == 2
    assert measured.count("http_req_errors") == 0


async def test_the_planned_end_interrupts_what_outlives_graceful_stop():
    async with target() as server:
        server.answer("/slow", delay=30)
        test = manifest(
            server.url,
            [{"http": {"url": "/slow"}}],
            executor="constant-vus",
            vus=2,
            duration="200ms",
            gracefulStop="200ms",
        )
        async with prepared(test, Told()) as engine:
            begun = time.monotonic()
            await engine.drive(time.monotonic_ns())
            took = time.monotonic() - begun
            measured = Measured().take(engine.measure(0))
    assert 0.35 < took < 2
    assert measured.count("iterations_interrupted") == 2
    assert measured.count("http_reqs", error="cancelled") == 2
    assert measured.count("http_req_errors") == 0


async def test_setup_can_be_stopped_too():
    async with target() as server:
        setup = {"steps": [{"think": {"duration": "1h"}}], "timeout": "2h"}
        engine = Engine(
            assignment(manifest(server.url, THINKING, spec={"setup": setup})),
            attempt="a",
            hooks=Told().hooks(),
        )
        await engine.prepare()
        running = asyncio.create_task(engine.setup())
        await asyncio.sleep(0.05)
        engine.stop(0)
        with pytest.raises(LoadError) as caught:
            await asyncio.wait_for(running, 2)
        await engine.close()
    assert caught.value.reason == "SetupStopped"


async def test_after_a_standstill_a_stop_comes_before_any_request():
    async with target() as server:
        test = manifest(server.url, [{"http": {"url": "/a"}}], executor="constant-vus", vus=5, duration="1h")
        async with prepared(test, Told()) as engine:
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            await asyncio.sleep(0.2)
            # The next turn of the loop begins with the watchdog, as the agent's does; the VUs are in the middle of this.
            asyncio.get_running_loop().call_later(0.005, engine.stop, 0)
            time.sleep(0.8)  # noqa: ASYNC251 - frozen, on purpose
            thawed = time.monotonic()
            await asyncio.wait_for(run, 3)
            assert engine.last_request_ns / 1e9 < thawed
