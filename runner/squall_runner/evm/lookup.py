"""Asking a node what became of a transaction, which is only done when something is odd: the follower tells of all others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.failures import Kind, RpcError
from squall_runner.evm.hexes import from_quantity

if TYPE_CHECKING:
    from squall_runner.evm.accounts import Account
    from squall_runner.evm.outgoing import Sent


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt that was asked for, with what the follower's `Inclusion` has."""

    hash: str
    status: int
    gas_used: int
    gas_price: int
    block: int
    block_timestamp: int
    seen: float
    confirmed: float
    contract: str | None
    logs: list[dict[str, Any]]


_BLOCK_SECONDS: Final = 1.0
"""How long a block is waited for, where none comes unless something is sent."""


async def known(account: Account, sent: Sent) -> bool:
    """Whether a node has a version of a transaction, in a block or waiting for one.

    Raises:
        RpcError: No node answers.
    """
    for version in reversed(sent.versions):
        found = await account.home.rpc.call(
            "eth_getTransactionByHash", [version.hash], sticky=account.address
        )
        if found is not None:
            return True
    return False


async def displaced(account: Account, used: list[Sent]) -> list[Sent]:
    """Of transactions whose nonces were used up, those that were not what used them. The others have landed then.

    A node may know the new count before the receipt, or another node may answer. So whatever is not found is looked for once more
    when there is another block.

    Raises:
        RpcError: No node answers.
    """
    gone = [sent for sent in used if not await _find(account, sent)]
    if gone:
        try:
            async with asyncio.timeout(_BLOCK_SECONDS):
                await account.home.follower.next_head()
        except TimeoutError:
            pass
        gone = [sent for sent in gone if not await _find(account, sent)]
    return gone


async def _find(account: Account, sent: Sent) -> bool:
    """Look for a receipt of any version."""
    for version in reversed(tuple(sent.versions)):
        if sent.landing is not None:
            return True
        receipt = await account.home.rpc.call(
            "eth_getTransactionReceipt", [version.hash], sticky=account.address
        )
        if receipt is not None:
            account.landed(sent, await _read(account, receipt))
            return True
    return sent.landing is not None


async def _read(account: Account, receipt: dict[str, Any]) -> Found:
    home = account.home
    block = await home.rpc.call(
        "eth_getBlockByNumber", [receipt["blockNumber"], False], sticky=account.address
    )
    now = home.clock()
    try:
        return Found(
            receipt["transactionHash"],
            from_quantity(receipt["status"]),
            from_quantity(receipt["gasUsed"]),
            from_quantity(receipt.get("effectiveGasPrice", "0x0")),
            from_quantity(receipt["blockNumber"]),
            from_quantity(block["timestamp"]),
            now,
            now,
            receipt.get("contractAddress"),
            receipt.get("logs", []),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RpcError(Kind.MALFORMED, f"a receipt is not as it should be: {error!r}") from error
