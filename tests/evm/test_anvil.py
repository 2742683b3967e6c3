"""The node that the tests use: it is real, does what it is asked to, and ends with its block."""

import asyncio
import os

import pytest
from support.anvil import RpcRefusedError, anvil


async def test_it_has_the_chain_that_was_asked_for_and_is_gone_afterwards():
    async with anvil(chain_id=14800, accounts=3, balance=7, gas_limit=20_000_000, base_fee=5) as node:
        assert int(await node.rpc("eth_chainId"), 16) == 14800
        assert len(node.addresses) == len(node.keys) == 3
        assert int(await node.rpc("eth_getBalance", [node.addresses[2], "latest"]), 16) == 7 * 10**18
        block = await node.rpc("eth_getBlockByNumber", ["latest", False])
        assert (int(block["gasLimit"], 16), int(block["baseFeePerGas"], 16)) == (20_000_000, 5)
    assert not node.running()
    with pytest.raises(ProcessLookupError):
        os.kill(node.pid, 0)


@pytest.mark.parametrize(("block_time", "mined"), [(None, 1), (0, 0)])
async def test_it_mines_at_once_or_when_asked(block_time, mined):
    async with anvil(block_time=block_time) as node:
        one, other = node.addresses[:2]
        await node.rpc("eth_sendTransaction", [{"from": one, "to": other, "value": "0x1"}])
        if mined == 0:
            assert int(await node.rpc("eth_blockNumber"), 16) == 0
            await node.rpc("evm_mine")
        while (block := int(await node.rpc("eth_blockNumber"), 16)) == 0:
            await asyncio.sleep(0.01)
        assert block == 1


async def test_an_error_of_the_node_is_raised():
    async with anvil() as node:
        with pytest.raises(RpcRefusedError, match="nonsense") as caught:
            await node.rpc("nonsense")
        assert caught.value.code == -32601


def test_a_failure_within_the_block_ends_it_too():
    node = anvil()

    def fail() -> None:
        with node:
            node.rpc_now("anvil_setBalance", [node.addresses[0], "0x5"])
            assert node.rpc_now("eth_getBalance", [node.addresses[0], "latest"]) == "0x5"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not node.running()


def test_what_keeps_it_from_starting_is_said():
    with pytest.raises(RuntimeError, match="--no-such-option"):
        anvil(more=("--no-such-option",)).start()
