"""What a run costs on its chain, in lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.spec.amounts import native_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.plan.chain import ChainCost, ScenarioCost
    from squall.plan.funding import FundingCost

_GWEI = 10**9
_RETURNED = {
    "all": "What is left goes back",
    "shards": "Wallets keep what they are given, as their keys come from a file",
    "none": "What is left stays there until `squall evm sweep`",
}


def chain_lines(cost: ChainCost) -> list[str]:
    """The lines; amounts in native tokens."""
    lines = [f"On the chain: {cost.wallets:,} wallets act at most."]
    if cost.funding is not None:
        lines += _funding(cost.funding)
    lines += [_scenario(one, cost.fee) for one in cost.scenarios]
    if cost.fee is None:
        lines.append(
            "What gas costs is known on the chain only, or from evm.fees.maxFee; the run asks before it begins."
        )
    return lines


def _funding(cost: FundingCost) -> Iterator[str]:
    again = " and filled once more" if cost.rounds > 1 else ""
    yield (
        f"Funding lends {native_text(cost.lent)}: {cost.wallets:,} wallets filled up to {native_text(cost.amount)}"
        f"{again}. {_RETURNED[cost.returned]}; wallets that have it already cost nothing."
    )
    gas = f"{cost.transactions:,} transactions and {cost.gas:,} gas at most"
    if cost.sweep_gas:
        gas += f", {cost.sweep_gas:,} gas to give back"
    if cost.spent is None or cost.total is None or cost.fee is None:
        yield f"It takes {gas}."
        return
    yield f"It takes {gas}: {native_text(cost.spent)} at {native_text(cost.fee * _GWEI)} gwei per gas."
    yield f"The funders need {native_text(cost.total)} together."


def _scenario(one: ScenarioCost, fee: int | None) -> str:
    text = f"{one.name} sends {one.each} transactions an iteration"
    if one.each.gas is None:
        return f"{text}; their gas is estimated in the run."
    text += f", {one.each.gas:,} gas at most"
    if one.gas is None:
        return f"{text}."
    price = "" if fee is None else f", {native_text(one.gas * fee)}"
    return f"{text}; {one.gas:,} gas in all{price}."
