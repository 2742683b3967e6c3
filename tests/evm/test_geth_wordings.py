"""Each refusal of a real geth is provoked, and understood: what the table of wordings says of it is what it says today."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from support.chains import endpoints, payment, rpc_to
from support.geth import CHAIN, geth

from squall.spec import structs
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.signing.keccak import keccak256
from squall_runner.evm.signing.keys import parse_key
from squall_runner.evm.signing.rlp import encode

pytestmark = pytest.mark.geth
GWEI, ETHER = 10**9, 10**18
CODED, POOR = f"0x{'22' * 20}", f"0x{'33' * 20}"
WAITING = {"max_fee": 1000, "priority_fee": 1000}
"""Fees that the pool takes, and no block."""
SLOTS, QUEUE = 8, 4
STRICT = ("--txpool.nolocals", "--rpc.batch-request-limit", "5")
SMALL = ("--txpool.globalslots", str(SLOTS), "--txpool.globalqueue", str(QUEUE), "--txpool.accountslots", "2")


@pytest.fixture(scope="module")
def node():
    with geth(gas_limit=12_000_000, more=STRICT) as found:
        yield found


@pytest.fixture(scope="module")
def small():
    with geth(more=(*STRICT, *SMALL)) as found:
        yield found


async def refusal(node, made):
    """What it makes of a transaction."""
    async with rpc_to(endpoints(node), chain_id=CHAIN) as (rpc, _):
        try:
            await rpc.call("eth_sendRawTransaction", [made.hex], into=str)
        except RpcError as error:
            return error
    return None


def kind(error):
    return error.kind if error else None


async def used(node, account, count):
    while int(await node.rpc("eth_getTransactionCount", [node.addresses[account], "latest"]), 16) < count:
        await asyncio.sleep(0.02)


REFUSED: list[tuple[str, dict[str, Any], Kind]] = [
    ("a tip below what the node takes", {"priority_fee": 0}, Kind.UNDERPRICED),
    ("a tip above the fee", {"max_fee": GWEI, "priority_fee": 2 * GWEI}, Kind.INVALID),
    ("a fee above the node's cap", {"max_fee": 10**15}, Kind.INVALID),
    ("more than it has", {"value": 10**6 * ETHER}, Kind.INSUFFICIENT_FUNDS),
    ("more gas than a block has", {"gas": 15_000_000, **WAITING}, Kind.GAS_LIMIT),
    ("more gas than any may use", {"gas": 20_000_000, **WAITING}, Kind.GAS_LIMIT),
    ("too little gas", {"gas": 20_999}, Kind.INTRINSIC_GAS),
    ("too little gas for its data", {"data": b"\1" * 1000, "gas": 40_000}, Kind.INTRINSIC_GAS),
    ("too much data", {"data": bytes(140_000), "gas": 8_000_000}, Kind.INVALID),
    ("too much code", {"to": None, "data": bytes(60_000), "gas": 8_000_000}, Kind.INVALID),
    ("another chain's id", {"chain": 5}, Kind.CHAIN_MISMATCH),
]


@pytest.mark.parametrize(
    ("values", "meant"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
async def test_a_transaction_that_will_not_do(node, values, meant):
    assert kind(await refusal(node, payment(node, 0, account=1, **values))) is meant


async def test_one_that_it_has_and_another_with_its_nonce(node):
    first = payment(node, 0, account=2, **WAITING)
    assert await refusal(node, first) is None
    assert kind(await refusal(node, first)) is Kind.ALREADY_KNOWN
    other = payment(node, 0, account=2, **{**WAITING, "max_fee": 1099})
    assert kind(await refusal(node, other)) is Kind.REPLACEMENT_UNDERPRICED
    assert await refusal(node, payment(node, 0, account=2, max_fee=1100, priority_fee=1100)) is None


async def test_a_nonce_that_was_used(node):
    first = payment(node, 0, account=3)
    assert await refusal(node, first) is None
    await used(node, 3, 1)
    for again in (first, payment(node, 0, account=3, value=7)):
        assert kind(await refusal(node, again)) is Kind.NONCE_TOO_LOW


async def test_all_that_is_on_its_way_has_to_be_paid_for(node):
    half = {**WAITING, "value": 6_000 * ETHER}
    assert await refusal(node, payment(node, 0, account=4, **half)) is None
    error = await refusal(node, payment(node, 1, account=4, **half))
    assert kind(error) is Kind.INSUFFICIENT_FUNDS
    assert "queued cost" in error.message


async def test_one_that_has_to_wait_for_others_in_a_full_pool(small):
    for number in range(SLOTS):
        assert await refusal(small, payment(small, number % 2, account=1 + number // 2, **WAITING)) is None
    for nonce in range(QUEUE):
        dearer = payment(small, 10 + nonce, account=5, max_fee=3000, priority_fee=3000)
        assert await refusal(small, dearer) is None
    while int((await small.rpc("txpool_status"))["pending"], 16) < SLOTS:
        await asyncio.sleep(0.02)
    said = await refusal(small, payment(small, 10, account=6, max_fee=5000, priority_fee=5000))
    assert kind(said) is Kind.POOL_FULL
    assert "future transaction" in said.message


@pytest.mark.parametrize("fee", [1000, 2000])
async def test_a_pool_that_is_full(small, fee):
    fees = {"max_fee": fee, "priority_fee": fee}
    errors = [await refusal(small, payment(small, nonce, account=7, **fees)) for nonce in range(60)]
    # Who pays more gets in until the pool has thrown out as many as it does at once; who pays as little does not.
    assert {kind(each) for each in errors if each} <= {Kind.UNDERPRICED, Kind.POOL_FULL}
    assert errors[-1] is not None


FAULTS = {
    "a revert": "0x60006000fd",
    "no such opcode": "0xfe",
    "a jump to nowhere": "0x600056",
    "an empty stack": "0x50",
    "a full stack": "0x5b6000600056",
    "data that is not there": "0x600160006000" + "3e",
}


@pytest.mark.parametrize("code", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
async def test_code_that_fails(node, code, method):
    call = {"from": node.addresses[1], "to": CODED}
    async with rpc_to(endpoints(node), chain_id=CHAIN) as (rpc, _):
        with pytest.raises(RpcError) as caught:
            await rpc.call(method, [call, "latest", {CODED: {"code": code}}])
    assert caught.value.kind is Kind.REVERTED


ASKED: list[tuple[str, list[Any], Kind]] = [
    ("eth_nothing", [], Kind.METHOD_UNKNOWN),
    ("eth_subscribe", ["newHeads"], Kind.METHOD_UNKNOWN),
    ("eth_getBalance", [], Kind.INVALID_PARAMS),
    ("eth_getTransactionCount", [POOR, "0xffffff"], Kind.SERVER_ERROR),
    ("eth_call", [{"from": POOR, "to": CODED, "value": "0x1"}, "latest"], Kind.INSUFFICIENT_FUNDS),
    ("eth_estimateGas", [{"from": POOR, "to": CODED, "value": "0x1"}], Kind.INSUFFICIENT_FUNDS),
    ("eth_call", [{"from": POOR, "to": CODED, "maxFeePerGas": "0x1"}, "latest"], Kind.UNDERPRICED),
    ("eth_call", [{"from": POOR, "to": CODED, "gas": "0x10"}, "latest"], Kind.INTRINSIC_GAS),
]


@pytest.mark.parametrize(("method", "params", "meant"), ASKED)
async def test_a_call_that_it_refuses(node, method, params, meant):
    async with rpc_to(
        endpoints(node), chain_id=CHAIN, spec=structs.Rpc(retry=structs.RpcRetry(max_retries=0))
    ) as (
        rpc,
        _,
    ):
        with pytest.raises(RpcError) as caught:
            await rpc.call(method, params)
    assert caught.value.kind is meant


async def test_gas_beyond_what_it_lets_a_call_use(node):
    call = {"from": node.addresses[1], "to": CODED}
    async with rpc_to(endpoints(node), chain_id=CHAIN) as (rpc, _):
        with pytest.raises(RpcError) as caught:
            await rpc.call("eth_estimateGas", [call, "latest", {CODED: {"code": "0x5b600056"}}])
    assert caught.value.kind is Kind.GAS_LIMIT


async def test_batches_that_are_too_large_for_it(node):
    batch = structs.Batching(max=50, wait="5ms")
    spec = structs.Rpc(batch=batch, retry=structs.RpcRetry(max_retries=0))
    async with rpc_to(endpoints(node), chain_id=CHAIN, spec=spec) as (rpc, told):
        asked = [rpc.call("eth_getBalance", [address, "latest"]) for address in node.addresses * 2]
        found = await asyncio.gather(*asked)
        assert len(found) == 20
        assert [error for _, _, error in told.calls if error] == []
        assert rpc.pool.all[0].batches  # smaller ones


@dataclass
class Delegation:
    """An account with code (EIP-7702), of which nodes keep one transaction at a time, and none behind a gap."""

    node: Any
    account: int

    async def set(self) -> None:
        """Have geth's own account send what gives the account code."""
        key = parse_key(self.node.keys[self.account])
        fields = [CHAIN, bytes.fromhex(CODED[2:]), 0]
        parity, r, s = key.sign(keccak256(b"\x05" + encode(fields)))
        signed = {
            "chainId": hex(CHAIN),
            "address": CODED,
            "nonce": "0x0",
            "yParity": hex(parity),
            "r": hex(r),
            "s": hex(s),
        }
        (developer,) = await self.node.rpc("eth_accounts")
        sent = {"from": developer, "to": POOR, "gas": "0x186a0", "authorizationList": [signed]}
        await self.node.rpc("eth_sendTransaction", [sent])
        while await self.node.rpc("eth_getCode", [key.address, "latest"]) == "0x":
            await asyncio.sleep(0.02)


async def test_an_account_with_code(node):
    await Delegation(node, 8).set()  # which has used its first nonce
    assert kind(await refusal(node, payment(node, 2, account=8, **WAITING))) is Kind.NONCE_TOO_HIGH
    assert await refusal(node, payment(node, 1, account=8, **WAITING)) is None
    assert kind(await refusal(node, payment(node, 2, account=8, **WAITING))) is Kind.POOL_FULL
