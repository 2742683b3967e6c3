"""Nodes that have room for less than is on its way: all of it gets into blocks as fast as they take it, and they are not flooded."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from support.intents import Counted, terms
from support.simchain import SimChain, one_account

from squall_runner.evm.sending.fleet import Patience
from squall_runner.evm.sending.outgoing import Call
from squall_runner.evm.signing.keys import wallet_key

pytestmark = pytest.mark.looptime
KEY = wallet_key(b"small pools", 0)
BLOCK = 2.0
COUNT = 60


@asynccontextmanager
async def play(**node):
    """An account with much on its way, before one node that is well."""
    chain = SimChain(random.Random(1), nodes=1, **node)
    chain.well = True
    async with one_account(chain, KEY, blocks=BLOCK, patience=Patience(), most=COUNT) as (accounts, account):
        yield chain, accounts, account


def data(number):
    return number.to_bytes(4, "big")


async def send(account, number, sink):
    return await account.send(Call(b"\x11" * 20, data(number)), terms(), sink=sink, timeout=600.0)


@pytest.mark.parametrize("keeps", [6, 16, 40])
@pytest.mark.parametrize("strict", [False, True])
async def test_it_takes_few_blocks_more_than_the_room_makes_necessary(strict, keeps):
    async with play(strict=strict, keeps=keeps) as (chain, accounts, account):
        sink, loop = Counted(), asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(send(account, number, sink) for number in range(COUNT)))
        assert await accounts.settle(600)
        assert [chain.included(data(number)) for number in range(COUNT)] == [1] * COUNT
        # The first look comes after patience; from then on each block takes what there is room for.
        blocks = -(-COUNT // keeps)
        assert loop.time() - begun < accounts.patience.least + 3 * blocks * BLOCK
        assert chain.calls["eth_sendRawTransaction"] < 6 * COUNT
        assert chain.calls["eth_getTransactionCount"] < 6 * COUNT
        assert sink.failures == []
