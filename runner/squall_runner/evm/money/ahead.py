"""Filling wallets before any run, from the funders themselves: `squall evm fund`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.spec.amounts import amount_wei, native_text
from squall.spec.quantities import whole
from squall_runner.evm.beforehand import acceptable_price
from squall_runner.evm.money.fillrules import Target
from squall_runner.evm.money.funds import fill_all, funding_failed
from squall_runner.evm.money.paying import FundingError
from squall_runner.evm.money.subfunders import bills_ahead, refuse_if_short
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.sending.outgoing import SendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall_runner.evm.money.funding import Filler
    from squall_runner.evm.money.funds import Funds


@dataclass(frozen=True, slots=True)
class Ahead:
    """What filling ahead came to; amounts in wei.

    Attributes:
        wallets: That were looked at.
        filled: Those that had too little.
        given: What they were given.
        spent: What that cost in gas.
        transactions: In how many transactions.
    """

    wallets: int
    filled: int
    given: int
    spent: int
    transactions: int


async def fill_ahead(funds: Funds, count: int, progress: Callable[[int, int], None]) -> Ahead:
    """Fill the first wallets of the run now: a run that follows asks for nothing more.

    Args:
        funds: Those of the run.
        count: How many wallets.
        progress: Told how many have enough, of how many.

    Raises:
        LoadError: As `Funds.pay`.
    """
    keys, count = funds.tree.keys, min(count, funds.tree.count)
    try:
        addresses = [keys.key(index).address_bytes for index in range(count)]
        lacking = await _lacking(funds, addresses)
        done = count - len(lacking)
        progress(done, count)

        def one_more() -> None:
            nonlocal done
            done += 1
            progress(done, count)

        work = await _begin(funds, addresses, lacking, one_more)
        await fill_all(work)
    except (RpcError, SendError, FundingError) as error:
        raise funding_failed(error) from error
    totals = [filler.totals for filler, _ in work]
    return Ahead(
        wallets=count,
        filled=sum(one.filled for one in totals),
        given=sum(one.given for one in totals),
        spent=sum(one.spent for one in totals),
        transactions=sum(one.transactions for one in totals),
    )


async def _lacking(funds: Funds, addresses: Sequence[bytes]) -> list[int]:
    """The numbers of the wallets that have too little; the funders can pay for all of them.

    Raises:
        LoadError: They cannot.
        RpcError: The node cannot be asked.
    """
    funding, tree = funds.funding, funds.tree
    assert funding is not None
    amount = amount_wei(funding.amount)
    await funds.earlier([funder.address_bytes for funder in tree.funders])
    found = await funds.look.of(addresses)
    lacking = {index: amount - has for index, has in enumerate(found) if has < amount}
    price = (await acceptable_price(funds.accounts.market, funds.fees)).max_fee
    due = bills_ahead(
        tree,
        lacking,
        price=price,
        batch=funds.size(whole(funding.batch)),
        extra=funds.deploy_cost(price) if lacking else 0,
    )
    has = await funds.look.of([funder.address_bytes for funder in tree.funders])
    refuse_if_short(tree, due, has, f"{len(lacking):,} wallets of {native_text(amount)} each")
    return list(lacking)


async def _begin(
    funds: Funds, addresses: Sequence[bytes], lacking: Sequence[int], filled: Callable[[], None]
) -> list[tuple[Filler, list[int]]]:
    """For each funder what fills, and whom."""
    funding, tree = funds.funding, funds.tree
    assert funding is not None
    amount, number = amount_wei(funding.amount), len(tree.funders)
    if lacking:
        await funds.deploy()
    return [
        (
            funds.filler(
                funder,
                lambda index: Target(addresses[index], amount),
                batch=whole(funding.batch),
                changed=filled,
            ),
            [index for index in lacking if index % tree.shards % number == place],
        )
        for place, funder in enumerate(tree.funders)
    ]
