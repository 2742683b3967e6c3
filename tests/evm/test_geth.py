"""What a run does to a chain and to money, on a real geth: blocks by the clock, a pool with limits, replacement at a price."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from fractions import Fraction

import pytest
from support.chains import endpoints, following, payment, rpc_to
from support.funded import all_money, balance, manifest_of, opened
from support.geth import CHAIN, geth
from support.intents import Counted, terms

from squall_runner.evm.money.ahead import fill_ahead
from squall_runner.evm.sending.fleet import Accounts, Patience
from squall_runner.evm.sending.outgoing import Call, SendError
from squall_runner.evm.signing.keys import parse_key

pytestmark = pytest.mark.geth
GWEI, ETHER = 10**9, 10**18
AMOUNT = ETHER // 10
WALLETS = 300
SOMEBODY = b"\x11" * 20


@pytest.fixture(scope="module")
def node():
    with geth() as found:
        yield found


@asynccontextmanager
async def sending(node, *, most=64, least=1.0):
    """Accounts of this node, which are told of blocks by WebSocket."""
    async with (
        rpc_to(endpoints(node, sockets=True), chain_id=CHAIN) as (rpc, told),
        following(rpc, told, poll_seconds=30) as follower,
    ):
        accounts = Accounts(
            rpc,
            follower,
            CHAIN,
            clock=rpc.clock,
            rng=random.Random(1),
            most=most,
            patience=Patience(least=least),
        )
        try:
            yield accounts, told
        finally:
            await accounts.close()


def account_of(accounts, node, number):
    return accounts.of(parse_key(node.keys[number]))


async def used(node, number, block="latest"):
    return int(await node.rpc("eth_getTransactionCount", [node.addresses[number], block]), 16)


async def test_hundreds_of_wallets_are_filled_and_emptied_to_the_wei(node):
    manifest = manifest_of(
        node, shards=3, funders=2, vus=WALLETS, wallets={"count": WALLETS, "seed": "of geth"}
    )
    async with opened(manifest) as chain:
        start = await all_money(node, chain.tree)
        done = await fill_ahead(chain.funds, WALLETS, lambda *_: None)
        assert (done.filled, done.given) == (WALLETS, WALLETS * AMOUNT)
        assert done.transactions < 10
        assert {await balance(node, chain.tree.keys.key(each).address) for each in range(WALLETS)} == {AMOUNT}
        assert [event for level, event, _ in chain.notes.all if level != "info"] == []
        swept = await chain.funds.sweep(60)
        assert (swept.left, swept.dust, swept.failed) == (0, 0, [])
        assert await all_money(node, chain.tree) == start


async def test_shards_fill_while_users_come(node):
    manifest = manifest_of(
        node, shards=2, vus=100, wallets={"count": 200, "seed": "a stream"}, funding={"ahead": 20, "batch": 8}
    )
    async with opened(manifest) as chain:
        start = await all_money(node, chain.tree)
        await chain.funds.pay()
        chain.funds.start(range(2))

        async def one(vu):
            own = chain.funds.wallets[vu % 2]
            index = own.take(vu)
            await own.ready(index)
            return index

        assert sorted(await asyncio.gather(*map(one, range(100)))) == list(range(100))
        await chain.funds.stop()
        assert [event for level, event, _ in chain.notes.all if level != "info"] == []
        assert (await chain.funds.sweep(60)).left == 0
        assert await all_money(node, chain.tree) == start


async def test_many_of_one_wallet_are_told_of_by_one_call_for_each_block(node):
    async with sending(node) as (accounts, told):
        account, sink = account_of(accounts, node, 1), Counted()
        sent = [await account.send(Call(SOMEBODY, value=1), terms(), sink=sink) for _ in range(50)]
        landings = [await each.included() for each in sent]
        assert {landing.status for landing in landings} == {True}
        assert (sink.told.count("included"), sink.failures) == (50, [])
        blocks = len({landing.block for landing in landings})
        methods = [method for _, method, _ in told.calls]
        assert methods.count("eth_sendRawTransaction") == 50
        assert methods.count("eth_getBlockReceipts") <= blocks + 1
        assert "eth_getTransactionReceipt" not in methods


async def test_what_no_block_takes_is_replaced_by_one_that_pays_enough_more(node):
    async with sending(node) as (accounts, _):
        account, sink = account_of(accounts, node, 2), Counted()
        await accounts.market.wait(terms().fees)
        base = accounts.market.base_fee
        cheap = terms(max_fee=base // 3, priority_fee=base // 100, replace_after=1.0, max_replacements=20)
        sent = await account.send(Call(SOMEBODY, value=1), cheap, sink=sink, timeout=60)
        await sent.included()
        assert sink.told.count("replaced") == len(sent.versions) - 1 > 0
        assert sink.failures == []
        assert await used(node, 2) == 1


async def test_a_replacement_that_pays_too_little_more_is_tried_again_with_more(node):
    """geth wants a tenth more; this manifest gives a twentieth."""
    async with sending(node) as (accounts, _):
        account = account_of(accounts, node, 3)
        await accounts.market.wait(terms().fees)
        base = accounts.market.base_fee
        cheap = terms(
            max_fee=base // 3,
            priority_fee=base // 100,
            replace_after=1.0,
            max_replacements=20,
            bump=Fraction(1, 20),
        )
        sink = Counted()
        sent = await account.send(Call(SOMEBODY, value=1), cheap, timeout=60, sink=sink)
        await sent.included()
        assert sink.told.count("replaced") == len(sent.versions) - 1 > 0
        assert await used(node, 3) == 1


async def test_a_gap_is_filled(node):
    async with sending(node) as (accounts, _):
        first = await used(node, 4)
        account = accounts.of(parse_key(node.keys[4]), first=first + 3)
        sink = Counted()
        sent = [await account.send(Call(SOMEBODY, value=1), terms(), sink=sink) for _ in range(2)]
        for each in sent:
            await each.included()
        assert sink.told.count("gap") >= 3
        assert await used(node, 4) == first + 5


async def test_a_wallet_that_somebody_else_uses_goes_on(node):
    async with sending(node) as (accounts, _):
        account = account_of(accounts, node, 5)
        await (await account.send(Call(SOMEBODY, value=1), terms())).included()
        others = payment(node, 1, account=5, value=2)
        await node.rpc("eth_sendRawTransaction", [others.hex])
        while await used(node, 5) < 2:
            await asyncio.sleep(0.02)
        sent = await account.send(Call(SOMEBODY, value=3), terms())
        await sent.included()
        assert sent.nonce == 2


async def test_what_it_cannot_pay_beside_what_is_on_its_way_is_refused_and_holds_up_nothing(node):
    async with sending(node) as (accounts, _):
        account = account_of(accounts, node, 6)
        half = Call(SOMEBODY, value=6_000 * ETHER)
        first = await account.send(half, terms())
        with pytest.raises(SendError) as caught:
            await account.send(half, terms())
        assert (caught.value.kind, caught.value.may_land) == ("insufficient_funds", False)
        last = await account.send(Call(SOMEBODY, value=1), terms())
        await first.included()
        await last.included()
        assert await used(node, 6) == 2


async def test_what_nobody_takes_is_refused_at_once_and_its_nonce_is_the_next_ones(node):
    async with sending(node) as (accounts, told):
        account = account_of(accounts, node, 7)
        with pytest.raises(SendError) as caught:
            await account.send(Call(SOMEBODY, bytes(140_000)), terms(gas=8_000_000))
        assert (caught.value.kind, caught.value.may_land) == ("invalid_transaction", False)
        assert [method for _, method, _ in told.calls].count("eth_sendRawTransaction") == 1
        sent = await account.send(Call(SOMEBODY, value=1), terms())
        await sent.included()
        assert sent.nonce == 0


POOL = ("--txpool.globalslots", "32", "--txpool.globalqueue", "16", "--txpool.accountslots", "4")


@pytest.mark.parametrize("own", [(), ("--txpool.nolocals",)], ids=["silent", "told"])
async def test_more_than_its_pool_holds_gets_into_blocks_nevertheless(own):
    """Unless it is told otherwise, geth takes what it has no room for without a word, and throws it away."""
    with geth(more=(*POOL, *own), accounts=5) as node:
        async with sending(node, least=2.0) as (accounts, _):
            sink = Counted()

            async def one(number):
                account = account_of(accounts, node, 1 + number % 4)
                sent = await account.send(Call(SOMEBODY, value=1), terms(), sink=sink, timeout=100)
                await sent.included()

            await asyncio.gather(*map(one, range(160)))
            assert (sink.told.count("included"), sink.failures) == (160, [])
            assert await balance(node, f"0x{SOMEBODY.hex()}") == 160


async def test_a_crash_that_costs_the_node_its_blocks_and_its_pool():
    with geth(accounts=3) as node:
        async with sending(node) as (accounts, _):
            account = account_of(accounts, node, 1)
            early = [await account.send(Call(SOMEBODY, value=1), terms(), timeout=100) for _ in range(5)]
            for each in early:
                await each.included()
            late = [await account.send(Call(SOMEBODY, value=1), terms(), timeout=100) for _ in range(5)]
            node.crash()
            await asyncio.to_thread(node.start_again)
            for each in late:
                await each.included()
            # The last blocks before the crash may have held them, and be gone, and what was in them is sent again.
            while await balance(node, f"0x{SOMEBODY.hex()}") < 10:
                await asyncio.sleep(0.1)
            assert await accounts.settle(30)
            assert await used(node, 1) == await balance(node, f"0x{SOMEBODY.hex()}") == 10
