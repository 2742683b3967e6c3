"""No endpoint gets a call before it has said that it is on the right chain, and it has to say so anew when it was lost.

A URL that leads elsewhere, or a node that was replaced in the middle of a run, would otherwise be sent transactions that spend
somebody's money.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.node.jsonrpc import Call
from squall_runner.evm.node.networks import wrong_chain

if TYPE_CHECKING:
    from squall_runner.evm.node.asker import Asker
    from squall_runner.evm.node.endpoints import Endpoint

CHAIN: Final = Call("eth_chainId", into=str)


class ChainGuard:
    """Knows which chain is the right one.

    Args:
        wanted: Its id; None: any chain will do that is no well-known one of value, the same for all endpoints.
        asker: Asks.

    Attributes:
        found: The chain that endpoints are on; None until the first has said so, where `wanted` is None.
    """

    def __init__(self, wanted: int | None, asker: Asker) -> None:
        self.found = wanted
        self._wanted = wanted
        self._asker = asker
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
        try:
            await asyncio.shield(asked)
        except RpcError as error:
            raise error.copy(unknown_fate=False) from error  # it is only asking: nothing has happened

    async def _ask(self, endpoint: Endpoint, seconds: float) -> None:
        self.settle(endpoint, await self._asker.ask_now(endpoint, CHAIN, self._asker.clock() + seconds))

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
        number, problem = self.judge(endpoint, told)
        endpoint.place(problem, self._asker.clock())
        if problem:
            raise RpcError(Kind.CHAIN_MISMATCH, problem, method=CHAIN.method, endpoint=endpoint.shown)
        self.found = number

    def judge(self, endpoint: Endpoint, told: str) -> tuple[int, str]:
        """The chain of an answer, and what is wrong with it; empty: nothing.

        Raises:
            RpcError: It is no answer.
        """
        try:
            number = int(told, 16)
        except ValueError:
            words = "its chain id is no number"
            raise RpcError(Kind.MALFORMED, words, method=CHAIN.method, endpoint=endpoint.shown) from None
        problem = wrong_chain(number, self._wanted)
        if not problem and self.found not in {None, number}:
            problem = f"it is on chain {number}, and another endpoint on chain {self.found}"
        return number, problem

    async def close(self) -> None:
        """Give up what is under way."""
        under_way = list(self._under_way.values())
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
