"""A transaction on its way: what it is to do, the versions of it that were signed, and what became of it.

An intent and a transaction are not the same. Prices rise and nodes forget, so one intent may be signed several times; all versions
have the same nonce, which is what keeps the chain from doing it twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from squall.errors import SquallError
from squall_runner.evm.node.failures import Kind
from squall_runner.evm.sending.fees import Offer

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.following.heads import Inclusion
    from squall_runner.evm.node.failures import RpcError
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.fees import FeePolicy
    from squall_runner.evm.sending.gas import GasLimit
    from squall_runner.evm.signing.transactions import Signed


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does.

    Attributes:
        to: The 20 bytes of an address; None deploys `data` as a contract.
        data: Calldata, or the code that deploys a contract.
        value: Wei that go to `to`.
    """

    to: bytes | None
    data: bytes = b""
    value: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """How the transactions of one step are paid for; made once per step.

    Attributes:
        gas: Their gas limit.
        fees: What they offer per unit of gas.
    """

    gas: GasLimit
    fees: FeePolicy


class SendError(SquallError):
    """A transaction was not sent, or not included in time.

    Args:
        kind: Why; also the value of the metric tag `error`.
        message: For people.
        hint: What to do about it.
        may_land: Whether it may be included nevertheless.

    Attributes:
        sent: The transaction, if it got that far.
    """

    def __init__(self, kind: Kind, message: str, hint: str = "", *, may_land: bool = False) -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.may_land = may_land
        self.sent: Sent | None = None

    @classmethod
    def refused(cls, error: RpcError, *, may_land: bool = False) -> SendError:
        """The node's last word."""
        return cls(error.kind, error.message, error.hint, may_land=may_land)


class Sink:
    """What is told of transactions, for metrics; this one counts nothing."""

    __slots__ = ()

    def sent(self) -> None:
        """One is handed to a node for the first time."""

    def accepted(self, seconds: float) -> None:
        """A node has taken it, so long after it was submitted."""

    def included(self, sent: Sent, landing: Inclusion) -> None:
        """It is in a block, for the first time; `landing.status` says whether it was reverted.

        It may have failed before: then `sent.failure` says why nobody waits for it any more.
        """

    def confirmed(self, sent: Sent, landing: Inclusion) -> None:
        """It has the confirmations that were asked for, or none were."""

    def failed(self, kind: Kind) -> None:
        """It was refused, or is in no block in time, or was not even sent."""

    def replaced(self) -> None:
        """A version that pays more was sent."""

    def gap(self) -> None:
        """A nonce that would have held up others was sent again or filled."""


SILENT = Sink()


_NOTHING: Final = Offer(0, 0)


