"""What is in blocks, and for whom: the meeting of those who wait and the blocks that come, or have been.

Receipts are read only of blocks that may hold what somebody waits for, once for all. Who comes late is served from the newest blocks, which
are kept; only what is not in them is asked of the node.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall_runner.evm.following.blockreading import BlockReader, GoneError
from squall_runner.evm.following.heads import Block, LogKey, Window, log_keys, whole_logs
from squall_runner.evm.following.watching import Logs, LogWatch, Transactions
from squall_runner.evm.node.failures import Kind, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from squall_runner.evm.following.heads import Head, Inclusion, Receipt

UNDERSTOOD: Final = (RpcError, GoneError, ValueError, msgspec.DecodeError)
"""What may be wrong with what a node says."""
_LATE_BLOCKS: Final = 8
"""So many of the newest blocks are looked through for a transaction that is waited for only now."""


class Harvest:
    """The newest blocks, and who waits for what.

    Args:
        reader: Reads blocks.
        clock: Seconds, monotonic.

    Attributes:
        window: The newest blocks.
        transactions: Those who wait for transactions.
        logs: Those who wait for events.
    """

    def __init__(self, reader: BlockReader, clock: Callable[[], float]) -> None:
        self.window = Window()
        self.transactions = Transactions()
        self.logs = Logs()
        self._reader = reader
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many transactions and events are waited for."""
        return len(self.transactions) + self.transactions.confirming + len(self.logs)

    async def close(self) -> None:
        """End; whoever still waits is cancelled."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.transactions.cancel()
        self.logs.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- blocks that come -------------------------------------------------------------------------------------

    async def take(self, head: Head) -> None:
        """Take the next block, and tell whoever waits for what is in it.

        Raises:
            RpcError: It cannot be read; nothing has changed but for those who were told already.
            GoneError: It is not in the chain any more.
        """
        block = Block(head)
        if not head.gas_used:
            block.receipts = {}  # no transaction without gas
        elif self._may_hold(head):
            block.receipts = await self._reader.receipts(head)
            if block.receipts is None:
                await self._read_some(block)
            else:
                self._match(block)
        self.window.add(block)
        self.transactions.confirm(head.number, self._clock())

    def take_back(self, number: int) -> tuple[int, list[str]]:
        """The blocks from this number on are gone: how many were known, and of which transactions in them somebody was told."""
        gone = self.window.cut(number)
        self.transactions.take_back(number)
        return len(gone), [each for block in gone for each in block.told]

    def _may_hold(self, head: Head) -> bool:
        """Whether there may be something in a block for which somebody waits."""
        if len(self.logs):
            return True
        if not len(self.transactions):
            return False
        return head.transactions is None or bool(self.transactions.wanted(head.transactions))

    def _match(self, block: Block) -> None:
        """Tell whoever waits for what is in a block."""
        receipts = block.receipts
        assert receipts is not None, "they were read"
        for tx_hash in self.transactions.wanted(receipts):
            self._include(receipts[tx_hash], block)
        if len(self.logs):
            seen = self._clock()
            for receipt in receipts.values():
                self._offer(receipt, block.head, seen)

    def _include(self, receipt: Receipt, block: Block) -> None:
        if self.transactions.include(receipt, block.head, self._clock()):
            block.told.append(receipt.transaction_hash)

    def _offer(self, receipt: Receipt, head: Head, seen: float) -> None:
        whole: list[dict[str, Any]] | None = None
        for place, key in enumerate(log_keys(receipt.logs)):
            for watch in self.logs.find(key):
                whole = whole_logs(receipt.logs) if whole is None else whole
                watch.offer(whole[place], head, seen)

    async def _read_some(self, block: Block) -> None:
        """The long way, where a node cannot give all receipts of a block at once."""
        head, hashes = block.head, block.head.transactions
        done: set[str] = set()
        while len(self.transactions):
            if hashes is None:
                hashes = (await self._reader.named(head.hash)).transactions or frozenset()
            wanted = [each for each in self.transactions.wanted(hashes) if each not in done]
            if not wanted:
                break
            for receipt in await self._reader.some_receipts(head, wanted):
                self._include(receipt, block)
            done.update(wanted)  # and once more for those who have come in the meantime
        filters = None
        while len(self.logs) and filters != self.logs.filters:
            filters = addresses, topics = self.logs.filters
            for log in await self._reader.logs(head.number, head.number, addresses, [topics]):
                for watch in self.logs.find(_key(log)):
                    watch.offer(log, head, self._clock())

    # -- blocks that have been --------------------------------------------------------------------------------

    def watch(self, tx_hash: str, confirmations: int, *, late: bool) -> asyncio.Future[Inclusion]:
        """Begin to wait for a transaction; as `Follower.watch`."""
        future = self.transactions.add(tx_hash, confirmations)
        head = self.window.head
        if head is None:
            return future
        for block in self.window.newest_first(_LATE_BLOCKS):
            if block.receipts is None:
                hashes = block.head.transactions
                # Of a block that was not read nobody knows; only the newest may hold what has just been sent.
                late = late or (block.head is head if hashes is None else tx_hash in hashes)
            elif tx_hash in block.receipts:
                self._include(block.receipts[tx_hash], block)
                self.transactions.confirm(head.number, self._clock())
                return future
        if late:
            self._spawn(self._look_for(tx_hash))
        return future

    def search(self, watch: LogWatch, first: int) -> None:
        """Look for an event in blocks that have been, from this number on."""
        head = self.window.head
        if head is None or first > head.number:
            return
        last = head.number
        blocks = [self.window.at(number) for number in range(max(first, self.window.oldest), last + 1)]
        kept = [block for block in blocks if block is not None and block.receipts is not None]
        if first < self.window.oldest or len(kept) < len(blocks):
            self._spawn(self._search_node(watch, first, last))
            return
        for block in kept:
            for receipt in (block.receipts or {}).values():
                for place, key in enumerate(log_keys(receipt.logs)):
                    if watch.fits(key) and watch.offer(
                        whole_logs(receipt.logs)[place], block.head, self._clock()
                    ):
                        return

    async def _look_for(self, tx_hash: str) -> None:
        """Ask for the receipt of a transaction that may be in an earlier block."""
        try:
            receipt = await self._reader.receipt(tx_hash)
            last = self.window.head
            if receipt is None or last is None or int(receipt.block_number, 16) > last.number:
                return  # it is yet to come
            number = int(receipt.block_number, 16)
            block = self.window.at(number) or Block(await self._reader.at(number))
        except UNDERSTOOD:
            return  # it will be seen in a block, or its sender gives up
        if block.head.hash == receipt.block_hash:
            self._include(receipt, block)
            self.transactions.confirm(last.number, self._clock())

    async def _search_node(self, watch: LogWatch, first: int, last: int) -> None:
        fixed = dict(watch.fixed)
        most = max([place for place in fixed if place <= 3], default=0)
        topics = [watch.topic, *[fixed.get(place) for place in range(1, most + 1)]]
        try:
            found = await self._reader.logs(first, last, [watch.address] if watch.address else [], topics)
            for log in found:
                if watch.future.done():
                    return
                if watch.fits(_key(log)):
                    number = int(log["blockNumber"], 16)
                    block = self.window.at(number)
                    head = block.head if block is not None else await self._reader.at(number)
                    watch.offer(log, head, self._clock())
        except UNDERSTOOD as error:
            if not watch.future.done():
                own = isinstance(error, RpcError)
                watch.future.set_exception(
                    error if own else RpcError(Kind.MALFORMED, str(error), method="eth_getLogs")
                )


def _key(log: dict[str, Any]) -> LogKey:
    return LogKey(log["address"], log["topics"], log["data"])
