"""Asking a node what became of a transaction, which is only done when something is odd: the follower tells of all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_runner.evm.following.heads import Header, Inclusion, Receipt
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.asking import transaction_count
from squall_runner.evm.signing.hexes import quantity

if TYPE_CHECKING:
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.outgoing import Sent


async def known(account: Account, sent: Sent) -> bool:
    """Whether a node has a version of a transaction, in a block or waiting for one.

    Raises:
        RpcError: No node answers.
    """
    for version in reversed(sent.versions):
        told = await account.home.rpc.call("eth_getTransactionByHash", [version.hash], sticky=account.address)
        if told is not None:
            return True
    return False


async def displaced(account: Account, used: list[Sent]) -> list[Sent]:
    """Of transactions whose nonces were used up, those that for certain were not what used them; of the others some have landed then.

    That no receipt is found proves nothing: who answers for a count may be blocks ahead of who answers for a receipt, as
    endpoints differ, and so do the nodes behind one address. What proves it is one block of which the follower has told all that is
    in it and before it: if a nonce was used up there, and not by one of ours, it was used by another transaction.

    Raises:
        RpcError: No node answers.
    """
    home = account.home
    told = home.follower.told
    gone = [sent for sent in used if not await found(account, sent)]
    if not gone or told is None or told.number < home.depth:
        return []
    try:
        certain = await transaction_count(home.rpc, account.address, quantity(told.number - home.depth))
    except RpcError:
        return []  # who is asked does not have that block yet
    return [sent for sent in gone if sent.nonce < certain and sent.landing is None]


async def found(account: Account, sent: Sent) -> bool:
    """Whether a block holds a version of a transaction, which has landed then.

    Raises:
        RpcError: No node answers.
    """
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
