"""Gives back what is left: every account of a run sends all that it has to the funder, to the wei.

What is to be done follows from the chain alone: who has more than sending it costs, sends it. So a sweep that was interrupted goes on
when it is begun again, and one that is begun twice does nothing the second time. Tip and limit per gas are the same number, so a
transfer costs exactly what was reckoned and nothing stays behind; accounts that have less than that cost are dust.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from squall_runner.evm.money.balances import several
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.asking import ask_number
from squall_runner.evm.sending.gas import TRANSFER
from squall_runner.evm.signing.hexes import to_hex
from squall_runner.evm.signing.keys import checksummed
from squall_runner.evm.signing.transactions import Transaction, sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from squall_runner.evm.money.balances import Balances
    from squall_runner.evm.money.tree import Tree
    from squall_runner.evm.sending.asking import Asks
    from squall_runner.evm.signing.keys import Key

AT_ONCE: Final = 32
_LOOKED_AT: Final = 500
_BLOCKS: Final = 4
"""For so many blocks a transfer is waited for before it is sent anew, at the price of then."""
_LEAST_SECONDS: Final = 6.0
_MOST_SECONDS: Final = 90.0
"""At least and at most so long, where blocks come fast, or not at all."""
_LOOK_SECONDS: Final = 2.0
_READ_SECONDS: Final = 0.0002
"""For each account that is looked at again: blocks may come faster than that is done."""
_ROUNDS_IN_VAIN: Final = 5
_LOOKS: Final = 3
_SHOWN: Final = 10
DEAF_SECONDS: Final = 60.0
"""After so long without any answer there is no use in asking on."""
PAUSE_SECONDS: Final = 1.0
_DEAF: Final = frozenset(
    {Kind.UNREACHABLE, Kind.TIMEOUT, Kind.RATE_LIMITED, Kind.SERVER_ERROR, Kind.MALFORMED}
)
"""It is the node that has failed, and not the transfer."""


@dataclass(slots=True)
class Source:
    """An account that gives back.

    Attributes:
        key: Its key.
        to: Who gets it.
        balance: What it had when last looked at, in wei.
        sent: What it has sent, and is not known to be in a block.
        cost: What the gas of that costs.
        raised: By how many quarters its price has been raised, since another transaction has its nonce.
        spare: What it keeps beside the cost, on chains that charge for more than gas.
        reason: Why the last try failed.
    """

    key: Key
    to: bytes
    balance: int = 0
    sent: int = 0
    cost: int = 0
    raised: int = 0
    spare: int = 0
    reason: str = ""


@dataclass(slots=True)
class Swept:
    """What came of a sweep; amounts in wei.

    Attributes:
        accounts: That were looked at.
        returned: What went back.
        transfers: In how many transactions.
        spent: Their gas.
        dust: What stays where sending costs more than there is.
        dusty: In how many accounts.
        left: What is still to be given back.
        unread: Accounts of which nobody knows what they have, as no node told in time.
        coming: Whether more may come, as what was sent to these accounts is in no block yet.
        failed: Accounts that have it, and why.
    """

    accounts: int = 0
    returned: int = 0
    transfers: int = 0
    spent: int = 0
    dust: int = 0
    dusty: int = 0
    left: int = 0
    unread: int = 0
    coming: bool = False
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether nothing is left to be given back."""
        return not self.left and not self.unread and not self.coming


def sources(tree: Tree, wallets: int, shards: int) -> Iterator[Source]:
    """Every account of a run that holds its money alone, and who gets what it has.

    These are so many wallets, the accounts of so many shards, and what deploys contracts. Wallets whose keys come from a file are
    none of them: what they have may be their owner's, and nobody can tell it from what the run gave.
    """
    for index in range(wallets):
        yield Source(tree.keys.key(index), tree.funder_of(index % tree.shards).address_bytes)
    for shard in range(shards):
        yield Source(tree.shard_key(shard), tree.funder_of(shard).address_bytes)
    if tree.helper is not None:
        yield Source(tree.helper, tree.funders[0].address_bytes)


