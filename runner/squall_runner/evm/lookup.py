"""Asking a node what became of a transaction, which is only done when something is odd: the follower tells of all others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall_runner.evm.failures import Kind, RpcError
from squall_runner.evm.heads import Header, Inclusion, Receipt

if TYPE_CHECKING:
    from squall_runner.evm.accounts import Account
    from squall_runner.evm.outgoing import Sent


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
    rpc = account.home.rpc
    for version in reversed(tuple(sent.versions)):
        if sent.landing is not None:
            return True
        receipt = await rpc.call(
            "eth_getTransactionReceipt", [version.hash], sticky=account.address, into=Receipt | None
        )
        if receipt is not None:
            account.landed(sent, await _read(account, receipt))
            return True
    return sent.landing is not None


async def _read(account: Account, receipt: Receipt) -> Inclusion:
    home = account.home
    header = await home.rpc.call(
        "eth_getBlockByNumber", [receipt.block_number, False], sticky=account.address, into=Header
    )
    now = home.clock()
    try:
        return Inclusion.of(receipt, header.head(now), now)
    except ValueError as error:
        raise RpcError(Kind.MALFORMED, f"a receipt is not as it should be: {error}") from error
