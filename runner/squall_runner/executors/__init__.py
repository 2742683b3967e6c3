"""How iterations come about: as VUs become free (`closed`), or by the clock (`arrivals`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from squall_runner.executors.arrivals import ArrivalExecutor
from squall_runner.executors.closed import ClosedExecutor

if TYPE_CHECKING:
    from squall_runner.engine.control import Control, Timeline
    from squall_runner.executors.base import Iterations


class Executor(Protocol):
    """Drives one scenario on one shard."""

    async def run(self) -> None:
        """Drive it to its end; returns early after a stop."""

    def account(self) -> None:
        """Bring counters that follow the clock up to date."""


def make_executor(scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> Executor:
    """The executor for a scenario on a shard."""
    kind = ArrivalExecutor if scenario.plan.is_open else ClosedExecutor
    return kind(scenario, shard, timeline, control)


__all__ = ["ArrivalExecutor", "ClosedExecutor", "Executor", "make_executor"]
