"""One owner of nonces per wallet: whatever a wallet sends in this process goes through its `Account`, and through nobody else.

A nonce that is used twice is a transaction that never happens, and one that is left out holds up all that follow. So a nonce is
given out here, at the moment of signing and never earlier; one whose transaction was refused for certain goes to the
next transaction; and one whose transaction may be anywhere stays with it until the chain has decided. Several transactions may be on
their way at once. What nodes answer is dealt with in `persisting`, what they keep silent about in `tending`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending import persisting
from squall_runner.evm.sending.asking import transaction_count
from squall_runner.evm.sending.nonces import Nonces
from squall_runner.evm.sending.outgoing import SILENT, Call, SendError, Sent, Sink, Terms
from squall_runner.evm.sending.slots import Slots
from squall_runner.evm.signing.transactions import Transaction, sign

if TYPE_CHECKING:
    from squall_runner.evm.following.heads import Inclusion
    from squall_runner.evm.sending.fees import Offer
    from squall_runner.evm.sending.fleet import Accounts
    from squall_runner.evm.signing.keys import Key
    from squall_runner.evm.signing.transactions import Signed

ENDED: Final = "the load has ended, so nothing is sent any more"


class Account:
    """The nonces of one wallet, and its transactions on their way; made by `Accounts.of`.

    Args:
        home: What all accounts of this process share.
        key: The wallet's.
        most: The most transactions on their way; more wait for their turn.
        first: The nonce of its first transaction; None asks a node for it when it is needed.
    """

    __slots__ = (
        "_key",
        "_loading",
        "_waiting",
        "address",
        "behind",
        "closing_up",
        "flying",
        "held",
        "home",
        "landings",
        "nonces",
        "slots",
        "tended",
    )

    def __init__(self, home: Accounts, key: Key, most: int, first: int | None = None) -> None:
        self.home = home
        self.address = key.address
        self.flying: dict[int, Sent] = {}
        """What is on its way, by nonce."""
        self.nonces = None if first is None else Nonces(first)
        self.slots = Slots(most)
        self.closing_up = False
        """Whether somebody sends what a node misses just now."""
        self.held: Sent | None = None
        """The first one that a node misses and that could not pay the base fee when it was to be sent again."""
        self.landings = 0
        """How many of its transactions were seen in blocks."""
        self.behind: int | None = None
        """How many that were when a node was found to miss some of those on their way; None as long as it has them all."""
        self.tended = False
        """Whether somebody looks after it just now."""
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._key = key
        self._loading: asyncio.Task[int] | None = None

    @property
    def key(self) -> Key:
        """The wallet's."""
        return self._key

    @property
    def pending(self) -> int:
        """How many of its transactions are on their way, or wait for their turn."""
        return self.slots.used + self.slots.waiting

    async def send(
        self,
        call: Call,
        terms: Terms,
        *,
        timeout: float = 120.0,  # noqa: ASYNC109 - one sweep watches all deadlines
        sink: Sink = SILENT,
    ) -> Sent:
        """Send a transaction. That a block holds it is not awaited: see `Sent.included`.

        Args:
            call: What it does.
            terms: How it is paid for.
            timeout: Seconds until it has to be in a block.
            sink: What is told of it.

        Returns:
            It, when a node has taken it.

        Raises:
            SendError: No node has taken it.
            asyncio.CancelledError: The caller was cancelled. What was handed to a node stays this account's business.
        """
        home = self.home
        deadline = home.clock() + timeout
        if not self.slots.take():
            await self._turn(deadline, sink)
        gas = terms.gas.known
        offer = home.market.offer(terms.fees)
        if gas is None or offer is None or self.nonces is None:
            gas, offer = await self._prepare(call, terms, deadline, sink)
        if home.is_quiet:
            self.slots.release()
            raise SendError(Kind.STOPPED, ENDED)
        sent = Sent(self, call, terms, sink=sink, gas=gas, deadline=deadline)
        self.launch(sent, offer)
        try:
            await self._deliver(sent)
        except asyncio.CancelledError:
            sent.doubtful = True
            raise
        finally:
            sent.at_work = False
        home.accepted(sent)
        return sent

    async def _deliver(self, sent: Sent) -> None:
        try:
            await self.hand_over(sent)
        except RpcError as error:
            await persisting.persist(self, sent, error)

    async def hand_over(self, sent: Sent) -> None:
        """Give the last version to a node.

        Raises:
            RpcError: As the node answered.
        """
        home, version = self.home, sent.versions[-1]
        if home.is_quiet:
            raise RpcError(Kind.STOPPED, ENDED)
        left = sent.deadline - home.clock()
        await home.rpc.send_raw(version.hex, version.hash, sticky=self.address, timeout=left)

    async def hand_over_again(self, sent: Sent) -> None:
        """The same for who looks after it. Meanwhile nobody else is to: what one of them is refused, the other one may get taken.

        Raises:
            RpcError: As the node answered.
        """
        sent.at_work = True
        try:
            await self.hand_over(sent)
        finally:
            sent.at_work = False

    async def room(self, sent: Sent, seconds: float) -> None:
        """Wait until a node may have room for one that it had none for: it took the one before it, or a block took another one.

        Args:
            sent: The transaction.
            seconds: So long, should nothing happen; longer while the one before it waits itself.
        """
        nonce, home = sent.nonce, self.home
        waiter = self._waiting[nonce] = asyncio.get_running_loop().create_future()
        try:
            while not waiter.done():
                await asyncio.wait([waiter], timeout=seconds)
                if nonce - 1 not in self._waiting or home.is_quiet or home.clock() >= sent.deadline:
                    return
        finally:
            if self._waiting.get(nonce) is waiter:
                del self._waiting[nonce]

    def taken(self, nonce: int) -> None:
        """A node has taken the transaction with this nonce: the next one may follow."""
        self._wake(nonce + 1)

    def _wake(self, nonce: int) -> None:
        waiter = self._waiting.get(nonce)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def launch(self, sent: Sent, offer: Offer) -> None:
        """Give it the next nonce and sign it. The caller hands it over, without waiting for anything else before that.

        Whatever keeps it from being signed, such as a number that no transaction can hold, leaves nothing behind.
        """
        assert self.nonces is not None
        nonce = self.nonces.take()
        try:
            self.enter(sent, nonce, offer)
        except BaseException:
            self.nonces.give_back(nonce)
            self.slots.release()
            raise

    def enter(self, sent: Sent, nonce: int, offer: Offer) -> None:
        """The same with a nonce that was chosen."""
        sent.nonce = nonce
        self.sign(sent, offer)
        sent.at_work = True
        self.flying[nonce] = sent
        if not sent.submitted:
            self.home.entered(sent)

    def sign(self, sent: Sent, offer: Offer) -> None:
        """Make another version of it, under the same nonce, and watch for it."""
        home = self.home
        ahead = None if home.presigner is None else home.presigner.take(self.address, sent, offer)
        if ahead is None:
            signed = self.signed(sent.call, sent.nonce, sent.gas, offer, legacy=sent.terms.fees.legacy)
        else:
            signed, offer = ahead.signed, ahead.offer
        news = self._watch(sent, signed.hash)
        sent.offer = offer
        sent.priced = home.clock()
        sent.versions.append(signed)
        sent.news.append(news)

    def signed(self, call: Call, nonce: int, gas: int, offer: Offer, *, legacy: bool) -> Signed:
        """A transaction of this wallet, which nobody is told of."""
        to, data, value = call.to, call.data, call.value
        transaction = Transaction(
            self.home.chain_id, nonce, to, value, data, gas, offer.max_fee, offer.priority_fee, legacy
        )
        return sign(transaction, self._key)

    def unsign(self, sent: Sent, former: Offer) -> None:
        """No node took the last version: the one before it counts again."""
        if sent.landing is None and len(sent.versions) > 1:
            sent.versions.pop()
            sent.news.pop().cancel()
            sent.offer = former

    def landed(self, sent: Sent, landing: Inclusion) -> None:
        """A block holds it."""
        if sent.landing is not None or self.flying.get(sent.nonce) is not sent:
            return
        del self.flying[sent.nonce]
        if self.nonces is not None:
            self.nonces.advance(sent.nonce + 1)  # whoever has used those below that were free
        self._leave(sent)
        self.landings += 1
        if self._waiting:
            self._wake(min(self._waiting))
        if self.behind is not None:
            self.home.look_soon(self)
        sent.land(landing)
        self.home.landed(sent, landing)

    def take_back(self, sent: Sent) -> None:
        """The block that held it is no part of the chain any more: it is on its way again."""
        if sent.landing is None or sent.nonce in self.flying:
            return
        sent.landing = None
        self.flying[sent.nonce] = sent
        self.slots.used += 1
        sent.news = [self._watch(sent, version.hash) for version in sent.versions]
        self.home.entered(sent)
        self.home.accepted(sent)

    def withdraw(self, sent: Sent, *, reuse: bool) -> None:
        """It is under this nonce no longer: it was refused for certain, or another transaction has the nonce.

        Args:
            sent: What it is about.
            reuse: Whether the nonce is free for another transaction.
        """
        del self.flying[sent.nonce]
        for news in sent.news:
            news.cancel()
        sent.news.clear()
        sent.versions.clear()
        sent.doubtful = False
        if reuse and self.nonces is not None:
            self.nonces.give_back(sent.nonce)

    def drop(self, sent: Sent, *, reuse: bool) -> None:
        """The same, and it is not tried again."""
        self.withdraw(sent, reuse=reuse)
        self._leave(sent)
        sent.gone()

    def _leave(self, sent: Sent) -> None:
        for news in sent.news:
            news.cancel()
        self.home.left(sent)
        self.slots.release()

    def _watch(self, sent: Sent, tx_hash: str) -> asyncio.Future[Inclusion]:
        news = self.home.follower.watch(tx_hash)
        news.add_done_callback(partial(self._seen, sent))
        return news

    def _seen(self, sent: Sent, news: asyncio.Future[Inclusion]) -> None:
        if not news.cancelled() and news.exception() is None:
            self.landed(sent, news.result())

    async def _turn(self, deadline: float, sink: Sink) -> None:
        try:
            await self.slots.turn(deadline - self.home.clock())
        except TimeoutError:
            self.home.failed(sink, Kind.TIMEOUT)
            raise SendError(
                Kind.TIMEOUT,
                f"{self.slots.used} transactions of {self.address} are on their way, and none of them got into a block in time",
                "raise spec.evm.wallets.maxInFlight or the step's timeout, or use more wallets",
            ) from None

    async def _prepare(self, call: Call, terms: Terms, deadline: float, sink: Sink) -> tuple[int, Offer]:
        """What has to be asked for, or waited for, before the first transaction of an account or a step."""
        home = self.home
        try:
            async with asyncio.timeout(deadline - home.clock()):
                return await persisting.until_answered(home.rng, lambda: self._learn(call, terms))
        except BaseException as error:
            self.slots.release()
            if isinstance(error, RpcError):
                home.failed(sink, error.kind)
                if error.kind is Kind.INSUFFICIENT_FUNDS:
                    home.short(self.address)
                raise SendError.refused(error) from error
            if isinstance(error, TimeoutError):
                home.failed(sink, Kind.TIMEOUT)
                raise SendError(
                    Kind.TIMEOUT, *persisting.why_unprepared(home.market.base_fee, terms.fees)
                ) from None
            raise

    async def _learn(self, call: Call, terms: Terms) -> tuple[int, Offer]:
        if self.nonces is None:
            await self._load()
        gas = await terms.gas.find(self.home.rpc, self.address, call)
        return gas, await self.home.market.wait(terms.fees)

    async def _load(self) -> None:
        if self._loading is None:
            # A task, as several transactions may wait for it and each of them may be cancelled.
            count = transaction_count(self.home.rpc, self.address, "pending")
            self._loading = asyncio.create_task(count)
            self._loading.add_done_callback(self._loaded)
        await asyncio.shield(self._loading)

    def _loaded(self, task: asyncio.Task[int]) -> None:
        self._loading = None
        if not task.cancelled() and task.exception() is None and self.nonces is None:
            self.nonces = Nonces(task.result())
