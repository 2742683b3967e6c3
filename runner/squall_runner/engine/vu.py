"""A virtual user: what distinguishes one from all the others, and nothing else.

There may be tens of thousands in one process, so a VU is a handful of slots; programs, series and limits
belong to its scenario and are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from random import Random

    from squall_runner.engine.traffic import Flow
    from squall_runner.evm.acting import Wallet
    from squall_runner.evm.sending.pacing import Turn
    from squall_runner.http import HttpClient


class Staged(Protocol):
    """What a VU takes part in."""

    stage: str
    """The stage that measurements belong to now; empty where there are none."""


class Vu:
    """One virtual user, or one of the branches in which it is in several places at once.

    Attributes:
        id: Unique over all scenarios and shards, from 1.
        shard: The shard it lives on, from 0.
        scenario: What it takes part in.
        base: The environment that every iteration begins with.
        env: The environment of the current iteration.
        client: Its connections and cookies.
        rng: Its own source of chance.
        iteration: How many iterations it has begun.
        ready: When the next request should be sent, in seconds: the iteration's place in the schedule, then the end of
            the step before.
        root: The VU itself; for a branch, the VU it belongs to.
        halted: It may send nothing more (on the root).
        in_flight: Requests that are being waited for (on the root).
        yields: Grows whenever it has really waited for something (on the root).
        task: The task that runs it (on the root).
        flow: What is kept of the current iteration for the log, if that is wanted (on the root).
        wallet: What it acts with on a chain, if it does (on the root).
        turn: Its turn to send a transaction, while it has one (on the root).
    """

    __slots__ = (
        "base", "client", "env", "flow", "halted", "id", "in_flight", "iteration", "ready", "rng", "root", "scenario", "shard",
        "task", "turn", "wallet", "yields",
    )  # fmt: skip

    def __init__(
        self,
        vu_id: int,
        shard: int,
        scenario: Staged,
        *,
        base: dict[str, Any],
        client: HttpClient,
        rng: Random,
    ) -> None:
        self.id = vu_id
        self.shard = shard
        self.scenario = scenario
        self.base = base
        self.env: dict[str, Any] = base
        self.client = client
        self.rng = rng
        self.iteration = 0
        self.ready = 0.0
        self.root: Vu = self
        self.halted = False
        self.in_flight = 0
        self.yields = 0
        self.task: asyncio.Task[Any] | None = None
        self.flow: Flow | None = None
        self.wallet: Wallet | None = None
        self.turn: Turn | None = None

    def fork(self) -> Vu:
        """A branch: shares everything, but goes its own way in time."""
        branch = Vu(self.id, self.shard, self.scenario, base=self.base, client=self.client, rng=self.rng)
        branch.env = self.env
        branch.iteration = self.iteration
        branch.ready = self.ready
        branch.root = self.root
        return branch

    def end_turn(self) -> None:
        """Its turn has been taken, or it has done without."""
        if self.turn is not None:
            self.turn.close()
            self.turn = None

    def halt(self) -> None:
        """Send nothing more; what is in flight may finish."""
        self.halted = True

    def interrupt(self) -> None:
        """Send nothing more, and give up what is being waited for."""
        self.halted = True
        if self.task is not None:
            self.task.cancel()
