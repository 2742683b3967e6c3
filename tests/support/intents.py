"""Wallets whose transactions are counted on a real chain, each by its own number: what happened once is seen to have happened once."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.chains import CHAIN, endpoints, following, rpc_to

from squall.spec import structs
from squall_runner.evm.node.failures import Kind
from squall_runner.evm.sending.fees import FeePolicy
from squall_runner.evm.sending.fleet import Accounts, Patience
from squall_runner.evm.sending.gas import GasLimit
from squall_runner.evm.sending.outgoing import Call, Sent, Sink, Terms
from squall_runner.evm.signing.keys import Key, wallet_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from support.anvil import EvmNode
    from support.rpcproxy import RpcProxy

    from squall_runner.evm.following.follower import Follower
    from squall_runner.evm.following.heads import Inclusion
    from squall_runner.evm.node.rpc import Rpc

COUNTER = "0x" + "c0" * 20
_COUNTER_CODE = "0x6000358054600101905500"
"""Adds one to the storage slot that the first word of its calldata names: CALLDATALOAD, DUP1, SLOAD, ADD 1, SWAP1, SSTORE, STOP."""
GWEI = 10**9
GAS = 60_000


class Counted(Sink):
    """Everything that a sink is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures: list[Kind] = []

    def sent(self) -> None:
        self.told.append("sent")

    def accepted(self, seconds: float) -> None:
        assert seconds >= 0
        self.told.append("accepted")

    def included(self, sent: Sent, landing: Inclusion) -> None:
        assert sent.hash == landing.hash
        self.told.append("included")

    def failed(self, kind: Kind) -> None:
        self.told.append("failed")
        self.failures.append(kind)

    def confirmed(self, sent: Sent, landing: Inclusion) -> None:
        self.told.append("confirmed")

    def replaced(self) -> None:
        self.told.append("replaced")

    def gap(self) -> None:
        self.told.append("gap")


class Town:
    """Accounts before a node that mines when it is told to."""

    def __init__(
        self, node: EvmNode, proxy: RpcProxy, rpc: Rpc, follower: Follower, accounts: Accounts
    ) -> None:
        self.node, self.proxy, self.rpc, self.follower, self.accounts = node, proxy, rpc, follower, accounts
        self.sink = Counted()
        self.short: list[str] = []
        self.terms = terms()

    def send(self, key: Key, intent: int, **more: Any) -> Awaitable[Sent]:
        """Send a transaction that counts `intent`."""
        settings = {"sink": self.sink, "timeout": 20.0, **more}
        terms = settings.pop("terms", self.terms)
        account = self.accounts.of(key, short=lambda: self.short.append(key.address))
        return account.send(call(intent), terms, **settings)

    async def include(self, key: Key, intent: int, **more: Any) -> Inclusion:
        """The same, until a block holds it."""
        return await (await self.send(key, intent, **more)).included()

    async def mine(self) -> None:
        """Make a block, and wait until it is followed."""
        await self.node.rpc("evm_mine")
        number = int(await self.node.rpc("eth_blockNumber"), 16)
        while self.follower.head is None or self.follower.head.number < number:
            await asyncio.sleep(0.002)

    async def mine_until(self, work: Awaitable[Any]) -> Any:
        """Make blocks until something is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await self.mine()
            await asyncio.wait([task], timeout=0.01)
        return task.result()

    async def times(self, intent: int) -> int:
        """How often an intent has happened."""
        return int(await self.node.rpc("eth_getStorageAt", [COUNTER, hex(intent), "latest"]), 16)

    async def nonce(self, key: Key, block: str = "latest") -> int:
        """The chain's count."""
        return int(await self.node.rpc("eth_getTransactionCount", [key.address, block]), 16)

    async def fund(self, key: Key, wei: int) -> None:
        """Set a balance."""
        await self.node.rpc("anvil_setBalance", [key.address, hex(wei)])

    async def in_order(self, key: Key) -> None:
        """Nothing is on its way, no nonce is missing, and the account knows the chain's count."""
        account = self.accounts.of(key)
        assert account.nonces is not None
        assert (account.pending, account.flying, account.nonces.free) == (0, {}, [])
        assert account.nonces.end == await self.nonce(key) == await self.nonce(key, "pending")


def call(intent: int) -> Call:
    return Call(bytes.fromhex(COUNTER[2:]), intent.to_bytes(32, "big"))


def terms(**fees: Any) -> Terms:
    return Terms(GasLimit.fixed(fees.pop("gas", GAS)), FeePolicy(**fees))


@asynccontextmanager
async def town(node: EvmNode, proxy: RpcProxy, *others: RpcProxy, **more: Any) -> AsyncIterator[Town]:
    """Accounts with little patience, whose sends go through a proxy."""
    spec = structs.Rpc(
        timeout=more.pop("timeout", "2s"),
        retry=structs.RpcRetry(max_retries=more.pop("max_retries", 1), initial="1ms"),
        circuit_breaker=structs.CircuitBreaker(open_for="50ms"),
    )
    await node.rpc("anvil_setCode", [COUNTER, _COUNTER_CODE])
    async with rpc_to(endpoints(proxy, *others), spec=spec) as (rpc, told), following(rpc, told) as follower:
        accounts = Accounts(
            rpc,
            follower,
            CHAIN,
            clock=rpc.clock,
            rng=random.Random(1),
            patience=Patience(least=0.1, most=0.2),
            tick=0.02,
            **more,
        )
        place = Town(node, proxy, rpc, follower, accounts)
        try:
            yield place
        finally:
            await accounts.close()


def wallets(count: int, name: str) -> list[Key]:
    return [wallet_key(name.encode(), index) for index in range(count)]
