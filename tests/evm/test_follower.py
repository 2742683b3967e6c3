"""Following a real chain, by WebSocket and by asking, with everything that can come in between."""

import asyncio

import pytest
from support.anvil import anvil
from support.chains import EMITTER, emission, endpoints, following, payment, place_emitter, rpc_to, word
from support.rpcproxy import RpcProxy

from squall.spec import structs
from squall_runner.evm.following.watching import DATA
from squall_runner.evm.node.failures import Kind, RpcError

SPEC = structs.Rpc(retry=structs.RpcRetry(initial="1ms"))


class Scene:
    """A node that mines when asked to (or at once), a proxy before it, and a follower behind that."""

    def __init__(self, node, proxy, rpc, follower, told):
        self.node, self.proxy, self.rpc, self.follower, self.told = node, proxy, rpc, follower, told
        self.nonce = 0

    async def send(self, confirmations=0, watch=True):
        signed = payment(self.node, self.nonce)
        self.nonce += 1
        future = self.follower.watch(signed.hash, confirmations) if watch else None
        await self.rpc.send_raw(signed.hex, signed.hash)
        return signed.hash, future

    async def mine(self, count=1):
        await self.node.rpc("anvil_mine", [hex(count)])

    async def caught_up(self):
        number = int(await self.node.rpc("eth_blockNumber"), 16)
        while self.follower.head.number < number:
            await asyncio.sleep(0.002)
        return self.follower.head


@pytest.fixture(params=["socket", "polling"])
def way(request):
    return request.param


@pytest.fixture
def node():
    with anvil(block_time=0, accounts=3) as found:
        yield found


@pytest.fixture
async def scene(node, way):
    async with (
        RpcProxy(node.url, node.ws_url) as proxy,
        rpc_to(endpoints(proxy, sockets=way == "socket"), spec=SPEC) as (rpc, told),
        following(rpc, told) as follower,
    ):
        while way == "socket" and not follower._socket.live:
            await asyncio.sleep(0.001)
        yield Scene(node, proxy, rpc, follower, told)


only_socket = pytest.mark.parametrize("way", ["socket"], indirect=True)
only_polling = pytest.mark.parametrize("way", ["polling"], indirect=True)


# -- transactions -----------------------------------------------------------------------------------------------


async def test_what_is_said_of_a_transaction_is_what_the_node_says(scene):
    tx_hash, future = await scene.send()
    await scene.mine()
    found = await future
    receipt = await scene.node.rpc("eth_getTransactionReceipt", [tx_hash])
    block = await scene.node.rpc("eth_getBlockByNumber", ["0x1", False])
    assert (found.hash, found.block, found.block_hash) == (tx_hash, 1, block["hash"])
    assert found.block_timestamp == int(block["timestamp"], 16)
    assert found.gas_price == int(receipt["effectiveGasPrice"], 16)
    assert (found.status, found.gas_used, found.contract, found.logs) == (1, 21_000, None, [])
    head = scene.follower.head
    assert (head.number, head.base_fee) == (1, int(block["baseFeePerGas"], 16))
    assert scene.follower.waiting == 0


async def test_many_transactions_in_one_block_cost_one_call_and_blocks_nobody_cares_for_none(scene):
    await scene.mine(3)
    await scene.caught_up()
    futures = [(await scene.send())[1] for _ in range(20)]
    await scene.mine()
    assert {found.block for found in await asyncio.gather(*futures)} == {4}
    await scene.mine(3)
    await scene.caught_up()
    assert scene.proxy.calls["eth_getBlockReceipts"] == 1
    assert scene.proxy.calls["eth_getTransactionReceipt"] == 0


async def test_a_block_counts_as_told_only_when_what_is_in_it_was_told(scene):
    scene.proxy.faults.errors = {"eth_getBlockReceipts": {"code": -32000, "message": "header not found"}}
    _, future = await scene.send()
    await scene.mine()
    while not scene.proxy.calls["eth_getBlockReceipts"]:
        await asyncio.sleep(0.002)
    assert (scene.follower.head.number, scene.follower.told.number, future.done()) == (1, 0, False)
    scene.proxy.faults.errors = {}
    await future
    assert scene.follower.told is scene.follower.head


