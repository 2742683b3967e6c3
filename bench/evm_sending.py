"""Sending over the runner's own client, follower and accounts to a real node that answers and mines in a process of its own.

CPU is what this process takes for a transaction from signing it to knowing the block that holds it; the best of some turns
counts, as the machine does other things, too. Calls are all that the node was asked, by whomever.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the node

import uvloop
from harness.results import Number, at_most
from support.anvil import anvil
from support.chains import CHAIN

from squall_runner.evm.following.follower import Follower
from squall_runner.evm.node.rpc import Rpc
from squall_runner.evm.node.rpcsettings import EndpointSettings, RpcSettings
from squall_runner.evm.sending.fees import FeePolicy
from squall_runner.evm.sending.fleet import Accounts
from squall_runner.evm.sending.gas import GasLimit
from squall_runner.evm.sending.outgoing import Call, Terms
from squall_runner.evm.signing.keys import wallet_key
from squall_runner.http import HttpClient, Network, NetworkOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.anvil import EvmNode

WALLETS = 200
TURNS = 3
TRANSACTIONS = 6000
AT_ONCE = 1000
RATE = 100
RATE_SECONDS = 20
TO = b"\x5a" * 20
TERMS = Terms(GasLimit.fixed(21_000), FeePolicy())


@dataclass
class Sender:
    """What sends, and how often the node was called."""

    accounts: Accounts
    calls: int = 0

    async def one(self, number: int) -> None:
        """Send a transaction and wait for its block."""
        sent = await self.accounts.of(KEYS[number % WALLETS]).send(Call(TO, b"", 1), TERMS)
        await sent.included()

    async def many(self, numbers: Iterator[int]) -> None:
        """One after the other, as a VU does."""
        for number in numbers:
            await self.one(number)


KEYS = [wallet_key(b"a seed for the bench", index) for index in range(WALLETS)]


@asynccontextmanager
async def sender(node: EvmNode) -> AsyncIterator[Sender]:
    """Everything a runner has for sending, with funded wallets."""
    for key in KEYS:
        await node.rpc("anvil_setBalance", [key.address, hex(10**20)])
    made: list[Sender] = []

    def recorded(*_: object) -> None:
        made[0].calls += 1

    network = Network(NetworkOptions(shared_connections=32))
    client = HttpClient(network, cookies=False)
    endpoint = EndpointSettings.make("node", node.url, web_socket=node.ws_url)
    rpc = Rpc(
        RpcSettings.of(None), [endpoint], client=client, network=network, chain_id=CHAIN, recorded=recorded
    )
    follower = Follower(rpc)
    accounts = Accounts(rpc, follower, CHAIN, clock=rpc.clock, rng=random.Random(1))
    made.append(Sender(accounts))
    await rpc.start()
    await follower.start()
    try:
        yield made[0]
    finally:
        await accounts.close()
        await follower.stop()
        await rpc.close()
        client.close()
        await network.close()


async def cost() -> float:
    """CPU seconds for a transaction, with many on their way at once."""
    async with anvil(block_time=1, gas_limit=300_000_000) as node, sender(node) as using:
        await asyncio.gather(*(using.one(number) for number in range(WALLETS)))
        best = float("inf")
        for _ in range(TURNS):
            before = time.process_time()
            numbers = iter(range(TRANSACTIONS))
            await asyncio.gather(*(using.many(numbers) for _ in range(AT_ONCE)))
            best = min(best, (time.process_time() - before) / TRANSACTIONS)
        return best


async def calls() -> float:
    """Calls for a transaction at a steady rate with two seconds between blocks, those for the first nonces included."""
    async with anvil(block_time=2) as node, sender(node) as using:
        before, loop = using.calls, asyncio.get_running_loop()
        start, work = loop.time(), []
        for number in range(RATE * RATE_SECONDS):
            await asyncio.sleep(start + number / RATE - loop.time())
            work.append(asyncio.create_task(using.one(number)))
        await asyncio.gather(*work)
        return (using.calls - before) / len(work)


def measure() -> list[Number]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return [
            at_most(
                "CPU for a transaction, sent and followed into its block",
                runner.run(cost()) * 1e6,
                "us",
                150,
            ),
            at_most("calls for a transaction at 100/s, 2 s blocks", runner.run(calls()), "", 1.2),
        ]
