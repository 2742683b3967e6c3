"""Reading blocks from nodes: headers, and what is in them, with as few calls as the node allows.

`eth_getBlockReceipts` gives all of a block in one call. Nodes that do not have it are asked for the logs that somebody waits for, and
for the receipts that somebody waits for, in one batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.following.heads import Header, Receipt
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall_runner.evm.following.heads import Head
    from squall_runner.evm.node.rpc import Rpc

STICKY: Final = "squall/follower"
"""Whom the pool knows the follower by: it keeps to one endpoint, whose view of the chain is one."""
_AS: Final[Any] = {"sticky": STICKY, "urgent": True}
"""How all of it is asked: thousands may wait for it."""
_RECEIPTS: Final = "eth_getBlockReceipts"
_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Between tries for what a node does not have yet: it tells of a block before it can show all of it."""

_IN_VAIN: Final = 3
"""After so many blocks in a row without receipts an endpoint is not asked for those of a block any more."""


class GoneError(Exception):
    """A block is not there: it was taken back, or has never been."""


class BlockReader:
    """Reads blocks.

    Args:
        rpc: Asks.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._without: set[str] = set()
        """Endpoints that do not have `eth_getBlockReceipts`."""
        self._in_vain = 0

    async def newest(self) -> Head | None:
        """The newest block. Raises RpcError, as all here."""
        return await self._header("eth_getBlockByNumber", "latest")

    async def at(self, number: int) -> Head:
        """The block with this number.

        Raises:
            GoneError: There is none.
        """
        found = await self._header("eth_getBlockByNumber", hex(number))
        if found is None or found.number != number:
            raise GoneError(f"there is no block {number}")
        return found

    async def named(self, block_hash: str) -> Head:
        """The block with this hash.

        Raises:
            GoneError: There is none.
        """
        found = await self._header("eth_getBlockByHash", block_hash)
        if found is None:
            raise GoneError(f"there is no block {block_hash}")
        return found

    async def _header(self, method: str, which: str) -> Head | None:
        found: Header | None = await self._rpc.call(method, (which, False), **_AS, into=Header | None)
        return None if found is None else found.head(self._rpc.clock())

    async def receipts(self, head: Head) -> dict[str, Receipt] | None:
        """All receipts of a block by hash of the transaction; None: the node cannot give them at once.

        Raises:
            GoneError: The block is not in the chain any more.
        """
        for pause in (*_PAUSES, None):
            shown = self._rpc.pool.pick(STICKY, self._rpc.clock()).shown
            if shown in self._without:
                return None
            try:
                found: list[Receipt] | None = await self._rpc.call(
                    _RECEIPTS, (hex(head.number),), **_AS, into=list[Receipt] | None
                )
            except RpcError as error:
                if error.kind is not Kind.METHOD_UNKNOWN:
                    raise
                self._without.add(error.endpoint)
                return None
            if found:
                if found[0].block_hash != head.hash:
                    raise GoneError(f"block {head.number} is another one by now")
                self._in_vain = 0
                return {each.transaction_hash: each for each in found}
            if pause is not None:
                await wait(pause, self._rpc.clock)
        self._in_vain += 1
        if self._in_vain >= _IN_VAIN:
            self._without.add(shown)
        return None  # it may have them singly

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a transaction; None: it is in no block."""
        found: Receipt | None = await self._rpc.call(
            "eth_getTransactionReceipt", (tx_hash,), **_AS, into=Receipt | None
        )
        return found

    async def some_receipts(self, head: Head, hashes: Sequence[str]) -> list[Receipt]:
        """The receipts of those transactions of a block that are asked for."""
        if not hashes:
            return []
        method, params = "eth_getTransactionReceipt", [(each,) for each in hashes]
        found = await self._rpc.call_many(method, params, **_AS, into=Receipt | None)
        return [each for each in found if each is not None and each.block_hash == head.hash]

    async def logs(
        self, first: int, last: int, addresses: Sequence[str], topics: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """The logs between two blocks, both included, as the node writes them.

        Args:
            first: Number of the first block.
            last: Number of the last one.
            addresses: Of the contracts; none: of all.
            topics: As `eth_getLogs` takes them.
        """
        wanted: dict[str, Any] = {"fromBlock": hex(first), "toBlock": hex(last), "topics": list(topics)}
        if addresses:
            wanted["address"] = list(addresses)
        found: list[dict[str, Any]] = await self._rpc.call(
            "eth_getLogs", (wanted,), **_AS, into=list[dict[str, Any]]
        )
        return found
