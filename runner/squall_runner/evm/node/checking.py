"""Looking after endpoints: each is asked from time to time for its chain and its head, all at the same moment.

Calls find out that an endpoint fails; only this finds out that it has fallen behind or lies, and that it is well again. A failure of
a call brings the next round forward. One endpoint alone is asked only while its circuit is not closed: it has nobody to be compared
with, and its chain is asked for after each lost connection anyway.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from squall_runner.evm.node.chainguard import CHAIN
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.node.jsonrpc import Call
from squall_runner.resilience.backoff import growing
from squall_runner.resilience.breaker import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall_runner.evm.node.asker import Asker
    from squall_runner.evm.node.chainguard import ChainGuard
    from squall_runner.evm.node.endpoints import Endpoint, Pool

HEAD: Final = Call("eth_blockNumber", into=str)
PERIOD_SECONDS: Final = 5.0
_SOONEST_SECONDS: Final = 0.25
"""Rounds are never closer than that, however much fails."""
_ANSWER_SECONDS: Final = 3.0
"""A head that comes later is of another moment."""
_PAUSES: Final = growing(1.0, factor=2.0, most=PERIOD_SECONDS, jitter=0.25)
"""Between rounds while not all are well."""


class _Shown(msgspec.Struct):
    number: str


class Looked(Protocol):
    """What checks need of `Rpc`."""

    pool: Pool
    chain: ChainGuard
    asker: Asker
    clock: Callable[[], float]

    def report(self, endpoint: Endpoint) -> None:
        """Tell how well it is."""


class Checker:
    """Looks after the endpoints of an `Rpc`.

    Args:
        rpc: Whose endpoints they are.
        rng: Scatters the rounds of different runners.
    """

    def __init__(self, rpc: Looked, *, rng: Random) -> None:
        self._rpc = rpc
        self._rng = rng
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._woken.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """Look soon: something has failed."""
        self._woken.set()

    async def _run(self) -> None:
        troubled = 0
        while True:
            length = _PAUSES(troubled, self._rng) if troubled else PERIOD_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(length):
                    await self._woken.wait()
            self._woken.clear()
            await self.round()
            troubled = 0 if all(each.up for each in self._rpc.pool.all) else troubled + 1
            await asyncio.sleep(_SOONEST_SECONDS)

    async def round(self) -> None:
        """Ask all endpoints that may be asked, and compare their heads."""
        pool, now = self._rpc.pool, self._rpc.clock()
        alone = len(pool.all) == 1
        due = [
            each
            for each in pool.all
            if not each.breaker.rejects(now)
            and not (alone and each.breaker.state is State.CLOSED and each.up)
        ]
        if due:
            await asyncio.gather(*(self._check(each) for each in due))
            await self._prove()
            pool.compare()
        for each in pool.all:
            self._rpc.report(each)
        if any(each.breaker.state is State.HALF_OPEN for each in due):
            self._woken.set()  # it wants a few more answers before it is trusted

    async def _prove(self) -> None:
        """Where only two are there to be compared, and one is far ahead, that one has to show the block that it tells of."""
        pool = self._rpc.pool
        ahead = pool.unproven()
        if ahead is None:
            return
        shown = Call("eth_getBlockByNumber", (hex(ahead.head), False), into=_Shown | None)
        try:
            block = await self._rpc.asker.ask_now(ahead, shown, self._rpc.clock() + _ANSWER_SECONDS)
        except RpcError:
            return  # nothing is known then, as before
        if block is None or block.number != hex(ahead.head):
            ahead.head, ahead.in_place = -1, False  # so nobody is compared with it
            ahead.judge("it tells of a block that it does not have")

    async def _check(self, endpoint: Endpoint) -> None:
        rpc, now = self._rpc, self._rpc.clock()
        deadline = now + _ANSWER_SECONDS
        for _ in (HEAD, CHAIN):
            endpoint.free(now, urgent=True)
        try:
            number = int(await rpc.asker.ask_now(endpoint, HEAD, deadline), 16)
            rpc.chain.settle(endpoint, await rpc.asker.ask_now(endpoint, CHAIN, deadline))
        except RpcError as error:
            endpoint.answers = not error.at_fault and endpoint.answers
            endpoint.judge(error.said)
        except ValueError:
            endpoint.answers = False
            endpoint.judge("its head is no number")
        else:
            endpoint.answers = True
            rpc.pool.saw(endpoint, number, rpc.clock())
            endpoint.judge()
