"""No endpoint gets a call before it has said that it is on the right chain, nor again after it was lost, until it has said so anew.

A URL that leads elsewhere, or a node that was replaced in the middle of a run, would otherwise be sent transactions that spend
somebody's money.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from squall_runner.evm.failures import Kind, RpcError
from squall_runner.evm.jsonrpc import Call
from squall_runner.evm.networks import wrong_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.endpoints import Endpoint

CHAIN: Final = Call("eth_chainId", into=str)


class Asking(Protocol):
    """Who asks an endpoint, whatever its chain: `Rpc`."""

    clock: Callable[[], float]

    async def ask_now(self, endpoint: Endpoint, call: Call, deadline: float) -> Any:
        """Ask one endpoint once."""


class ChainGuard:
    """Knows which chain is the right one.

    Args:
        wanted: Its id; None: any chain will do that is no well-known one of value, the same for all endpoints.
        asking: Who asks.

    Attributes:
        found: The chain that endpoints are on; None until the first has said so, where `wanted` is None.
    """

    def __init__(self, wanted: int | None, asking: Asking) -> None:
        self.found = wanted
        self._wanted = wanted
        self._asking = asking
        self._under_way: dict[Endpoint, asyncio.Future[None]] = {}

    async def verify(self, endpoint: Endpoint, seconds: float) -> None:
        """Ask an endpoint for its chain; whoever wants to know at the same time waits for the same answer.

        Raises:
            RpcError: It is not the right one (`CHAIN_MISMATCH`), or it does not say.
        """
        asked = self._under_way.get(endpoint)
        if asked is None:
            asked = self._under_way[endpoint] = asyncio.ensure_future(self._ask(endpoint, seconds))
            asked.add_done_callback(lambda done: self._done(endpoint, done))
        await asyncio.shield(asked)

    async def _ask(self, endpoint: Endpoint, seconds: float) -> None:
        self.settle(endpoint, await self._asking.ask_now(endpoint, CHAIN, self._asking.clock() + seconds))

    def _done(self, endpoint: Endpoint, done: asyncio.Future[None]) -> None:
        del self._under_way[endpoint]
        if not done.cancelled():
            done.exception()  # looked at, even if all who waited have gone

    def settle(self, endpoint: Endpoint, told: str) -> None:
        """Take note of the chain that an endpoint says it is on.

        Args:
            endpoint: Which one.
            told: Its answer.

        Raises:
            RpcError: It is not the right one; the endpoint gets no call any more until it says otherwise.
        """
        method, where = CHAIN.method, endpoint.shown
        try:
            number = int(told, 16)
        except ValueError:
            words = "its chain id is no number"
            raise RpcError(Kind.MALFORMED, words, method=method, endpoint=where) from None
        problem = wrong_chain(number, self._wanted)
        if not problem and self.found not in {None, number}:
            problem = f"it is on chain {number}, and another endpoint on chain {self.found}"
        endpoint.chain_ok = not problem
        endpoint.judge(problem)
        if problem:
            raise RpcError(Kind.CHAIN_MISMATCH, problem, method=method, endpoint=where)
        self.found = number

    async def close(self) -> None:
        """Give up what is under way."""
        under_way = list(self._under_way.values())
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
