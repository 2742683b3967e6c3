"""One scenario within this runner: what all its VUs and shards share, and what one iteration is."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squall.expr import CLOCK, RNG
from squall_runner.data import DataError, DataExhausted, RowsError
from squall_runner.engine.chance import chance
from squall_runner.engine.vu import Vu
from squall_runner.executors.base import OutOfData
from squall_runner.http import HttpClient
from squall_runner.recording import make_tags
from squall_runner.steps.failure import INTERNAL, EndIteration, Halted

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall.hub.protocol import Level
    from squall.plan.model import ScenarioPlan
    from squall_runner.data import Feeder
    from squall_runner.engine.control import Control, Timeline
    from squall_runner.engine.examples import Examples
    from squall_runner.engine.traffic import Traffic
    from squall_runner.evm.chain import Chain
    from squall_runner.http import Network
    from squall_runner.recording import CounterSeries, Recorder, Tags, TrendSeries
    from squall_runner.steps.program import Program


@dataclass(frozen=True, slots=True)
class Shared:
    """What all scenarios of a runner share.

    Attributes:
        run: The run's id.
        attempt: This process's own word.
        base: What every environment holds from the beginning: variables, the run.
        clock: Seconds, monotonic.
        wall: Seconds since 1970.
        cookies: Whether VUs keep cookies.
        reset: Whether every iteration begins with fresh connections.
        abort: Asks to end the run: reason and message.
        note: Writes to the run's log, see `Hooks.note`.
        traffic: Logs iterations and requests, if the manifest asks for it.
    """

    run: str
    attempt: str
    base: dict[str, Any]
    recorder: Recorder
    control: Control
    examples: Examples
    network: Network
    clock: Callable[[], float]
    wall: Callable[[], float]
    cookies: bool
    reset: bool
    abort: Callable[[str, str], None]
    note: Callable[..., None]
    traffic: Traffic | None = None

    def environment(self, vu: int, shard: int, scenario: str, rng: Random) -> dict[str, Any]:
        """What a VU knows before its first step."""
        return {
            **self.base,
            "vu": vu,
            "iter": 0,
            "shard": shard,
            "scenario": scenario,
            "data": {},
            RNG: rng,
            CLOCK: self.wall,
        }


class _Meters:
    """The series of a scenario's iterations in one stage."""

    __slots__ = ("completed", "duration", "failed", "interrupted", "lag", "late", "started")

    def __init__(self, recorder: Recorder, tags: Tags) -> None:
        self.started: CounterSeries = recorder.counter("iterations_started", tags)
        self.completed: CounterSeries = recorder.counter("iterations", tags)
        self.failed: CounterSeries = recorder.counter("iterations_failed", tags)
        self.interrupted: CounterSeries = recorder.counter("iterations_interrupted", tags)
        self.duration: TrendSeries = recorder.trend("iteration_duration", tags)
        self.lag: TrendSeries = recorder.trend("schedule_lag", tags)
        self.late: CounterSeries = recorder.counter("arrivals_late", tags)


_LATE_SECONDS = 0.1
WALLETS = "wallets"
"""As what wallets run out, which is told like data."""


