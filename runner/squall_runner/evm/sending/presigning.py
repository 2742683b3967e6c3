"""Signing ahead: transactions that hold nothing but constants are signed before they are wanted, into a buffer that is bounded.

A burst is then limited by the node rather than by the generator's processor. A transaction that was signed ahead has a nonce and an
offer, and both may turn out to be others than thought: then it is thrown away, and nothing was lost but the work.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.fees import Offer
    from squall_runner.evm.sending.outgoing import Call, Sent, Terms
    from squall_runner.evm.signing.transactions import Signed

_SLICE: Final = 50
"""Signed in one go, two milliseconds' worth: then others have their turn."""
_REST_SECONDS: Final = 0.01
_UNKNOWN_SECONDS: Final = 0.25
"""How long nonces and fees that are not known yet are waited for."""
_FAR: Final = 4
"""What was offered then may be a quarter away from what would be offered now."""


class Ahead(NamedTuple):
    """A transaction that was signed ahead."""

    call: Call
    gas: int
    offer: Offer
    signed: Signed


class Presigner:
    """What was signed ahead, for all accounts of a process.

    Args:
        most: How many there are at once.
    """

    __slots__ = ("_buffers", "_most", "_taken", "count")

    def __init__(self, most: int) -> None:
        self.count = 0
        """How many there are."""
        self._most = most
        self._buffers: dict[str, dict[int, Ahead]] = {}
        self._taken = asyncio.Event()

    def take(self, address: str, sent: Sent, offer: Offer) -> Ahead | None:
        """What was signed ahead for this nonce, if it is what is wanted now; whatever it cannot be used for is thrown away.

        Args:
            address: The account's.
            sent: What is about to be signed; its call is the very object with which it was signed ahead.
            offer: What it would offer now.
        """
        buffer = self._buffers.get(address)
        if buffer is None:
            return None
        found = buffer.pop(sent.nonce, None)
        past = [nonce for nonce in buffer if nonce < sent.nonce]
        for nonce in past:
            del buffer[nonce]
        self.count -= len(past) + (found is not None)
        if not buffer:
            del self._buffers[address]
        self._taken.set()
        if found is None or found.call is not sent.call or found.gas != sent.gas:
            return None
        return found if _near(found.offer, offer, sent.terms.fees.limit) else None

    def sign(self, account: Account, call: Call, terms: Terms) -> bool:
        """Sign the next transaction of an account ahead; False when there is no room, or something is not known yet.

        Args:
            account: Whose it is.
            call: What it does; `take` wants the same object.
            terms: How it is paid for.
        """
        gas, nonces = terms.gas.known, account.nonces
        offer = account.home.market.offer(terms.fees)
        if self.count >= self._most or gas is None or nonces is None or offer is None:
            return False
        buffer = self._buffers.setdefault(account.address, {})
        nonce = nonces.nth(len(buffer))
        if nonce in buffer:
            return False
        signed = account.signed(call, nonce, gas, offer, legacy=terms.fees.legacy)
        buffer[nonce] = Ahead(call, gas, offer, signed)
        self.count += 1
        return True

    async def keep(self, accounts: Callable[[], Iterable[Account]], call: Call, terms: Terms) -> None:
        """Keep the buffer full, evenly over accounts, until cancelled.

        Args:
            accounts: Those that will send such transactions.
            call: What they do.
            terms: How they are paid for.
        """
        while True:
            self._taken.clear()
            signed = 0
            for account in accounts():
                if self.sign(account, call, terms):
                    signed += 1
                    if signed % _SLICE == 0:
                        await asyncio.sleep(0)
            if self.count >= self._most:
                await self._taken.wait()
            elif not signed:
                await asyncio.sleep(_UNKNOWN_SECONDS)
            await asyncio.sleep(_REST_SECONDS)


def _near(then: Offer, now: Offer, limit: int | None) -> bool:
    if limit is not None and then.max_fee > limit:
        return False
    return all(abs(before - wanted) * _FAR <= wanted for before, wanted in zip(then, now, strict=True))
