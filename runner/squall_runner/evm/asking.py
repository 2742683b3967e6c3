"""Questions to the node that several modules ask, and what they need of who answers and of who follows the chain.

What stands here as an interface is all that sending relies on, so that it is tested against a chain that runs in virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from squall_runner.evm.failures import Kind, RpcError
from squall_runner.evm.hexes import from_quantity

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence


class Asks(Protocol):
    """What is needed of `squall_runner.evm.rpc.Rpc`."""

    async def call(
        self, method: str, params: Sequence[Any] = (), *, sticky: str = "", timeout: float | None = None
    ) -> Any:
        """Call a method of the node."""

    async def send_raw(
        self, raw: str, tx_hash: str, *, sticky: str = "", timeout: float | None = None
    ) -> str:
        """Hand over a signed transaction; that a node has it already is no failure."""


class Block(Protocol):
    """What is needed of a block's header."""

    @property
    def number(self) -> int:
        """Its place in the chain."""

    @property
    def base_fee(self) -> int | None:
        """Wei per unit of gas; None on a chain without."""

    @property
    def gas_limit(self) -> int:
        """The most gas of all its transactions together."""


class Landing(Protocol):
    """What is needed of the news that a transaction is in a block."""

    @property
    def hash(self) -> str:
        """Of the transaction."""

    @property
    def status(self) -> int:
        """1, or 0 if it was reverted."""

    @property
    def gas_used(self) -> int:
        """Of the transaction."""

    @property
    def block(self) -> int:
        """The number of the block."""

    @property
    def seen(self) -> float:
        """When the follower knew of it, by its clock."""


class Follows(Protocol):
    """What is needed of `squall_runner.evm.follower.Follower`."""

    @property
    def head(self) -> Block | None:
        """The newest block that is known."""

    def watch(self, tx_hash: str, confirmations: int = 0) -> asyncio.Future[Any]:
        """Tell when a transaction is in a block."""

    def unwatch(self, tx_hash: str) -> None:
        """Tell no more."""

    async def next_head(self) -> Any:
        """Wait for another block."""


async def ask_number(rpc: Asks, method: str, params: Sequence[Any] = (), *, sticky: str = "") -> int:
    """The number that a method answers with.

    Raises:
        RpcError: The call failed, or the answer is no number.
    """
    answer = await rpc.call(method, params, sticky=sticky)
    try:
        return from_quantity(answer)
    except (ValueError, TypeError):
        raise RpcError(Kind.MALFORMED, f"the answer {answer!r:.80} is no number", method=method) from None


async def transaction_count(rpc: Asks, address: str, block: str) -> int:
    """How many transactions of an account there are: the nonce of the next one.

    Args:
        rpc: Who is asked.
        address: The account's.
        block: `latest`, or `pending` to count those that the node holds without a gap.

    Raises:
        RpcError: There was no answer.
    """
    return await ask_number(rpc, "eth_getTransactionCount", [address, block], sticky=address)
