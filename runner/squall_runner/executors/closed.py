"""Closed models: a VU begins its next iteration when it has finished the one before.

constant-vus, ramping-vus, per-vu-iterations and shared-iterations differ only in when VUs are active and in how many
iterations there are; the plan knows both. There is no loop that adds and removes VUs as a target changes: every VU
drives itself along its own intervals, so the number of active VUs is the plan's at any moment, on any number of shards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from squall_runner.executors.base import OutOfData, finish

if TYPE_CHECKING:
    from squall_runner.engine.control import Control, Timeline
    from squall_runner.executors.base import Iterating, Iterations


class ClosedExecutor:
    """Drives the VUs of one scenario on one shard.

    Args:
        scenario: The scenario.
        shard: The shard.
        timeline: The run's clock.
        control: Whether the load may go on.
    """

    def __init__(self, scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> None:
        self._scenario = scenario
        self._plan = scenario.plan
        self._shard = shard
        self._timeline = timeline
        self._control = control
        self._left = self._plan.iterations_of(shard)
        self._unstarted = self._planned_iterations()

    def account(self) -> None:
        """Nothing here follows the clock."""

    async def run(self) -> None:
        """Drive all VUs to the scenario's end."""
        tasks = {asyncio.create_task(self._live(number)) for number in self._plan.vus_of(self._shard)}
        await finish(tasks)
        if self._unstarted and not self._control.stopped:
            self._scenario.dropped.value += self._unstarted
            self._unstarted = 0

    def _planned_iterations(self) -> int:
        """How many iterations the plan promises of this shard; 0 when it promises none."""
        plan = self._plan
        if plan.iterations_per_vu is not None:
            return plan.iterations_per_vu * len(plan.vus_of(self._shard))
        return self._left or 0 if plan.iterations is not None else 0

    async def _live(self, number: int) -> None:
        """The life of one VU."""
        vu: Iterating | None = None
        own = self._plan.iterations_per_vu
        for begin, end in self._plan.vu_intervals(number):
            if self._timeline.now() >= end:
                continue
            await self._timeline.until(begin)
            if self._control.stopped:
                return
            if vu is None:
                vu = self._scenario.make_vu(self._shard, number)
            vu.task = asyncio.current_task()
            vu.halted = False
            try:
                own = await self._interval(vu, end, own)
            except OutOfData:
                self._left = self._unstarted = 0
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not vu.halted or task is None:
                    raise
                task.uncancel()
            finally:
                vu.task = None
            if self._over(own):
                return

    async def _interval(self, vu: Iterating, end: int, own: int | None) -> int | None:
        """Iterate until `end`; returns how many iterations the VU may still do on its own account."""
        timeline = self._timeline
        limit = timeline.later(self._plan.interrupt_ns(end), vu.interrupt)
        end_seconds = (timeline.start_ns + end) / 1e9

        def another(now: float) -> bool:
            nonlocal own
            if now >= end_seconds or vu.halted:
                return False
            if own is not None or self._left is not None:
                if self._over(own):
                    return False
                own = self._take(own)
            return True

        self._scenario.enter()
        try:
            if another((timeline.start_ns + timeline.now()) / 1e9):
                await self._scenario.iterate(vu, None, another)
        finally:
            limit.cancel()
            self._scenario.leave()
        return own

    def _take(self, own: int | None) -> int | None:
        """Count an iteration that is about to begin; returns how many the VU may still do on its own account."""
        if self._left is not None:
            self._left -= 1
        if self._unstarted:
            self._unstarted -= 1
        return None if own is None else own - 1

    def _over(self, own: int | None) -> bool:
        return self._left == 0 or own == 0
