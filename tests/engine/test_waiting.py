"""No wait is shorter than asked, on the event loop that runners use."""

import asyncio
import time
from itertools import pairwise

import uvloop
from support.driving import drive_steps, target

from squall_runner.engine.control import Timeline
from squall_runner.waiting import wait

LENGTHS = [0.0002, 0.001, 0.0013, 0.0027, 0.0101] * 20


def test_a_wait_is_never_shorter_than_asked():
    async def waits() -> list[float]:
        short = []
        for length in LENGTHS:
            begun = time.monotonic()
            await wait(length, time.monotonic)
            short.append(time.monotonic() - begun - length)
        return short

    assert min(uvloop.run(waits())) >= 0


def test_an_early_timer_is_set_again_and_not_waited_for_busily(monkeypatch):
    now, slept = [0.0], []

    async def sleep(length: float) -> None:
        slept.append(length)
        now[0] += length - 0.0009

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(wait(0.01, lambda: now[0]))
    assert now[0] >= 0.01
    assert len(slept) == 11  # each of them a millisecond too early but for a tenth
    assert min(slept[1:]) >= 0.001


def test_nothing_of_the_schedule_comes_before_its_time():
    async def early() -> list[int]:
        timeline = Timeline(time.monotonic_ns, time.monotonic_ns())
        found = []
        for length in LENGTHS:
            due = timeline.now() + round(length * 1e9)
            await timeline.until(due)
            found.append(timeline.now() - due)
        return found

    assert min(uvloop.run(early())) >= 0


def test_steps_wait_for_as_long_as_they_say():
    async def gaps() -> tuple[list[float], list[float]]:
        async with target() as server:
            think = {"think": {"duration": "4ms"}}
            measured = await drive_steps(server, [{"group": {"steps": [think]}}], iterations=100)
            ask = {"http": {"url": "/"}, "until": "false", "interval": "10ms", "deadline": "500ms"}
            await drive_steps(server, [{"poll": ask}])
        at = [seen.at for seen in server.seen]
        return [measured.trend("group_duration").min], [b - a for a, b in pairwise(at)]

    groups, polls = uvloop.run(gaps())
    assert min(groups) >= 0.004
    assert min(polls) >= 0.01
