"""Following the chain: one look at each block for everybody, instead of one poll for each transaction.

    follower = Follower(rpc, poll_seconds=0.5)
    await follower.start()
    included = follower.watch(signed.hash)      # before it is sent, so that no block comes in between
    await rpc.send_raw(...)
    inclusion = await included

News come by WebSocket where an endpoint has one that works, and else by asking for the newest block; each of the two goes on where
the other left off. Blocks are taken strictly one after the other: one that was missed is read, one whose parent is not the block
before it is a reorganisation: then what was in the blocks that are gone is waited for again, if it had not the confirmations it
was to have. A head that goes back, or that nobody else knows of, is not followed. Receipts are read only of blocks that may hold
what somebody waits for.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.following.blockreading import STICKY, BlockReader, GoneError
from squall_runner.evm.following.harvest import UNDERSTOOD, Harvest
from squall_runner.evm.following.newheads import NewHeads
from squall_runner.evm.following.watching import LogWatch
from squall_runner.evm.node.failures import Kind, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from squall_runner.evm.following.heads import Head, Inclusion, LogSeen
    from squall_runner.evm.following.watching import Fixed
    from squall_runner.evm.node.endpoints import Endpoint
    from squall_runner.evm.node.rpc import Rpc

SILENCE_SECONDS: Final = 5.0
_JUMP: Final = 64
"""A head so far ahead of the last one is looked at twice; and if nobody waits for anything, what lies between is left out."""
_NEAR: Final = 2
_QUIET_SECONDS: Final = 60.0
"""Of heads that go back the log is told so often at most: nodes behind one address take turns in being behind."""
_RETRY_SECONDS: Final = 0.25
_ANNOUNCED: Final = 256


def _nothing(*_: object) -> None:
    """Nobody wants to know."""


class Follower:
    """Follows one chain for a whole process.

    Args:
        rpc: Its endpoints, started.
        poll_seconds: How often the newest block is asked for while no WebSocket tells of it.
        silence_seconds: After so long without news over a WebSocket, and three blocks' time, somebody has a look.
        rng: Scatters pauses.
        told: For the run's log, as that of `Rpc`.

    Attributes:
        head: The newest block; None before `start`.
        reorganisations: How often blocks were taken back.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        poll_seconds: float = 0.5,
        silence_seconds: float = SILENCE_SECONDS,
        rng: random.Random | None = None,
        told: Callable[[str, str], None] = _nothing,
    ) -> None:
        self.head: Head | None = None
        self.reorganisations = 0
        self._rpc = rpc
        self._clock = rpc.clock
        self._poll_seconds = poll_seconds
        self._silence_seconds = silence_seconds
        self._told = told
        self._reader = BlockReader(rpc)
        self._harvest = Harvest(self._reader, rpc.clock)
        self._window = self._harvest.window
        self._socket = NewHeads(
            rpc,
            heard=self._heard_from,
            changed=self._wake_poll,
            told=told,
            rng=rng or random.Random(),  # noqa: S311 - pauses are no secret
        )
        self._tip: Head | None = None
        self._announced: dict[int, Head] = {}
        self._asked_at = float("-inf")
        self._news = asyncio.Event()
        self._poll_now = asyncio.Event()
        self._next: asyncio.Future[Head] | None = None
        self._reorg_callbacks: dict[Callable[[list[str]], None], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent_until = float("-inf")

    # -- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin with the newest block.

        Raises:
            RpcError: No endpoint tells of one.
        """
        newest = await self._reader.newest()
        if newest is None:
            raise RpcError(Kind.OTHER, "the chain has no block", method="eth_getBlockByNumber")
        try:
            await self._take(
                await self._reader.at(newest.number)
            )  # whoever lies about the newest one has no such block
        except (GoneError, ValueError) as error:
            words = f"it tells of block {newest.number} and does not have it"
            raise RpcError(Kind.MALFORMED, words, method="eth_getBlockByNumber") from error
        self._spawn(self._follow())
        self._spawn(self._poll())
        if self._socket.possible:
            self._spawn(self._socket.run())

    async def stop(self) -> None:
        """End; whoever still waits is cancelled."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._harvest.close()
        if self._next is not None:
            self._next.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._told("error", f"the chain is not followed any more, which is a defect: {error!r}")
            asyncio.get_running_loop().call_exception_handler(
                {"message": str(error), "exception": error, "task": task}
            )

    # -- what others ask for ----------------------------------------------------------------------------------

    @property
    def block_seconds(self) -> float:
        """Seconds between blocks, if they come regularly; 0: they do not, or nobody knows yet."""
        return self._window.block_seconds()

    @property
    def told(self) -> Head | None:
        """The newest block of which everybody was told what is in it: of `head` that is read only after it was told of itself."""
        return self._window.head

    @property
    def waiting(self) -> int:
        """How many transactions and events are waited for."""
        return self._harvest.waiting

    def watch(self, tx_hash: str, confirmations: int = 0, *, late: bool = False) -> asyncio.Future[Inclusion]:
        """Wait for a transaction to be in a block; best begun before it is sent.

        Args:
            tx_hash: Its hash.
            confirmations: So many blocks have to be on top of that block.
            late: It may be in a block since long ago, so that the node has to be asked once.

        Returns:
            Who waits no longer cancels it, and is forgotten. It knows no end: a transaction may never be in a block.
        """
        return self._harvest.watch(tx_hash.lower(), confirmations, late=late)

    def logs(
        self,
        address: str | None,
        topic: str,
        accept: Callable[[dict[str, Any]], bool] | None = None,
        from_block: int | None = None,
        fixed: Fixed | None = None,
    ) -> asyncio.Future[LogSeen]:
        """Wait for an event.

        Args:
            address: The contract; None: any.
            topic: The first topic, which says what event it is.
            accept: Says of the log, as the node has written it, whether it is the right one; None: any is. What it raises is raised
                where the event is awaited.
            from_block: Past events count, too, from this block on; None: only those of blocks that come.
            fixed: Values that the event must have, 32 bytes as `0x...`: 1 to 3 are its topics, `DATA + n` is the n-th word of
                its data. Whatever can be said so costs nothing, however many wait; `accept` is asked for each.

        Returns:
            The first such event. Who waits no longer cancels it, and is forgotten.
        """
        watch = LogWatch.of(address, topic, fixed, accept)
        self._harvest.logs.add(watch)
        if from_block is not None:
            self._harvest.search(watch, from_block)
        return watch.future

    async def next_head(self) -> Head:
        """Wait for the next block."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._next)

    def on_reorganisation(self, callback: Callable[[list[str]], None]) -> Callable[[], None]:
        """Have something called when blocks are taken back; returns what ends that.

        Args:
            callback: Gets the hashes of the transactions in them of which somebody was told.
        """
        self._reorg_callbacks[callback] = None
        return lambda: self._reorg_callbacks.pop(callback, None)

    # -- hearing of blocks ------------------------------------------------------------------------------------

    def _heard_from(self, endpoint: Endpoint, head: Head) -> None:
        now, pool = self._clock(), self._rpc.pool
        pool.saw(endpoint, head.number, now)
        if not pool.believable(head.number):
            self._rpc.check_soon()
            return
        self._asked_at = now
        if endpoint.up:
            pool.pin(STICKY, endpoint)  # who tells of a block has its receipts
        self._heard(head)

    def _heard(self, head: Head) -> None:
        if self._tip is None or not self._news.is_set() or head.number >= self._tip.number:
            self._tip = head
        if len(self._announced) < _ANNOUNCED:
            self._announced[head.number] = head
        self._news.set()

    def _wake_poll(self) -> None:
        self._poll_now.set()

    async def _poll(self) -> None:
        """Ask for the newest block while nobody tells of it."""
        while True:
            await self._pause()
            live, known = self._socket.live, self.head
            self._asked_at = self._clock()
            try:
                newest = await self._reader.newest()
            except UNDERSTOOD:
                continue  # the pool knows, and says so
            if newest is None:
                continue
            if live and known is not None and newest.number > known.number and self.head is known:
                self._told(
                    "warning", "a WebSocket is open and tells nothing of new blocks: another one is taken"
                )
                self._socket.leave()
            self._heard(newest)

    async def _pause(self) -> None:
        """Wait until it is time to ask."""
        while True:
            self._poll_now.clear()
            due = self._asked_at + self._silence()
            left = due - self._clock()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._poll_now.wait()
            except TimeoutError:
                continue
            if not self._socket.live:
                return  # it was cut: what came since is not known

    def _silence(self) -> float:
        """How long after the last news somebody has to ask."""
        usual = self.block_seconds
        if self._socket.live:
            return max(self._silence_seconds, 3 * usual)
        head = self.head
        if head is None or self._asked_at > head.seen + self._poll_seconds:
            return self._poll_seconds
        return max(self._poll_seconds, usual - self._poll_seconds)  # the next one comes no sooner

    # -- following --------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            tip = self._tip
            assert tip is not None, "there are news"
            try:
                await self._advance(tip)
            except UNDERSTOOD as error:
                self._rpc.check_soon()
                if isinstance(error, GoneError):
                    self._announced.clear()  # none of it can be relied on
                    self._asked_at = float("-inf")
                    self._poll_now.set()
                elif self._tip is tip:
                    self._news.set()  # the same again
                await asyncio.sleep(_RETRY_SECONDS)

    async def _advance(self, tip: Head) -> None:
        """Take all blocks up to this one."""
        head = self._window.head
        assert head is not None, "it was started"
        if tip.number <= head.number:
            self._goes_back(tip, head)
            return
        if not self._rpc.pool.believable(tip.number):
            self._rpc.check_soon()
            return
        between = range(head.number + 1, tip.number)
        if len(between) > _JUMP:
            await self._reader.at(tip.number)
            if not self.waiting:
                between = range(0)
        for number in between:
            if number > (self._window.head or head).number:
                await self._link(self._announced.get(number) or await self._reader.at(number))
        await self._link(tip)
        self._announced = {number: each for number, each in self._announced.items() if number > tip.number}

    def _goes_back(self, tip: Head, head: Head) -> None:
        """A head that is not newer is known, or a fork that may become longer: then its next block shows it."""
        if head.number - tip.number <= _NEAR:
            return  # two who tell of blocks need not be equally fast
        self._rpc.check_soon()
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _QUIET_SECONDS
            words = f"the head goes back from block {head.number} to {tip.number}: it is not followed"
            self._told("warning", words)

    async def _link(self, head: Head) -> None:
        """Take a block, and the blocks that it stands on if they are others than thought."""
        last = self._window.head
        if last is None or head.number != last.number + 1 or head.parent == last.hash:
            await self._take(head)
            return
        branch = [head]
        while (known := self._window.at(branch[-1].number - 1)) is not None:
            if known.head.hash == branch[-1].parent:
                break
            parent = await self._reader.named(branch[-1].parent)
            if parent.number != branch[-1].number - 1:
                raise GoneError(f"block {branch[-1].number} stands on block {parent.number}, which cannot be")
            branch.append(parent)
        self._take_back(branch[-1].number)
        for each in reversed(branch):
            await self._take(each)

    def _take_back(self, number: int) -> None:
        gone, told = self._harvest.take_back(number)
        self.reorganisations += 1
        self._told("warning", f"{gone} blocks from {number} on were taken back by the chain")
        for callback in list(self._reorg_callbacks):
            callback(told)

    async def _take(self, head: Head) -> None:
        """Take the next block: tell of it, and of what is in it."""
        if self.head is None or self.head.hash != head.hash:
            self.head = head
            if self._next is not None and not self._next.done():
                self._next.set_result(head)
        await self._harvest.take(head)
