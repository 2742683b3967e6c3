"""Whole runs amid each fault that a chain or its endpoints can have: they go on after it, and then all money is back, to the wei."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.anvil import EvmNode, RpcRefusedError, anvil
from support.chainruns import FUNDER, NOBODY, on_chain
from support.funded import accounts_of, all_money, assignment_of, balance
from support.rpcproxy import RpcProxy
from support.squallrun import Squall, SquallRun

from squall_runner.engine.manifest import read_manifest
from squall_runner.evm.money.tree import Tree, read_tree
from squall_runner.evm.signing.hexes import to_hex
from squall_runner.evm.signing.keys import Key
from squall_runner.evm.signing.transactions import Transaction, sign

ETHER = 10**18
GWEI = 10**9
MOST = ETHER // 1000
"""More than dust."""


@dataclass
class World:
    """A run on a chain.

    Attributes:
        node: The chain.
        proxy: What the run takes for it.
        run: The run.
        tree: Its accounts.
    """

    node: EvmNode
    proxy: RpcProxy
    run: SquallRun
    tree: Tree

    async def goes_on(self, payments: int = 4) -> None:
        """Wait until so many more transactions of the load are in blocks."""
        wanted = await balance(self.node, NOBODY) + payments
        await self.until(lambda: balance(self.node, NOBODY), wanted)

    async def until(self, look: Callable[[], Awaitable[int]], wanted: int) -> None:
        """Wait until a number is at least as large as wanted."""
        async with asyncio.timeout(40):
            while await look() < wanted:
                assert self.run.process.poll() is None, self.run.output()
                await asyncio.sleep(0.05)

    async def sends(self, key: Key, value: int) -> bool:
        """Somebody else who has a key of the run sends something, and does not tell; returns whether the node has taken it."""
        counted = int(await self.node.rpc("eth_getTransactionCount", [key.address, "pending"]), 16)
        to = bytes.fromhex(NOBODY[2:])
        sent = Transaction(31337, counted, to, value, b"", 21_000, 100 * GWEI, 20 * GWEI)
        try:
            await self.node.rpc("eth_sendRawTransaction", [to_hex(sign(sent, key).raw)])
        except RpcRefusedError:
            return False
        return True


async def down(world: World) -> None:
    await world.proxy.go_down()
    await asyncio.sleep(1)
    await world.proxy.come_back()
    await world.goes_on()


async def slow(world: World) -> None:
    world.proxy.faults.delay = 0.3
    await world.goes_on()


async def head_ahead(world: World) -> None:
    world.proxy.faults.head = 1000
    await asyncio.sleep(1)
    world.proxy.faults.head = 0
    await world.goes_on()


async def head_behind(world: World) -> None:
    world.proxy.faults.head = -5
    await asyncio.sleep(1)
    await world.goes_on()


async def errors_with_200(world: World) -> None:
    world.proxy.faults.errors = {"*": {"code": -32603, "message": "internal error"}}
    await asyncio.sleep(1)
    world.proxy.faults.errors = {}
    await world.goes_on()


async def too_many_requests(world: World) -> None:
    world.proxy.faults.retry_after = "1"
    world.proxy.faults.too_many = 10
    await asyncio.sleep(1)
    await world.goes_on()


async def stale_nonces(world: World) -> None:
    world.proxy.faults.stale_counts = 1
    await world.goes_on()
    world.proxy.faults.stale_counts = 0
    await world.goes_on()


async def base_fee_spike(world: World) -> None:
    await world.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(60 * GWEI)])
    await world.goes_on()


async def somebody_else_uses_wallets(world: World) -> None:
    taken = [await world.sends(world.tree.keys.key(index), 1000) for index in range(8)]
    assert any(taken)
    await world.goes_on()


async def somebody_else_takes_the_shards_money(world: World) -> None:
    for shard in range(world.tree.shards):
        key = world.tree.shard_key(shard)
        async with asyncio.timeout(30):
            while (has := await balance(world.node, key.address)) > ETHER // 5:
                await world.sends(key, has - ETHER // 20)
                await asyncio.sleep(0.3)
    await asyncio.sleep(1)


async def sockets_cut(world: World) -> None:
    for _ in range(3):
        await world.proxy.cut_sockets()
        await asyncio.sleep(0.3)
    await world.goes_on()


Fault = Callable[[World], Awaitable[None]]
FAULTS: dict[str, tuple[Fault, ...]] = {
    "endpoints": (down, head_ahead, head_behind, sockets_cut),
    "answers": (slow, errors_with_200, too_many_requests, stale_nonces),
    "money": (base_fee_spike, somebody_else_uses_wallets, somebody_else_takes_the_shards_money),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_no_fault_costs_money(squall: Squall, kind: str) -> None:
    came = await asyncio.gather(
        *(costs_nothing(squall, fault) for fault in FAULTS[kind]), return_exceptions=True
    )
    failed = [error for error in came if isinstance(error, Exception)]
    if failed:
        raise ExceptionGroup(f"faults of {kind}", failed)


async def costs_nothing(squall: Squall, fault: Fault) -> None:
    """See that a run goes on after a fault, and that all money but gas and payments is back at its end."""
    async with anvil(block_time=0.2) as node, RpcProxy(node.url, node.ws_url) as proxy:
        test = manifest_behind(node, proxy, sockets=fault is sockets_cut)
        tree = read_tree(read_manifest(assignment_of(test)))
        assert tree is not None
        start = await all_money(node, tree)
        world = World(node, proxy, squall(test), tree)
        await world.goes_on()
        await fault(world)
        world.run.signal_group(signal.SIGINT)
        ended = await asyncio.to_thread(world.run.ended)
        assert ended.code == 105, ended.out
        assert [line["left"] for line in ended.log if line["event"] == "Swept"] == ["0"], ended.out
        left = sum([await balance(node, address) for address in accounts_of(tree)[1:]])
        assert left < MOST, fault
        assert await all_money(node, tree) + await balance(node, NOBODY) == start, fault


def manifest_behind(node: EvmNode, proxy: RpcProxy, *, sockets: bool) -> dict[str, Any]:
    pay = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei"}}}
    endpoint = {"name": "node", "url": proxy.url} | ({"webSocket": proxy.ws_url} if sockets else {})
    evm = {
        "endpoints": [endpoint],
        "wallets": {"seed": "a seed of faults", "count": 60, "per": "iteration"},
        "funding": {"keys": [FUNDER], "amount": "0.1", "ahead": 8, "deployMulticall": True},
    }
    return on_chain(
        node,
        pay,
        evm=evm,
        vus=4,
        duration="60s",
        shards=2,
        safety={"maxDuration": "90s", "saturation": {"tolerated": "100%"}},
    )
