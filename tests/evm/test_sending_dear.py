"""While the base fee is above what transactions offer they wait, and the nodes hear nothing of that: in virtual time."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from support.intents import Counted, terms
from support.simchain import GWEI, SimChain, one_account

from squall_runner.evm.sending.outgoing import Call, SendError
from squall_runner.evm.signing.keys import wallet_key

pytestmark = pytest.mark.looptime
KEY = wallet_key(b"dear", 0)
COUNT = 24
DEAR = 50 * GWEI


@asynccontextmanager
async def play(*, strict=False, blocks=2.0):
    """An account before a well node that drops what cannot pay."""
    chain = SimChain(random.Random(1), nodes=1, strict=strict, drops=True)
    chain.well = True
    async with one_account(chain, KEY, blocks=blocks, most=COUNT) as (accounts, account):
        yield chain, accounts, account


def data(number):
    return number.to_bytes(4, "big")


async def send(account, number, sink, *, delay=0.0, seconds=300.0, **fees):
    await asyncio.sleep(delay)
    return await account.send(Call(b"\x11" * 20, data(number)), terms(**fees), sink=sink, timeout=seconds)


async def included(account, number, sink, **more):
    return await (await send(account, number, sink, **more)).included()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seconds", [4.0, 300.0])
@pytest.mark.parametrize("fees", [{}, {"limit": 4 * GWEI}, {"max_fee": 3 * GWEI}])
async def test_what_is_dropped_as_it_cannot_pay_waits_for_a_lower_base_fee(strict, seconds, fees):
    async with play(strict=strict) as (chain, accounts, account):
        sink = Counted()
        work = [
            asyncio.create_task(included(account, number, sink, delay=number * 0.06, seconds=seconds, **fees))
            for number in range(COUNT)
        ]
        await asyncio.sleep(1.8)
        chain.base_fee = DEAR
        await asyncio.sleep(60)
        made = sum(chain.calls.values())
        chain.base_fee = GWEI
        then = asyncio.get_running_loop().time()
        ends = await asyncio.gather(*work, return_exceptions=True)
        settled = await accounts.settle(200)
        assert settled
        # What a node that wants no gap refuses is handed over again by whoever sends it, a few times before it is seen why.
        assert made <= (7 if strict else 4) * COUNT, chain.calls
        assert asyncio.get_running_loop().time() - then < (60 if strict else 20)
        assert sink.told.count("gap") <= COUNT
        for number, end in enumerate(ends):
            assert chain.included(data(number)) == 1 or (isinstance(end, SendError) and not end.may_land)
            if seconds > 60:
                assert not isinstance(end, BaseException)


async def test_where_it_may_be_replaced_a_version_that_can_pay_is_sent_at_once():
    async with play() as (chain, accounts, account):
        sink = Counted()
        sent = [await send(account, number, sink, replace_after=60.0) for number in range(4)]
        chain.base_fee = DEAR
        assert await accounts.settle(30)
        assert [chain.included(data(number)) for number in range(4)] == [1] * 4
        assert all(len(each.versions) == 2 for each in sent)
        assert chain.calls["eth_sendRawTransaction"] == 8
        assert (sink.told.count("replaced"), sink.told.count("gap")) == (4, 4)


async def test_what_is_lost_again_and_again_is_sent_again_less_and_less_often():
    async with play(blocks=600.0) as (chain, accounts, account):
        sink = Counted()
        await send(account, 1, sink, seconds=1000.0)
        for _ in range(1200):
            chain.forget()
            await asyncio.sleep(0.25)
        assert 4 <= chain.calls["eth_sendRawTransaction"] <= 10
        assert chain.calls["eth_getTransactionCount"] <= 30
        assert sink.told.count("gap") == 1
        await accounts.settle(600)
        assert chain.included(data(1)) == 1
