"""What executors need of a scenario: VUs, iterations, and where to count what did not happen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Level
    from squall.plan.model import ScenarioPlan
    from squall_runner.recording import CounterSeries


class Iterating(Protocol):
    """A VU, as far as executors go; see `squall_runner.engine.vu.Vu`."""

    halted: bool
    in_flight: int
    yields: int
    task: asyncio.Task[Any] | None

    def halt(self) -> None:
        """Send nothing more."""

    def interrupt(self) -> None:
        """Send nothing more, and give up what is being waited for."""


class Iterations(Protocol):
    """A scenario, as far as executors go; see `squall_runner.engine.scenario.ScenarioLoad`."""

    plan: ScenarioPlan
    dropped: CounterSeries
    planned: CounterSeries
    stage: str
    level: Level | None

    def make_vu(self, shard: int, number: int) -> Any:
        """Make a VU."""

    def enter(self) -> None:
        """A VU becomes active."""

    def leave(self) -> None:
        """A VU is no longer active."""

    async def iterate(
        self, vu: Any, due: float | None = None, another: Callable[[float], bool] | None = None
    ) -> object:
        """One iteration, and as long as `another` says so at the time, in seconds, one more.

        An iteration that has waited for nothing lets the others run. Raises OutOfData when there is no data for one.
        """


class OutOfData(Exception):  # noqa: N818 - the planned end of the data, not a mistake
    """A shard has no more rows for this scenario: it starts no further iteration."""


async def finish(tasks: set[asyncio.Task[None]]) -> None:
    """Wait for tasks; when cancelled, cancel them and wait for their end.

    Raises:
        Exception: The first failure among them; a defect, since iterations do not raise.
    """
    try:
        if tasks:
            await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
