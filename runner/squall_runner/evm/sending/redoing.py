"""What is done to a transaction that no node took as it was: another nonce, a higher offer, or an end to it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from squall_runner.evm.node.failures import Kind
from squall_runner.evm.sending.fees import raised
from squall_runner.evm.sending.outgoing import SendError

if TYPE_CHECKING:
    from squall_runner.evm.node.failures import RpcError
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.fees import Offer
    from squall_runner.evm.sending.outgoing import Sent


def renumber(account: Account, sent: Sent, used: int) -> None:
    """Give it another nonce, since it is certain that it will not be included under the one that it has.

    Args:
        account: Whose it is.
        sent: The transaction.
        used: All nonces below are used up.
    """
    assert account.nonces is not None
    offer = account.home.market.offer(sent.terms.fees) or sent.offer
    account.withdraw(sent, reuse=False)
    account.nonces.advance(used)
    account.enter(sent, account.nonces.take(), offer)


def pay_more(account: Account, sent: Sent, times: int = 1) -> bool:
    """Sign it again with an offer that is raised so many times; False when the manifest allows none."""
    better = _better(account, sent, times)
    if better is None:
        return False
    account.sign(sent, better)
    return True


def _better(account: Account, sent: Sent, times: int = 1) -> Offer | None:
    policy = sent.terms.fees
    if policy.max_fee is not None and policy.replace_after is None:
        return None
    current = account.home.market.offer(policy)
    better: Offer | None = sent.offer
    for _ in range(times):
        better = None if better is None else raised(better, policy, current)
    return better


def may_pay_more(sent: Sent) -> bool:
    """Whether it may be replaced. Who still waits for it says so; when nobody does, the others must go on."""
    fees = sent.terms.fees
    if sent.failure is not None or sent.deadline == inf:
        return True
    return fees.replace_after is not None and sent.replaced < fees.max_replacements


def payable(account: Account, sent: Sent) -> bool:
    """Whether it offers the base fee of the newest block, or may be replaced by a version that does."""
    base_fee = account.home.market.base_fee
    if sent.offer.max_fee >= base_fee:
        return True
    better = _better(account, sent) if may_pay_more(sent) else None
    return better is not None and better.max_fee >= base_fee


def give_up(account: Account, sent: Sent, error: RpcError) -> SendError:
    """The error for whoever wants it sent. Unless a node may have it nevertheless, its nonce is free."""
    failure = SendError.refused(error, may_land=sent.doubtful)
    sent.fail(failure)
    account.home.failed(sent.sink, error.kind)
    if not sent.doubtful:
        account.drop(sent, reuse=True)
    if error.kind is Kind.INSUFFICIENT_FUNDS:
        account.home.short(account.address)
    return failure
