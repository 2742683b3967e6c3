"""How iterations come about: as VUs become free (`closed`), by the clock (`arrivals`), or as a search wants (`capacity`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from squall_runner.executors.arrivals import ArrivalExecutor
from squall_runner.executors.capacity import RateSearch, VuSearch
from squall_runner.executors.closed import ClosedExecutor

if TYPE_CHECKING:
    from squall_runner.engine.control import Control, Timeline
    from squall_runner.executors.base import Iterations


class Executor(Protocol):
    """Drives one scenario on one shard."""

    def __init__(self, scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> None: ...

    async def run(self) -> None:
        """Drive it to its end; returns early after a stop."""

    def account(self) -> None:
        """Bring counters that follow the clock up to date."""


def make_executor(scenario: Iterations, shard: int, timeline: Timeline, control: Control) -> Executor:
    """The executor for a scenario on a shard."""
    plan = scenario.plan
    if plan.search is not None:
        kind: type[Executor] = RateSearch if plan.is_open else VuSearch
    else:
        kind = ArrivalExecutor if plan.is_open else ClosedExecutor
    return kind(scenario, shard, timeline, control)


__all__ = ["ArrivalExecutor", "ClosedExecutor", "Executor", "RateSearch", "VuSearch", "make_executor"]
