"""Calls over real sockets to a real node, through an endpoint that has every fault."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, suppress

import pytest
from support.anvil import anvil
from support.chains import endpoints, payment, rpc_to
from support.rpcproxy import RpcProxy

from squall.plan.share import Share
from squall.spec import structs
from squall_runner.evm.node.failures import Kind, RpcError, Wordings
from squall_runner.evm.node.rpcsettings import EndpointSettings
from squall_runner.http import NetworkOptions

QUICK = structs.RpcRetry(initial="1ms", backoff=structs.Backoff(factor="1", jitter="50%", max="1ms"))
NEVER = structs.RpcRetry(max_retries=0)


def quick(**more):
    return structs.Rpc(retry=QUICK, **more)


def once(**more):
    return structs.Rpc(retry=NEVER, **more)


@pytest.fixture(scope="module")
def node():
    with anvil() as found:
        yield found


@pytest.fixture
async def one(node):
    async with RpcProxy(node.url, node.ws_url) as proxy:
        yield proxy


@pytest.fixture
async def two(node):
    async with RpcProxy(node.url) as first, RpcProxy(node.url) as second:
        yield first, second


async def refused(call):
    with pytest.raises(RpcError) as caught:
        await call
    return caught.value


# -- what an answer is ------------------------------------------------------------------------------------------


async def test_a_call_is_answered_and_recorded(one):
    async with rpc_to(endpoints(one)) as (rpc, told):
        assert int(await rpc.call("eth_blockNumber", into=str), 16) >= 0
        assert told.calls == [("a", "eth_chainId", ""), ("a", "eth_blockNumber", "")]
        assert one.headers["Content-Type"] == "application/json"
        assert told.up == {"a": True}


@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        ({"garble": "text"}, Kind.MALFORMED, True),
        ({"garble": "empty"}, Kind.MALFORMED, True),
        ({"garble": "wrongId"}, Kind.MALFORMED, True),
        ({"garble": "noResult"}, Kind.MALFORMED, True),
        ({"garble": "truncated"}, Kind.UNREACHABLE, True),
        ({"status": 502}, Kind.SERVER_ERROR, True),
        ({"status": 503}, Kind.SERVER_ERROR, False),
        ({"status": 401}, Kind.SERVER_ERROR, False),
        ({"too_many": 1, "retry_after": "7"}, Kind.RATE_LIMITED, False),
        ({"errors": {"*": {"code": -32000, "message": "nonce too low"}}}, Kind.NONCE_TOO_LOW, False),
        ({"errors": {"*": {"code": -32603, "message": "boom"}}}, Kind.SERVER_ERROR, True),
        ({"unknown": {"eth_gasPrice"}}, Kind.METHOD_UNKNOWN, False),
        ({"delay": 5.0}, Kind.TIMEOUT, True),
        ({"swallow": {"eth_gasPrice"}}, Kind.UNREACHABLE, True),
    ],
)
async def test_a_failure_has_a_kind_and_says_whether_the_call_may_have_had_its_effect(
    one, fault, kind, unknown
):
    async with rpc_to(endpoints(one), spec=once(timeout="300ms")) as (rpc, told):
        for name, value in fault.items():
            setattr(one.faults, name, value)
        error = await refused(rpc.call("eth_gasPrice"))
        assert (error.kind, error.unknown_fate) == (kind, unknown)
        assert told.calls[-1] == ("a", "eth_gasPrice", kind.value)
        assert "eth_gasPrice at a (http://127.0.0.1:" in error.message
        assert error.wait == (7.0 if kind is Kind.RATE_LIMITED else 0.0)


async def test_an_answer_of_another_type_than_wanted_is_refused(one):
    async with rpc_to(endpoints(one), spec=once()) as (rpc, _):
        error = await refused(rpc.call("eth_gasPrice", into=list[str]))
        assert error.kind is Kind.MALFORMED


async def test_the_data_of_a_revert_and_own_words_of_a_manifest_are_understood(one):
    async with rpc_to(endpoints(one), wordings=Wordings([("wrong sequence", "nonceTooLow")])) as (rpc, _):
        one.faults.errors = {"eth_call": {"code": 3, "message": "execution reverted", "data": "0x08c379a0"}}
        error = await refused(rpc.call("eth_call", [{}, "latest"]))
        assert (error.kind, error.revert_data.hex(), error.code) == (Kind.REVERTED, "08c379a0", 3)
        one.faults.errors = {"eth_call": {"code": -1, "message": "Wrong sequence 5"}}
        assert (await refused(rpc.call("eth_call", [{}, "latest"]))).kind is Kind.NONCE_TOO_LOW


async def test_a_key_in_a_url_is_sent_and_never_shown(one):
    settings = [
        EndpointSettings.make(
            "a", f"{one.url}v3/secret-key?apikey=secret-key", headers={"X-Key": "secret-key"}
        )
    ]
    async with rpc_to(settings, spec=once()) as (rpc, told):
        await rpc.call("eth_blockNumber")
        assert one.headers["X-Key"] == "secret-key"
        await one.go_down()
        error = await refused(rpc.call("eth_blockNumber"))
        assert "secret-key" not in f"{error} {error.hint} {told} {rpc.pool.all}"


# -- trying again, and elsewhere --------------------------------------------------------------------------------


async def test_a_call_goes_to_another_endpoint_when_one_is_down(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, told):
        await two[0].go_down()
        for _ in range(6):
            await rpc.call("eth_blockNumber", sticky="wallet")
        assert {name for name, method, error in told.calls if method == "eth_blockNumber" and not error} == {
            "b"
        }


async def test_one_that_comes_back_is_asked_again_after_it_has_told_its_chain(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, told):
        await two[0].go_down()
        while told.up["a"]:
            await rpc.call("eth_blockNumber")
            await asyncio.sleep(0.01)
        before = two[0].calls["eth_chainId"]
        await two[0].come_back()
        while not told.up["a"]:
            await asyncio.sleep(0.01)
        assert two[0].calls["eth_chainId"] > before
        assert any("a (http://127.0.0.1" in note and "left out" in note for note in told.notes)


async def test_a_read_is_repeated_and_what_may_have_happened_is_not(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, told):
        for proxy in two:
            proxy.faults.swallow = {"eth_gasPrice"}
        error = await refused(rpc.call("eth_gasPrice", idempotent=False))
        assert error.unknown_fate
        assert sum(proxy.calls["eth_gasPrice"] for proxy in two) == 1
        await refused(rpc.call("eth_gasPrice"))
        assert [method for _, method, _ in told.calls].count("eth_gasPrice") == 5


async def test_a_call_that_did_not_get_there_is_made_elsewhere_even_if_it_must_not_happen_twice(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, _):
        await two[0].go_down()
        for _ in range(4):
            assert await rpc.call("eth_gasPrice", idempotent=False)


async def test_429_is_given_its_pause_while_another_endpoint_answers(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, told):
        two[0].faults.too_many, two[0].faults.retry_after = 1, "30"
        two[0].calls.clear()
        for _ in range(8):
            await rpc.call("eth_gasPrice")
        assert two[0].faults.too_many == 0
        assert two[0].calls["eth_gasPrice"] == 0
        assert [(name, error) for name, method, error in told.calls if error] == [("a", "rate_limited")]


async def test_the_only_endpoint_is_waited_for_as_long_as_it_asks(one):
    async with rpc_to(endpoints(one), spec=quick()) as (rpc, _):
        loop = asyncio.get_running_loop()
        one.faults.too_many, one.faults.retry_after = 1, "1"
        begun = loop.time()
        await rpc.call("eth_gasPrice")
        assert loop.time() - begun >= 1.0
        one.faults.too_many, one.faults.retry_after = 1, "3600"
        error = await refused(rpc.call("eth_gasPrice"))
        assert error.kind is Kind.RATE_LIMITED
        error = await refused(rpc.call("eth_gasPrice"))
        assert error.kind is Kind.RATE_LIMITED
        assert error.wait > 3000


async def test_retries_have_a_budget(one):
    retry = structs.RpcRetry(
        max_retries=20,
        initial="1ms",
        backoff=structs.Backoff(factor="1", jitter="0%", max="1ms"),
        budget="10%",
    )
    spec = structs.Rpc(retry=retry, circuit_breaker=structs.CircuitBreaker(min_requests=10_000))
    async with rpc_to(endpoints(one), spec=spec) as (rpc, _):
        one.faults.status = 503
        before = one.requests
        for _ in range(30):
            await refused(rpc.call("eth_gasPrice"))
        assert one.requests - before <= 30 + 3 + 10 + 2  # calls, a tenth of them, the reserve, and checks


async def test_an_open_circuit_answers_at_once_and_closes_when_the_endpoint_is_well(one):
    circuit = structs.CircuitBreaker(min_requests=3, open_for="50ms", probes=2)
    async with rpc_to(endpoints(one), spec=once(circuit_breaker=circuit)) as (rpc, told):
        one.faults.status = 500
        while told.up["a"]:
            await refused(rpc.call("eth_gasPrice"))
        before = one.requests
        error = await refused(rpc.call("eth_gasPrice"))
        assert error.kind is Kind.UNREACHABLE
        assert "too many calls have failed" in error.message
        assert one.requests == before
        one.faults.status = 0
        while not told.up["a"]:
            await asyncio.sleep(0.01)
        await rpc.call("eth_gasPrice")


async def test_a_stale_connection_is_nobodys_failure(one):
    async with rpc_to(endpoints(one), spec=once()) as (rpc, told):
        await rpc.call("eth_gasPrice")
        await one.go_down()
        await one.come_back()
        await rpc.call("eth_gasPrice")
        assert not [error for _, _, error in told.calls if error]


# -- sending ----------------------------------------------------------------------------------------------------


async def test_a_transaction_is_sent_and_one_that_is_known_is_accepted(one, node):
    await node.rpc("evm_setAutomine", [False])
    try:
        signed = payment(node, 0)
        async with rpc_to(endpoints(one), spec=quick()) as (rpc, _):
            assert await rpc.send_raw(signed.hex, signed.hash) == signed.hash
            error = await refused(rpc.call("eth_sendRawTransaction", [signed.hex]))
            assert (error.kind, error.unknown_fate) == (Kind.ALREADY_KNOWN, False)
            assert await rpc.send_raw(signed.hex, signed.hash) == signed.hash
            one.faults.swallow, one.faults.swallow_seconds = {"eth_sendRawTransaction"}, 0.0
            error = await refused(rpc.send_raw(signed.hex, signed.hash))
            assert error.unknown_fate
    finally:
        await node.rpc("anvil_dropAllTransactions")
        await node.rpc("evm_setAutomine", [True])


@pytest.mark.parametrize("joined", [False, True])
async def test_what_may_have_been_read_before_a_connection_was_closed_is_of_unknown_fate(one, node, joined):
    batch = structs.Batching(max=5, wait="1ms") if joined else None
    signed = payment(node, 0, account=5 + joined)
    async with rpc_to(endpoints(one), spec=once(batch=batch)) as (rpc, _):
        await rpc.call("eth_gasPrice")
        one.faults.swallow, one.faults.swallow_times = {"eth_sendRawTransaction"}, 1
        error = await refused(rpc.send_raw(signed.hex, signed.hash))
    assert (error.kind, error.unknown_fate) == (Kind.NONCE_TOO_LOW, True)


async def test_a_transaction_whose_answer_was_lost_is_found_to_be_accepted_elsewhere(node):
    async with RpcProxy(node.url) as first, RpcProxy(node.url) as second:
        await node.rpc("evm_setAutomine", [False])
        try:
            async with rpc_to(endpoints(first, second), spec=quick()) as (rpc, told):
                for account, nonce in ((1, 0), (1, 1), (1, 2), (1, 3)):
                    first.faults.swallow = {"eth_sendRawTransaction"}
                    signed = payment(node, nonce, account=account)
                    assert await rpc.send_raw(signed.hex, signed.hash) == signed.hash
                assert ("b", "eth_sendRawTransaction", "already_known") in told.calls
        finally:
            await node.rpc("anvil_dropAllTransactions")
            await node.rpc("evm_setAutomine", [True])


async def test_a_node_that_calls_a_transaction_by_another_name_is_not_trusted(one, node):
    async with rpc_to(endpoints(one), spec=quick()) as (rpc, _):
        one.faults.drop_sends = 1.0
        signed = payment(node, 77)
        error = await refused(rpc.send_raw(signed.hex, "0x" + "00" * 32))
        assert (error.kind, error.unknown_fate) == (Kind.MALFORMED, True)


# -- the right chain --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [31338, None])
async def test_a_wrong_chain_is_refused_before_anything_is_sent(one, wanted):
    one.faults.chain_id = 31337 if wanted else 1
    async with rpc_to(endpoints(one), chain_id=wanted, start=False) as (rpc, _):
        error = await refused(rpc.start())
        assert error.kind is Kind.CHAIN_MISMATCH
        assert "chainId" in error.hint
        error = await refused(rpc.send_raw("0x00", "0x00"))
        assert error.kind is Kind.CHAIN_MISMATCH
        assert not one.calls["eth_sendRawTransaction"]


async def test_without_a_name_all_endpoints_have_to_be_on_the_same_chain(two):
    two[1].faults.chain_id = 31338
    async with rpc_to(endpoints(*two), chain_id=None, start=False) as (rpc, _):
        assert (await refused(rpc.start())).kind is Kind.CHAIN_MISMATCH


async def test_an_endpoint_that_comes_back_as_another_chain_gets_nothing(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, told):
        await two[0].go_down()
        two[0].faults.chain_id = 5
        await two[0].come_back()
        two[0].calls.clear()
        while not any("chain 5" in note for note in told.notes):
            await rpc.call("eth_gasPrice")
            rpc.check_soon()
            await asyncio.sleep(0.005)
        assert not told.up["a"]
        before = two[0].calls["eth_gasPrice"]
        for _ in range(6):
            await rpc.call("eth_gasPrice")
        assert two[0].calls["eth_gasPrice"] == before


async def test_a_run_begins_when_one_endpoint_answers_and_not_when_none_does(two):
    await two[0].go_down()
    async with rpc_to(endpoints(*two)) as (rpc, _):
        await rpc.call("eth_gasPrice")
    await two[1].go_down()
    async with rpc_to(endpoints(*two), start=False) as (rpc, _):
        assert (await refused(rpc.start())).kind is Kind.UNREACHABLE


async def test_a_policy_holds_for_endpoints(one):
    network = NetworkOptions(shared_connections=4, allowed_hosts=(("chain.example",),))
    async with rpc_to(endpoints(one), network=network, start=False) as (rpc, _):
        error = await refused(rpc.start())
        assert (error.kind, error.unknown_fate) == (Kind.FORBIDDEN, False)
        assert one.requests == 0


async def test_the_only_endpoint_is_asked_for_its_chain_again_when_connections_were_lost(one):
    async with rpc_to(endpoints(one), spec=quick()) as (rpc, _):
        await asyncio.sleep(1.01)  # so long it is trusted
        await rpc.call("eth_gasPrice")
        await one.go_down()
        one.faults.chain_id = 5
        await one.come_back()
        one.calls.clear()
        with suppress(RpcError):
            await rpc.call("eth_sendRawTransaction", ["0x00"])
        assert (await refused(rpc.call("eth_sendRawTransaction", ["0x00"]))).kind is Kind.CHAIN_MISMATCH
        assert one.calls["eth_sendRawTransaction"] <= 1


# -- heads ------------------------------------------------------------------------------------------------------


async def test_who_lies_about_the_head_or_falls_behind_is_left_out_and_comes_back(node):
    await node.rpc("anvil_mine", [hex(20)])
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(RpcProxy(node.url)) for _ in range(3)]
        b = proxies[1]
        rpc, told = await stack.enter_async_context(rpc_to(endpoints(*proxies), spec=quick()))
        for fault in (1000, -10):
            b.faults.head = fault
            while told.up["b"]:
                rpc.check_soon()
                await asyncio.sleep(0.01)
            assert (told.up["a"], told.up["c"]) == (True, True)
            b.calls.clear()
            for _ in range(6):
                await rpc.call("eth_gasPrice")
            assert not b.calls["eth_gasPrice"]
            b.faults.head = 0
            while not told.up["b"]:
                rpc.check_soon()
                await asyncio.sleep(0.01)


async def test_of_two_the_one_that_tells_of_a_block_that_it_does_not_have_is_left_out(two):
    async with rpc_to(endpoints(*two), spec=quick()) as (rpc, told):
        two[0].faults.head = 1000
        while told.up["a"]:
            rpc.check_soon()
            await asyncio.sleep(0.01)
        assert told.up["b"]
        assert not any("b (http" in note and "left out" in note for note in told.notes)
        two[0].faults.head = 0
        while not told.up["a"]:
            rpc.check_soon()
            await asyncio.sleep(0.01)


# -- batches and rates ------------------------------------------------------------------------------------------


async def test_calls_of_the_same_moment_are_joined_and_each_gets_its_own_answer(one):
    async with rpc_to(endpoints(one), spec=quick(batch=structs.Batching(max=10, wait="20ms"))) as (rpc, told):
        one.faults.garble = "shuffled"
        one.faults.errors = {"eth_gasPrice": {"code": -32000, "message": "nonce too low"}}
        calls = [rpc.call("eth_getBlockByNumber", [hex(0), bool(n % 2)]) for n in range(11)]
        price, *blocks = await asyncio.gather(rpc.call("eth_gasPrice"), *calls, return_exceptions=True)
        assert price.kind is Kind.NONCE_TOO_LOW
        assert [block["number"] for block in blocks] == ["0x0"] * 11
        assert one.batches == [10, 2]
        assert len([call for call in told.calls if call[1] == "eth_getBlockByNumber"]) == 11


async def test_a_missing_answer_is_the_error_of_that_call_alone(one):
    async with rpc_to(endpoints(one), spec=once(batch=structs.Batching(max=3, wait="50ms"))) as (rpc, _):
        one.faults.garble = "missing"
        first, second, third = await asyncio.gather(
            *(rpc.call("eth_gasPrice") for _ in range(3)), return_exceptions=True
        )
        assert first == second
        assert (third.kind, third.unknown_fate) == (Kind.MALFORMED, True)


async def test_an_endpoint_that_takes_no_batches_is_asked_one_by_one(one):
    async with rpc_to(endpoints(one), spec=quick(batch=structs.Batching(max=5))) as (rpc, _):
        one.faults.batch_error = {"code": -32600, "message": "no batches here"}
        assert len(set(await asyncio.gather(*(rpc.call("eth_gasPrice") for _ in range(5))))) == 1
        assert one.batches == [5, 2, 2]
        assert await rpc.call_many("eth_getBlockByNumber", [("0x0", False)] * 3)
        assert one.batches == [5, 2, 2]


async def test_a_batch_that_comes_too_soon_is_not_made_many_calls(one):
    async with rpc_to(endpoints(one), spec=once(batch=structs.Batching(max=5))) as (rpc, _):
        one.faults.batch_error = {"code": -32005, "message": "rate limit exceeded"}
        calls = [rpc.call("eth_gasPrice") for _ in range(5)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [each.kind for each in failures] == [Kind.RATE_LIMITED] * 5
        assert (one.batches, one.calls["eth_gasPrice"]) == ([5], 5)


async def test_who_is_cancelled_before_a_batch_goes_is_not_in_it(one):
    async with rpc_to(endpoints(one), spec=quick(batch=structs.Batching(max=5, wait="50ms"))) as (rpc, _):
        gone = asyncio.ensure_future(rpc.call("eth_getBalance", ["0x" + "00" * 20, "latest"]))
        left = asyncio.ensure_future(rpc.call("eth_gasPrice"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await left
        assert not one.calls["eth_getBalance"]


async def test_a_rate_is_kept_over_all_shards_and_who_would_wait_for_too_long_is_told_at_once(one):
    settings = endpoints(one, rate=20)
    async with rpc_to(settings, spec=once(timeout="500ms"), share=Share(0, 2)) as (rpc, _):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        results = await asyncio.gather(*(rpc.call("eth_gasPrice") for _ in range(8)), return_exceptions=True)
        kinds = Counter(each.kind for each in results if isinstance(each, RpcError))
        # A turn at the end of its time leaves a call little of it: on a busy machine that one may get no answer.
        late = kinds.pop(Kind.TIMEOUT, 0)
        assert set(kinds) == {Kind.RATE_LIMITED}
        # Half of 20/s: one at once, and one each tenth of a second.
        asked, turns = one.calls["eth_gasPrice"], len(results) - kinds[Kind.RATE_LIMITED]
        assert asked <= 1 + (loop.time() - begun) * 10 + 1
        assert turns - late <= asked <= turns


async def test_nothing_is_left_after_a_call_was_cancelled(one):
    async with rpc_to(endpoints(one), spec=quick()) as (rpc, _):
        one.faults.delay = 30.0
        call = asyncio.ensure_future(rpc.call("eth_gasPrice"))
        while not one.calls["eth_gasPrice"]:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert rpc.pool.all[0].in_flight == 0
        one.faults.delay = 0.0
        await rpc.call("eth_gasPrice")
