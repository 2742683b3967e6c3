"""Sending over a real node, with everything that can go wrong in between: each intent happens once, and no nonce is left out."""

import asyncio
import random

import pytest
from support.anvil import anvil
from support.intents import GWEI, terms, town, wallets
from support.rpcproxy import RpcProxy

from squall.spec import structs
from squall_runner.evm.node.failures import Kind
from squall_runner.evm.sending.fees import FeePolicy
from squall_runner.evm.sending.gas import GasLimit
from squall_runner.evm.sending.outgoing import SendError, Terms
from squall_runner.evm.signing.transactions import Transaction, sign

ETHER = 10**18


@pytest.fixture(scope="module")
def node():
    with anvil(block_time=0, accounts=1) as found:
        yield found


@pytest.fixture
async def place(node, request):
    async with RpcProxy(node.url) as proxy, town(node, proxy) as found:
        yield found


@pytest.fixture
async def key(place, request):
    (found,) = wallets(1, request.node.name)
    await place.fund(found, 10 * ETHER)
    return found


def intents(request, count):
    """Numbers that no other test has."""
    start = abs(hash(request.node.name)) % 2**60 * 1000
    return range(start, start + count)


async def all_once(place, key, numbers, **more):
    """Send all, mine until they are in blocks, and see that each has happened once."""
    work = asyncio.gather(*(place.include(key, number, **more) for number in numbers))
    landings = await place.mine_until(work)
    assert [await place.times(number) for number in numbers] == [1] * len(numbers)
    await place.in_order(key)
    return landings


async def test_many_transactions_of_one_wallet_cost_one_call_each(place, key, request):
    calls = place.proxy.calls
    place.accounts.patience.least = 60.0  # a busy machine is no reason to look where they are
    landings = await all_once(place, key, intents(request, 40))
    assert calls["eth_sendRawTransaction"] == 40
    assert calls["eth_getTransactionCount"] == calls["eth_maxPriorityFeePerGas"] == 1
    assert all(each.status == 1 for each in landings)
    assert place.sink.told.count("included") == place.sink.told.count("accepted") == 40
    assert place.accounts.pending == place.accounts.gas_on_its_way == 0


async def test_no_more_than_the_cap_are_on_their_way(place, key, request):
    account = place.accounts.of(key, most=3)
    work = [asyncio.create_task(place.send(key, number)) for number in intents(request, 7)]
    await asyncio.wait(work[:3])
    assert (len(account.flying), account.pending) == (3, 7)
    sent = await place.mine_until(asyncio.gather(*work))
    assert [each.nonce for each in sent] == list(range(7)), "first come, first served"
    await place.mine_until(asyncio.gather(*(each.included() for each in sent)))
    await place.in_order(key)


async def test_what_a_node_throws_away_silently_is_sent_again(place, key, request):
    place.proxy.faults.drop_sends = 0.5
    await all_once(place, key, intents(request, 12))
    assert len(place.proxy.dropped) >= 6
    assert "gap" in place.sink.told


async def test_a_node_that_forgets_its_mempool_gets_everything_again(place, key, request):
    numbers = intents(request, 5)
    sent = [await place.send(key, number) for number in numbers]
    await place.node.rpc("anvil_dropAllTransactions")
    await place.mine_until(asyncio.gather(*(each.included() for each in sent)))
    assert [await place.times(number) for number in numbers] == [1] * 5
    await place.in_order(key)


async def test_a_wallet_that_somebody_else_uses_goes_on_with_other_nonces(place, key, request):
    numbers = intents(request, 4)
    await all_once(place, key, numbers[:1])
    # Nonce 1 is used behind the account's back, 2 is pending.
    for nonce in (1, 2):
        theirs = Transaction(31337, nonce, b"\x22" * 20, 1, b"", 21_000, 10 * GWEI, GWEI)
        await place.node.rpc("eth_sendRawTransaction", [sign(theirs, key).hex])
        if nonce == 1:
            await place.mine()
    await all_once(place, key, numbers[1:])
    assert await place.nonce(key) == 6


async def test_one_that_was_displaced_after_it_was_accepted_is_sent_under_another_nonce(place, key, request):
    (number,) = intents(request, 1)
    sent = await place.send(key, number)
    theirs = Transaction(31337, 0, b"\x22" * 20, 1, b"", 21_000, 100 * GWEI, 50 * GWEI)
    await place.node.rpc("eth_sendRawTransaction", [sign(theirs, key).hex])
    await place.mine_until(sent.included())
    assert (sent.nonce, await place.times(number)) == (1, 1)
    await place.in_order(key)