class ScenarioLoad:
    """One scenario in this runner.

    Args:
        plan: Its schedule.
        shared: What it shares with the others.
        tags: Its own tags.
        program: One iteration's steps.
        last: What runs after every iteration, if anything.
        feeders: The data its iterations use, by shard.
        chain: Where each iteration gets its wallet; None where they need none.

    Attributes:
        stage: The stage that measurements belong to now.
        level: The latest level that the hub has ordered, of a search for capacity.
    """

    def __init__(
        self,
        plan: ScenarioPlan,
        shared: Shared,
        *,
        tags: Tags,
        program: Program,
        last: Program | None,
        feeders: dict[int, tuple[Feeder, ...]],
        chain: Chain | None = None,
    ) -> None:
        self.plan = plan
        self.shared = shared
        self.stage = plan.stage_at(0)
        self.level: Level | None = None
        self._tags = tags
        self._program = program
        self._steps = program.steps
        self._last = last
        self._feeders = feeders
        self._chain = chain
        self._meters: dict[str, _Meters] = {}
        self._exhausted: set[str] = set()
        own = make_tags(own=tags, scenario=plan.name)
        recorder = shared.recorder
        self._active = recorder.gauge("vus", own, 0.0)
        self._made = recorder.gauge("vus_max", own, 0.0)
        self.dropped = recorder.counter("dropped_iterations", own)
        self.planned = recorder.counter("arrivals_planned", own)
        self._streak = recorder.gauge("failure_streak", (), 0.0)

    def follow(self, timeline: Timeline) -> Callable[[], None]:
        """Keep `stage` up to date from now on; returns what ends that."""
        starts = sorted({span.start_ns for span in self.plan.stages})
        handles: list[asyncio.TimerHandle] = []

        def turn() -> None:
            handles.clear()
            now = timeline.now()
            self.stage = self.plan.stage_at(max(now, self.plan.start_ns))
            coming = next((start for start in starts if start > now), None)
            if coming is not None:
                handles.append(timeline.later(coming, turn))

        turn()
        return lambda: handles[0].cancel() if handles else None

    def make_vu(self, shard: int, number: int) -> Vu:
        """Make VU `number` of the plan, which lives on `shard`."""
        shared = self.shared
        vu_id = self.plan.vu_id(number)
        rng = chance(f"{shared.run}/{vu_id}/{shared.attempt}")
        base = shared.environment(vu_id, shard, self.plan.name, rng)
        client = HttpClient(shared.network, cookies=shared.cookies)
        vu = Vu(vu_id, shard, self, base=base, client=client, rng=rng)
        self._made.set(self._made.value + 1)
        shared.control.register(vu)
        return vu

    def enter(self) -> None:
        """A VU becomes active."""
        self._active.set(self._active.value + 1)

    def leave(self) -> None:
        """A VU is no longer active."""
        self._active.set(self._active.value - 1)

    async def iterate(  # noqa: PLR0912 - each call of its own would be one for each iteration
        self, vu: Vu, due: float | None = None, another: Callable[[float], bool] | None = None
    ) -> bool | None:
        """One iteration, or several one after the other; whatever happens in them is counted, not raised.

        Args:
            vu: Who iterates, in its own task.
            due: When the first one should have started, in seconds of the clock; None for now.
            another: Asked after each one, with the time: whether the next one begins at once.

        Returns:
            Whether the last one failed; None when it was interrupted.

        Raises:
            OutOfData: There is no row for it; it was not started.
            asyncio.CancelledError: The task was cancelled by somebody who did not halt the VU before.
        """
        shared, steps, feeders, chain = self.shared, self._steps, self._feeders, self._chain
        clock, control, step, traffic = shared.clock, shared.control, steps[0], shared.traffic
        started = clock()
        while True:
            vu.ready = started if due is None else due
            env = vu.env = vu.base.copy()
            env["iter"] = vu.iteration
            if feeders:
                env["data"] = self._rows(vu)
            if chain is not None:
                self._take_wallet(chain, vu, env)
            vu.iteration += 1
            if traffic is not None:
                traffic.begin(vu, self.plan.name, self.stage)
            waited = vu.yields
            meters = self._meters.get(self.stage) or self._meters_of(self.stage)
            meters.started.value += 1
            if due is not None:
                self._late(meters, started - due)
            failed: bool | None = False
            try:
                # The loop of `Program.run`, without its coroutine.
                for step in steps:
                    await step(vu)
            except BaseException as problem:  # noqa: BLE001 - raised again where it is nobody's business here
                failed = await self._ended(vu, problem, self._program.pauses_after(step))
            if self._last is not None and not vu.halted:
                failed = await self._run(vu, self._last) or failed
            if chain is not None:
                vu.end_turn()
            ended = clock()
            if failed is False and not control.failure_streak:
                meters.completed.value += 1
                meters.duration.add(ended - started)
            else:
                self._count(meters, failed, ended - started)
            if traffic is not None and (failed or vu.flow is not None):
                traffic.end(vu, self.plan.name, self.stage, failed=failed, duration=ended - started)
            if shared.reset:
                vu.client.reset()
            if another is None:
                return failed
            if vu.yields == waited:
                await asyncio.sleep(
                    0
                )  # an iteration that waits for nothing must not keep all others from running
                ended = clock()
            if not another(ended):
                return failed
            started = ended

    async def iterate_once(self, shard: int) -> str:
        """One iteration of the first VU on `shard`, for a trial: `completed`, `failed`, `interrupted`, or `no data`."""
        vu = self.make_vu(shard, self.plan.vus_of(shard)[0])
        vu.task = asyncio.current_task()
        try:
            failed = await self.iterate(vu)
        except OutOfData:
            return "no data"
        finally:
            self.shared.control.unregister(vu)
            vu.client.close()
        if failed is None:
            return "interrupted"
        return "failed" if failed else "completed"

    async def _run(self, vu: Vu, program: Program) -> bool | None:
        """Run steps; whether they failed, None when they were interrupted."""
        step = program.steps[0]
        try:
            for step in program.steps:
                await step(vu)
        except BaseException as problem:  # noqa: BLE001 - as in `iterate`
            return await self._ended(vu, problem, program.pauses_after(step))
        return False

    async def _ended(self, vu: Vu, problem: BaseException, pauses: Program | None) -> bool | None:
        """What the end of steps before the last one comes to: as `_run`.

        Args:
            vu: Whose steps.
            problem: What ended them; raised again when it is not theirs.
            pauses: What is left of their pauses.
        """
        if isinstance(problem, EndIteration):
            if pauses is not None and not problem.aborts:
                await self._run(vu, pauses)  # cut short or not, the iteration has failed
            return True
        if isinstance(problem, Halted):
            return None
        if isinstance(problem, asyncio.CancelledError) and vu.halted:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return None
        if not isinstance(problem, Exception):
            raise problem
        # A defect must cost an iteration, not a VU.
        where = "".join(traceback.format_exception(problem)[-2:])
        self.shared.examples.keep(INTERNAL, self.plan.name, "", f"{problem!r}: {where}", "please report this")
        return True

    def _late(self, meters: _Meters, lag: float) -> None:
        meters.lag.add(lag)
        if lag > _LATE_SECONDS:
            meters.late.value += 1

    def _count(self, meters: _Meters, failed: bool | None, duration: float) -> None:  # noqa: FBT001 - internal
        if failed is None:
            meters.interrupted.value += 1
            return
        control = self.shared.control
        if failed:
            meters.failed.value += 1
            control.failure_streak += 1
            self._streak.set(control.failure_streak)
            return
        meters.completed.value += 1
        meters.duration.add(duration)
        if control.failure_streak:
            control.failure_streak = 0
            self._streak.set(0)

    def _ran_out(self, error: DataExhausted) -> None:
        """Tell it once; all shards say the same, so that the report has one warning."""
        if error.data in self._exhausted:
            return
        self._exhausted.add(error.data)
        name = self.plan.name
        message = f"{name} started no further iterations: {self._what_ran_out(error)} were used up (whenExhausted: stop)"
        self.shared.note(
            "warning", "DataExhausted", message=message, scenario=name, data=error.data, rows=error.rows
        )

    def _what_ran_out(self, error: DataExhausted) -> str:
        if self._chain is not None and error.data == WALLETS:
            return f"the {error.rows} wallets"
        return f"the {error.rows} rows of data {error.data}"

    def _meters_of(self, stage: str) -> _Meters:
        tags = make_tags(own=self._tags, scenario=self.plan.name, stage=stage)
        found = self._meters[stage] = _Meters(self.shared.recorder, tags)
        return found

    def _take_wallet(self, chain: Chain, vu: Vu, env: dict[str, Any]) -> None:
        try:
            chain.take(vu, env)
        except DataExhausted as error:
            self._ran_out(error)
            raise OutOfData from error
        except DataError as error:
            self.shared.abort("DataFailed", error.message)
            raise OutOfData from error

    def _rows(self, vu: Vu) -> dict[str, Any]:
        try:
            return {feeder.name: feeder.next(vu.id) for feeder in self._feeders[vu.shard]}
        except DataExhausted as error:
            self._ran_out(error)
            raise OutOfData from error
        except (DataError, RowsError) as error:
            self.shared.abort("DataFailed", error.message)
            raise OutOfData from error
