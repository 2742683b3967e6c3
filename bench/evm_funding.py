"""Wallets filled and emptied on a real node with a block every two seconds, as a runner and `squall evm` do it.

How long that takes is mostly the chain's blocks: a batch has at most half of the gas of one. What users wait is measured as in a run in which
few wallets are filled ahead, so that they would wait if filling did not keep up.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the node

import uvloop
from harness.results import Number, at_least, at_most
from support.anvil import anvil
from support.funded import all_money, manifest_of, opened

from squall_runner.evm.money.ahead import fill_ahead

BLOCK_SECONDS = 2.0
WALLETS = 10_000
USERS_PER_SECOND = 5
SECONDS = 40
AHEAD = 20


def measure() -> list[Number]:
    filled, emptied = uvloop.run(_filling())
    return [
        at_most("10,000 wallets funded, a block every 2 s", filled, "s", 60),
        Number("the same wallets emptied again", emptied, "s"),
        *uvloop.run(_arriving()),
    ]


async def _filling() -> tuple[float, float]:
    async with anvil(block_time=BLOCK_SECONDS) as node:
        evm = {"endpoints": [{"name": "node", "url": node.url, "webSocket": node.ws_url}]}
        async with opened(manifest_of(node, wallets={"count": WALLETS}, evm=evm)) as chain:
            begun = time.monotonic()
            ahead = await fill_ahead(chain.funds, WALLETS, lambda *_: None)
            filled = time.monotonic()
            swept = await chain.funds.sweep(600)
            emptied = time.monotonic()
            if ahead.filled != WALLETS or swept.left or swept.dust:
                raise SystemExit("not all wallets were filled and emptied")
            return filled - begun, emptied - filled


async def _arriving() -> list[Number]:
    async with anvil(block_time=BLOCK_SECONDS) as node:
        users = USERS_PER_SECOND * SECONDS
        manifest = manifest_of(
            node,
            wallets={"count": users, "per": "iteration"},
            funding={"ahead": AHEAD},
            evm={"endpoints": [{"name": "node", "url": node.url, "webSocket": node.ws_url}]},
        )
        async with opened(manifest) as chain:
            start = await all_money(node, chain.tree)
            await chain.funds.pay()
            chain.funds.start([0])
            own, begun, waits = chain.funds.wallets[0], time.monotonic(), []

            async def user(number: int) -> None:
                await asyncio.sleep(begun + number / USERS_PER_SECOND - time.monotonic())
                came = time.monotonic()
                await own.ready(own.take(number))
                waits.append(time.monotonic() - came)

            await asyncio.gather(*(user(number) for number in range(users)))
            await chain.funds.stop()
            kept = await all_money(node, chain.tree)
    return [
        at_most("longest wait of a new user for a funded wallet, 5 users/s", max(waits), "s", 30),
        at_least("money that is left or accounted for, of what there was", kept / start, "x", 1),
    ]
