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
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from squall.plan.funding import ahead_of, batch_of, rounds_of
from squall.plan.wallets import wallets_of
from squall.spec.amounts import amount_wei, native_text
from squall.spec.quantities import seconds
from squall_runner.evm.money.balances import Balances
from squall_runner.evm.money.earlier import settle_earlier
from squall_runner.evm.money.fillrules import Rules, Target, batch_size
from squall_runner.evm.money.funding import AGAIN_SECONDS, Filler
from squall_runner.evm.money.helping import DEPLOY_GAS, deploy_multicall, find_multicall
from squall_runner.evm.money.paying import AccountPayer, FundingError
from squall_runner.evm.money.returning import sweep
from squall_runner.evm.money.shardwallets import ShardWallets
from squall_runner.evm.money.subfunders import Filling, bills, missing, refuse_if_short
from squall_runner.evm.money.wallets import WalletPool
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.sending.fees import fee_policy
from squall_runner.evm.sending.outgoing import SendError
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from squall.spec.structs import Funding
    from squall_runner.engine.manifest import Manifest
    from squall_runner.evm.money.subfunders import Bill
    from squall_runner.evm.money.sweeping import Swept
    from squall_runner.evm.money.tree import Tree
    from squall_runner.evm.sending.asking import Asks
    from squall_runner.evm.sending.fleet import Accounts
    from squall_runner.evm.signing.keys import Key

_BATCH_OF_SHARDS: Final = 100
_USUAL_BLOCK: Final = 30_000_000
_REPLACE_SECONDS: Final = 15.0


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
        rpc: Whom to ask.
        clock: Seconds, monotonic.
        funding: What the manifest says of it; None: wallets use what they have.
        fees: What it says of fees.
        look: Reads balances, as well as this chain allows.
        fees_paid: What the gas of paying, filling and giving back has cost so far, in wei.
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
        self.rpc = rpc
        self.accounts = accounts
        self._run = run
        self._note = note
        self.clock = clock
        self._changed = changed
        self._tried = tried
        self._spec = manifest.spec.evm.wallets
        self.funding = manifest.spec.evm.funding
        self.fees = fee_policy(manifest.spec.evm.fees)
        self.look = Balances(rpc, None)
        self.fees_paid = 0
        self._finding = asyncio.Lock()
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
            await self._find(self.funding)
        except RpcError as error:
            raise funding_failed(error) from error

    async def _find(self, funding: Funding) -> None:
        named = from_hex(funding.multicall)
        self.look.contract = await find_multicall(self.rpc, named, self.tree.helper)
        self.look.lasting = self.look.contract == named

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
            await self.earlier([funder.address_bytes for funder in self.tree.funders])
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
        return self.look.contract is not None or (self.funding is not None and self.funding.deploy_multicall)

    def deploy_cost(self, price: int) -> int:
        """What it costs at most, in wei, to deploy that contract; nothing where that is not going to happen."""
        return 2 * DEPLOY_GAS * price if self.look.contract is None and self._batches else 0

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
        if self.look.contract is not None or helper is None:
            return
        if self.funding is None or not self.funding.deploy_multicall:
            message = "there is no Multicall3 on this chain, so wallets are filled one by one"
            self._note("warning", "NoMulticall", message=f"{message}; set spec.evm.funding.deployMulticall")
            return
        self.look.contract = await deploy_multicall(
            self.rpc, self.payer(self.tree.funders[0]), helper, self.payer(helper)
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

    async def _learn(self, address: bytes) -> None:
        """What others have done: the runner that pays may have deployed the contract, and one that is gone may have sent money."""
        while True:
            try:
                async with self._finding:
                    if self.look.contract is None and self._batches and self.funding is not None:
                        await self._find(self.funding)
                return await self.earlier([address])
            except RpcError:
                await asyncio.sleep(AGAIN_SECONDS)

    async def earlier(self, addresses: Sequence[bytes]) -> None:
        """Wait for what these accounts have sent before; see `squall_runner.evm.money.earlier`."""

        def told(number: int) -> None:
            message = f"{number} transactions that were sent before are in no block yet, and are waited for"
            self._note("warning", "FundingHeldUp", message=message)

        await settle_earlier(self.look, addresses, self.accounts.follower.next_head, told)

    def _streaming(self, shard: int, pool: WalletPool) -> Filler:
        funding = self.funding
        assert funding is not None
        amount, ahead = amount_wei(funding.amount), ahead_of(funding, shard, self.tree.shards)
        used = self._used_by(shard)
        below = None if funding.refill_below is None else amount_wei(funding.refill_below)
        payer = self.tree.shard_key(shard)
        return self.filler(
            payer,
            lambda index: Target(pool.key(index).address_bytes, amount),
            batch=batch_of(funding, self.tree.shards),
            # The shard was given money for those that the plan takes, and for no others.
            upcoming=lambda: pool.upcoming(max(0, min(ahead, used - pool.taken))),
            refill_below=below,
            patience=seconds(funding.wait),
            before=lambda: self._learn(payer.address_bytes),
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
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> Filler:
        """What fills from an account; see `Filler`."""
        funding = self.funding
        assert funding is not None
        rules = Rules(
            batch=batch,
            max_pending=funding.max_pending,
            refill_below=refill_below,
            wait=seconds(funding.wait),
            patience=patience,
        )
        return Filler(
            self.payer(key),
            self.look,
            target=target,
            upcoming=upcoming,
            rules=rules,
            block_gas=self._block_gas,
            clock=self.clock,
            note=self._note,
            changed=changed or self._changed,
            before=before,
        )

    def payer(self, key: Key) -> AccountPayer:
        """An account that pays; what it sends is replaced when fees rise, as others wait for it."""
        after = self.fees.replace_after
        fees = replace(self.fees, replace_after=_REPLACE_SECONDS if after is None else after)

        def late(error: SendError) -> None:
            message = f"what fills wallets is in no block yet, and is not sent again: {error.message}"
            self._note("warning", "FundingHeldUp", message=message)

        return AccountPayer(self.accounts.of(key), self.accounts.market, fees, paid=self._has_paid, late=late)

    def _has_paid(self, wei: int) -> None:
        self.fees_paid += wei

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
        *,
        beyond: bool = False,
    ) -> Swept:
        """Give back what all accounts of the run have, also those of other runners; see `squall_runner.evm.money.returning.sweep`.

        Raises:
            RpcError: The node cannot be asked.
        """
        swept = await sweep(self, limit=limit, progress=progress, result=result, beyond=beyond)
        self._has_paid(swept.spent)
        return swept


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