async def test_confirmations_are_waited_for(scene):
    _, future = await scene.send(confirmations=2)
    await scene.mine(2)
    await scene.caught_up()
    assert not future.done()
    await scene.mine()
    found = await future
    assert (found.block, scene.follower.head.number) == (1, 3)
    assert found.confirmed > found.seen


async def test_who_waits_too_late_is_served_from_what_is_known(scene):
    tx_hash, _ = await scene.send(watch=False)
    await scene.mine()
    await scene.caught_up()
    assert (await scene.follower.watch(tx_hash)).block == 1
    await scene.mine(80)
    await scene.caught_up()
    assert (await scene.follower.watch(tx_hash, 3, late=True)).block == 1
    assert scene.follower.waiting == 0


async def test_a_reorganisation_takes_back_what_was_not_confirmed(scene):
    told = []
    scene.follower.on_reorganisation(told.append)
    tx_hash, confirmed = await scene.send(confirmations=2)
    seen = scene.follower.watch(tx_hash)
    await scene.mine()
    assert (await seen).block == 1
    await scene.node.rpc("anvil_reorg", [1, []])
    await scene.mine(2)
    await scene.caught_up()
    assert scene.follower.reorganisations == 1
    assert told == [[tx_hash]]
    assert not confirmed.done()
    assert scene.follower.waiting == 1
    await scene.node.rpc("eth_sendRawTransaction", [payment(scene.node, 0).hex])
    await scene.mine(3)
    assert (await confirmed).block == 4


async def test_blocks_that_were_missed_are_read(scene):
    scene.proxy.faults.frozen_head = 0
    scene.proxy.faults.mute_sockets = True
    _, first = await scene.send()
    await scene.mine()
    _, second = await scene.send()
    await scene.mine(5)
    scene.proxy.faults.frozen_head = None
    scene.proxy.faults.mute_sockets = False
    await scene.mine()
    assert ((await first).block, (await second).block) == (1, 2)
    await scene.caught_up()
    assert [scene.follower._window.at(number).head.number for number in range(8)] == list(range(8))


async def test_who_gives_up_is_forgotten(scene):
    tx_hash, future = await scene.send()
    event = scene.follower.logs(None, word(1))
    more = scene.follower.watch(tx_hash, 3)
    assert scene.follower.waiting == 2
    future.cancel()
    event.cancel()
    more.cancel()
    await asyncio.sleep(0)
    assert scene.follower.waiting == 0


async def test_the_end_cancels_who_still_waits(node):
    async with (
        RpcProxy(node.url, node.ws_url) as proxy,
        rpc_to(endpoints(proxy, sockets=True)) as (rpc, told),
    ):
        async with following(rpc, told) as follower:
            waiting = [
                follower.watch(word(1)),
                follower.logs(None, word(1)),
                asyncio.ensure_future(follower.next_head()),
            ]
            await asyncio.sleep(0)
        await asyncio.wait(waiting)
        assert all(each.cancelled() for each in waiting)


async def test_who_waits_for_the_next_block_is_told(scene):
    following_one = asyncio.ensure_future(scene.follower.next_head())
    await asyncio.sleep(0)
    await scene.mine()
    assert (await following_one).number == 1


# -- events -----------------------------------------------------------------------------------------------------


async def _emit(scene, *words):
    signed = emission(scene.node, scene.nonce, *words)
    scene.nonce += 1
    await scene.rpc.send_raw(signed.hex, signed.hash)


