"""All that is left goes back, to the wei: after an interruption, against what is stuck, from keys of a file."""

from __future__ import annotations

import asyncio

import pytest
from support.anvil import anvil
from support.funded import all_money, balance, manifest_of, opened
from support.rpcproxy import RpcProxy

from squall_runner.evm.money.ahead import fill_ahead
from squall_runner.evm.money.returning import give_back
from squall_runner.evm.signing.hexes import to_hex
from squall_runner.evm.signing.transactions import Transaction, sign

ETHER = 10**18


async def wallets_have(node, tree):
    return [await balance(node, tree.keys.key(index).address) for index in range(tree.count)]


async def test_a_sweep_that_was_interrupted_goes_on_and_one_that_is_done_does_nothing(monkeypatch):
    async with anvil() as node, opened(manifest_of(node, wallets={"count": 60})) as chain:
        start = await all_money(node, chain.tree)
        await fill_ahead(chain.funds, 60, lambda *_: None)
        begun = asyncio.create_task(chain.funds.sweep(60))
        send, sent = chain.funds.accounts.rpc.send_raw, []

        async def interrupted(raw, *args, **options):
            tx_hash = await send(raw, *args, **options)
            sent.append(tx_hash)
            if len(sent) == 20:
                begun.cancel()
            return tx_hash

        with monkeypatch.context() as patched:
            patched.setattr(chain.funds.accounts.rpc, "send_raw", interrupted)
            with pytest.raises(asyncio.CancelledError):
                await begun
        some = await wallets_have(node, chain.tree)
        assert 0 < sum(1 for has in some if has) < 60
        assert await all_money(node, chain.tree) == start
        swept = await chain.funds.sweep(60)
        assert (swept.left, swept.dust) == (0, 0)
        assert await wallets_have(node, chain.tree) == [0] * 60
        assert await all_money(node, chain.tree) == start
        again = await chain.funds.sweep(60)
        assert (again.transfers, again.returned, again.left) == (0, 0, 0)
        assert again.accounts == 60 + 1 + 1


async def test_after_a_crash_what_was_still_on_its_way_to_wallets_comes_back_too():
    async with anvil(block_time=0) as node:
        manifest = manifest_of(node, shards=2, funding={"deployMulticall": False, "batch": 1})
        async with opened(manifest) as chain:
            for shard in range(2):
                await node.rpc("anvil_setBalance", [chain.tree.shard_key(shard).address, hex(ETHER)])
            start = await all_money(node, chain.tree)
            chain.funds.start(range(2))
            while int((await node.rpc("txpool_status"))["pending"], 16) < 10:
                await asyncio.sleep(0.01)
        async with opened(manifest) as chain:
            sweep = asyncio.create_task(chain.funds.sweep(30))
            while not sweep.done():
                await asyncio.sleep(0.1)
                await node.rpc("evm_mine")
            assert (sweep.result().left, sweep.result().dust) == (0, 0)
            assert sweep.result().transfers >= 10 + 2
            assert await wallets_have(node, chain.tree) == [0] * 20
            assert await all_money(node, chain.tree) == start


async def test_time_that_is_up_ends_it_and_what_is_left_is_said():
    async with anvil() as node, opened(manifest_of(node)) as chain:
        await fill_ahead(chain.funds, 20, lambda *_: None)
        await node.rpc("evm_setAutomine", [False])
        swept = await chain.funds.sweep(0.5)
        assert swept.left >= 20 * ETHER // 10
        assert swept.failed[0][1] == "its transfer is in no block yet"


async def test_what_funders_have_on_their_way_is_waited_for_or_said():
    async with anvil() as node, opened(manifest_of(node, vus=4)) as chain:
        start = await all_money(node, chain.tree)
        await chain.funds.deploy()
        await node.rpc("evm_setAutomine", [False])
        paying = asyncio.create_task(chain.funds.pay())
        funder = chain.tree.funders[0].address
        while await nonce(node, funder, "pending") == await nonce(node, funder, "latest"):
            await asyncio.sleep(0.01)
        paying.cancel()
        chain.funds.accounts.quiet()
        await give_back(chain.funds, 1.0, chain.notes)
        (told,) = chain.notes.named("Swept")
        assert (
            "what funders or shards have sent is in no block yet; run `squall evm sweep` later"
            in told["message"]
        )
        sweep = asyncio.create_task(chain.funds.sweep(30))
        while not sweep.done():
            await node.rpc("evm_mine")
            await asyncio.sleep(0.05)
        assert sweep.result().done
        assert await balance(node, chain.tree.shard_key(0).address) == 0
        assert await all_money(node, chain.tree) == start