class Sweeper:
    """One sweep.

    Args:
        node: Whom to ask.
        look: Reads balances.
        chain_id: The chain's.
        price: Wei per gas that get a transfer into one of the next blocks.
        next_block: Waits for a block, however long that takes.
        clock: Seconds, monotonic.
        legacy: Whether transactions are of the kind before EIP-1559.
        progress: Told how many accounts are done, of how many.
        result: What comes of it, whole also when the sweep is cancelled; by default a new one.
    """

    def __init__(
        self,
        node: Asks,
        look: Balances,
        *,
        chain_id: int,
        price: Callable[[], Awaitable[int]],
        next_block: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        legacy: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        result: Swept | None = None,
    ) -> None:
        self.result = result or Swept()
        self._node = node
        self._look = look
        self._chain_id = chain_id
        self._price = price
        self._next_block = next_block
        self._clock = clock
        self._legacy = legacy
        self._progress = progress
        self._gas: dict[bytes, int] = {}
        self._open: list[Source] = []
        self._now = 0

    async def sweep(self, accounts: Callable[[], Iterator[Source]]) -> Swept:
        """Give back what all of them have; looks again at the end, as something may have been on its way to them.

        A call that fails is tried again, so that what is left does not depend on the worst moment of a node.

        Raises:
            RpcError: Nodes have failed for a minute; what was done until then is in `result`.
        """
        try:
            for _ in range(_LOOKS):
                await self._find(accounts())
                before = self.result.transfers
                await self._empty()
                if self.result.transfers == before:
                    break
        finally:
            self._sum_up()
        return self.result

    async def _empty(self) -> None:
        in_vain = 0
        while self._open and in_vain < _ROUNDS_IN_VAIN:
            before = self._total()
            await self._insist(self._round)
            if self._total() < before:
                in_vain = 0
            else:
                in_vain += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async def _insist(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do something that can be begun again, until no node has failed."""
        begun: float | None = None
        while True:
            try:
                return await act()
            except RpcError:
                begun = self._clock() if begun is None else begun
                if self._clock() - begun > DEAF_SECONDS:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def _find(self, accounts: Iterator[Source]) -> None:
        """Who has something. Keys are derived a few hundred at a time, so that others get their turn."""
        result = self.result
        result.accounts = result.dust = result.dusty = 0
        result.unread = 1
        self._open = []
        while part := list(islice(accounts, _LOOKED_AT)):
            result.unread = len(part)
            await self._insist(partial(self._read, part))
            result.accounts += len(part)
            self._open += [source for source in part if source.balance]
        result.unread = 0

    async def _read(self, some: Sequence[Source]) -> None:
        found = await self._look.of([source.key.address_bytes for source in some])
        for source, balance in zip(some, found, strict=True):
            source.balance = balance

    async def _round(self) -> None:
        self._now = await self._price()
        await self._estimate()
        await self._read(self._open)
        self._settle(all_settled=True)
        able = [source for source in self._open if source.to in self._gas]
        if not able:
            return
        failures = await several(self._send, able, at_once=AT_ONCE)
        if not any(source.sent for source in able):
            for failure in failures:
                if failure is not None and failure.kind in _DEAF:
                    raise failure
        begun, blocks = self._clock(), 0
        while any(source.sent for source in self._open):
            passed = self._clock() - begun
            if passed > _MOST_SECONDS or (passed > _LEAST_SECONDS and blocks >= _BLOCKS):
                break
            blocks += await self._another_block()
            unsettled = [source for source in self._open if source.sent]
            await asyncio.sleep(len(unsettled) * _READ_SECONDS)
            try:
                await self._read(unsettled)
            except RpcError:
                continue  # and looked at after the next block
            self._settle(all_settled=False)

    async def _another_block(self) -> bool:
        """Wait for a block; not long, since the last one may have had what is waited for."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._next_block()
        except TimeoutError:
            return False
        return True

    async def _estimate(self) -> None:
        """The gas of a transfer to each receiver: one may be an account with code, and chains count differently."""
        refused: dict[bytes, str] = {}
        for source in self._open:
            if source.to not in self._gas and source.to not in refused and source.balance:
                call = {"from": source.key.address, "to": to_hex(source.to), "value": "0x1"}
                try:
                    gas = await ask_number(self._node, "eth_estimateGas", [call])
                except RpcError as error:
                    refused[source.to] = error.message  # others may take theirs
                else:
                    self._gas[source.to] = gas if gas == TRANSFER else gas * 5 // 4
            source.reason = refused.get(source.to, source.reason)

    def _price_of(self, source: Source) -> int:
        return self._now * (4 + source.raised) // 4

    def _cost(self, source: Source) -> int:
        return self._gas[source.to] * self._price_of(source)

    def _settle(self, *, all_settled: bool) -> None:
        """Take note of who is done: has given all, or has no more than giving costs."""
        left = []
        for source in self._open:
            if source.to not in self._gas:
                left.append(source)
            elif source.sent and source.balance <= source.spare + self._slack(source):
                self.result.returned += source.sent
                self.result.spent += source.cost
                self.result.transfers += 1
                source.sent = 0
                self._count_dust(source)
            elif all_settled and source.balance <= self._cost(source) + source.spare:
                self._count_dust(source)
            else:
                left.append(source)
        self._open = left
        self._progress(self.result.accounts - len(left), self.result.accounts)

    def _slack(self, source: Source) -> int:
        """What may be left although all was given: where the gas is not exactly known, what was not used of it."""
        return 0 if self._gas[source.to] == TRANSFER else source.cost

    def _count_dust(self, source: Source) -> None:
        if source.balance:
            self.result.dust += source.balance
            self.result.dusty += 1

    async def _send(self, source: Source) -> RpcError | None:
        """Send all that it has; returns why that failed."""
        address = source.key.address
        value = source.balance - self._cost(source) - source.spare
        price, gas = self._price_of(source), self._gas[source.to]
        try:
            nonce = await ask_number(self._node, "eth_getTransactionCount", [address, "latest"])
        except RpcError as error:
            source.reason = error.message
            return error
        made = Transaction(self._chain_id, nonce, source.to, value, b"", gas, price, price, self._legacy)
        signed = sign(made, source.key)
        try:
            await self._node.send_raw(signed.hex, signed.hash, sticky=address)
        except RpcError as error:
            if not self._taken(source, error):
                return error
        source.sent, source.cost = value, gas * price
        return None

    def _taken(self, source: Source, error: RpcError) -> bool:
        """Whether it may get into a block nevertheless; if not, what to do about it next time.

        What was sent in a round before may still be on its way then, and counts on.
        """
        source.reason = error.message
        if error.unknown_fate:
            return True
        if error.kind in {Kind.REPLACEMENT_UNDERPRICED, Kind.UNDERPRICED}:
            source.raised += 1
        elif error.kind is Kind.INSUFFICIENT_FUNDS and not source.sent:
            source.spare = source.spare * 2 or self._cost(source)
        return False

    def _total(self) -> int:
        return sum(source.balance for source in self._open)

    def _sum_up(self) -> None:
        self.result.left = self._total()
        self.result.failed = [
            (checksummed(source.key.address_bytes), source.reason or "its transfer is in no block yet")
            for source in self._open[:_SHOWN]
        ]
