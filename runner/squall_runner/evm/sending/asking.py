"""Questions to the node that several modules ask, and what they need of who answers and of who follows the chain.

What stands here as an interface is all that sending relies on, so that it is tested against a chain that runs in virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.signing.hexes import from_quantity

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from squall_runner.evm.following.heads import Head, Inclusion


class Asks(Protocol):
    """What is needed of `squall_runner.evm.node.rpc.Rpc`."""

    async def call(
        self, method: str, params: Sequence[Any] = (), *, sticky: str = "", into: Any = Any
    ) -> Any:
        """Call a method of the node."""

    async def send_raw(
        self,
        raw: str,
        tx_hash: str,
        *,
        sticky: str = "",
        timeout: float | None = None,  # noqa: ASYNC109 - as `Rpc` has it
    ) -> str:
        """Hand over a signed transaction; that a node has it already is no failure."""


class Follows(Protocol):
    """What is needed of `squall_runner.evm.following.follower.Follower`."""

    @property
    def head(self) -> Head | None:
        """The newest block that is known."""

    @property
    def told(self) -> Head | None:
        """The newest block of which all was told that is in it, and before it."""

    def watch(self, tx_hash: str, confirmations: int = 0, *, late: bool = False) -> asyncio.Future[Inclusion]:
        """Tell when a transaction is in a block; who cancels what is returned is not told."""

    def on_reorganisation(self, callback: Callable[[list[str]], None]) -> Callable[[], object]:
        """Have something called with the hashes of transactions that are in no block any more; returns what ends that."""

    async def next_head(self) -> Head:
        """Wait for another block."""


async def ask_number(rpc: Asks, method: str, params: Sequence[Any] = (), *, sticky: str = "") -> int:
    """The number that a method answers with.

    Raises:
        RpcError: The call failed, or the answer is no number.
    """
    answer = await rpc.call(method, params, sticky=sticky, into=str)
    try:
        return from_quantity(answer)
    except ValueError:
        raise RpcError(Kind.MALFORMED, f"the answer {answer!r:.80} is no number", method=method) from None


async def transaction_count(rpc: Asks, address: str, block: str) -> int:
    """How many transactions of an account there are: the nonce of the next one.

    Args:
        rpc: Who is asked.
        address: The account's.
        block: `latest`, `pending` to count those that the node holds without a gap, or a block's number as `0x...`.

    Raises:
        RpcError: There was no answer.
    """
    return await ask_number(rpc, "eth_getTransactionCount", [address, block], sticky=address)
