"""What one runner process has of the chain of a manifest: endpoints, follower, accounts, wallets and their money.

    chain = Chain(manifest, network, ...)
    await chain.start()                 # every runner: the right chain, or the run is refused; before anything is sent
    await chain.fund()                  # the one that runs setup, before its steps
    chain.begin()                       # every runner that drives load
    await chain.end()                   # when its load has ended
    await chain.reopen()                # the one that runs teardown, before its steps
    await chain.sweep()                 # and after them
    await chain.close()

Steps use it through `Context.chain`. It is made for manifests with `spec.evm` alone, and nobody else imports this module.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from squall.logs import events
from squall.plan.wallets import uses_wallet
from squall.spec.language import WALLET
from squall.spec.quantities import seconds, whole
from squall_runner.engine.preflight import check_permitted
from squall_runner.evm.acting import Shares, Wallet
from squall_runner.evm.beforehand import acceptable_price, had_before, refused, tried_wallets
from squall_runner.evm.following.follower import Follower
from squall_runner.evm.gate import Gate
from squall_runner.evm.interfaces import Contracts, look_for_contracts
from squall_runner.evm.meters import FundingMeters, RpcMeters
from squall_runner.evm.money.funds import Funds
from squall_runner.evm.money.returning import give_back
from squall_runner.evm.money.tree import of_one_run, read_tree
from squall_runner.evm.node.failures import RpcError, Wordings
from squall_runner.evm.node.rpc import Rpc
from squall_runner.evm.node.rpcsettings import RpcSettings
from squall_runner.evm.opening import endpoints_of
from squall_runner.evm.sending.fleet import Accounts
from squall_runner.evm.sending.presigning import Presigner
from squall_runner.evm.signing.keys import verify_crypto
from squall_runner.http import HttpClient, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.expr import Env
    from squall.spec.structs import Evm, Scenario
    from squall_runner.engine.control import Control
    from squall_runner.engine.manifest import Manifest
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.sending.outgoing import Call, Sent, Terms
    from squall_runner.recording import Recorder

CONNECTIONS: Final = 128
"""To one endpoint, of one runner process; thousands of calls share them."""
_ONCE: Final = 0
"""The VU of setup and teardown."""


class Chain:
    """See the module.

    Args:
        manifest: What is run.
        network: That of the load, whose rules calls keep too.
        shards: Those of this runner.
        run: The run's id.
        recorder: Where measurements go.
        control: The state of the load.
        clock: Seconds, monotonic.
        note: See `Hooks.note`.
        trying: Whether there will be one iteration of each scenario, and no load.

    Attributes:
        contracts: Those of the manifest.
        gate: Through which steps call the node.
        follower: Follows the chain.
        wall: What the clock lacks to the time since 1970, in seconds.
        counting: Whether somebody wants to know which wallets are busy, see `busy`.
    """

    def __init__(
        self,
        manifest: Manifest,
        network: Network,
        *,
        shards: Sequence[int],
        run: str,
        recorder: Recorder,
        control: Control,
        clock: Callable[[], float],
        note: Callable[..., None],
        trying: bool = False,
    ) -> None:
        spec = manifest.spec.evm
        assert spec is not None, "it is made for manifests with a chain"
        self.spec: Evm = spec
        self.shards = tuple(shards)
        self.clock = clock
        self.wall = time.time() - clock()
        self.contracts = Contracts(manifest)
        self._manifest = manifest
        self._control = control
        self._run = run
        self._note = note
        self._trying = trying
        self._recorder = recorder
        self._tree = read_tree(manifest)
        self._network = Network(replace(network.options, shared_connections=CONNECTIONS), clock=clock)
        self._client = HttpClient(self._network, cookies=False)
        self._endpoints = endpoints_of(manifest)
        self._meters = meters = RpcMeters(recorder)
        self.rpc = Rpc(
            RpcSettings.of(spec.rpc),
            self._endpoints,
            client=self._client,
            network=self._network,
            chain_id=None if spec.chain_id is None else whole(spec.chain_id),
            wordings=Wordings((each.contains, each.means) for each in spec.wordings),
            clock=clock,
            recorded=meters.recorded,
            health=meters.health,
            told=self._told,
        )
        self.gate = Gate(self.rpc, control, clock)
        self.follower = Follower(self.rpc, poll_seconds=seconds(spec.poll_interval), told=self._told)
        self._accounts: Accounts | None = None
        self._funds: Funds | None = None
        self._wallets: dict[int, Wallet] = {}
        self._once: Wallet | None = None
        # Wallets of this run alone have sent nothing yet, unless this runner is another's successor.
        self._untouched = self._tree is not None and of_one_run(manifest)
        ahead = whole(spec.pre_sign)
        self._presigner = Presigner(ahead) if ahead else None
        self._constant: list[tuple[Call, Terms]] = []
        self._presigning: list[asyncio.Task[None]] = []
        self._begun = False
        self.counting = spec.wallets is not None and spec.wallets.order == "fewestPending"
        self._ending: asyncio.Task[None] | None = None
        self._pending = recorder.gauge("evm_pending_txs", (), 0.0)
        self._funding = FundingMeters(recorder)

    def _told(self, level: str, message: str) -> None:
        self._note(level, "EndpointChanged", message=message)

    # -- before the load --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See that everything is there: that keys can be used, policies, the chain itself, and what it holds of ours.

        Raises:
            LoadError: Something is not, or the chain is another one.
        """
        verify_crypto()
        sockets = [each.socket_origin for each in self._endpoints if each.socket_origin]
        origins = [each.origin for each in self._endpoints] + sockets
        await check_permitted(self._network, {origin.key: origin for origin in origins}.values())
        try:
            await self.rpc.start()
            await self.follower.start()
        except RpcError as error:
            raise refused(error) from error
        if self._manifest.spec.setup is None:
            await self.look_for_contracts()
        self._arrange()
        if self._funds is not None:
            await self._funds.prepare()
        if self._untouched and self._tree is not None:
            self._untouched = not await had_before(self.gate, self._tree, self.shards)

    def _arrange(self) -> None:
        """Make accounts and their money anew."""
        chain_id = self.rpc.chain_id
        assert chain_id is not None, "an endpoint has told"
        wallets = self.spec.wallets
        self._accounts = Accounts(
            self.gate,
            self.follower,
            chain_id,
            clock=self.clock,
            rng=random.Random(f"{self._run}/{self.shards}"),  # noqa: S311 - pauses are no secret
            most=16 if wallets is None else whole(wallets.max_in_flight),
            presigner=self._presigner,
            dear=lambda message: self._note("warning", "GasTooDear", message=message),
            depth=whole(self.spec.confirmations),
        )
        self._wallets.clear()
        self._funds = None
        if self._tree is not None:
            self._funds = Funds(
                self._manifest,
                self._tree,
                rpc=self.gate,
                accounts=self._accounts,
                run=self._run,
                note=self._note,
                clock=self.clock,
                tried=tried_wallets(self._manifest.plan, self.shards) if self._trying else None,
            )

    async def look_for_contracts(self) -> None:
        """See that the contracts are there, before setup or after it, which may deploy them; raises as `start`."""
        try:
            await look_for_contracts(self.rpc, self.spec.contracts)
        except RpcError as error:
            raise refused(error) from error

    async def fund(self) -> None:
        """Give the shards' own funders what their wallets need.

        Raises:
            LoadError: The funders have too little, or it failed.
        """
        if self._funds is None or self._tree is None or self.spec.funding is None:
            return
        tree = self._tree
        self._note(
            "info",
            events.CHAIN_JOURNAL,
            chain_id=self.rpc.chain_id,
            shards=tree.shards,
            count=tree.count,
            first_wallet=tree.fingerprint,
            funders=" ".join(funder.address for funder in tree.funders),
        )
        await acceptable_price(self.accounts.market, self._funds.fees)
        await self._funds.pay()

    def begin(self) -> None:
        """Begin to fill the wallets of this runner's shards, ahead of their use; without effect when it was done."""
        if self._funds is not None and not self._begun and not self._control.stopped:
            self._begun = True
            self._funds.start(self.shards)
            if self._presigner is not None:
                keep = self._presigner.keep
                self._presigning = [
                    asyncio.create_task(keep(self._active, call, terms)) for call, terms in self._constant
                ]

    def shares_of(self, scenario: str) -> Shares:
        """What this process has of what a scenario shares among its shards."""
        return Shares.of_shards(self._manifest.plan.scenario(scenario), self.shards)

    def presign(self, call: Call, terms: Terms) -> None:
        """A step sends nothing but this: sign it ahead, if the manifest wants that."""
        self._constant.append((call, terms))

    def _active(self) -> list[Account]:
        return [wallet.account for wallet in self._wallets.values()]

    # -- for VUs ----------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> Accounts:
        """All accounts of this process."""
        assert self._accounts is not None, "start comes first"
        return self._accounts

    def wanted_by(self, scenario: Scenario) -> bool:
        """Whether the VUs of a scenario take wallets."""
        return self._tree is not None and uses_wallet(scenario)

    def take(self, vu: Vu, env: Env) -> None:
        """Give a VU the wallet of its next iteration.

        Raises:
            DataExhausted: There is none any more, and scenarios are to stop then.
            DataError: Likewise, and the run is to be aborted.
        """
        assert self._funds is not None, "somebody wants wallets"
        wallet = vu.wallet = self._wallet(self._funds.wallets[vu.shard].take(vu.id))
        env[WALLET] = wallet.shown

    def busy(self, vu: Vu, sent: Sent) -> None:
        """The VU's wallet is busy until the transaction is in a block or never will be, also when nobody waits for that."""
        root = vu.root
        if self._funds is None or root.wallet is None or root.shard not in self._funds.wallets:
            return
        pool, index = self._funds.wallets[root.shard].pool, root.wallet.index
        pool.changed(index, 1)
        sent.when_decided(lambda: pool.changed(index, -1))

    def is_ready(self, vu: Vu) -> bool:
        """Whether the wallet of a VU is known to have money, or has to do with what it has."""
        assert self._funds is not None, "it has one"
        root = vu.root
        assert root.wallet is not None, "it was taken"
        filler = self._funds.wallets[root.shard].filler
        return filler is None or root.wallet.index in filler.full

    async def ready(self, vu: Vu) -> None:
        """Wait until the wallet of a VU has money.

        Raises:
            FundingError: It did not get any.
        """
        assert self._funds is not None, "it has one"
        root = vu.root
        assert root.wallet is not None, "it was taken"
        await self._funds.wallets[root.shard].ready(root.wallet.index)

    async def prepare_once(self, vu: Vu, env: Env) -> None:
        """Give setup or teardown its wallet: the first that this runner's first shard takes; both have the same.

        Raises:
            FundingError: It was not funded.
        """
        if self._funds is None or self._tree is None or not self.shards:
            return
        shard = self.shards[0]
        pool = self._funds.wallets.get(shard)
        if self._once is not None:
            index = self._once.index
        else:
            index = pool.take(_ONCE) if pool is not None else self._tree.wallets_of(shard)[0]
        self._once = vu.wallet = self._wallet(index)
        env[WALLET] = vu.wallet.shown
        if pool is not None:
            await pool.ready(index)

    def _wallet(self, index: int) -> Wallet:
        known = self._wallets.get(index)
        if known is None:
            assert self._tree is not None, "there are wallets"
            key = self._tree.keys.key(index)
            short = partial(self._short, index)
            account = self.accounts.of(key, first=0 if self._untouched else None, short=short)
            known = self._wallets[index] = Wallet.of(index, key, account)
        return known

    def _short(self, index: int) -> None:
        """A wallet had too little to pay for a transaction."""
        assert self._tree is not None, "it is of the tree"
        pool = None if self._funds is None else self._funds.wallets.get(index % self._tree.shards)
        if pool is not None:
            pool.short(index)

    # -- the end ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """No call of the load goes out any more; what works on its own ends soon."""
        if self._accounts is not None:
            self._accounts.quiet()
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())

    async def end(self) -> None:
        """The load has ended: nothing is filled, sent again or looked after any more."""
        self.stop()
        assert self._ending is not None, "it was just begun"
        await self._ending

    async def _end(self) -> None:
        for task in self._presigning:
            task.cancel()
        await asyncio.gather(*self._presigning, return_exceptions=True)
        if self._funds is not None:
            self._account_for_funding()
            await self._funds.stop()
        if self._accounts is not None:
            await self._accounts.close()

    async def reopen(self) -> None:
        """Teardown begins: calls go out again, although the load was stopped."""
        await self.end()
        self._meters.active = False
        self.gate.open()
        self._ending = None
        self._untouched = False
        self._arrange()

    async def sweep(self) -> None:
        """Give back what all accounts of the run have; call `reopen` before."""
        funding = self.spec.funding
        if self._funds is None or funding is None or not funding.sweep:
            return
        await give_back(self._funds, seconds(funding.sweep_timeout), self._note)
        self._account_for_funding()

    def account(self) -> None:
        """A second is over: bring gauges up to date."""
        if self._accounts is not None:
            self._pending.set(self._accounts.pending)
        self._account_for_funding()

    def _account_for_funding(self) -> None:
        if self._funds is not None:
            self._funding.account(self._funds)

    async def close(self) -> None:
        """Let go of everything."""
        await self.end()
        await self.follower.stop()
        await self.rpc.close()
        self._client.close()
        await self._network.close()
