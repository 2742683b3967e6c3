"""What the accounts of shards still need, and paying it: once per run, before anything is sent, or not at all.

Only what is missing is asked for. A shard's account may have money from a run before, and wallets may have been filled ahead; so
all of them are looked at first. A funder that has too little is found out here, with the numbers, while nothing has been spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.plan.funding import filling
from squall.spec.amounts import native_text
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squall_runner.evm.money.balances import Balances
    from squall_runner.evm.money.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """How wallets are filled, as far as it says what that costs.

    Attributes:
        used: How many wallets each shard uses at most.
        any_of: Whether these are any of the shard's, rather than its first ones.
        amount: What each is filled up to, in wei.
        rounds: How often, on the mean.
        batch: How many share a transaction.
        price: Wei per gas, at most.
    """

    used: Sequence[int]
    any_of: bool
    amount: int
    rounds: int
    batch: int
    price: int


async def missing(tree: Tree, look: Balances, how: Filling) -> list[int]:
    """What each shard's account lacks, in wei.

    Raises:
        RpcError: The node cannot be asked.
    """
    accounts = [tree.shard_key(shard).address_bytes for shard in range(tree.shards)]
    found = await look.of(accounts)
    return [
        await _missing_of(tree, look, how, shard, balance) if how.used[shard] else 0
        for shard, balance in enumerate(found)
    ]


async def _missing_of(tree: Tree, look: Balances, how: Filling, shard: int, balance: int) -> int:
    used = how.used[shard]
    most = filling(used, how.amount, how.batch, rounds=how.rounds).cost(how.price)
    if balance >= most:
        return 0
    own = tree.wallets_of(shard)
    looked = own if how.any_of else own[:used]
    found = await look.of([tree.keys.key(index).address_bytes for index in looked])
    lacking = sorted((how.amount - each for each in found if each < how.amount), reverse=True)[:used]
    again = used * (how.rounds - 1)
    # What wallets have already is not asked for; what they may be given once more is.
    gas = filling(len(lacking) + again, 0, how.batch).gas
    return max(0, sum(lacking) + again * how.amount + gas * how.price - balance)


@dataclass(frozen=True, slots=True)
class Bill:
    """What one funder has to pay.

    Attributes:
        funder: Its place among the manifest's.
        parts: For each account that lacks something: the number of its shard or wallet, and how much.
        extra: What else it pays, in wei.
        price: Wei per gas, at most.
        batch: How many parts share a transaction.
    """

    funder: int
    parts: tuple[tuple[int, int], ...]
    extra: int
    price: int
    batch: int

    @property
    def total(self) -> int:
        """All of it, with the gas, in wei."""
        lent = sum(value for _, value in self.parts)
        return lent + self.extra + filling(len(self.parts), 0, self.batch).gas * self.price


def bills(tree: Tree, lacking: Sequence[int], *, price: int, batch: int, extra: int = 0) -> list[Bill]:
    """What each funder has to pay; `extra` wei are the first one's. For the others see `Bill`."""
    number = len(tree.funders)
    return [
        Bill(
            funder,
            tuple(
                (shard, value) for shard, value in enumerate(lacking) if value and shard % number == funder
            ),
            extra if funder == 0 else 0,
            price,
            batch,
        )
        for funder in range(number)
    ]


def bills_ahead(tree: Tree, lacking: Mapping[int, int], *, price: int, batch: int, extra: int) -> list[Bill]:
    """What each funder has to pay to fill wallets itself; `lacking` says by their numbers how much. See `bills`."""
    number = len(tree.funders)
    parts: list[list[tuple[int, int]]] = [[] for _ in range(number)]
    for index, value in lacking.items():
        parts[index % tree.shards % number].append((index, value))
    return [
        Bill(funder, tuple(own), extra if funder == 0 else 0, price, batch)
        for funder, own in enumerate(parts)
    ]


def refuse_if_short(tree: Tree, due: Sequence[Bill], found: Sequence[int], what: str) -> None:
    """See that every funder can pay.

    Args:
        tree: The accounts.
        due: What each funder has to pay.
        found: What each has, in wei.
        what: What the money is for, such as `12 wallets of 0.1 each`.

    Raises:
        LoadError: `FunderShort`, with what each has and lacks.
    """
    short = [(bill, has) for bill, has in zip(due, found, strict=True) if bill.total > has]
    if not short:
        return
    words = [
        f"the funder {tree.funders[bill.funder].address} has {native_text(has)} and needs {native_text(bill.total)}"
        for bill, has in short
    ]
    lacks = [f"{native_text(bill.total - has)} to {tree.funders[bill.funder].address}" for bill, has in short]
    raise LoadError(
        "FunderShort",
        f"there is too little money for {what}: {'; '.join(words)}",
        f"send {' and '.join(lacks)}, or lower spec.evm.funding.amount or spec.evm.wallets.count; what is not used goes back",
    )