async def nonce(node, address, block):
    """How many transactions of an account there are, up to a block."""
    return int(await node.rpc("eth_getTransactionCount", [address, block]), 16)


@pytest.mark.parametrize("kind", ["eip1559", "legacy"])
async def test_dust_is_what_costs_more_to_send_than_it_is(kind):
    async with anvil() as node, opened(manifest_of(node, evm={"fees": {"type": kind}})) as chain:
        dusty, rich = (chain.tree.keys.key(index).address for index in (3, 4))
        await node.rpc("anvil_setBalance", [dusty, hex(21_000)])
        await node.rpc("anvil_setBalance", [rich, hex(ETHER)])
        start = await all_money(node, chain.tree)
        swept = await chain.funds.sweep(30)
        assert (swept.dust, swept.dusty, swept.left, swept.transfers) == (21_000, 1, 0, 1)
        assert swept.returned + swept.spent == ETHER
        assert await balance(node, rich) == 0
        assert await all_money(node, chain.tree) == start


async def test_what_a_wallet_still_has_on_its_way_is_replaced():
    async with anvil() as node, opened(manifest_of(node, funding={"deployMulticall": False})) as chain:
        key = chain.tree.keys.key(0)
        await node.rpc("anvil_setBalance", [key.address, hex(ETHER)])
        await node.rpc("evm_setAutomine", [False])
        stuck = sign(Transaction(31337, 0, b"\x11" * 20, ETHER // 2, b"", 21_000, 4 * 10**9, 4 * 10**9), key)
        await node.rpc("eth_sendRawTransaction", [to_hex(stuck.raw)])
        sweep = asyncio.create_task(chain.funds.sweep(30))
        while not sweep.done():
            await asyncio.sleep(0.1)
            pool = (await node.rpc("txpool_content"))["pending"]
            if any(tx["to"] != f"0x{'11' * 20}" for by in pool.values() for tx in by.values()):
                await node.rpc("evm_mine")
        swept = sweep.result()
        assert (swept.left, swept.transfers) == (0, 1)
        assert swept.returned + swept.spent == ETHER
        assert await balance(node, f"0x{'11' * 20}") == 0


async def test_wallets_of_a_file_of_keys_keep_all_that_they_have(tmp_path):
    async with anvil() as node:
        file = tmp_path / "keys"
        file.write_text("\n".join([*node.keys[:3], "0x" + "77" * 32]))
        manifest = manifest_of(node, vus=4, wallets={"keys": "keys.txt"})
        manifest["spec"]["evm"]["wallets"].pop("seed")
        async with opened(manifest, {"keys.txt": file}) as chain:
            start = await all_money(node, chain.tree)
            await chain.funds.pay()
            chain.funds.start([0])
            await chain.funds.wallets[0].ready(3)
            await chain.funds.stop()
            before = await wallets_have(node, chain.tree)
            swept = await chain.funds.sweep(30)
            assert (swept.left, swept.transfers) == (0, 2)  # the shard's account, and what has deployed
            assert await balance(node, chain.tree.shard_key(0).address) == 0
            assert await wallets_have(node, chain.tree) == [before[0] + swept.returned, *before[1:]]
            assert before[3] == ETHER // 10
            assert start == await all_money(node, chain.tree)


async def test_shards_that_only_the_run_had_are_found():
    async with anvil() as node:
        many, few = (manifest_of(node, shards=shards, funders=2, vus=20) for shards in (9, 2))
        async with opened(many) as chain:
            start = await all_money(node, chain.tree)
            await chain.funds.pay()
            subs = [chain.tree.shard_key(shard).address for shard in range(9)]
            assert all([await balance(node, each) for each in subs])
            tree = chain.tree
        async with opened(few) as chain:
            swept = await chain.funds.sweep(beyond=True)
            assert (swept.left, swept.accounts) == (0, 20 + 9 + 1)
            assert [await balance(node, each) for each in subs] == [0] * 9
            again = await chain.funds.sweep(beyond=True)  # used ones, although they are empty
            assert (again.accounts, again.transfers) == (20 + 9 + 1, 0)
            assert await all_money(node, tree) == start


async def test_wallets_that_only_the_run_had_are_found():
    async with anvil() as node:
        many, few = (manifest_of(node, wallets={"count": count}) for count in (60, 3))
        async with opened(many) as chain:
            start = await all_money(node, chain.tree)
            await fill_ahead(chain.funds, 60, lambda *_: None)
            tree = chain.tree
        async with opened(few) as chain:
            swept = await chain.funds.sweep(beyond=True)
            assert (swept.left, swept.accounts) == (0, 60 + 1 + 1)
            assert await wallets_have(node, tree) == [0] * 60
            assert await all_money(node, tree) == start


async def test_a_node_that_fails_holds_a_sweep_up_and_no_more():
    async with anvil(block_time=0.1) as node, RpcProxy(node.url) as proxy:
        manifest = manifest_of(node, evm={"rpc": {"retry": {"maxRetries": 0}, "timeout": "1s"}})
        manifest["spec"]["evm"]["endpoints"][0]["url"] = proxy.url
        async with opened(manifest) as chain:
            start = await all_money(node, chain.tree)
            await fill_ahead(chain.funds, 20, lambda *_: None)
            proxy.faults.errors = {"*": {"code": -32000, "message": "out of order"}}
            proxy.faults.error_times = 3
            sweep = asyncio.create_task(chain.funds.sweep(60))
            proxy.calls.clear()
            while not proxy.calls["eth_sendRawTransaction"]:
                await asyncio.sleep(0.001)
            await proxy.go_down()
            await asyncio.sleep(0.5)
            await proxy.come_back()
            swept = await sweep
            assert (swept.left, swept.unread, swept.failed) == (0, 0, [])
            assert await wallets_have(node, chain.tree) == [0] * 20
            assert await all_money(node, chain.tree) == start


@pytest.mark.parametrize("garble", ["null", "noResult", "text"])
async def test_a_node_that_answers_nonsense_for_a_while_holds_a_sweep_up_and_no_more(garble):
    async with anvil(block_time=0.1) as node, RpcProxy(node.url) as proxy:
        manifest = manifest_of(node, evm={"rpc": {"retry": {"maxRetries": 0}, "timeout": "1s"}})
        manifest["spec"]["evm"]["endpoints"][0]["url"] = proxy.url
        async with opened(manifest) as chain:
            start = await all_money(node, chain.tree)
            await fill_ahead(chain.funds, 20, lambda *_: None)
            proxy.faults.garble = garble
            before = proxy.requests
            sweep = asyncio.create_task(chain.funds.sweep(60))
            while proxy.requests < before + 10 and not sweep.done():
                await asyncio.sleep(0.01)
            proxy.faults.garble = ""
            swept = await sweep
            assert (swept.left, swept.unread, swept.failed) == (0, 0, [])
            assert await wallets_have(node, chain.tree) == [0] * 20
            assert await all_money(node, chain.tree) == start


async def test_a_funder_that_takes_no_money_does_not_keep_it_from_another():
    async with anvil() as node, opened(manifest_of(node, shards=2, funders=2, wallets={"count": 2})) as chain:
        await fill_ahead(chain.funds, 2, lambda *_: None)
        await node.rpc("anvil_setCode", [chain.tree.funders[0].address, "0x60006000fd"])
        swept = await chain.funds.sweep(60)
        assert await wallets_have(node, chain.tree) == [ETHER // 10, 0]
        assert swept.left >= ETHER // 10
        assert chain.tree.keys.key(0).address in [address for address, _ in swept.failed]
        assert "revert" in str(swept.failed)


async def test_what_could_not_be_looked_at_is_said():
    async with anvil() as node, RpcProxy(node.url) as proxy:
        manifest = manifest_of(node, evm={"rpc": {"retry": {"maxRetries": 0}, "timeout": "2s"}})
        manifest["spec"]["evm"]["endpoints"][0]["url"] = proxy.url
        async with opened(manifest) as chain:
            await fill_ahead(chain.funds, 20, lambda *_: None)
            await proxy.go_down()
            swept = await chain.funds.sweep(0.5)
            assert not swept.done
            await give_back(chain.funds, 0.5, chain.notes)
            (failed,) = chain.notes.named("SweepFailed")
            assert "run `squall evm sweep` later" in failed["message"]
