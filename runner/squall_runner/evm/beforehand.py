"""What has to be known of a chain before a runner begins: what others have done there for the same shards, and whether gas can be paid."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.asking import transaction_count
from squall_runner.evm.sending.persisting import why_unprepared
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.plan.model import TestPlan
    from squall_runner.evm.money.tree import Tree
    from squall_runner.evm.sending.asking import Asks
    from squall_runner.evm.sending.fees import FeePolicy, Offer
    from squall_runner.evm.sending.market import FeeMarket

PRICE_SECONDS: Final = 60.0
"""How long a base fee above the limit is waited for before the accounts of a run are paid; after that the run is refused."""


def refused(error: RpcError) -> LoadError:
    """Why a run does not begin on a chain."""
    reason = "ChainMismatch" if error.kind is Kind.CHAIN_MISMATCH else "TargetUnreachable"
    return LoadError(reason, f"the chain cannot be used: {error.message}", error.hint)


async def had_before(rpc: Asks, tree: Tree, shards: Sequence[int]) -> bool:
    """Whether another runner had these shards before in this run, and may have used their wallets: then it has filled some.

    What a wallet sends first would be the same to the last byte as what it has sent already, and be taken for it.

    Args:
        rpc: Who is asked.
        tree: The accounts of a run that nobody else shares.
        shards: Of this runner.

    Raises:
        LoadError: The node cannot be asked.
    """
    if not tree.funders:
        return True  # nobody fills wallets, so it does not show
    try:
        counts = [await transaction_count(rpc, tree.shard_key(shard).address, "pending") for shard in shards]
    except RpcError as error:
        raise refused(error) from error
    return any(counts)


def tried_wallets(plan: TestPlan, shards: Sequence[int]) -> dict[int, int]:
    """How many wallets each of these shards takes when one iteration of each scenario is tried, setup included."""
    first = [
        next(shard for shard in shards if each.share_for(shard) is not None)
        for each in plan.scenarios
        if any(each.share_for(shard) is not None for shard in shards)
    ]
    return {shard: first.count(shard) + 1 for shard in shards}


async def acceptable_price(market: FeeMarket, fees: FeePolicy) -> Offer:
    """What a transaction offers, as soon as gas costs no more than the manifest allows.

    Raises:
        LoadError: It costs more, for longer than can be waited for.
    """
    try:
        async with asyncio.timeout(PRICE_SECONDS):
            return await market.wait(fees)
    except TimeoutError:
        raise LoadError("FundingFailed", *why_unprepared(market.base_fee, fees)) from None
    except RpcError as error:
        raise refused(error) from error
