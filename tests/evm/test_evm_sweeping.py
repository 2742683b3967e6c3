"""All that is left goes back, to the wei: after an interruption, against what is stuck, from keys of a file."""

from __future__ import annotations

import asyncio

import pytest
from support.anvil import anvil
from support.funded import all_money, balance, manifest_of, opened

from squall_runner.evm.ahead import fill_ahead
from squall_runner.evm.hexes import to_hex
from squall_runner.evm.transactions import Transaction, sign

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
            sent.append(raw)
            if len(sent) == 20:
                begun.cancel()
            return await send(raw, *args, **options)

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


async def test_a_funder_among_the_keys_of_a_file_does_not_send_to_itself(tmp_path):
    async with anvil() as node:
        file = tmp_path / "keys"
        file.write_text("\n".join(node.keys[:5]))
        manifest = manifest_of(node, wallets={"seed": None, "keys": "keys.txt"})
        manifest["spec"]["evm"]["wallets"].pop("seed")
        async with opened(manifest, {"keys.txt": file}) as chain:
            start = await all_money(node, chain.tree)
            assert chain.tree.count == 5
            swept = await chain.funds.sweep(30)
            assert (swept.transfers, swept.left) == (4, 0)
            others = [await balance(node, address) for address in node.addresses[1:5]]
            assert others == [0] * 4
            have = await balance(node, node.addresses[0])
            assert have + swept.spent == 5 * node.options.balance * ETHER
            assert start == await all_money(node, chain.tree)
