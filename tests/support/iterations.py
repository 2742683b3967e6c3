"""A scenario for executors whose iterations only take time: what they start, when, and how many at once."""

import asyncio
from collections.abc import Callable
from typing import Any

from squall.hub.protocol import Level
from squall.plan.compile import compile_plan
from squall.plan.model import ScenarioPlan
from squall.spec.loadtest import LoadTestSpec
from squall_runner.engine.control import Control, Timeline
from squall_runner.executors import Executor, make_executor
from squall_runner.executors.base import OutOfData
from squall_runner.recording import CounterSeries


class FakeVu:
    """What an executor sees of a VU."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.halted = False
        self.in_flight = 0
        self.yields = 0
        self.task: asyncio.Task[Any] | None = None

    def halt(self) -> None:
        self.halted = True

    def interrupt(self) -> None:
        self.halted = True
        if self.task is not None:
            self.task.cancel()


class FakeIterations:
    """Iterations of a fixed length; attributes tell what happened."""

    def __init__(
        self, plan: ScenarioPlan, seconds: float, control: Control, *, rows: int | None = None
    ) -> None:
        self.plan = plan
        self.dropped = CounterSeries("dropped_iterations", ())
        self.planned = CounterSeries("arrivals_planned", ())
        self.stage = ""
        self.level: Level | None = None
        self.seconds = seconds
        self.control = control
        self.rows = rows
        self.active = 0
        self.made: list[int] = []
        self.starts: list[float] = []
        self.dues: list[float] = []
        self.finished = 0
        self.interrupted = 0

    def make_vu(self, shard: int, number: int) -> FakeVu:
        self.made.append(number)
        vu = FakeVu(number)
        self.control.register(vu)
        return vu

    def enter(self) -> None:
        self.active += 1

    def leave(self) -> None:
        self.active -= 1

    async def iterate(
        self, vu: FakeVu, due: float | None = None, another: Callable[[float], bool] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            waited = vu.yields
            await self._iterate(vu, due)
            if another is None:
                return
            if vu.yields == waited:
                await asyncio.sleep(0)
            if not another(loop.time()):
                return

    async def _iterate(self, vu: FakeVu, due: float | None) -> None:
        if self.rows is not None:
            if self.rows == 0:
                raise OutOfData
            self.rows -= 1
        loop = asyncio.get_running_loop()
        self.starts.append(loop.time())
        self.dues.append(loop.time() if due is None else due)
        if self.seconds == 0:
            self.finished += 1
            return
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            if not vu.halted:
                raise
            self.interrupted += 1
            return
        vu.yields += 1
        self.finished += 1


class Bench:
    """Executors of one scenario on some shards, in virtual time that begins at 0."""

    def __init__(
        self,
        seconds: float,
        *,
        shards: int = 1,
        carried: tuple[int, ...] | None = None,
        rows: int | None = None,
        **scenario: Any,
    ) -> None:
        fields = {"name": "s", "steps": [{"think": {"duration": "1s"}}], **scenario}
        spec = LoadTestSpec.model_validate({"scenarios": [fields], "shards": shards})
        self.plan = compile_plan(spec).scenarios[0]
        self.control = Control()
        self.load = FakeIterations(self.plan, seconds, self.control, rows=rows)
        self.carried = carried if carried is not None else tuple(range(shards))

    async def run(self, start: float = 0.0) -> float:
        """Drive to the end; returns the seconds of the run's clock that it took."""
        loop = asyncio.get_running_loop()
        self.timeline = Timeline(lambda: round(loop.time() * 1e9), round(start * 1e9))
        self.executors: list[Executor] = [
            make_executor(self.load, shard, self.timeline, self.control) for shard in self.carried
        ]
        await asyncio.gather(*(executor.run() for executor in self.executors))
        return loop.time() - start

    def stop(self, grace: float) -> None:
        self.control.stop(grace)
        self.timeline.wake()