async def test_a_wrong_first_nonce_is_noticed(place, key, request):
    numbers = intents(request, 3)
    await all_once(place, key, numbers[:2])
    place.accounts._accounts.clear()
    place.accounts.of(key, first=0)
    await all_once(place, key, numbers[2:])


async def test_a_nonce_that_is_missing_before_the_first_one_is_filled(place, key, request):
    place.accounts.of(key, first=2)
    await all_once(place, key, intents(request, 2))
    assert await place.nonce(key) == 4


async def test_without_money_it_is_refused_and_its_nonce_is_the_next_ones(place, key, request):
    numbers = intents(request, 3)
    await all_once(place, key, numbers[:1])
    await place.fund(key, 1000)
    with pytest.raises(SendError) as caught:
        await place.send(key, numbers[1])
    assert (caught.value.kind, caught.value.may_land) == (Kind.INSUFFICIENT_FUNDS, False)
    assert place.short == [key.address]
    await place.fund(key, ETHER)
    await all_once(place, key, numbers[2:])
    assert await place.times(numbers[1]) == 0


async def test_an_estimate_that_lacks_money_is_heard_of_too(place, key, request):
    error = {"code": -32000, "message": "insufficient funds for gas * price + value"}
    place.proxy.faults.errors = {"eth_estimateGas": error}
    estimated = Terms(GasLimit(structs.Gas(policy="estimate", retries=0), "", random.Random(1)), FeePolicy())
    with pytest.raises(SendError) as caught:
        await place.send(key, 1, terms=estimated)
    assert caught.value.kind is Kind.INSUFFICIENT_FUNDS
    assert (place.short, place.accounts.of(key).pending) == ([key.address], 0)


async def test_what_comes_behind_a_refused_one_is_not_held_up(place, key, request):
    numbers = intents(request, 2)
    place.proxy.faults.delays = {"eth_sendRawTransaction": 0.02}
    first, second = await asyncio.gather(
        place.send(key, numbers[0], terms=terms(gas=10**9)),
        place.send(key, numbers[1]),
        return_exceptions=True,
    )
    assert isinstance(first, SendError)
    assert first.kind is Kind.GAS_LIMIT
    await place.mine_until(second.included())
    assert [await place.times(number) for number in numbers] == [0, 1]
    await place.mine_until(place.accounts.settle(5))
    await place.in_order(key)


@pytest.mark.parametrize("taken", [True, False])
async def test_an_answer_that_never_comes_makes_no_second_one(place, key, request, taken):
    faults = place.proxy.faults
    if taken:
        faults.swallow, faults.swallow_seconds = {"eth_sendRawTransaction"}, 0.01
    else:
        faults.status = 502
    numbers = intents(request, 4)
    work = asyncio.gather(*(place.include(key, number) for number in numbers))
    while place.proxy.requests < 10:
        await asyncio.sleep(0.005)
    faults.swallow, faults.status = set(), 0
    await place.mine_until(work)
    assert [await place.times(number) for number in numbers] == [1] * 4
    await place.in_order(key)


@pytest.mark.parametrize("words", ["internal error", "txpool is full", "weather is bad", "nonce too high"])
async def test_an_error_with_status_200_is_dealt_with(place, key, request, words):
    await all_once(place, key, intents(request, 1))
    faults = place.proxy.faults
    faults.errors = {"eth_sendRawTransaction": {"code": -32000, "message": words}}
    faults.error_times = 2
    await all_once(place, key, intents(request, 4)[1:])
    assert faults.error_times == 0


async def test_too_many_calls_are_made_again_later(place, key, request):
    await all_once(place, key, intents(request, 1))
    place.proxy.faults.too_many, place.proxy.faults.retry_after = 6, "0"
    await all_once(place, key, intents(request, 4)[1:])
    assert place.proxy.faults.too_many == 0


async def test_what_one_endpoint_never_answers_another_one_gets_as_it_is(node, request):
    (key,) = wallets(1, request.node.name)
    numbers = intents(request, 6)
    async with (
        RpcProxy(node.url) as silent,
        RpcProxy(node.url) as well,
        town(node, silent, well, timeout="300ms") as place,
    ):
        await place.fund(key, ETHER)
        silent.faults.swallow, silent.faults.swallow_seconds = {"eth_sendRawTransaction"}, 60.0
        await all_once(place, key, numbers)
        assert silent.calls["eth_sendRawTransaction"] > 0
        assert well.calls["eth_sendRawTransaction"] > 0


