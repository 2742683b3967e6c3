"""All accounts of a runner process, and what they share: the chain, its prices, and one timer for all that is on its way.

The timer is the only thing that runs while transactions wait for blocks: a task or a timeout for each of them would cost more
than sending it. It finds what is late; `tending` finds out why.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind
from squall_runner.evm.sending import gaps, tending
from squall_runner.evm.sending.accounts import Account
from squall_runner.evm.sending.market import FeeMarket
from squall_runner.evm.sending.outgoing import SendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall_runner.evm.following.heads import Inclusion
    from squall_runner.evm.sending.asking import Asks, Follows
    from squall_runner.evm.sending.outgoing import Sent, Sink
    from squall_runner.evm.sending.presigning import Presigner
    from squall_runner.evm.signing.keys import Key

_AT_ONCE: Final = 8
_SHARE: Final = 50
_REMEMBERED: Final = 4096
"""So many of the last transactions in blocks are sent again if the chain takes the blocks back."""


@dataclass(slots=True)
class Patience:
    """How long a transaction may be silent before somebody looks where it is.

    What is usual is learned: three times the mean time to a block, so that a chain with long blocks or a full mempool is not asked
    all the time.

    Args:
        least: Seconds, before anything is known and at least.
        most: Seconds, unless one and a half times the mean is longer.
    """

    least: float = 8.0
    most: float = 60.0
    usual: float = field(default=0.0, init=False)
    """The mean time from submission to a block, of the last hundred or so transactions, in seconds."""

    @property
    def seconds(self) -> float:
        """The patience."""
        return max(self.least, min(3 * self.usual, max(self.most, 1.5 * self.usual)))

    def learn(self, took: float) -> None:
        """A transaction took so many seconds."""
        self.usual += (took - self.usual) * 0.02 if self.usual else took


@dataclass(slots=True)
class GasMeter:
    """What transactions used, on the mean."""

    transactions: int = 0
    gas: int = 0

    def add(self, used: int) -> None:
        """A transaction used so much."""
        self.transactions += 1
        self.gas += used

    @property
    def mean(self) -> int | None:
        """Gas per transaction; None before the first."""
        return self.gas // self.transactions if self.transactions else None


class Accounts:
    """All accounts of a process.

    Args:
        rpc: Who is asked, and to whom transactions are handed.
        follower: Who knows what is in blocks.
        chain_id: For what is signed.
        clock: Seconds, monotonic, the follower's clock.
        rng: For pauses.
        most: The most transactions of one account on their way.
        patience: How long they may be silent.
        tick: Seconds between two looks at what is on its way.
        presigner: What was signed ahead.
        short: Is told the address of an account that had too little to pay for a transaction.
        dear: Is told when somebody waits for a lower base fee, see `FeeMarket`.
        depth: So many blocks have to be on top of the one that shows that another transaction has taken a nonce of ours, before
            what was displaced is sent under another one: the chain could take back fewer.
    """

    def __init__(
        self,
        rpc: Asks,
        follower: Follows,
        chain_id: int,
        *,
        clock: Callable[[], float],
        rng: Random,
        most: int = 16,
        patience: Patience | None = None,
        tick: float = 0.25,
        presigner: Presigner | None = None,
        short: Callable[[str], None] = lambda _: None,
        dear: Callable[[str], None] = lambda _: None,
        depth: int = 0,
    ) -> None:
        self.rpc = rpc
        self.follower = follower
        self.chain_id = chain_id
        self.clock = clock
        self.rng = rng
        self.patience = patience or Patience()
        self.presigner = presigner
        self.short = short
        self.depth = depth
        self.market = FeeMarket(rpc, follower, dear)
        self.meter = GasMeter()
        self.gas_on_its_way = 0
        """Gas that the transactions on their way will use, as far as is known."""
        self.eased: list[Callable[[], None]] = []
        """What is called when less is on its way."""
        self._most = most
        self._tick_seconds = tick
        self._accounts: dict[str, Account] = {}
        self._live: dict[Sent, None] = {}
        self._landed: OrderedDict[str, Sent] = OrderedDict()
        self._unheard = follower.on_reorganisation(self._taken_back)
        self._timer: asyncio.TimerHandle | None = None
        self._held: dict[Account, None] = {}
        """Those that wait for a lower base fee."""
        self._soon: dict[Account, None] = {}
        """Those of which a node misses something, and had something in a block since."""
        self._tending: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_quiet = False
        """Whether nothing is sent any more."""
        self._defect_told = False

    def of(self, key: Key, *, first: int | None = None, most: int | None = None) -> Account:
        """The account of a key, always the same one.

        Args:
            key: The wallet's.
            first: Its next nonce, where it is known already: then nobody is asked for it.
            most: The most transactions on their way, when not as for all.
        """
        account = self._accounts.get(key.address)
        if account is None:
            account = self._accounts[key.address] = Account(self, key, most or self._most, first)
        return account

    @property
    def pending(self) -> int:
        """How many transactions are on their way."""
        return len(self._live)

    async def settle(self, seconds: float) -> bool:
        """Wait until nothing is on its way; returns whether that was so within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def quiet(self) -> None:
        """From now on nothing is sent, sent again, replaced or filled. What is on its way may still be included, which is told."""
        self.is_quiet = True
        self._unheard()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tending:
            task.cancel()

    async def close(self) -> None:
        """The same, and what goes on in the background has ended."""
        self.quiet()
        await asyncio.gather(*self._tending, return_exceptions=True)
        await self.market.close()

    def entered(self, sent: Sent) -> None:
        """A transaction is about to be handed over for the first time, or on its way again."""
        if not sent.submitted:
            sent.submitted = self.clock()
            sent.sink.sent()
        expected = self.meter.mean or sent.gas
        if not self._live:
            self._empty.clear()
        self._live[sent] = None
        sent.expected_gas = expected
        self.gas_on_its_way += expected
        if self._timer is None:
            self._arm()

    def accepted(self, sent: Sent) -> None:
        """A node has taken it."""
        now = self.clock()
        sent.doubtful = True
        sent.account.taken(sent.nonce)
        sent.next_look = now + self.patience.seconds
        replace_after = sent.terms.fees.replace_after
        if replace_after is not None:
            sent.next_look = min(sent.next_look, sent.submitted + replace_after)
        if not sent.accepted:
            sent.accepted = now
            sent.sink.accepted(now - sent.submitted)

    def look_soon(self, account: Account) -> None:
        """A node that has lost some of its transactions may have room for them by now."""
        self._soon[account] = None

    def left(self, sent: Sent) -> None:
        """It is not on its way any more."""
        del self._live[sent]
        self.gas_on_its_way -= sent.expected_gas
        for callback in self.eased:
            callback()
        if not self._live:
            self._empty.set()

    def failed(self, sink: Sink, kind: Kind) -> None:
        """One was refused, or its time is over. What the end of the load has interrupted is no failure."""
        if not self.is_quiet and kind is not Kind.STOPPED:
            sink.failed(kind)

    def landed(self, sent: Sent, landing: Inclusion) -> None:
        """It is in a block."""
        if sent.told:
            return
        sent.told = True
        self.meter.add(landing.gas_used)
        self.patience.learn(landing.seen - sent.submitted)
        sent.sink.included(sent, landing)
        self._landed[landing.hash] = sent
        if len(self._landed) > _REMEMBERED:
            self._landed.popitem(last=False)

    def _taken_back(self, hashes: list[str]) -> None:
        for each in hashes:
            sent = self._landed.get(each)
            if sent is not None:
                sent.account.take_back(sent)

    def landed_of(self, account: Account) -> dict[int, Sent]:
        """What of an account was in blocks, as far as is remembered, by nonce."""
        return {sent.nonce: sent for sent in self._landed.values() if sent.account is account}

    def _arm(self) -> None:
        if not self.is_quiet:
            self._timer = asyncio.get_running_loop().call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        """Find what is late."""
        self._timer = None
        if not self._live:
            return
        now = self.clock()
        silent = dict.fromkeys(account for account in (*self._soon, *self._held) if not gaps.held_up(account))
        for sent in self._live:
            if sent.deadline <= now and sent.failure is None and not sent.at_work:
                self.expire(sent)
            if sent.next_look <= now and not sent.at_work:
                silent[sent.account] = None
        # A node that stands still makes everything late at once, and is not helped by being asked about all of it.
        room = max(_AT_ONCE, len(self._live) // _SHARE) - len(self._tending)
        for account in silent:
            if room <= 0:
                break
            if not account.tended:
                room -= 1
                self._tend(account)
        self._arm()

    def expire(self, sent: Sent) -> None:
        """Its time is over: nobody waits for it any longer."""
        sent.fail(
            SendError(
                Kind.TIMEOUT,
                f"transaction {sent.hash} of {sent.account.address} (nonce {sent.nonce}) is in no block in time",
                "raise the step's timeout, or set spec.evm.fees.replaceAfter so that more is paid after a while",
                may_land=True,
            )
        )
        self.failed(sent.sink, Kind.TIMEOUT)

    def _tend(self, account: Account) -> None:
        account.tended = True
        self._soon.pop(account, None)
        task = asyncio.create_task(self._tended(account))
        self._tending.add(task)
        task.add_done_callback(self._tended_once)

    def _tended_once(self, task: asyncio.Task[None]) -> None:
        self._tending.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self._defect_told:
            return
        self._defect_told = True  # whatever is wrong is so at each look
        message = "transactions are not looked after as they should be, which is a defect"
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": message, "exception": error, "task": task})

    async def _tended(self, account: Account) -> None:
        try:
            async with self._turns:
                await tending.tend(account)
        finally:
            account.tended = False
            if gaps.held_up(account):
                self._held[account] = None
            else:
                self._held.pop(account, None)
