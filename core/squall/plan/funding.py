"""What a run on a chain costs, before it begins: what wallets are given, and the gas of giving it and of taking it back.

Runs are refused when the funder has less than this, so it is never below what is needed: gas is counted as if nothing had been on
the chain before, fees as high as they may become. What is not used goes back, so most of it is lent and not spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from squall.plan.share import Share
from squall.plan.wallets import wallets_of
from squall.spec.amounts import amount_wei
from squall.spec.quantities import whole

if TYPE_CHECKING:
    from squall.plan.model import TestPlan
    from squall.spec import structs
    from squall.spec.evm import Fees, Funding, Wallets
    from squall.spec.loadtest import LoadTestSpec

TRANSFER_GAS: Final = 21_000
"""Gas of a plain transfer (yellow paper, appendix G: Gtransaction)."""
BATCH_GAS: Final = 60_000
"""Gas of a batch without its transfers, at most."""
FILL_GAS: Final = 45_000
"""Gas of one transfer within a batch, at most: 25,000 for an account that is new, 9,000 for the value, 2,600 for looking at it
(EIP-2929), and the calldata with its copies."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one account has to have so that it can fill wallets.

    Attributes:
        wallets: How many it fills.
        amount: What it gives away, in wei.
        transactions: In how many transactions.
        gas: Their gas.
    """

    wallets: int
    amount: int
    transactions: int
    gas: int

    def cost(self, fee: int) -> int:
        """All of it in wei, at so many wei per gas."""
        return self.amount + self.gas * fee


def filling(wallets: int, amount: int, batch: int, *, rounds: int = 1) -> Need:
    """What it takes to fill wallets.

    Args:
        wallets: How many.
        amount: What each is given, in wei.
        batch: How many share a transaction; 1 without a contract for batches.
        rounds: How often each is filled.
    """
    transactions = -(-wallets // batch)
    each = TRANSFER_GAS if batch == 1 else FILL_GAS
    # Batches go out before they are full when users wait for them.
    gas = (transactions * (0 if batch == 1 else BATCH_GAS) + wallets * each) * rounds * 3 // 2
    return Need(wallets, wallets * amount * rounds, transactions * rounds, gas)


def ahead_of(funding: Funding | structs.Funding, shard: int, shards: int) -> int:
    """How many wallets a shard keeps filled ahead of their use."""
    return max(1, Share(shard, shards).of(whole(funding.ahead)))


def batch_of(funding: Funding | structs.Funding, shards: int) -> int:
    """How many wallets of a shard share a transaction, as a rule: filling begins again when half of those ahead are used."""
    return max(1, min(whole(funding.batch), ahead_of(funding, shards - 1, shards) // 2))


def rounds_of(funding: Funding | structs.Funding) -> int:
    """How often a wallet is filled, on the mean, as far as a shard's own funder is given money for it."""
    return 1 if funding.refill_below is None else 2


def known_fee(fees: Fees | structs.Fees) -> int | None:
    """The most wei per gas that the manifest allows; None when the chain decides. Raises ValueError as `amount_wei`."""
    given = [amount_wei(text) for text in (fees.max_fee, fees.limit) if text is not None]
    return min(given) if given else None


@dataclass(frozen=True, slots=True)
class FundingCost:
    """What a run takes from its funders at most.

    Attributes:
        wallets: Filled, of all shards.
        amount: What each is filled up to, in wei.
        rounds: How often, on the mean, money is there to fill each.
        shards: Accounts that fill them, one per shard.
        transactions: That fill, those to the shards' own funders included.
        gas: Of these.
        returned: Whose rest goes back at the end: of all accounts; of the `shards` alone, as wallets of a file of keys keep theirs; of none.
        sweep_gas: Of giving it back.
        fee: The most wei per gas; None when it is not known before.
    """

    wallets: int
    amount: int
    rounds: int
    shards: int
    transactions: int
    gas: int
    returned: Literal["all", "shards", "none"]
    sweep_gas: int
    fee: int | None

    @property
    def lent(self) -> int:
        """What wallets are given, in wei."""
        return self.wallets * self.amount * self.rounds

    @property
    def spent(self) -> int | None:
        """The most that filling and giving back cost, in wei."""
        return None if self.fee is None else (self.gas + self.sweep_gas) * self.fee

    @property
    def total(self) -> int | None:
        """What the funders have to have together, in wei; giving back is paid of what is given back."""
        return None if self.fee is None else self.lent + self.gas * self.fee


def funding_cost(spec: LoadTestSpec | structs.LoadTestSpec, plan: TestPlan) -> FundingCost | None:
    """What the manifest's `evm.funding` takes; None without one.

    Raises:
        ValueError: An amount is none, such as a `${var.x}` that nobody resolved.
    """
    evm = spec.evm
    if evm is None or evm.funding is None or evm.wallets is None:
        return None
    funding = evm.funding
    amount, rounds = amount_wei(funding.amount), rounds_of(funding)
    each = [wallets_of(spec, plan, shard) for shard in range(plan.shards)]
    batch = batch_of(funding, plan.shards)
    needs = [filling(number, amount, batch, rounds=rounds) for number in each if number]
    returned = _returned(funding, evm.wallets)
    giving = {"all": sum(each) + len(needs), "shards": len(needs), "none": 0}[returned]
    return FundingCost(
        wallets=sum(each),
        amount=amount,
        rounds=rounds,
        shards=len(needs),
        transactions=sum(need.transactions for need in needs) + len(needs),
        gas=sum(need.gas for need in needs) + filling(len(needs), 0, 1).gas,
        returned=returned,
        sweep_gas=giving * TRANSFER_GAS,
        fee=known_fee(evm.fees),
    )


def _returned(
    funding: Funding | structs.Funding, wallets: Wallets | structs.Wallets
) -> Literal["all", "shards", "none"]:
    if not funding.sweep:
        return "none"
    return "all" if wallets.keys is None else "shards"
