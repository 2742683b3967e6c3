"""A search for capacity, as a runner has its part in it: it follows the levels that the hub chooses, and decides nothing.

The hub orders a level some time before it begins, at a moment of the run's clock, so all runners change over together.
An order that is told again, or late, does no harm: what counts is its number, and arrivals that were due long before
this runner heard of them are left out, not made up for. A level goes on until the next order; no order, no load.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from squall_runner.executors.arrivals import ArrivalExecutor
from squall_runner.executors.base import OutOfData, finish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.hub.protocol import Level
    from squall_runner.engine.control import Control, Timeline
    from squall_runner.executors.base import Iterating, Iterations

_LOOK_NS = 50_000_000
"""How often orders are looked for; they come at least twice as long before they take effect."""
_LATE_NS = 1_000_000_000
"""A level that began up to a second ago is entered late, with all its arrivals."""
_AT_ONCE = 256
"""After so many starts in a row the loop gets its turn, so that catching up does not delay the answers."""


class _Orders:
    """The levels of a scenario as one shard comes to them."""

    def __init__(self, scenario: Iterations, timeline: Timeline) -> None:
        self._scenario = scenario
        self._timeline = timeline
        self._number = -1
        self._seen: Level | None = None
        self.begin_ns = 0
        """When the level begins for this shard: later than it was ordered for, when it was told of it too late."""

    def due(self, now: int) -> Level | None:
        """The level that begins now, once; None while none does."""
        self._look(now)
        order = self._seen
        if order is None or order.at_ns > now:
            return None
        self._seen = None
        if order.target:
            self._scenario.stage = str(order.target)
        return order

    def _look(self, now: int) -> None:
        order = self._scenario.level
        if order is None or order.number <= self._number:
            return
        self._number, self._seen = order.number, order
        self.begin_ns = now if now - order.at_ns > _LATE_NS else order.at_ns

    async def wait(self, until_ns: int | None = None) -> None:
        """Wait until that moment, the next level, the end of the scenario or the next look for orders."""
        moments = [self._timeline.now() + _LOOK_NS, self._scenario.plan.end_ns]
        moments += [] if until_ns is None else [until_ns]
        moments += [] if self._seen is None else [self._seen.at_ns]
        await self._timeline.until(min(moments))


class RateSearch(ArrivalExecutor):
    """Starts the arrivals of each level on one shard; the arguments are those of `ArrivalExecutor`."""

    def __init__(self, scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> None:
        super().__init__(scenario, shard, timeline, control)
        self._orders = _Orders(scenario, timeline)
        self._due: Iterator[int] = iter(())
        self._next = None
        self._limit: asyncio.TimerHandle | None = None
        self._ended_at: int = scenario.plan.end_ns

    async def run(self) -> None:
        """Follow the levels to the end of the search, then wait for the iterations, `gracefulStop` at most."""
        try:
            await super().run()
        finally:
            if self._limit is not None:
                self._limit.cancel()

    async def _pace(self) -> None:
        started = 0
        while not self._ended():
            now = self._timeline.now()
            self._pull(now)
            while self._ready and not self._ended():
                self._arrive(self._ready.popleft())
                started += 1
                if started % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            if now >= self._ended_at:
                return
            await self._orders.wait(self._next)

    def _pull(self, now: int) -> None:
        """Take what is due, of the level before up to the moment of the next."""
        if (order := self._orders.due(now)) is not None:
            super()._pull(order.at_ns - 1)
            self._enter(order)
        super()._pull(now)

    def _enter(self, order: Level) -> None:
        plan = self._scenario.plan
        share = plan.share_for(self._shard)
        if order.last:
            self._ended_at = order.at_ns
            self._limit = self._timeline.later(order.at_ns + plan.graceful_stop_ns, self._interrupt)
        assert plan.search is not None, "it is a search"
        assert share is not None, "it has a part in it"
        self._due = plan.search.arrivals(
            order.target,
            share,
            begin_ns=order.at_ns,
            end_ns=plan.end_ns,
            from_ns=self._orders.begin_ns,
            number=order.number,
        )
        self._next = next(self._due, None)


class VuSearch:
    """Keeps the VUs of each level busy on one shard; the others pause after their iteration.

    Args:
        scenario: The scenario.
        shard: The shard.
        timeline: The run's clock.
        control: Whether the load may go on.
    """

    def __init__(self, scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> None:
        self._scenario = scenario
        self._shard = shard
        self._timeline = timeline
        self._control = control
        self._orders = _Orders(scenario, timeline)
        self._target = 0
        self._ended_at: int = scenario.plan.end_ns
        self._over = False
        self._vus: dict[int, Iterating] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def account(self) -> None:
        """Nothing here follows the clock."""

    async def run(self) -> None:
        """Follow the levels to the end of the search, then wait for the iterations, `gracefulStop` at most."""
        try:
            await self._follow()
        except asyncio.CancelledError:
            for task in self._tasks.values():
                task.cancel()
            raise
        self._target = 0
        limit = self._timeline.later(
            self._ended_at + self._scenario.plan.graceful_stop_ns,
            self._interrupt,
        )
        try:
            await finish(set(self._tasks.values()))
        finally:
            limit.cancel()

    async def _follow(self) -> None:
        while not (self._control.stopped or self._over):
            now = self._timeline.now()
            if (order := self._orders.due(now)) is not None:
                self._target = order.target
                self._ended_at = order.at_ns if order.last else self._ended_at
                self._wake()
            if now >= self._ended_at:
                return
            await self._orders.wait()

    def _wake(self) -> None:
        """Set the VUs of this level going that are not."""
        for number in self._scenario.plan.vus_of(self._shard):
            if number >= self._target:
                break
            task = self._tasks.get(number)
            if task is None or task.done():
                self._tasks[number] = asyncio.create_task(self._live(number))

    async def _live(self, number: int) -> None:
        """Iterate for as long as the level is above this VU's number."""
        scenario = self._scenario
        vu = self._vus.get(number)
        if vu is None:
            vu = self._vus[number] = scenario.make_vu(self._shard, number)
        vu.task = task = asyncio.current_task()
        zero = self._timeline.start_ns

        def another(now: float) -> bool:
            return number < self._target and not vu.halted and now < (zero + self._ended_at) / 1e9

        scenario.enter()
        try:
            if another((zero + self._timeline.now()) / 1e9):
                await scenario.iterate(vu, None, another)
        except OutOfData:
            self._over = True
        except asyncio.CancelledError:
            if not vu.halted or task is None:
                raise
            task.uncancel()
        finally:
            scenario.leave()
            vu.task = None

    def _interrupt(self) -> None:
        for vu in self._vus.values():
            vu.interrupt()
