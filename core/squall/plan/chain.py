"""What a whole run does on its chain: who is filled and what that costs, what scenarios send and what that costs at most.

Wei are texts in the document, as they are longer than JSON keeps exact; what cannot be known before the run is null rather than a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squall.plan.funding import FundingCost, funding_cost, known_fee
from squall.plan.gas import Transactions, transactions_per_iteration
from squall.plan.wallets import wallets_of

if TYPE_CHECKING:
    from squall.plan.model import TestPlan
    from squall.spec.loadtest import LoadTestSpec


@dataclass(frozen=True, slots=True)
class ScenarioCost:
    """What one scenario sends.

    Attributes:
        name: The scenario's.
        each: Transactions of an iteration.
        iterations: How many there are; None when that is not known before.
    """

    name: str
    each: Transactions
    iterations: int | None

    @property
    def gas(self) -> int | None:
        """The most gas that all of them use."""
        return None if self.each.gas is None or self.iterations is None else self.each.gas * self.iterations


@dataclass(frozen=True, slots=True)
class ChainCost:
    """What a run does on its chain.

    Attributes:
        wallets: That act, over all shards, at most.
        funding: What filling them takes; None when they use what they have.
        scenarios: Those that send something.
        fee: The most wei per gas; None when it is not known before.
    """

    wallets: int
    funding: FundingCost | None
    scenarios: tuple[ScenarioCost, ...]
    fee: int | None


def chain_cost(spec: LoadTestSpec, plan: TestPlan) -> ChainCost | None:
    """What the run costs; None when the manifest has no chain. Raises ValueError as `funding_cost`."""
    evm = spec.evm
    if evm is None:
        return None
    scenarios = [
        ScenarioCost(
            scenario.name,
            transactions_per_iteration(scenario, evm),
            plan.scenario(scenario.name).planned_iterations,
        )
        for scenario in spec.scenarios
    ]
    return ChainCost(
        wallets=sum(wallets_of(spec, plan, shard) for shard in range(plan.shards)),
        funding=funding_cost(spec, plan),
        scenarios=tuple(one for one in scenarios if one.each.most != 0),
        fee=known_fee(evm.fees),
    )


def chain_document(cost: ChainCost) -> dict[str, Any]:
    """The same for `squall plan --json`."""
    fee = cost.fee
    return {
        "wallets": cost.wallets,
        "feeWei": _text(fee),
        "funding": None if cost.funding is None else _funding(cost.funding),
        "scenarios": [
            {
                "name": one.name,
                "transactionsPerIteration": {"least": one.each.least, "most": one.each.most},
                "gasPerIteration": one.each.gas,
                "gas": one.gas,
                "costWei": _text(None if one.gas is None or fee is None else one.gas * fee),
            }
            for one in cost.scenarios
        ],
    }


def _funding(cost: FundingCost) -> dict[str, Any]:
    return {
        "wallets": cost.wallets,
        "amountWei": str(cost.amount),
        "lentWei": str(cost.lent),
        "transactions": cost.transactions,
        "gas": cost.gas,
        "returned": cost.returned,
        "sweepGas": cost.sweep_gas,
        "spentWei": _text(cost.spent),
        "totalWei": _text(cost.total),
    }


def _text(wei: int | None) -> str | None:
    return None if wei is None else str(wei)
