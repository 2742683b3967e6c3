"""Everything that a runner does with money: paid before the load, spent during it, given back after it.

funds = Funds(manifest, tree, rpc=rpc, accounts=accounts, run=run, note=note, clock=clock)
await funds.prepare()              # every runner: where is the contract for batches
await funds.pay()                  # the one that runs setup, before its steps; refuses when the funders are short
funds.start(shards)                # every runner, for the shards that it carries
index = funds.wallets[shard].take(vu);  await funds.wallets[shard].ready(index)
await funds.stop()
await funds.sweep(seconds)         # the one that runs teardown, after its steps
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from squall.plan.funding import ahead_of, batch_of, rounds_of
from squall.plan.wallets import wallets_of
from squall.spec.amounts import amount_wei, native_text
from squall.spec.quantities import seconds
from squall_runner.evm.balances import Balances
from squall_runner.evm.failures import RpcError
from squall_runner.evm.fees import fee_policy
from squall_runner.evm.fillrules import Rules, Target, batch_size
from squall_runner.evm.funding import Filler
from squall_runner.evm.helping import DEPLOY_GAS, deploy_multicall, find_multicall
from squall_runner.evm.hexes import from_hex
from squall_runner.evm.outgoing import SendError
from squall_runner.evm.paying import AccountPayer, FundingError
from squall_runner.evm.shardwallets import ShardWallets
from squall_runner.evm.subfunders import Filling, bills, missing, refuse_if_short
from squall_runner.evm.sweeping import Sweeper, Swept, sources
from squall_runner.evm.wallets import WalletPool
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from squall_runner.engine.build import Manifest
    from squall_runner.evm.asking import Asks
    from squall_runner.evm.fleet import Accounts
    from squall_runner.evm.keys import Key
    from squall_runner.evm.subfunders import Bill
    from squall_runner.evm.tree import Tree

_BATCH_OF_SHARDS: Final = 100
_SWEEP_HEADROOM: Final = Fraction(5, 4)
"""Two blocks may each raise the base fee by an eighth; a transfer that gives all pays what it offers, so no more is offered."""
_USUAL_BLOCK: Final = 30_000_000
_REPLACE_SECONDS: Final = 15.0
_CALM_SECONDS: Final = 15.0


class Funds:
    """The money of a run, as far as this runner has to do with it.

    Args:
        manifest: What is run.
        tree: Its accounts.
        rpc: Whom to ask.
        accounts: The accounts of this process, with the follower of its chain.
        run: The run's id.
        note: `note(level, event, **fields)`: something for the run's log.
        clock: Seconds, monotonic.
        changed: Called when a wallet was filled or found filled.
        tried: Where the manifest is only tried, how many wallets shards take for that.

    Attributes:
        wallets: By shard, of those that this runner carries.
        accounts: The accounts of this process.
        tree: The accounts of the run.
        funding: What the manifest says of it; None: wallets use what they have.
        fees: What it says of fees.
    """

    def __init__(
        self,
        manifest: Manifest,
        tree: Tree,
        *,
        rpc: Asks,
        accounts: Accounts,
        run: str,
        note: Callable[..., None],
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
        tried: Mapping[int, int] | None = None,
    ) -> None:
        assert manifest.spec.evm is not None
        assert manifest.spec.evm.wallets is not None
        self.wallets: dict[int, ShardWallets] = {}
        self._manifest = manifest
        self.tree = tree
        self._rpc = rpc
        self.accounts = accounts
        self._run = run
        self._note = note
        self._clock = clock
        self._changed = changed
        self._tried = tried
        self._spec = manifest.spec.evm.wallets
        self.funding = manifest.spec.evm.funding
        self.fees = fee_policy(manifest.spec.evm.fees)
        self._contract: bytes | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # -- before the load --------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Find the contract for batches.

        Raises:
            LoadError: The node cannot be asked.
        """
        if self.funding is None:
            return
        try:
            named = from_hex(self.funding.multicall)
            self._contract = await find_multicall(self._rpc, named, self.tree.helper)
        except RpcError as error:
            raise funding_failed(error) from error

    @property
    def look(self) -> Balances:
        """Reads balances, as well as this chain allows."""
        return Balances(self._rpc, self._contract)

    async def pay(self) -> None:
        """Give each shard's account what its wallets will need and nobody has yet.

        Raises:
            LoadError: `FunderShort`: nothing was paid. `FundingFailed`: it did not get that far.
        """
        funding = self.funding
        if funding is None:
            return
        amount = amount_wei(funding.amount)
        used = [self._used_by(shard) for shard in range(self.tree.shards)]
        batch = self.size(batch_of(funding, self.tree.shards))
        try:
            price = (await self.accounts.market.wait(self.fees)).max_fee
            how = Filling(
                used=used,
                any_of=self._spec.order == "random",
                amount=amount,
                rounds=rounds_of(funding),
                batch=batch,
                price=price,
            )
            lacking = await missing(self.tree, self.look, how)
            what = f"{sum(used):,} wallets of {native_text(amount)} each"
            await self._pay(self._bills(lacking, price), what)
        except (RpcError, SendError, FundingError) as error:
            raise funding_failed(error) from error

    def _used_by(self, shard: int) -> int:
        """How many wallets a shard takes at most, as the plan says."""
        spec, plan = self._manifest.spec, self._manifest.plan
        planned = wallets_of(spec, plan, shard, count=self.tree.count)
        return planned if self._tried is None else min(planned, self._tried.get(shard, 0))

    @property
    def _batches(self) -> bool:
        """Whether there is a contract for batches, or will be."""
        return self._contract is not None or (self.funding is not None and self.funding.deploy_multicall)

    def deploy_cost(self, price: int) -> int:
        """What it costs at most, in wei, to deploy that contract; nothing where that is not going to happen."""
        return 2 * DEPLOY_GAS * price if self._contract is None and self._batches else 0

    def size(self, most: int) -> int:
        """How many wallets share a transaction, where so many may."""
        return batch_size(most, self._block_gas()) if self._batches else 1

    def _bills(self, parts: Sequence[int], price: int) -> list[Bill]:
        batch = _BATCH_OF_SHARDS if self._batches else 1
        extra = self.deploy_cost(price) if any(parts) else 0
        return bills(self.tree, parts, price=price, batch=batch, extra=extra)

    async def _pay(self, due: Sequence[Bill], what: str) -> None:
        due = [bill for bill in due if bill.parts or bill.extra]
        if not due:
            return
        tree = self.tree
        found = await self.look.of([tree.funders[bill.funder].address_bytes for bill in due])
        refuse_if_short(tree, due, found, what)
        await self.deploy()
        shards = [shard for bill in due for shard, _ in bill.parts]
        addresses = {shard: tree.shard_key(shard).address_bytes for shard in shards}
        balances = dict(zip(shards, await self.look.of([addresses[shard] for shard in shards]), strict=True))
        targets = {
            shard: Target(addresses[shard], balances[shard] + value)
            for bill in due
            for shard, value in bill.parts
        }
        fillers = [
            self.filler(tree.funders[bill.funder], targets.__getitem__, batch=_BATCH_OF_SHARDS)
            for bill in due
        ]
        await fill_all(
            [(one, [shard for shard, _ in bill.parts]) for one, bill in zip(fillers, due, strict=True)]
        )
        self._note(
            "info",
            "FundersPaid",
            shards=len(shards),
            amount=native_text(sum(one.totals.given for one in fillers)),
            spent=native_text(sum(one.totals.spent for one in fillers)),
        )

    async def deploy(self) -> None:
        """Deploy the contract for batches where there is none and that is allowed."""
        helper = self.tree.helper
        if self._contract is not None or helper is None:
            return
        if self.funding is None or not self.funding.deploy_multicall:
            message = "there is no Multicall3 on this chain, so wallets are filled one by one"
            self._note("warning", "NoMulticall", message=f"{message}; set spec.evm.funding.deployMulticall")
            return
        self._contract = await deploy_multicall(
            self._rpc, self.payer(self.tree.funders[0]), helper, self.payer(helper)
        )

    # -- filling ----------------------------------------------------------------------------------------------

    def start(self, shards: Iterable[int]) -> None:
        """Make the pools of these shards, and begin to fill them."""
        for shard in shards:
            pool = WalletPool(
                self.tree.keys,
                count=self.tree.count,
                shard=shard,
                shards=self.tree.shards,
                per=self._spec.per,
                order=self._spec.order,
                when_exhausted=self._spec.when_exhausted,
                seed=self._run,
            )
            filler = None if self.funding is None else self._streaming(shard, pool)
            self.wallets[shard] = ShardWallets(pool, filler)
            if filler is not None:
                self._tasks.append(asyncio.create_task(filler.run()))

    def _streaming(self, shard: int, pool: WalletPool) -> Filler:
        funding = self.funding
        assert funding is not None
        amount, ahead = amount_wei(funding.amount), ahead_of(funding, shard, self.tree.shards)
        used = self._used_by(shard)
        below = None if funding.refill_below is None else amount_wei(funding.refill_below)
        return self.filler(
            self.tree.shard_key(shard),
            lambda index: Target(pool.key(index).address_bytes, amount),
            batch=batch_of(funding, self.tree.shards),
            # The shard was given money for those that the plan takes, and for no others.
            upcoming=lambda: pool.upcoming(max(0, min(ahead, used - pool.taken))),
            refill_below=below,
            patience=seconds(funding.wait),
        )

    def filler(
        self,
        key: Key,
        target: Callable[[int], Target],
        *,
        batch: int,
        upcoming: Callable[[], Sequence[int]] = lambda: (),
        refill_below: int | None = None,
        patience: float = 0.0,
        changed: Callable[[], None] | None = None,
    ) -> Filler:
        """What fills from an account; see `Filler`."""
        funding = self.funding
        assert funding is not None
        rules = Rules(
            batch=batch,
            max_pending=funding.max_pending,
            refill_below=refill_below,
            wait=seconds(funding.wait),
            contract=self._contract,
            patience=patience,
        )
        return Filler(
            self.payer(key),
            self.look,
            target=target,
            upcoming=upcoming,
            rules=rules,
            block_gas=self._block_gas,
            clock=self._clock,
            note=self._note,
            changed=changed or self._changed,
        )

    def payer(self, key: Key) -> AccountPayer:
        """An account that pays; what it sends is replaced when fees rise, as others wait for it."""
        after = self.fees.replace_after
        fees = replace(self.fees, replace_after=_REPLACE_SECONDS if after is None else after)
        return AccountPayer(self.accounts.of(key), self.accounts.market, fees)

    def _block_gas(self) -> int:
        head = self.accounts.follower.head
        return _USUAL_BLOCK if head is None else head.gas_limit

    async def stop(self) -> None:
        """Fill nobody any longer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    # -- after the load ---------------------------------------------------------------------------------------

    async def sweep(
        self,
        limit: float | None = None,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        result: Swept | None = None,
    ) -> Swept:
        """Give back what all accounts of the run have, also those of other runners, within so many seconds.

        Without a funder there is nobody to give it to. For `result` see `Sweeper`.

        Raises:
            RpcError: The node cannot be asked.
        """
        fees = self.fees
        if not self.tree.funders:
            return Swept()
        most = [wei for wei in (fees.max_fee, fees.limit) if wei is not None]
        exact = replace(fees, headroom=_SWEEP_HEADROOM, max_fee=None, limit=min(most, default=None))

        async def price() -> int:
            return (await self.accounts.market.wait(exact)).max_fee

        sweeper = Sweeper(
            self._rpc,
            self.look,
            chain_id=self.accounts.chain_id,
            price=price,
            next_block=self.accounts.follower.next_head,
            clock=self._clock,
            legacy=fees.legacy,
            progress=progress,
            result=result,
        )
        with suppress(TimeoutError):  # what is left then is in the result
            async with asyncio.timeout(limit):
                await self._calm()
                await sweeper.sweep(lambda: sources(self.tree))
        return sweeper.result

    async def _calm(self) -> None:
        """Let what the shards' accounts have sent get into blocks, if it soon does: it is for wallets that are emptied next."""
        addresses = [self.tree.shard_key(shard).address_bytes for shard in range(self.tree.shards)]
        with suppress(TimeoutError):
            async with asyncio.timeout(_CALM_SECONDS):
                while await self.look.nonces(addresses, block="pending") != await self.look.nonces(addresses):
                    await self.accounts.follower.next_head()


async def fill_all(work: Sequence[tuple[Filler, Sequence[int]]]) -> None:
    """Have each filler fill its own, and wait until all have.

    Raises:
        FundingError: One of them could not.
    """
    tasks = [asyncio.create_task(filler.run()) for filler, _ in work]
    try:
        await asyncio.gather(*(filler.fill(numbers) for filler, numbers in work))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def funding_failed(error: RpcError | SendError | FundingError) -> LoadError:
    """What is told when paying has failed."""
    return LoadError("FundingFailed", f"the wallets cannot be funded: {error.message}", error.hint)
