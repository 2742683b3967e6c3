"""The line before a host, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from squall_runner.resilience.pace import Gate, Pace
from squall_runner.resilience.queue import Queue

pytestmark = pytest.mark.looptime(resolution=1e-9)


class Line:
    """A queue and the moments at which those who wait in it go."""

    def __init__(self, *gates: Gate) -> None:
        self.clock = asyncio.get_running_loop().time
        self.begun = self.clock()
        self.queue = Queue(Pace(*gates), self.clock)
        self.went: list[tuple[str, float]] = []
        self.refused: list[tuple[str, float]] = []

    async def go(self, name: str, seconds: float = 1e6) -> None:
        mine = await self.queue.turn(self.clock() + seconds)
        (self.went if mine else self.refused).append((name, round(self.clock() - self.begun, 4)))

    def join(self, *names: str, seconds: float = 1e6) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.go(name, seconds)) for name in names]


async def test_first_come_first_served_at_the_rate():
    line = Line(Gate(0.5, 2))
    await asyncio.gather(*line.join(*"abcde"))
    assert line.went == [("a", 0), ("b", 0), ("c", 0.5), ("d", 1.0), ("e", 1.5)]


async def test_who_comes_later_does_not_overtake():
    line = Line(Gate(1.0))
    waiting = line.join("a", "b", "c")
    await asyncio.sleep(0.99)
    waiting += line.join("d")
    await asyncio.gather(*waiting)
    assert line.went == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


async def test_those_behind_move_up_when_somebody_gives_up():
    line = Line(Gate(1.0))
    waiting = line.join(*"abcdef")
    await asyncio.sleep(0.5)
    for at in (1, 3):
        waiting[at].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert line.went == [("a", 0), ("c", 1), ("e", 2), ("f", 3)]


async def test_a_turn_after_the_deadline_is_refused_at_once_and_holds_up_nobody():
    line = Line(Gate(1.0))
    waiting = line.join(*"abc") + line.join("late", seconds=2.5)
    await asyncio.sleep(0)
    assert line.refused == [("late", 0)]
    waiting += line.join("d", seconds=3.5)
    await asyncio.gather(*waiting)
    assert line.went == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


async def test_places_that_were_given_up_count_for_the_deadline():
    line = Line(Gate(1.0))
    waiting = line.join(*"abcd")
    await asyncio.sleep(0.1)
    for task in waiting[1:3]:
        task.cancel()
    await asyncio.sleep(0.1)
    waiting += line.join("e", seconds=2.0)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert line.went == [("a", 0), ("d", 1), ("e", 2)]


async def test_it_is_idle_only_when_nobody_waits_nor_would_have_to():
    line = Line(Gate(1.0))
    assert line.queue.idle
    waiting = line.join("a", "b")
    await asyncio.sleep(0.5)
    assert not line.queue.idle
    await asyncio.gather(*waiting)
    assert not line.queue.idle
    await asyncio.sleep(1.0)
    assert line.queue.idle


async def test_when_all_have_given_up_the_next_one_has_its_turn():
    line = Line(Gate(1.0))
    waiting = line.join(*"abc")
    await asyncio.sleep(0.1)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.sleep(5.0)
    await asyncio.gather(*line.join("d"))
    assert line.went == [("a", 0), ("d", 5.1)]


async def test_thousands_wait_with_one_timer(monkeypatch):
    line = Line(Gate(0.001))
    loop = asyncio.get_running_loop()
    timers = []
    call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda *args: timers.append(args) or call_later(*args))
    waiting = line.join(*(str(n) for n in range(5000)))
    await asyncio.sleep(0)
    assert len(timers) == 1
    await asyncio.gather(*waiting)
    assert [name for name, _ in line.went] == [str(n) for n in range(5000)]
    assert line.went[-1][1] == pytest.approx(4.999, abs=0.02)
