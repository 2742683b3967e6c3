"""What accounts have: many at once where the chain has Multicall3, else one by one, a few at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from squall_runner.evm.money import multicall
from squall_runner.evm.sending.asking import ask_number
from squall_runner.evm.signing.hexes import from_hex, to_hex

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from squall_runner.evm.sending.asking import Asks

Item = TypeVar("Item")
Result = TypeVar("Result")
_AT_ONCE: Final = 32
_CALLS_AT_ONCE: Final = 4


class Balances:
    """Reads balances at the newest block.

    Args:
        node: Whom to ask.
        contract: The address of a Multicall3; None without one.

    Attributes:
        contract: The same; may be set when there is one.
        lasting: Whether a run has found it there, and none has deployed it: it may be given money.
    """

    def __init__(self, node: Asks, contract: bytes | None) -> None:
        self._node = node
        self.contract = contract
        self.lasting = False

    async def of(self, addresses: Sequence[bytes]) -> list[int]:
        """What each has, in wei.

        Raises:
            RpcError: The node cannot be asked.
        """
        if self.contract is None or len(addresses) == 1:
            return await self._each(addresses)
        size = multicall.BALANCES_PER_CALL
        parts = [addresses[start : start + size] for start in range(0, len(addresses), size)]
        found = await several(self._many, parts, at_once=_CALLS_AT_ONCE)
        return [balance for part in found for balance in part]

    async def nonces(self, addresses: Sequence[bytes], *, block: str = "latest") -> list[int]:
        """How many transactions of each are in blocks; raises RpcError."""

        async def one(address: bytes) -> int:
            return await ask_number(self._node, "eth_getTransactionCount", [to_hex(address), block])

        return await several(one, addresses, at_once=_AT_ONCE)

    async def _each(self, addresses: Sequence[bytes]) -> list[int]:
        return await several(self._one, addresses, at_once=_AT_ONCE)

    async def _one(self, address: bytes) -> int:
        return await ask_number(self._node, "eth_getBalance", [to_hex(address), "latest"])

    async def _many(self, addresses: Sequence[bytes]) -> list[int]:
        assert self.contract is not None
        call = {"to": to_hex(self.contract), "data": to_hex(multicall.balances(self.contract, addresses))}
        answer = await self._node.call("eth_call", [call, "latest"], into=str)
        try:
            return multicall.read_balances(from_hex(answer), len(addresses))
        except ValueError:
            # A node that is behind does not have it yet, and a chain that has lost blocks not any more.
            return await self._each(addresses)


async def several(
    ask: Callable[[Item], Awaitable[Result]], items: Iterable[Item], *, at_once: int
) -> list[Result]:
    """Ask for each item, a few at a time; the first failure ends it."""
    places = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Result:
        async with places:
            return await ask(item)

    # A TaskGroup whose task fails leaves its parent marked as cancelled in Python 3.11, and no timeout around it works any more.
    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
