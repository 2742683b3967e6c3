"""The faulty endpoint that other tests use: it forwards to a real node, and has just the faults that it is given."""

import aiohttp
import pytest
from support.anvil import anvil
from support.rpcproxy import RpcProxy


async def _ask(session, proxy, method, *params):
    call = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    async with session.post(proxy.url, json=call) as response:
        return response.status, await response.json(content_type=None) if response.status == 200 else None


async def test_it_forwards_counts_and_lies_as_it_is_told():
    async with (
        anvil(block_time=0) as node,
        RpcProxy(node.url, node.ws_url) as proxy,
        aiohttp.ClientSession() as session,
    ):
        await node.rpc("anvil_mine", ["0x3"])
        assert await _ask(session, proxy, "eth_blockNumber") == (
            200,
            {"jsonrpc": "2.0", "id": 7, "result": "0x3"},
        )
        proxy.faults.head = 1000
        assert (await _ask(session, proxy, "eth_blockNumber"))[1]["result"] == hex(1003)
        assert (await _ask(session, proxy, "eth_getBlockByNumber", "latest", False))[1]["result"][
            "number"
        ] == hex(1003)
        proxy.faults.head = -2
        assert (await _ask(session, proxy, "eth_getBlockByNumber", "latest", False))[1]["result"][
            "number"
        ] == "0x1"
        assert proxy.calls["eth_blockNumber"] == 2
        proxy.faults.too_many, proxy.faults.chain_id = 1, 5
        assert (await _ask(session, proxy, "eth_chainId"))[0] == 429
        assert (await _ask(session, proxy, "eth_chainId"))[1]["result"] == "0x5"


async def test_it_throws_away_the_share_of_transactions_that_it_is_told_to():
    async with anvil() as node, RpcProxy(node.url) as proxy, aiohttp.ClientSession() as session:
        proxy.faults.drop_sends = 0.5
        answers = [await _ask(session, proxy, "eth_sendRawTransaction", "0x0102") for _ in range(4)]
        assert ["result" in answer for _, answer in answers] == [False, True, False, True]
        assert len(proxy.dropped) == 2


async def test_it_goes_down_and_comes_back_on_its_port():
    async with anvil() as node, RpcProxy(node.url, node.ws_url) as proxy, aiohttp.ClientSession() as session:
        async with session.ws_connect(proxy.ws_url) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
            assert (await socket.receive_json())["result"] == hex(31337)
            await proxy.go_down()
            assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        with pytest.raises(aiohttp.ClientConnectionError):
            await _ask(session, proxy, "eth_chainId")
        await proxy.come_back()
        assert (await _ask(session, proxy, "eth_chainId"))[0] == 200
