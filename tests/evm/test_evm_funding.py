"""Wallets get their money ahead of their use, on a real chain; and not a wei is lost, whatever happens."""

from __future__ import annotations

import asyncio

import pytest
from support.anvil import anvil
from support.funded import all_money, balance, manifest_of, opened
from support.rpcproxy import RpcProxy

from squall_runner.evm.money import funding
from squall_runner.evm.money.ahead import fill_ahead
from squall_runner.evm.money.paying import FundingError
from squall_runner.evm.sending.fees import FeePolicy
from squall_runner.evm.sending.fleet import Patience
from squall_runner.evm.signing.hexes import to_hex
from squall_runner.evm.signing.transactions import Transaction, sign
from squall_runner.load import LoadError

ETHER = 10**18
AMOUNT = ETHER // 10
REVERTS = "0x60006000fd"


async def use(chain, vus, shards=1):
    """Take a wallet for each of these VUs, and wait until all have money; returns what came of each."""

    async def one(vu):
        own = chain.funds.wallets[vu % shards]
        index = own.take(vu)
        await own.ready(index)
        return index

    return await asyncio.gather(*map(one, vus), return_exceptions=True)


async def give(node, address, amount):
    """Let an account have so much more."""
    await node.rpc("anvil_setBalance", [address, hex(await balance(node, address) + amount)])


async def test_wallets_are_filled_before_their_users_come_and_all_goes_back():
    async with anvil() as node, opened(manifest_of(node, shards=3, funders=2, vus=12)) as chain:
        start = await all_money(node, chain.tree)
        await chain.funds.pay()
        chain.funds.start(range(3))
        used = await use(chain, range(12), shards=3)
        assert sorted(used) == list(range(12))
        for index in used:
            assert await balance(node, chain.tree.keys.key(index).address) == AMOUNT
        await chain.funds.stop()
        assert [event for level, event, _ in chain.notes.all if level != "info"] == []
        assert await all_money(node, chain.tree) == start
        swept = await chain.funds.sweep(30)
        assert (swept.left, swept.dust, swept.failed) == (0, 0, [])
        assert swept.transfers == 12 + 3 + 1  # wallets, the shards' accounts, what deployed
        assert await all_money(node, chain.tree) == start
        for index in range(20):
            assert await balance(node, chain.tree.keys.key(index).address) == 0


async def test_what_was_filled_ahead_is_asked_of_nobody_again():
    async with anvil() as node, opened(manifest_of(node, shards=2)) as chain:
        start = await all_money(node, chain.tree)
        steps = []
        first = await fill_ahead(chain.funds, 20, lambda done, of: steps.append((done, of)))
        assert (first.filled, first.given) == (20, 20 * AMOUNT)
        assert steps[0] == (0, 20)
        assert steps[-1] == (20, 20)
        block = await node.rpc("eth_blockNumber")
        again = await fill_ahead(chain.funds, 20, lambda *_: None)
        assert (again.filled, again.spent, again.transactions) == (0, 0, 0)
        await chain.funds.pay()
        chain.funds.start(range(2))
        assert sorted(await use(chain, range(10), shards=2)) == list(range(10))
        assert await node.rpc("eth_blockNumber") == block
        assert await all_money(node, chain.tree) == start


async def test_a_shard_that_is_not_paid_yet_waits_for_it():
    async with anvil() as node, opened(manifest_of(node)) as chain:
        await chain.funds.prepare()
        chain.funds.start([0])
        waiting = asyncio.create_task(use(chain, range(10)))
        await chain.funds.accounts.market.wait(FeePolicy())
        await chain.funds.pay()
        assert sorted(await waiting) == list(range(10))
        assert not chain.notes.named("FunderOutOfMoney")


async def test_only_what_is_missing_is_paid():
    async with anvil() as node, opened(manifest_of(node, vus=20)) as chain:
        await fill_ahead(chain.funds, 15, lambda *_: None)
        shard = chain.tree.shard_key(0).address
        await chain.funds.pay()
        assert 5 * AMOUNT < await balance(node, shard) < 6 * AMOUNT
        before = await balance(node, shard)
        await chain.funds.pay()
        assert await balance(node, shard) == before


