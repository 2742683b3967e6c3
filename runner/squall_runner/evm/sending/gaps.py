"""Nonces that are missing at a node hold up all that come after them, so what is missing is sent again, or filled.

A node tells by the pending transaction count where its unbroken row of nonces ends. What of ours comes after that it has lost, or
never had: it gets the same bytes again, which does no harm where it has them after all. A nonce under which nothing was ever sent
is filled with a transaction that does nothing.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending import redoing
from squall_runner.evm.sending.answers import Answer, answer_to
from squall_runner.evm.sending.asking import transaction_count
from squall_runner.evm.sending.gas import TRANSFER, GasLimit
from squall_runner.evm.sending.outgoing import SILENT, Call, Sent, Terms

if TYPE_CHECKING:
    from squall_runner.evm.sending.accounts import Account

_MOST: Final = 64
"""At once; a node that has lost more is asked again later."""
_PATIENCE: Final = 3
"""So often a node may refuse to take something back before its nonce is given to another; each time counts once."""
_REFUSAL_SECONDS: Final = 1.0
"""What is refused within so many seconds is refused once."""


async def close_up(account: Account) -> None:
    """Send again or fill whatever a node misses of an account's row of nonces, unless that goes on already.

    Raises:
        RpcError: No node says what it has.
    """
    if account.closing_up or not account.flying:
        return
    account.closing_up = True
    try:
        await _close_up(account)
    finally:
        account.closing_up = False


async def _close_up(account: Account) -> None:
    flying = account.flying
    missing = await transaction_count(account.home.rpc, account.address, "pending")
    for nonce in range(missing, missing + _MOST):
        above = max(flying, default=-1)
        if nonce > above:
            return
        sent = flying.get(nonce)
        if sent is None:
            await _fill(account, nonce, flying[above])
        elif not sent.at_work:
            sent.sink.gap()
            await resend(account, sent)


async def resend(account: Account, sent: Sent) -> None:
    """Hand over the last version again. What comes of it shows at the next look."""
    try:
        await account.hand_over_again(sent)
    except RpcError as error:
        sent.doubtful |= error.unknown_fate
        answer = answer_to(error)
        if error.kind is Kind.STOPPED:
            return
        if answer in (Answer.REFUSED, Answer.ASK):
            _refused(account, sent, error)
        elif answer is Answer.PAY_MORE:
            _raise(account, sent)
        if answer is not Answer.TAKEN:
            return
    sent.doubtful, sent.refusals = True, 0
    if not sent.accepted:
        account.home.accepted(sent)


def _raise(account: Account, sent: Sent) -> None:
    """It offers too little by now. Who still waits for it says whether it may pay more; when nobody does, the others must go on."""
    fees = sent.terms.fees
    if sent.failure is None and sent.deadline < inf:
        if fees.replace_after is None or sent.replaced >= fees.max_replacements:
            return
        sent.replaced += 1
        sent.sink.replaced()
    account.home.market.forget()
    redoing.pay_more(account, sent)


def _refused(account: Account, sent: Sent, error: RpcError) -> None:
    """A node has lost it and does not take it back."""
    now = account.home.clock()
    if now < sent.refused + _REFUSAL_SECONDS:
        return
    sent.refused = now
    sent.refusals += 1
    short = error.kind is Kind.INSUFFICIENT_FUNDS
    if short:
        account.home.short(account.address)
    if sent.landing is not None or sent.refusals < _PATIENCE or (short and sent.failure is None):
        return
    if sent.failure is None:
        redoing.give_up(account, sent, error)
    if account.flying.get(sent.nonce) is sent:
        account.drop(sent, reuse=True)


async def _fill(account: Account, nonce: int, above: Sent) -> None:
    """Send a transaction that does nothing, so that those above can be included.

    Where a node is behind and the nonce was used after all, it is refused or displaced, and forgotten.
    """
    fees = above.terms.fees
    offer = account.home.market.offer(fees)
    assert account.nonces is not None
    if offer is None:
        return
    account.nonces.claim(nonce)
    nothing, plain = Call(account.key.address_bytes), Terms(GasLimit.fixed(TRANSFER), fees)
    filler = Sent(account, nothing, plain, sink=SILENT, gas=TRANSFER, deadline=inf)
    above.sink.gap()
    account.enter(filler, nonce, offer)
    account.slots.used += 1
    filler.at_work = False
    await resend(account, filler)
