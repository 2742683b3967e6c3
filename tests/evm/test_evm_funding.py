"""Wallets get their money ahead of their use, on a real chain; and not a wei is lost, whatever happens."""

from __future__ import annotations

import asyncio

import pytest
from support.anvil import anvil
from support.funded import all_money, balance, manifest_of, opened

from squall_runner.evm.paying import FundingError
from squall_runner.load import LoadError

ETHER = 10**18


async def test_wallets_are_filled_before_their_users_come_and_all_goes_back():
    async with anvil() as node, opened(manifest_of(node, shards=3, vus=12)) as chain:
        start = await all_money(node, chain.tree)
        await chain.funds.pay()
        chain.funds.start(range(3))
        for vu in range(12):
            own = chain.funds.wallets[vu % 3]
            index = own.take(vu)
            await own.ready(index)
            assert await balance(node, chain.tree.keys.key(index).address) == ETHER // 10
        await chain.funds.stop()
        assert await all_money(node, chain.tree) == start
        swept = await chain.funds.sweep(30)
        assert (swept.left, swept.dust, swept.failed) == (0, 0, [])
        assert swept.returned > 12 * ETHER // 10 - swept.spent
        assert await all_money(node, chain.tree) == start
        wallets = [chain.tree.keys.key(index).address for index in range(20)]
        assert [await balance(node, address) for address in wallets] == [0] * 20