async def test_a_funder_that_is_short_is_refused_with_the_numbers_and_nothing_is_sent():
    async with anvil(balance=1) as node, opened(manifest_of(node, vus=20)) as chain:
        with pytest.raises(LoadError) as caught:
            await chain.funds.pay()
        assert caught.value.reason == "FunderShort"
        funder = chain.tree.funders[0].address
        assert f"the funder {funder} has 1 and needs 2.0" in caught.value.message
        assert "20 wallets of 0.1 each" in caught.value.message
        assert f"to {funder}" in caught.value.hint
        with pytest.raises(LoadError, match="too little money"):
            await fill_ahead(chain.funds, 20, lambda *_: None)
        assert int(await node.rpc("eth_blockNumber"), 16) == 0
        assert node.keys[0].removeprefix("0x") not in f"{caught.value.message} {caught.value.hint}"


async def test_money_that_ends_in_the_middle_is_said_once_and_hangs_nobody():
    async with anvil() as node, opened(manifest_of(node, funding={"ahead": 2, "wait": "5s"})) as chain:
        await chain.funds.prepare()
        shard = chain.tree.shard_key(0).address
        await give(node, shard, 3 * AMOUNT + ETHER // 50)
        start = await all_money(node, chain.tree)
        chain.funds.start([0])
        came = await use(chain, range(8))
        refused = [error for error in came if isinstance(error, FundingError)]
        assert len(came) - len(refused) == 3
        assert {error.error for error in refused} == {"insufficient_funds"}
        assert shard in refused[0].message
        again = await use(chain, range(4, 8))
        assert all(error.error == "insufficient_funds" for error in again)
        assert len(chain.notes.named("FunderOutOfMoney")) == 1
        assert await all_money(node, chain.tree) == start
        await give(node, shard, ETHER)
        assert sorted(await use(chain, range(8))) == list(range(8))
        assert len(chain.notes.named("FunderHasMoney")) == 1
        await chain.funds.stop()
        assert (await chain.funds.sweep(30)).left == 0
        assert await all_money(node, chain.tree) == start + ETHER


async def test_who_waits_too_long_fails_and_is_filled_later():
    manifest = {"funding": {"wait": "300ms", "deployMulticall": False}, "wallets": {"count": 1}}
    async with anvil(block_time=0) as node, opened(manifest_of(node, **manifest)) as chain:
        await node.rpc("anvil_setBalance", [chain.tree.shard_key(0).address, hex(ETHER)])
        chain.funds.start([0])
        (error,) = await use(chain, [1])
        assert error.error == "funding_timeout"
        assert chain.tree.keys.key(0).address in error.message
        await node.rpc("evm_mine")
        assert await use(chain, [1]) == [0]


@pytest.mark.parametrize("deploy", [True, False])
async def test_without_a_multicall_it_is_deployed_once_or_wallets_are_filled_one_by_one(deploy):
    async with anvil() as node:
        manifest = manifest_of(node, funding={"deployMulticall": deploy})
        async with opened(manifest) as chain:
            start = await all_money(node, chain.tree)
            done = await fill_ahead(chain.funds, 10, lambda *_: None)
            assert (done.filled, done.transactions) == (10, 1 if deploy else 10)
            assert bool(chain.notes.named("NoMulticall")) is not deploy
        async with opened(manifest) as chain:
            done = await fill_ahead(chain.funds, 20, lambda *_: None)
            assert (done.filled, done.transactions) == (10, 1 if deploy else 10)
            assert (await chain.funds.sweep(30)).left == 0
            assert await all_money(node, chain.tree) == start


async def test_a_wallet_that_is_used_again_is_filled_up_when_it_has_too_little():
    more = {"funding": {"refillBelow": "0.05"}, "wallets": {"count": 3, "per": "iteration"}}
    async with anvil() as node, opened(manifest_of(node, **more)) as chain:
        await chain.funds.pay()
        chain.funds.start([0])
        assert sorted(await use(chain, range(3))) == [0, 1, 2]
        low, high, _ = (chain.tree.keys.key(index).address for index in range(3))
        await node.rpc("anvil_setBalance", [low, hex(AMOUNT // 4)])
        await node.rpc("anvil_setBalance", [high, hex(AMOUNT * 3 // 4)])
        assert sorted(await use(chain, range(3))) == [0, 1, 2]
        assert await balance(node, low) == AMOUNT
        assert await balance(node, high) == AMOUNT * 3 // 4


async def test_a_wallet_that_takes_no_money_does_not_keep_it_from_the_others():
    async with anvil() as node, opened(manifest_of(node)) as chain:
        await node.rpc("anvil_setCode", [chain.tree.keys.key(4).address, REVERTS])
        start = await all_money(node, chain.tree)
        await chain.funds.pay()
        chain.funds.start([0])
        came = await use(chain, range(10))
        assert [came.index(error) for error in came if isinstance(error, FundingError)] == [4]
        assert came[4].error == "funding_failed"
        assert "takes no money" in came[4].message
        with pytest.raises(FundingError, match="takes no money"):
            await chain.funds.wallets[0].ready(4)
        assert await all_money(node, chain.tree) == start


async def test_nonces_that_somebody_else_uses_do_no_harm():
    async with anvil() as node, opened(manifest_of(node)) as chain:
        await fill_ahead(chain.funds, 5, lambda *_: None)
        other = {"from": node.addresses[0], "to": node.addresses[1], "value": "0x1"}
        await node.rpc("eth_sendTransaction", [other])
        start = await all_money(node, chain.tree)
        assert (await fill_ahead(chain.funds, 20, lambda *_: None)).filled == 15
        assert await all_money(node, chain.tree) == start


async def test_fees_that_rise_hold_it_up_and_no_more():
    async with anvil(block_time=0) as node:
        manifest = manifest_of(node, evm={"fees": {"replaceAfter": "200ms"}})
        async with opened(manifest) as chain:
            start = await all_money(node, chain.tree)
            filling = asyncio.create_task(fill_ahead(chain.funds, 20, lambda *_: None))
            while int((await node.rpc("txpool_status"))["pending"], 16) == 0:
                await asyncio.sleep(0.01)
            await node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(60 * 10**9)])
            while not filling.done():
                await node.rpc("evm_mine")
                await asyncio.sleep(0.05)
            assert filling.result().filled == 20
            sweep = asyncio.create_task(chain.funds.sweep(30))
            await node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(600 * 10**9)])
            while not sweep.done():
                await node.rpc("evm_mine")
                await asyncio.sleep(0.05)
            assert (sweep.result().left, sweep.result().dust) == (0, 0)
            assert await all_money(node, chain.tree) == start


async def test_a_node_that_answers_nonsense_for_a_while_ends_no_filling():
    async with anvil(block_time=0.1) as node, RpcProxy(node.url) as proxy:
        manifest = manifest_of(node, vus=8, evm={"rpc": {"retry": {"maxRetries": 0}, "timeout": "1s"}})
        manifest["spec"]["evm"]["endpoints"][0]["url"] = proxy.url
        async with opened(manifest) as chain:
            await chain.funds.pay()
            proxy.faults.garble = "null"
            before = proxy.requests
            chain.funds.start([0])
            while proxy.requests < before + 10:
                await asyncio.sleep(0.01)
            proxy.faults.garble = ""
            used = await use(chain, range(4))
            assert sorted(used) == [0, 1, 2, 3]
            assert not chain.notes.named("FundingEnded")
            await chain.funds.stop()


async def test_a_node_that_is_gone_for_a_while_and_forgets_what_it_was_given(tmp_path):
    state = ("--state", str(tmp_path / "state.json"))
    async with anvil(more=state) as node:
        manifest = manifest_of(node, wallets={"count": 40}, vus=40, funding={"ahead": 10, "batch": 5})
        async with opened(manifest) as chain:
            chain.funds.accounts.patience = Patience(least=0.5)
            start = await all_money(node, chain.tree)
            await chain.funds.pay()
            await node.rpc("evm_setAutomine", [False])
            chain.funds.start([0])
            waiting = asyncio.create_task(use(chain, range(40)))
            while int((await node.rpc("txpool_status"))["pending"], 16) == 0:
                await asyncio.sleep(0.01)
            port = int(node.url.rpartition(":")[2])
            node.stop()
            async with anvil(port=port, more=state) as back:
                assert sorted(await waiting) == list(range(40))
                await chain.funds.stop()
                assert (await chain.funds.sweep(30)).left == 0
                assert await all_money(back, chain.tree) == start


async def until(condition):
    """Wait until something is so."""
    while not await condition():
        await asyncio.sleep(0.01)


async def held(node, address):
    """How many transactions of an account a node holds, in blocks or not."""
    return int(await node.rpc("eth_getTransactionCount", [address, "pending"]), 16)


async def test_a_batch_that_takes_long_is_not_paid_again(monkeypatch):
    monkeypatch.setattr(funding, "PAY_SECONDS", 0.3)
    monkeypatch.setattr(funding, "AGAIN_SECONDS", 0.01)
    async with anvil() as node, opened(manifest_of(node, vus=4, funding={"ahead": 4})) as chain:
        await chain.funds.pay()
        shard = chain.tree.shard_key(0).address
        await give(node, shard, 10 * ETHER)
        start = await all_money(node, chain.tree)
        await node.rpc("evm_setAutomine", [False])
        chain.funds.start([0])
        using = asyncio.create_task(use(chain, range(4)))
        while not chain.notes.named("FundingHeldUp"):
            await asyncio.sleep(0.01)
        batches = await held(node, shard)
        for _ in range(100):  # each time a look at balances, and more, may have come between
            assert await held(node, shard) == batches
        await node.rpc("evm_setAutomine", [True])
        await node.rpc("evm_mine")
        assert sorted(await using) == [0, 1, 2, 3]
        await chain.funds.stop()
        have = [await balance(node, chain.tree.keys.key(index).address) for index in range(4)]
        assert have == [AMOUNT] * 4
        assert await all_money(node, chain.tree) == start


async def test_what_a_process_that_is_gone_has_sent_is_not_paid_again():
    async with anvil() as node:
        manifest = manifest_of(node, vus=10)
        async with opened(manifest) as chain:
            await fill_ahead(chain.funds, 1, lambda *_: None)  # the contract is there
            start = await all_money(node, chain.tree)
            await node.rpc("evm_setAutomine", [False])
            funder, shard = chain.tree.funders[0].address, chain.tree.shard_key(0).address
            before = await held(node, funder)
            paying = asyncio.create_task(chain.funds.pay())

            async def sent():
                return await held(node, funder) > before

            await until(sent)
            paying.cancel()
        async with opened(manifest) as chain:
            paying = asyncio.create_task(chain.funds.pay())
            for _ in range(20):
                assert await held(node, funder) == before + 1
            await node.rpc("evm_mine")
            await paying
            lent = await balance(node, shard)
            assert 9 * AMOUNT < lent < 10 * AMOUNT
            await give(node, shard, 10 * ETHER)
            chain.funds.start([0])

            async def streamed():
                return await held(node, shard) > 0

            await until(streamed)
        async with opened(manifest) as chain:
            chain.funds.start([0])
            using = asyncio.create_task(use(chain, range(10)))
            while not using.done():
                await node.rpc("evm_mine")
                await asyncio.sleep(0.05)
            await chain.funds.stop()
            have = [await balance(node, chain.tree.keys.key(index).address) for index in range(10)]
            assert have == [AMOUNT] * 10
            assert await all_money(node, chain.tree) == start + 10 * ETHER


async def test_the_contract_is_where_its_receipt_says_and_nothing_goes_where_none_is():
    async with anvil() as node:
        manifest = manifest_of(node, funding={"multicall": f"0x{'ab' * 20}"})
        async with opened(manifest) as chain:
            await node.rpc(
                "anvil_setCode", [f"0x{'ab' * 20}", "0x00"]
            )  # takes money, and does nothing with it
            await chain.funds.prepare()
            assert chain.funds.look.contract is None
            helper = chain.tree.helper
            await node.rpc("anvil_setBalance", [helper.address, hex(ETHER)])
            start = await all_money(node, chain.tree)
            await node.rpc("evm_setAutomine", [False])
            # Its first nonce is held by another transaction that is in no block yet.
            other = Transaction(31337, 0, helper.address_bytes, 0, b"", 21_000, 4 * 10**9, 4 * 10**9)
            await node.rpc("eth_sendRawTransaction", [to_hex(sign(other, helper).raw)])
            filling = asyncio.create_task(fill_ahead(chain.funds, 10, lambda *_: None))
            while not filling.done():
                await node.rpc("evm_mine")
                await asyncio.sleep(0.05)
            assert filling.result().filled == 10
            assert await all_money(node, chain.tree) == start
            assert await balance(node, f"0x{'ab' * 20}") == 0


async def test_a_contract_that_another_runner_has_deployed_is_used():
    async with anvil() as node:
        manifest = manifest_of(node, shards=2, vus=20)
        async with opened(manifest) as paying, opened(manifest) as other:
            assert other.funds.look.contract is None
            await paying.funds.pay()
            other.funds.start([1])
            await asyncio.gather(*(other.funds.wallets[1].ready(index) for index in range(1, 20, 2)))
            assert other.funds.look.contract == paying.funds.look.contract is not None
            batches = await held(node, other.tree.shard_key(1).address)
            assert batches < 10


async def test_a_contract_of_ours_is_given_money_only_where_it_is_named():
    async with anvil() as node:
        async with opened(manifest_of(node)) as chain:
            await fill_ahead(chain.funds, 5, lambda *_: None)
            contract = to_hex(chain.funds.look.contract)
            sent = (await node.rpc("eth_getBlockByNumber", ["latest", True]))["transactions"]
            assert [(each["to"], int(each["value"], 16)) for each in sent] == [(None, 5 * AMOUNT)]
            made = (await node.rpc("eth_getTransactionReceipt", [sent[0]["hash"]]))["contractAddress"]
            assert await node.rpc("eth_getCode", [made, "latest"]) == "0x"
        async with opened(manifest_of(node, funding={"multicall": contract})) as chain:
            await fill_ahead(chain.funds, 10, lambda *_: None)
            sent = (await node.rpc("eth_getBlockByNumber", ["latest", True]))["transactions"]
            assert [(each["to"], int(each["value"], 16)) for each in sent] == [(contract, 5 * AMOUNT)]
            have = [await balance(node, chain.tree.keys.key(index).address) for index in range(10)]
            assert have == [AMOUNT] * 10


async def test_a_chain_that_loses_the_contract_loses_no_money():
    async with anvil() as node, opened(manifest_of(node, shards=2, vus=20)) as chain:
        chain.funds.accounts.patience = Patience(least=0.3)
        start = await all_money(node, chain.tree)
        await chain.funds.pay()
        node.stop()
        async with anvil(block_time=0.2, port=int(node.url.rpartition(":")[2])) as back:
            contract = to_hex(chain.funds.look.contract)
            chain.funds.start(range(2))
            assert sorted(await use(chain, range(20), shards=2)) == list(range(20))
            assert await balance(back, contract) == 0
            assert await all_money(back, chain.tree) == start
            await chain.funds.stop()
            chain.funds.accounts.quiet()
            assert (await chain.funds.sweep(30)).left == 0
            assert await all_money(back, chain.tree) == start
            shards = [chain.tree.shard_key(shard).address for shard in range(2)]
            wallets = [chain.tree.keys.key(index).address for index in range(20)]
            assert [await balance(back, address) for address in (*shards, *wallets)] == [0] * 22


async def test_a_defect_in_filling_is_told_at_once(monkeypatch):
    async with anvil() as node, opened(manifest_of(node)) as chain:
        await chain.funds.pay()

        async def broken(_):
            raise LookupError("no such thing")

        monkeypatch.setattr(chain.funds.look, "of", broken)
        chain.funds.start([0])
        for _ in range(2):
            (error,) = await use(chain, [0])
            assert error.error == "funding_failed"
            assert "no such thing" in error.message
        (told,) = chain.notes.named("FundingEnded")
        assert "no such thing" in told["message"]