async def test_a_node_that_is_down_is_waited_for(place, key, request):
    await all_once(place, key, intents(request, 1))
    await place.proxy.go_down()
    work = asyncio.gather(*(place.include(key, number) for number in intents(request, 4)[1:]))
    await asyncio.wait([work], timeout=0.2)
    await place.proxy.come_back()
    await place.mine_until(work)
    await place.in_order(key)


async def test_after_its_time_it_has_failed_and_nobody_gets_its_nonce(place, key, request):
    numbers = intents(request, 2)
    sent = await place.send(key, numbers[0], timeout=0.1)
    with pytest.raises(SendError) as caught:
        await sent.included()
    assert (caught.value.kind, caught.value.may_land) == (Kind.TIMEOUT, True)
    assert sent.hash in caught.value.message
    await all_once(place, key, numbers[1:])
    assert (await place.times(numbers[0]), sent.landing.status) == (1, 1)


async def test_who_is_cancelled_leaves_no_gap(place, key, request):
    numbers = intents(request, 3)
    place.proxy.faults.delays = {"eth_sendRawTransaction": 0.2}
    work = [asyncio.create_task(place.send(key, number)) for number in numbers]
    while place.accounts.pending < 3:
        await asyncio.sleep(0.002)
    for task in work:
        task.cancel()
    await asyncio.wait(work)
    place.proxy.faults.delays = {}
    await place.mine_until(place.accounts.settle(10))
    await place.in_order(key)
    assert all([await place.times(number) == 1 for number in numbers])


async def test_a_rise_of_the_base_fee_is_waited_out(place, key, request):
    await all_once(place, key, intents(request, 1))
    await place.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(100 * GWEI)])
    await place.mine()
    limited = terms(limit=20 * GWEI)
    with pytest.raises(SendError, match=r"above spec\.evm\.fees\.limit of 20 gwei"):
        await place.send(key, intents(request, 2)[1], terms=limited, timeout=0.1)
    work = asyncio.ensure_future(place.include(key, intents(request, 3)[2], terms=limited))
    await place.mine()
    assert not work.done()
    await place.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(GWEI)])
    await place.mine_until(work)
    await place.in_order(key)


@pytest.mark.parametrize("legacy", [True, False])
async def test_what_no_block_takes_is_replaced_by_one_that_pays_more(place, key, request, legacy):
    policy = {"replace_after": 0.05, "max_replacements": 20, "legacy": legacy, "headroom": 1}
    numbers = intents(request, 2)
    sent = [await place.send(key, number, terms=terms(**policy)) for number in numbers]
    await place.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(20 * GWEI)])
    await place.mine()
    assert all(each.landing is None for each in sent)
    for each in sent:
        await place.mine_until(each.included())
    assert place.sink.told.count("replaced") >= 2
    assert [await place.times(number) for number in numbers] == [1, 1]
    await place.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(GWEI)])
    await place.mine()
    await place.in_order(key)


async def test_confirmations_are_waited_for(place, key, request):
    sent = await place.send(key, intents(request, 1)[0])
    work = asyncio.ensure_future(sent.confirmed(2))
    await place.mine()
    await sent.included()
    await place.mine()
    assert not work.done()
    await place.mine()
    landing = await work
    assert landing.confirmed > landing.seen
    assert place.sink.told[-1] == "confirmed"


async def test_what_a_reorganisation_takes_back_is_sent_again(place, key, request):
    numbers = intents(request, 2)
    before = await place.node.rpc("evm_snapshot")
    sent = [await place.send(key, number) for number in numbers]
    await place.mine()
    confirmed = asyncio.gather(*(each.confirmed(1) for each in sent))
    await asyncio.gather(*(each.included() for each in sent))
    # Another branch, which is longer and does not have them.
    await place.node.rpc("evm_revert", [before])
    await place.node.rpc("anvil_dropAllTransactions")
    await place.node.rpc("evm_setNextBlockTimestamp", [hex(sent[0].landing.block_timestamp + 7)])
    await place.node.rpc("anvil_mine", ["0x3"])
    landings = await place.mine_until(confirmed)
    assert [await place.times(number) for number in numbers] == [1, 1]
    assert place.follower.reorganisations == 1
    assert all(each.confirmed >= each.seen for each in landings)
    assert place.sink.told.count("included") == 2
    await place.in_order(key)