@pytest.mark.parametrize("unknown", [set(), {"eth_getBlockReceipts"}])
async def test_events_are_found_by_what_is_waited_for(scene, unknown):
    scene.proxy.faults.unknown = unknown
    await place_emitter(scene.node)
    kind, other = word(7), word(8)
    mine = scene.follower.logs(EMITTER, kind, fixed={1: word(5)})
    by_data = scene.follower.logs(EMITTER.upper().replace("X", "x"), kind, fixed={DATA: word(42)})
    by_choice = scene.follower.logs(None, kind, lambda log: log["topics"][2] == word(9))
    never = scene.follower.logs(EMITTER, kind, fixed={1: word(99)})
    elsewhere = scene.follower.logs("0x" + "00" * 20, kind)
    await _emit(scene, other, word(5), word(9), word(42))
    await _emit(scene, kind, word(1), word(1), word(1))
    await _emit(scene, kind, word(5), word(2), word(2))
    await _emit(scene, kind, word(1), word(9), word(42))
    await scene.mine()
    assert (await mine).log["topics"] == [kind, word(5), word(2)]
    assert (await by_data).log["data"] == word(42)
    found = await by_choice
    assert int(found.log["logIndex"], 16) == 3
    assert (found.block, found.block_timestamp) == (1, scene.follower.head.timestamp)
    assert not never.done()
    assert not elsewhere.done()


async def test_past_events_are_found_in_what_was_read_or_by_one_question(scene):
    await place_emitter(scene.node)
    await _emit(scene, word(7), word(1), word(1), word(3))
    await scene.mine(2)
    await scene.caught_up()
    found = await scene.follower.logs(EMITTER, word(7), from_block=0, fixed={2: word(1)})
    assert (found.block, found.log["data"]) == (1, word(3))
    assert scene.proxy.calls["eth_getLogs"] == 1
    never = scene.follower.logs(EMITTER, word(99))
    await _emit(scene, word(7), word(2), word(2), word(3))
    await scene.mine(2)
    await scene.caught_up()
    while scene.follower._window.head.number < 4:
        await asyncio.sleep(0.001)
    assert (await scene.follower.logs(EMITTER, word(7), from_block=3)).block == 3
    assert scene.proxy.calls["eth_getLogs"] == 1, "these blocks were read for somebody else"
    with_choice = scene.follower.logs(EMITTER, word(7), lambda log: log["topics"][1] == word(2), from_block=1)
    assert (await with_choice).block == 3
    assert not never.done()


async def test_a_node_that_cannot_look_back_says_so_to_who_has_asked(scene):
    await scene.send(watch=False)
    await scene.mine(2)
    await scene.caught_up()
    scene.proxy.faults.errors = {
        "eth_getLogs": {"code": -32005, "message": "query returned more than 10000 results"}
    }
    with pytest.raises(RpcError) as caught:
        await scene.follower.logs(EMITTER, word(7), from_block=0)
    assert caught.value.kind is Kind.OTHER


# -- nodes that lack something, and endpoints that fail ---------------------------------------------------------


async def test_without_receipts_of_blocks_those_that_are_wanted_are_asked_for_in_one_batch(scene):
    scene.proxy.faults.unknown = {"eth_getBlockReceipts"}
    futures = [(await scene.send())[1] for _ in range(5)]
    await scene.send(watch=False)
    await scene.mine()
    assert {found.block for found in await asyncio.gather(*futures)} == {1}
    _, last = await scene.send()
    await scene.mine()
    assert (await last).block == 2
    assert scene.proxy.batches == [5]
    assert scene.proxy.calls["eth_getTransactionReceipt"] == 6
    assert scene.proxy.calls["eth_getBlockReceipts"] == 1


async def test_a_node_that_is_gone_for_a_while_is_followed_again(scene):
    _, future = await scene.send()
    await scene.proxy.go_down()
    await scene.mine(3)
    await scene.proxy.come_back()
    assert (await future).block == 1
    assert (await scene.caught_up()).number == 3


async def test_a_head_that_goes_back_is_not_followed(scene):
    await scene.mine(10)
    await scene.caught_up()
    scene.proxy.faults.head = -5
    _, future = await scene.send()
    await scene.mine()
    while not any("goes back from block 10" in note for note in scene.told.notes):
        await asyncio.sleep(0.005)
    assert scene.follower.head.number == 10
    scene.proxy.faults.head = 0
    await scene.mine()
    assert (await future).block == 11


async def test_a_head_that_is_not_there_is_not_followed(scene):
    await scene.mine(2)
    await scene.caught_up()
    for lie in (1, 3, 1000):
        scene.proxy.faults.head = lie
        before = scene.follower.head.number
        await scene.mine()
        await asyncio.sleep(0.05)
        assert scene.follower.head.number <= before + 1
        scene.proxy.faults.head = 0
        _, future = await scene.send()
        await scene.mine()
        assert (await future).block == before + 2
        await scene.caught_up()
    assert scene.follower.reorganisations == 0


