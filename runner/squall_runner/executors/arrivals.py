"""Open models: iterations begin by the clock, whether or not those before have ended.

One pacer per scenario and shard. It takes the due times from the plan, sleeps until the next one and starts whatever
is due by then: after a stall it catches up by count, without waiting in between and without forgetting any. Each
iteration keeps its due time, so that how late it began is measured and its response time includes the delay.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from squall_runner.executors.base import OutOfData, finish

if TYPE_CHECKING:
    from squall_runner.engine.control import Control, Timeline
    from squall_runner.executors.base import Iterating, Iterations

_AT_ONCE = 256
"""After so many starts in a row the loop gets its turn, so that catching up does not delay the answers."""

_LATE_START_NS = 1_000_000_000
"""A start up to a second late is a stall: its arrivals are started late, not left out. Beyond that a shard comes back."""


class ArrivalExecutor:
    """Starts the arrivals of one scenario on one shard.

    Args:
        scenario: The scenario.
        shard: The shard.
        timeline: The run's clock.
        control: Whether the load may go on.
    """

    def __init__(self, scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> None:
        plan = scenario.plan
        self._scenario = scenario
        self._shard = shard
        self._timeline = timeline
        self._control = control
        self._queueing = plan.when_saturated == "queue"
        self._numbers = iter(plan.vus_of(shard))
        self._idle: list[Iterating] = [self._make() for _ in range(plan.pre_allocated_vus_of(shard))]
        now = timeline.now()
        self._due = plan.arrivals_of(shard, now if now > _LATE_START_NS else 0)
        self._next = next(self._due, None)
        self._ready: deque[int] = deque()
        """Due, but not looked at by the pacer yet."""
        self._waiting: deque[int] = deque()
        """Due, but without a VU (`whenSaturated: queue`)."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[Iterating] = set()
        self._over = False

    def account(self) -> None:
        """Count what the plan has had until now, even if the pacer is late."""
        if not self._over and not self._control.stopped:
            self._pull(self._timeline.now())

    async def run(self) -> None:
        """Start all arrivals, then wait for the iterations, `gracefulStop` at most."""
        plan = self._scenario.plan
        limit = self._timeline.later(plan.stop_ns, self._interrupt)
        try:
            await self._pace()
            if self._waiting and not self._over and not self._control.stopped:
                await self._timeline.until(plan.end_ns)
            self._give_up()
            while self._tasks:
                await finish(set(self._tasks))
        finally:
            limit.cancel()

    async def _pace(self) -> None:
        timeline = self._timeline
        started = 0
        while not self._ended():
            self._pull(timeline.now())
            while self._ready and not self._ended():
                self._arrive(self._ready.popleft())
                started += 1
                if started % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            if self._next is None:
                return
            await timeline.until(self._next)

    def _ended(self) -> bool:
        return self._control.stopped or self._over

    def _pull(self, now: int) -> None:
        """Take what is due from the plan."""
        due = self._next
        count = 0
        while due is not None and due <= now:
            self._ready.append(due)
            count += 1
            due = next(self._due, None)
        self._next = due
        self._scenario.planned.value += count

    def _arrive(self, due: int) -> None:
        """Start an iteration, or do what the manifest says when there is no VU for it."""
        vu = self._idle.pop() if self._idle else self._make_another()
        if vu is not None:
            task: asyncio.Task[None] = asyncio.create_task(self._serve(vu, due))
            vu.task = task
            self._busy.add(vu)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif self._queueing:
            self._waiting.append(due)
        else:
            self._scenario.dropped.value += 1

    async def _serve(self, vu: Iterating, due: int) -> None:
        """Run an iteration, and those that wait for a VU after it."""
        scenario, zero = self._scenario, self._timeline.start_ns
        scenario.enter()
        try:
            while True:
                await scenario.iterate(vu, (zero + due) / 1e9)
                if not self._waiting or vu.halted:
                    break
                due = self._waiting.popleft()
        except OutOfData:
            self._over = True
            self._waiting.clear()
        finally:
            scenario.leave()
            vu.task = None
            self._busy.discard(vu)
            self._idle.append(vu)

    def _make(self) -> Any:
        return self._scenario.make_vu(self._shard, next(self._numbers))

    def _make_another(self) -> Any:
        number = next(self._numbers, None)
        return None if number is None else self._scenario.make_vu(self._shard, number)

    def _give_up(self) -> None:
        """The planned end: what still waits for a VU is not started any more."""
        if not self._control.stopped:
            self._scenario.dropped.value += len(self._waiting)
        self._waiting.clear()

    def _interrupt(self) -> None:
        for vu in list(self._busy):
            vu.interrupt()
