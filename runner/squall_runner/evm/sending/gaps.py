"""Nonces that are missing at a node hold up all that come after them, so what is missing is sent again, or filled.

A node tells by the pending transaction count where its unbroken row of nonces ends. What of ours comes after that it has lost, or
never had: it gets the same bytes again, which does no harm where it has them after all. A nonce under which nothing was ever sent
is filled with a transaction that does nothing.

A node with room for some of an account's transactions says nothing of the others that it throws away. So what is missing is handed over
again after each block that took some, no more than twice as many as that; while none is taken, the pauses grow.

A node that is full throws away what cannot pay the base fee, and refuses it when it comes back. To hand it over all the same, and
all that comes after it, would make much load out of little: it waits, and they with it, until a block has a base fee that it can pay.
"""

from __future__ import annotations

from contextlib import suppress
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
_LEAST: Final = 16
"""At once; nodes keep so many of an account as a rule."""
_PATIENCE: Final = 3
"""So often a node may refuse to take something back before its nonce is given to another; each time counts once."""
_REFUSAL_SECONDS: Final = 1.0
"""What is refused within so many seconds is refused once."""
LONGEST_PAUSE: Final = 60.0
"""Seconds between two times that one transaction is looked for, or handed over again; unless patience is longer."""


async def close_up(account: Account) -> None:
    """Send again or fill whatever a node misses of an account's row of nonces, unless that goes on already, or waits for a base fee.

    Raises:
        RpcError: No node says what it has.
    """
    if account.closing_up or not account.flying or held_up(account):
        return
    account.closing_up = True
    try:
        await _close_up(account)
    finally:
        account.closing_up = False


def held_up(account: Account) -> bool:
    """Whether a node misses one that cannot pay the base fee, so that none behind it would be included either."""
    held = account.held
    if held is None or account.flying.get(held.nonce) is not held:
        return False
    return not redoing.payable(account, held)


async def _close_up(account: Account) -> None:
    flying = account.flying
    account.held = None
    missing = await transaction_count(account.home.rpc, account.address, "pending")
    landings = account.landings
    included = 0 if account.behind is None else landings - account.behind
    account.behind = None
    landed: dict[int, Sent] | None = None
    for nonce in range(missing, missing + (min(max(2 * included, _LEAST), _MOST) if included else _MOST)):
        above = max(flying, default=-1)
        if nonce > above:
            return
        sent = flying.get(nonce)
        held = flying[above] if sent is None else sent
        if sent is None:
            if landed is None:
                landed = account.home.landed_of(account)
            former = landed.get(nonce)
            done = await (_fill(account, nonce, held) if former is None else _restore(account, former))
        else:
            account.behind = account.behind if sent.at_work else landings
            done = sent.at_work or await _again(account, sent, at_once=included > 0)
        if not done:
            account.held = held
            return


async def _again(account: Account, sent: Sent, *, at_once: bool) -> bool:
    """Hand over what a node misses, unless that was done a moment ago and nothing has changed; False while it cannot pay the base fee."""
    home = account.home
    if not redoing.payable(account, sent):
        return False
    now = home.clock()
    if at_once:
        sent.resends = min(sent.resends, 1)
    elif now < sent.next_resend:
        sent.next_look = min(sent.next_look, sent.next_resend)
        return True
    if sent.offer.max_fee < home.market.base_fee:
        _raise(account, sent)
    if not sent.resends:
        sent.sink.gap()
    least = home.patience.least
    sent.next_resend = now + min(least * 2**sent.resends, max(least, LONGEST_PAUSE))
    sent.resends += 1
    await resend(account, sent)
    return True


async def _restore(account: Account, sent: Sent) -> bool:
    """Hand over what was in a block, and a node misses: the chain has lost that block, which the follower will tell, or the node is behind.

    It is not on its way again before that is told, as a node that is behind proves nothing. Returns True.
    """
    home, landing = account.home, sent.landing
    version = next(
        (each for each in sent.versions if landing is not None and each.hash == landing.hash), None
    )
    if version is not None and not home.is_quiet:
        with suppress(RpcError):
            await home.rpc.send_raw(version.hex, version.hash, sticky=account.address)
    return True


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
            account.home.market.forget()
            _raise(account, sent)
        if answer is not Answer.TAKEN:
            return
    sent.doubtful, sent.refusals = True, 0
    if not sent.accepted:
        account.home.accepted(sent)


def _raise(account: Account, sent: Sent) -> None:
    """It offers too little by now."""
    if not redoing.may_pay_more(sent):
        return
    if sent.failure is None and sent.deadline < inf:
        sent.replaced += 1
        sent.sink.replaced()
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


async def _fill(account: Account, nonce: int, above: Sent) -> bool:
    """Send a transaction that does nothing, so that those above can be included.

    Where a node is behind and the nonce was used after all, it is refused or displaced, and forgotten.

    Returns:
        False while it could not pay the base fee.
    """
    fees = above.terms.fees
    offer = account.home.market.offer(fees)
    assert account.nonces is not None
    if offer is None or offer.max_fee < account.home.market.base_fee:
        return False
    account.nonces.claim(nonce)
    nothing, plain = Call(account.key.address_bytes), Terms(GasLimit.fixed(TRANSFER), fees)
    filler = Sent(account, nothing, plain, sink=SILENT, gas=TRANSFER, deadline=inf)
    above.sink.gap()
    account.enter(filler, nonce, offer)
    account.slots.used += 1
    filler.at_work = False
    await resend(account, filler)
    return True
