"""Who pays for the wallets: an account whose transactions are waited for, and what they have cost."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from squall.errors import SquallError
from squall.spec.structs import Gas
from squall_runner.evm.failures import Kind
from squall_runner.evm.gas import GasLimit
from squall_runner.evm.hexes import from_hex
from squall_runner.evm.outgoing import SendError, Terms

if TYPE_CHECKING:
    from squall_runner.evm.accounts import Account
    from squall_runner.evm.fees import FeePolicy
    from squall_runner.evm.market import FeeMarket
    from squall_runner.evm.outgoing import Call


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
    """

    gas: int
    cost: int


class Payer(Protocol):
    """An account that pays."""

    @property
    def address(self) -> bytes:
        """Its address."""

    async def price(self) -> int:
        """The most wei that a unit of gas costs in a transaction that is sent now; raises RpcError."""

    async def pay(self, call: Call, gas: int, seconds: float) -> Paid:
        """Send a transaction, and wait until it is in a block.

        Args:
            call: What it does.
            gas: The most gas that it may need; the node's own estimate comes first.
            seconds: How long it may take.

        Raises:
            SendError: It was refused, has been reverted, or is in no block yet.
        """


class AccountPayer:
    """A `Payer` that is an account of this process, which owns its nonces.

    Args:
        account: The account.
        market: What gas costs.
        fees: What the manifest pays for it.
    """

    def __init__(self, account: Account, market: FeeMarket, fees: FeePolicy) -> None:
        self.address = from_hex(account.address)
        self._account = account
        self._market = market
        self._fees = fees
        self._chance = random.Random(account.address)  # noqa: S311 - for pauses

    async def price(self) -> int:
        """See `Payer.price`."""
        return (await self._market.wait(self._fees)).max_fee

    async def pay(self, call: Call, gas: int, seconds: float) -> Paid:
        """See `Payer.pay`."""
        estimated = Gas(policy="estimate", limit=gas, margin="25%", retries=0)
        terms = Terms(GasLimit(estimated, "", self._chance), self._fees)
        sent = await self._account.send(call, terms, timeout=seconds)
        landing = await sent.included()
        if not landing.status:
            raise SendError(Kind.REVERTED, f"the transaction {landing.hash} was reverted")
        return Paid(landing.gas_used, landing.gas_used * landing.gas_price)
