"""The end of a run's money: the sweep of all its accounts, and what the run's log says of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from squall.errors import SquallError
from squall.spec.amounts import native_text
from squall_runner.evm.money.sweeping import DEAF_SECONDS, PAUSE_SECONDS, Sweeper, Swept, sources
from squall_runner.evm.node.failures import RpcError
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.money.funds import Funds
    from squall_runner.evm.signing.keys import Key

_HEADROOM: Final = Fraction(5, 4)
"""Two blocks may each raise the base fee by an eighth; a transfer that gives all pays what it offers, so no more is offered."""
_SETTLING_SECONDS: Final = 15.0
"""How long what teardown has sent is waited for, and a quarter of all the time at most."""
_CALM_SECONDS: Final = 60.0
"""How long what paid the accounts of shards and wallets is waited for, and a half of all the time at most."""
_BEYOND_SHARDS: Final = 64
_BEYOND_WALLETS: Final = 256
"""So many are looked at beyond the last one that was ever used."""


async def sweep(
    funds: Funds,
    *,
    limit: float | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    result: Swept | None = None,
    beyond: bool = False,
) -> Swept:
    """Give back what all accounts of a run have, also those of other runners.

    Nothing of the run may send anything any more: accounts are quiet. Without a funder there is nobody to give it to.

    Args:
        funds: The money of the run.
        limit: Seconds that it may take; what is left then is in the result.
        progress: See `Sweeper`.
        result: Likewise.
        beyond: Whether the run may have had more shards, or more wallets, than the manifest says.

    Raises:
        RpcError: Nodes have failed for a minute.
        LoadError: The same, before anything was done.
    """
    swept = result or Swept()
    if not funds.tree.funders:
        return swept
    sweeper = _sweeper(funds, progress, swept)
    swept.unread = 1
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            await _find_contract(funds)
            shards, wallets = funds.tree.shards, 0 if funds.tree.imported else funds.tree.count
            if beyond:
                shards = await _used(funds, funds.tree.shard_key, shards, _BEYOND_SHARDS)
            if beyond and wallets:
                wallets = await _used(funds, funds.tree.keys.key, wallets, _BEYOND_WALLETS)
            swept.coming = not await _calm(funds, shards, limit)
            await sweeper.sweep(lambda: sources(funds.tree, wallets, shards))
    return swept


def _sweeper(funds: Funds, progress: Callable[[int, int], None], swept: Swept) -> Sweeper:
    fees, accounts = funds.fees, funds.accounts
    most = [wei for wei in (fees.max_fee, fees.limit) if wei is not None]
    exact = replace(fees, headroom=_HEADROOM, max_fee=None, limit=min(most, default=None))

    async def price() -> int:
        return (await accounts.market.wait(exact)).max_fee

    return Sweeper(
        funds.rpc,
        funds.look,
        chain_id=accounts.chain_id,
        price=price,
        next_block=accounts.follower.next_head,
        clock=funds.clock,
        legacy=fees.legacy,
        progress=progress,
        result=swept,
    )


async def _find_contract(funds: Funds) -> None:
    begun = funds.clock()
    while funds.look.contract is None:
        try:
            await funds.prepare()
        except LoadError:
            if funds.clock() - begun > DEAF_SECONDS:
                raise
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def _used(funds: Funds, key: Callable[[int], Key], known: int, further: int) -> int:
    """How many accounts of a kind to look at: options may have given a run more of them than its manifest has.

    Args:
        funds: The money of the run.
        key: The key of an account by its number.
        known: How many the manifest has.
        further: How many are looked at beyond the last one that was ever used.
    """
    looked = known
    while looked < known + further:
        numbers = range(looked, known + further)
        addresses = [key(number).address_bytes for number in numbers]
        balances, nonces = await funds.look.of(addresses), await funds.look.nonces(addresses)
        looked = numbers.stop
        used = [number for number, has, sent in zip(numbers, balances, nonces, strict=True) if has or sent]
        known = max(used, default=known - 1) + 1
    return known


async def _calm(funds: Funds, shards: int, limit: float | None) -> bool:
    """Let what those who pay have sent get into blocks: it is for accounts that are emptied next. Returns whether it did.

    A run may be stopped while its first payment is on its way, and balances do not show that.
    """
    tree = funds.tree
    paying = [*tree.funders, *(tree.shard_key(shard) for shard in range(shards))]
    addresses = [key.address_bytes for key in paying]
    with suppress(TimeoutError):
        async with asyncio.timeout(_CALM_SECONDS if limit is None else min(_CALM_SECONDS, limit / 2)):
            while True:
                try:
                    await funds.earlier(addresses)
                except RpcError:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    return True
    return False


async def give_back(funds: Funds, limit: float, note: Callable[..., None]) -> None:
    """Give back what all accounts of the run have, and say what came of it.

    The accounts of this process are quiet from then on: who sends again, or fills gaps, would get in the way of what empties wallets.

    Args:
        funds: The money of the run.
        limit: Seconds that it may take.
        note: See `Hooks.note`.
    """
    end = funds.clock() + limit
    swept = Swept()
    await funds.accounts.settle(min(_SETTLING_SECONDS, limit / 4))
    funds.accounts.quiet()
    try:
        await funds.sweep(end - funds.clock(), result=swept)
    except SquallError as error:
        message = f"what is left was not given back, run `squall evm sweep` later: {error.message}"
        note("warning", "SweepFailed", message=message, hint=error.hint)
        return
    if swept.unread and not swept.accounts:
        message = "what is left was not given back, run `squall evm sweep` later: no node has told what it is"
        note("warning", "SweepFailed", message=message)
        return
    message = f"{native_text(swept.returned)} went back to the funders, {native_text(swept.left)} is left"
    if swept.unread:
        message += ", and not all accounts could be looked at"
    if swept.coming:
        message += ", and what funders or shards have sent is in no block yet"
    if not swept.done:
        message += "; run `squall evm sweep` later"
    if funds.tree.imported:
        message += "; wallets whose keys come from a file keep what they have"
    note(
        "info" if swept.done else "warning",
        "Swept",
        message=message,
        accounts=swept.accounts,
        returned=native_text(swept.returned),
        spent=native_text(swept.spent),
        left=native_text(swept.left),
    )
