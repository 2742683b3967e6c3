"""Who pays for the wallets: an account whose transactions are waited for, and what they have cost."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from squall.errors import SquallError
from squall.spec.structs import Gas
from squall_runner.evm.node.failures import Kind
from squall_runner.evm.sending.gas import GasLimit
from squall_runner.evm.sending.outgoing import SendError, Terms
from squall_runner.evm.signing.hexes import from_hex

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.following.heads import Inclusion
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.fees import FeePolicy
    from squall_runner.evm.sending.market import FeeMarket
    from squall_runner.evm.sending.outgoing import Call


class FundingError(SquallError):
    """A wallet was not filled.

    Args:
        error: The class of the failure, as metrics have it: `insufficient_funds`, `funding_timeout` or `funding_failed`.
        message: For people.
        hint: What to do about it.
    """

    def __init__(self, error: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.error = error


@dataclass(frozen=True, slots=True)
class Paid:
    """What a transaction that is in a block has cost, beside what it gave away.

    Attributes:
        gas: That it has used.
        cost: What that has cost, in wei.
        contract: The address of what it has deployed, if it has.
    """

    gas: int
    cost: int
    contract: bytes | None = None


class Payer(Protocol):
    """An account that pays."""

    @property
    def address(self) -> bytes:
        """Its address."""

    async def price(self) -> int:
        """The most wei that a unit of gas costs in a transaction that is sent now; raises RpcError."""

    async def pay(self, call: Call, gas: int, seconds: float) -> Paid:
        """Send a transaction, and wait until it is in a block, however long that takes: money that may be on its way is not sent again.

        Args:
            call: What it does.
            gas: The most gas that it may need; the node's own estimate comes first.
            seconds: How long it takes at most, if all goes well.

        Raises:
            SendError: It has been reverted, or for certain is in no block and never will be.
        """


class AccountPayer:
    """A `Payer` that is an account of this process, which owns its nonces.

    Args:
        account: The account.
        market: What gas costs.
        fees: What the manifest pays for it.
        paid: Is told what the gas of a transaction has cost, in wei.
        late: Is told, once until the next is in a block, why one is not in a block in time.
    """

    def __init__(
        self,
        account: Account,
        market: FeeMarket,
        fees: FeePolicy,
        *,
        paid: Callable[[int], None],
        late: Callable[[SendError], None],
    ) -> None:
        self.address = from_hex(account.address)
        self._account = account
        self._market = market
        self._fees = fees
        self._paid = paid
        self._late = late
        self._is_late = False
        self._chance = random.Random(account.address)  # noqa: S311 - for pauses

    async def price(self) -> int:
        """See `Payer.price`."""
        return (await self._market.wait(self._fees)).max_fee

    async def pay(self, call: Call, gas: int, seconds: float) -> Paid:
        """See `Payer.pay`."""
        estimated = Gas(policy="estimate", limit=gas, margin="25%", retries=0)
        terms = Terms(GasLimit(estimated, "", self._chance), self._fees)
        try:
            landing = await (await self._account.send(call, terms, timeout=seconds)).included()
        except SendError as error:
            landing = await self._fate(error)
        self._is_late = False
        cost = landing.gas_used * landing.gas_price
        self._paid(cost)
        if not landing.status:
            raise SendError(Kind.REVERTED, f"the transaction {landing.hash} was reverted")
        return Paid(landing.gas_used, cost, from_hex(landing.contract) if landing.contract else None)

    async def _fate(self, error: SendError) -> Inclusion:
        """What becomes of a transaction that has failed and may land nevertheless."""
        if not error.may_land or error.sent is None:
            raise error
        if not self._is_late:
            self._is_late = True
            self._late(error)
        landing = await error.sent.fate()
        if landing is None:
            raise SendError(error.kind, error.message, error.hint)
        return landing
