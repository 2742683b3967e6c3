"""Looking after what is silent: transactions that nodes took and no block holds, or that were left behind by who sent them.

A node may have forgotten a transaction, by a restart or because others paid more; another user of the wallet may have taken its nonce;
or what it offers may be too little by now. The account's two transaction counts tell which, for all of its transactions at once.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.sending import gaps, lookup, redoing
from squall_runner.evm.sending.answers import Answer, answer_to
from squall_runner.evm.sending.asking import transaction_count

if TYPE_CHECKING:
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.outgoing import Sent

_CERTAIN: Final = (Answer.REFUSED, Answer.PAY_MORE, Answer.OUTBID)
"""Answers after which a version is with no node."""
_MOST_RAISED: Final = Fraction(30, 100)
"""No node wants that much more for a replacement."""


async def tend(account: Account) -> None:
    """Look after an account's transactions once; what does not succeed is tried again at the next look."""
    now = account.home.clock()
    try:
        await _settle(account)
        await gaps.close_up(account)
        await _replace(account)
    except RpcError:
        pass  # nobody answers now
    _look_later(account, now)


def _look_later(account: Account, now: float) -> None:
    """Say when somebody has to look again. One look is for all transactions of an account, also those that are due a little later."""
    patience = account.home.patience.seconds
    longest = max(patience, gaps.LONGEST_PAUSE)
    for sent in account.flying.values():
        if sent.next_look <= now + patience / 2 and not sent.at_work:
            sent.next_look = now + min(patience * 2 ** min(sent.looked, 3), longest)
            sent.looked += 1
            if sent.next_resend > now:
                sent.next_look = min(sent.next_look, sent.next_resend)
            replace_after = sent.terms.fees.replace_after
            if replace_after is not None and sent.replaced < sent.terms.fees.max_replacements:
                due = sent.priced + replace_after
                sent.next_look = min(sent.next_look, due if due > now else now + replace_after)


async def _settle(account: Account) -> None:
    """See to those whose nonces are used up: in a block, or displaced by a transaction of somebody else."""
    home = account.home
    used = await transaction_count(home.rpc, account.address, "latest")
    below = [sent for nonce, sent in account.flying.items() if nonce < used and not sent.at_work]
    for sent in await lookup.displaced(account, below):
        if sent.at_work or sent.landing is not None:
            continue
        if sent.failure is None and home.clock() < sent.deadline < inf:
            redoing.renumber(account, sent, used)
            sent.at_work = False
            await gaps.resend(account, sent)
        else:
            if sent.failure is None and sent.deadline < inf:
                home.expire(sent)
            account.drop(sent, reuse=False)


async def _replace(account: Account) -> None:
    """Pay more for what blocks did not take: the first of the row, for which the others wait, and whatever offers too little."""
    home = account.home
    flying = account.flying
    for nonce in sorted(flying):
        sent = flying.get(nonce)
        if sent is None or not _replaceable(sent, home.clock()):
            continue
        if nonce != min(flying) and sent.offer.max_fee >= home.market.base_fee:
            continue
        await _outbid(account, sent)


async def _outbid(account: Account, sent: Sent) -> None:
    """Replace it by a version that pays more, and where a node wants more than the manifest's `bump`, by one that is raised more often."""
    times, former, bump = 1, sent.offer, sent.terms.fees.bump
    while redoing.pay_more(account, sent, times):
        sent.replaced += times == 1
        try:
            await account.hand_over_again(sent)
        except RpcError as error:
            if error.unknown_fate or answer_to(error) not in _CERTAIN:
                return
            account.unsign(sent, former)
            times *= 2
            if (
                answer_to(error) is not Answer.OUTBID
                or sent.landing is not None
                or times * bump > _MOST_RAISED
            ):
                return
        else:
            sent.sink.replaced()
            return


def _replaceable(sent: Sent, now: float) -> bool:
    fees = sent.terms.fees
    return (
        fees.replace_after is not None
        and not sent.at_work
        and sent.replaced < fees.max_replacements
        and now >= sent.priced + fees.replace_after
    )