class Sent:
    """A transaction that was handed to a node; made by `Account.send`.

    Attributes:
        account: Whose it is.
        nonce: Its place among those of its account.
        call: What it does.
        terms: What it is paid for with.
        gas: Its gas limit.
        offer: What its last version offers per unit of gas.
        versions: What was signed, the last one last.
        submitted: When its first version was about to be sent, by the clock of the accounts.
        accepted: When a node had taken it; 0 before that.
        landing: The follower's `Inclusion`, once it is in a block.
        failure: Why it never will be, or why nobody waits for it any more.
    """

    __slots__ = (
        "_decided",
        "_fates",
        "_waiters",
        "accepted",
        "account",
        "at_work",
        "call",
        "deadline",
        "doubtful",
        "expected_gas",
        "failure",
        "gas",
        "landing",
        "looked",
        "news",
        "next_look",
        "next_resend",
        "nonce",
        "offer",
        "priced",
        "refusals",
        "refused",
        "replaced",
        "resends",
        "sink",
        "submitted",
        "terms",
        "told",
        "versions",
    )

    def __init__(
        self, account: Account, call: Call, terms: Terms, *, sink: Sink, gas: int, deadline: float
    ) -> None:
        self.account = account
        self.call = call
        self.terms = terms
        self.sink = sink
        self.gas = gas
        self.deadline = deadline
        self.offer = _NOTHING
        self.nonce = -1
        self.versions: list[Signed] = []
        self.news: list[asyncio.Future[Inclusion]] = []
        """For each version, the follower's promise to tell when it is in a block."""
        self.submitted = 0.0
        self.accepted = 0.0
        self.landing: Inclusion | None = None
        self.told = False
        """Whether the sink knows that it was in a block, even if that was taken back."""
        self.failure: SendError | None = None
        self.doubtful = False
        """Whether a version may be with a node, or once was."""
        self.at_work = False
        """Whether whoever sends it is busy with it, so that nobody else needs to be."""
        self.looked = 0
        """How often it was looked for in vain."""
        self.next_look = 0.0
        """When somebody should look where it is."""
        self.priced = 0.0
        """When its last version was signed."""
        self.resends = 0
        """How often it was handed over again because a node missed it."""
        self.next_resend = 0.0
        """Not before that it is again."""
        self.refusals = 0
        """How often a node did not take it back."""
        self.refused = float("-inf")
        """When it did so last."""
        self.replaced = 0
        """How many versions were made because no block took the former ones."""
        self.expected_gas = 0
        """What it counts for among the gas on its way."""
        self._waiters: list[asyncio.Future[Inclusion]] = []
        self._decided: list[Callable[[], None]] = []
        self._fates: list[asyncio.Future[Inclusion | None]] = []

    @property
    def hash(self) -> str:
        """Its name on the chain: of the version that is in a block, or else of the last one; empty after it was withdrawn."""
        if self.landing is not None:
            return self.landing.hash
        return self.versions[-1].hash if self.versions else ""

    def landed(self) -> bool:
        """Whether it is in a block."""
        return self.landing is not None

    def when_decided(self, callback: Callable[[], None]) -> None:
        """Have something called once it is in a block, or nobody waits for that any more; at once if that is so."""
        if self.landing is not None or self.failure is not None:
            callback()
        else:
            self._decided.append(callback)

    async def included(self) -> Inclusion:
        """Wait until it is in a block, as the follower's `Inclusion`.

        Raises:
            SendError: It is in none within the time that it was given, or never will be.
        """
        if self.landing is not None:
            return self.landing
        if self.failure is not None:
            raise self.failure
        waiter: asyncio.Future[Inclusion] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return await waiter

    async def fate(self) -> Inclusion | None:
        """Wait, however long it takes, until it is in a block, or for certain never will be: None. For one that has failed and may land."""
        if self.landing is not None:
            return self.landing
        if self.account.flying.get(self.nonce) is not self:
            return None
        fate: asyncio.Future[Inclusion | None] = asyncio.get_running_loop().create_future()
        self._fates.append(fate)
        return await fate

    async def confirmed(self, confirmations: int) -> Inclusion:
        """Wait until so many blocks are on top of the one that holds it.

        Returns:
            Where it is then: after a reorganisation of the chain in another block than `included` has said.

        Raises:
            SendError: As `included`; or its time is over before.
        """
        landing = await self.included()
        if confirmations:
            home = self.account.home
            news = home.follower.watch(landing.hash, confirmations, late=True)
            try:
                async with asyncio.timeout(self.deadline - home.clock()):
                    landing = await news
            except TimeoutError:
                raise SendError(
                    Kind.TIMEOUT,
                    f"transaction {landing.hash} is in block {landing.block}, which does not have {confirmations} others on top "
                    "in time",
                    "raise the step's timeout, or ask for fewer confirmations",
                    may_land=True,
                ) from None
        self.sink.confirmed(self, landing)
        return landing

    def land(self, landing: Inclusion) -> None:
        """It is in a block."""
        self.landing = landing
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(landing)
        self._end()
        self._tell_fate(landing)

    def gone(self) -> None:
        """It is under no nonce any more, and never will be in a block."""
        self._tell_fate(None)

    def _tell_fate(self, landing: Inclusion | None) -> None:
        for fate in self._fates:
            if not fate.done():
                fate.set_result(landing)
        self._fates.clear()

    def fail(self, failure: SendError) -> None:
        """Nobody needs to wait any longer."""
        self.failure = failure
        failure.sent = self
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(failure)
        self._end()

    def _end(self) -> None:
        self._waiters.clear()
        decided, self._decided = self._decided, []
        for callback in decided:
            callback()
