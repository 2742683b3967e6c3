"""What to do when a node does not simply take a transaction.

The answer decides, and whether the transaction may be with a node nevertheless: while it may, its nonce is nobody else's, and it
gets no other one. Handing over the same bytes again does no harm, however often.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending import gaps, lookup, redoing
from squall_runner.evm.sending.answers import Answer, answer_to
from squall_runner.evm.sending.asking import transaction_count
from squall_runner.evm.sending.fees import above_limit
from squall_runner.resilience.backoff import growing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.fees import FeePolicy
    from squall_runner.evm.sending.outgoing import Sent

_T = TypeVar("_T")
_AT_ONCE: Final = 3
"""So often, what was changed is handed over without a pause."""
_DOUBTS: Final = 2
"""So often, an error that nobody understands is taken for a passing one."""
_NO_ROOM: Final = frozenset({Kind.NONCE_TOO_HIGH, Kind.POOL_FULL})
"""What a node says of one for which it would have room behind another one, or after a block."""
PAUSE: Final = growing(0.1, factor=2, most=5.0, jitter=0.5)


async def persist(account: Account, sent: Sent, error: RpcError) -> None:
    """Do what it takes for a node to take a transaction that was handed over once.

    Args:
        account: Whose it is.
        sent: The transaction.
        error: How the node answered.

    Raises:
        SendError: It cannot be done, or not in time.
    """
    home = account.home
    for attempt in count(1):
        sent.doubtful |= error.unknown_fate
        try:
            verdict = await _act(account, sent, answer_to(error), attempt)
        except RpcError:
            verdict = Answer.AGAIN  # whoever could have told does not answer either
        if verdict is Answer.TAKEN or sent.landed():
            return
        changed = verdict is not Answer.AGAIN and attempt <= _AT_ONCE
        pause = 0.0 if changed else max(PAUSE(attempt, home.rng), error.wait)
        if verdict is Answer.REFUSED or home.clock() + pause >= sent.deadline:
            raise redoing.give_up(account, sent, error)
        if error.kind in _NO_ROOM:
            await account.room(sent, pause)
        else:
            await asyncio.sleep(pause)
        await _affordable(account, sent, answer_to(error))
        if sent.landed():
            return
        try:
            await account.hand_over(sent)
        except RpcError as next_error:
            error = next_error
        else:
            return


async def _affordable(account: Account, sent: Sent, answer: Answer) -> None:
    """Wait as long as a node would refuse it once more for nothing but the base fee, or its time is over."""
    home = account.home
    try:
        async with asyncio.timeout(sent.deadline - home.clock()):
            while not home.is_quiet and (
                (answer is Answer.CLOSE_UP and gaps.held_up(account))
                or (answer is Answer.PAY_MORE and _priced_out(account, sent))
            ):
                await home.follower.next_head()
    except TimeoutError:
        pass


def _priced_out(account: Account, sent: Sent) -> bool:
    return sent.offer.max_fee < account.home.market.base_fee and not redoing.pay_more(account, sent)


async def _act(account: Account, sent: Sent, answer: Answer, attempt: int) -> Answer:
    """Do what an answer asks for.

    Returns:
        TAKEN, REFUSED, AGAIN to wait before the same is handed over again, and else that something else is to be handed over.

    Raises:
        RpcError: What had to be asked for got no answer.
    """
    if answer is Answer.LOOK:
        answer = await _look(account, sent)
    elif answer is Answer.OUTBID:
        answer = await _outbid(account, sent, attempt)
    elif answer is Answer.PAY_MORE:
        account.home.market.forget()
        if not redoing.pay_more(account, sent):
            answer = Answer.AGAIN
    elif answer is Answer.CLOSE_UP:
        await gaps.close_up(account)
        answer = Answer.AGAIN
    elif answer is Answer.ASK:
        sent.doubtful = True
        if await lookup.known(account, sent):
            answer = Answer.TAKEN
        else:
            answer = Answer.REFUSED if attempt > _DOUBTS else Answer.AGAIN
    return answer


async def _look(account: Account, sent: Sent) -> Answer:
    """The node says that the nonce was used."""
    used = await transaction_count(account.home.rpc, account.address, "latest")
    if used <= sent.nonce:
        return Answer.AGAIN  # one node is behind another
    # Where every node that it was handed to has refused it, it is nowhere.
    if not sent.doubtful or await lookup.displaced(account, [sent]):
        redoing.renumber(account, sent, used)
        return Answer.LOOK
    return Answer.TAKEN if sent.landed() else Answer.AGAIN


async def _outbid(account: Account, sent: Sent, attempt: int) -> Answer:
    """A node holds another transaction with this nonce."""
    if sent.doubtful or attempt > 1:
        # Most likely a version of this one: whatever was said before, a node has it. If not, it will be displaced. It must have
        # no other nonce before that is certain, as what another node may have could be in a block any time.
        sent.doubtful = True
        return Answer.TAKEN
    held = await transaction_count(account.home.rpc, account.address, "pending")
    if held > sent.nonce:
        redoing.renumber(account, sent, held)
        return Answer.OUTBID
    return Answer.OUTBID if redoing.pay_more(account, sent) else Answer.AGAIN


async def until_answered(rng: Random, ask: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Ask again as long as nobody can answer just now; the caller knows how long that makes sense.

    Raises:
        RpcError: The answer is no.
    """
    for attempt in count(1):
        try:
            return await ask()
        except RpcError as error:
            answer = answer_to(error)
            if answer is not Answer.AGAIN and (answer is not Answer.ASK or attempt > _DOUBTS):
                raise
            pause = max(PAUSE(attempt, rng), error.wait)
        await asyncio.sleep(pause)
    raise AssertionError


def why_unprepared(base_fee: int, policy: FeePolicy) -> tuple[str, str]:
    """Message and hint for a transaction that was not even signed in time."""
    why = above_limit(base_fee, policy)
    if not why:
        return "nonce, gas limit or fees of a transaction were not known in time", "see evm_rpc_errors"
    return why, "raise fees.limit, or the step's timeout so that it can wait longer"