@only_socket
async def test_a_socket_that_is_cut_is_made_up_for_by_asking_and_then_used_again(scene):
    _, future = await scene.send()
    scene.proxy.faults.no_sockets = True
    await scene.proxy.cut_sockets()
    await scene.mine()
    assert (await future).block == 1
    asked = scene.proxy.calls["eth_getBlockByNumber"]
    scene.proxy.faults.no_sockets = False
    while scene.proxy.subscriptions < 2:
        await asyncio.sleep(0.01)
    await scene.mine()
    await scene.caught_up()
    assert any("no news of blocks from a (http" in note for note in scene.told.notes)
    assert scene.proxy.calls["eth_getBlockByNumber"] > asked


@only_socket
async def test_while_a_socket_tells_of_blocks_nobody_asks_for_them(scene):
    await scene.mine()
    await scene.caught_up()
    before = scene.proxy.calls["eth_getBlockByNumber"]
    for _ in range(5):
        _, future = await scene.send()
        await scene.mine()
        await future
    assert scene.proxy.calls["eth_getBlockByNumber"] == before
    assert scene.proxy.calls["eth_getBlockReceipts"] == 5


async def test_a_socket_that_says_nothing_is_left_for_another_one(node):
    async with (
        RpcProxy(node.url, node.ws_url) as proxy,
        rpc_to(endpoints(proxy, sockets=True), spec=SPEC) as (rpc, told),
        following(rpc, told, silence_seconds=0.05) as follower,
    ):
        while not follower._socket.live:
            await asyncio.sleep(0.001)
        proxy.faults.mute_sockets = True
        future = follower.watch(payment(node, 0).hash)
        await node.rpc("eth_sendRawTransaction", [payment(node, 0).hex])
        await node.rpc("evm_mine")
        assert (await future).block == 1
        proxy.faults.mute_sockets = False
        while proxy.subscriptions < 2:
            await asyncio.sleep(0.001)
        assert any("tells nothing" in note for note in told.notes)


async def test_a_socket_to_another_chain_is_not_listened_to(node):
    async with (
        anvil(chain_id=5) as other,
        RpcProxy(node.url, other.ws_url) as proxy,
        rpc_to(endpoints(proxy, sockets=True)) as (rpc, told),
        following(rpc, told) as follower,
    ):
        while not any("chain 5" in note for note in told.notes):
            await asyncio.sleep(0.005)
        assert proxy.subscriptions == 0
        assert follower.head.number == 0
        assert told.up == {"a": True}


async def test_of_three_endpoints_one_that_lies_is_left_for_another(node):
    async with (
        RpcProxy(node.url, node.ws_url) as a,
        RpcProxy(node.url, node.ws_url) as b,
        RpcProxy(node.url) as c,
        rpc_to(endpoints(a, b, sockets=True) + endpoints(c, c, c)[2:], spec=SPEC) as (rpc, told),
        following(rpc, told, silence_seconds=0.1) as follower,
    ):
        while not follower._socket.live:
            await asyncio.sleep(0.001)
        liar, honest = (a, b) if a.subscriptions else (b, a)
        while not all(each.head >= 0 for each in rpc.pool.all):
            await asyncio.sleep(0.001)
        liar.faults.head = 1000
        future = follower.watch(payment(node, 0).hash)
        await node.rpc("eth_sendRawTransaction", [payment(node, 0).hex])
        await node.rpc("evm_mine")
        assert (await future).block == 1
        while not honest.subscriptions:
            await node.rpc("evm_mine")
            await asyncio.sleep(0.02)
        assert follower.head.number < 1000


@pytest.mark.parametrize("way", ["socket", "polling"], indirect=True)
async def test_a_chain_that_mines_at_once_is_followed_whoever_is_first(scene):
    await scene.node.rpc("evm_setAutomine", [True])
    for _ in range(20):
        _, future = await scene.send()
        await future
    assert scene.follower.waiting == 0
