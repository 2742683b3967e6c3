"""Gas limits of each policy, asked of a real node as seldom as can be; and what is signed ahead."""

import asyncio
import random
from contextlib import suppress

import pytest
from support.anvil import anvil
from support.chains import endpoints, rpc_to
from support.intents import COUNTER, GAS, Town, call, terms, town, wallets
from support.rpcproxy import RpcProxy

from squall.spec import structs
from squall.spec.quantities import exact_share
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.gas import GasLimit, with_margin
from squall_runner.evm.sending.outgoing import SILENT, Call, Sent
from squall_runner.evm.sending.presigning import Presigner

SENDER = wallets(1, "gas")[0]


@pytest.fixture(scope="module")
def node():
    with anvil(block_time=0, accounts=1) as found:
        yield found


@pytest.fixture
async def proxy(node):
    async with RpcProxy(node.url) as found:
        yield found


@pytest.fixture
async def rpc(proxy, node):
    await node.rpc("anvil_setCode", [COUNTER, "0x6000358054600101905500"])
    async with rpc_to(endpoints(proxy)) as (found, _):
        yield found


def limit(function="shop.buy", **gas):
    return GasLimit(structs.Gas(**gas), function, random.Random(1))


def test_what_is_said_beforehand_is_known():
    assert limit(policy="fixed", limit=5).known == 5
    listed = {"shop.buy": 7}
    assert limit(policy="precomputed", limits=listed, limit=9).known == 7
    assert limit("shop.sell", policy="precomputed", limits=listed, limit=9).known == 9
    with pytest.raises(ValueError, match=r"no entry for 'shop\.sell'.*add"):
        limit("shop.sell", policy="precomputed", limits=listed)
    assert limit(policy="estimateOnce", limit=5).known is limit(policy="estimate").known is None


async def test_a_thousand_users_cause_one_estimate(rpc, proxy):
    gas = limit(margin="10%")
    found = await asyncio.gather(*(gas.find(rpc, SENDER.address, call(number)) for number in range(1000)))
    assert proxy.calls["eth_estimateGas"] == 1
    assert set(found) == {gas.known}
    exact = await rpc.call(
        "eth_estimateGas",
        [{"from": SENDER.address, "to": COUNTER, "data": "0x" + call(0).data.hex()}],
    )
    assert gas.known == with_margin(int(exact, 16), exact_share("10%"))


async def test_who_came_first_may_be_cancelled(rpc, proxy):
    gas = limit()
    proxy.faults.delay = 0.05
    first = asyncio.create_task(gas.find(rpc, SENDER.address, call(1)))
    second = asyncio.create_task(gas.find(rpc, SENDER.address, call(2)))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == gas.known
    assert proxy.calls["eth_estimateGas"] == 1


async def test_estimates_each_time(rpc, proxy):
    gas = limit(policy="estimate")
    for number in range(3):
        assert await gas.find(rpc, SENDER.address, call(number)) > 21_000
    assert proxy.calls["eth_estimateGas"] == 3


async def test_a_plain_transfer_needs_no_margin(rpc):
    assert await limit().find(rpc, SENDER.address, Call(b"\x11" * 20)) == 21_000


@pytest.mark.parametrize("policy", ["estimateOnce", "estimate"])
async def test_an_estimate_that_fails_is_asked_for_again_and_then_the_limit_is_taken(rpc, proxy, policy):
    revert = {"code": 3, "message": "execution reverted"}
    proxy.faults.errors = {"eth_estimateGas": revert}
    assert await limit(policy=policy, limit=5, retries=1).find(rpc, SENDER.address, call(1)) == 5
    assert proxy.calls["eth_estimateGas"] == 2
    without = limit(policy=policy, retries=0)
    with pytest.raises(RpcError) as caught:
        await without.find(rpc, SENDER.address, call(1))
    assert caught.value.kind is Kind.REVERTED
    proxy.faults.errors = {}
    assert await without.find(rpc, SENDER.address, call(1)) > 21_000, "who comes later asks again"


class Signer:
    """A town whose transactions are signed ahead."""

    def __init__(self, place: Town, presigner: Presigner) -> None:
        self.place, self.presigner = place, presigner
        (self.key,) = wallets(1, f"ahead {id(self)}")
        self.call, self.terms = call(id(self)), terms()

    async def fill(self, count):
        """Sign so many ahead, after a first one that makes everything known."""
        await self.place.fund(self.key, 10**19)
        await self.place.mine_until(self.send())
        keeping = asyncio.create_task(
            self.presigner.keep(lambda: [self.place.accounts.of(self.key)], self.call, self.terms)
        )
        while self.presigner.count < count:
            await asyncio.sleep(0.001)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping

    async def send(self, **more):
        account = self.place.accounts.of(self.key)
        return await (await account.send(self.call, more.get("terms", self.terms))).included()


@pytest.fixture
async def signer(node, proxy):
    presigner = Presigner(4)
    async with town(node, proxy, presigner=presigner) as place:
        yield Signer(place, presigner)


async def test_what_was_signed_ahead_is_sent_and_the_buffer_is_bounded(signer, monkeypatch):
    await signer.fill(4)
    await asyncio.sleep(0.02)
    assert signer.presigner.count == 4
    account = signer.place.accounts.of(signer.key)
    monkeypatch.setattr(type(account), "signed", None)  # whoever signs now fails
    await signer.place.mine_until(asyncio.gather(*(signer.send() for _ in range(4))))
    assert signer.presigner.count == 0
    assert await signer.place.times(id(signer)) == 5


async def test_another_call_other_gas_or_other_fees_make_it_void(signer):
    await signer.fill(4)
    account = signer.place.accounts.of(signer.key)
    await signer.place.mine_until((await account.send(call(id(signer)), signer.terms)).included())
    assert signer.presigner.count == 3
    await signer.place.mine_until(signer.send(terms=terms(gas=GAS + 1)))
    assert signer.presigner.count == 2
    await signer.place.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(10**10)])
    await signer.place.mine()
    await signer.place.mine_until(signer.send())
    assert signer.presigner.count == 1
    await signer.place.in_order(signer.key)
    assert await signer.place.times(id(signer)) == 4


async def test_a_nonce_that_was_used_elsewhere_makes_it_void(signer):
    await signer.fill(4)
    account = signer.place.accounts.of(signer.key)
    account.nonces.advance(3)
    assert account.nonces.take() == 3
    account.nonces.give_back(3)
    sent = Sent(account, signer.call, signer.terms, sink=SILENT, gas=GAS, deadline=0)
    sent.nonce = 3
    offer = signer.place.accounts.market.offer(signer.terms.fees)
    found = signer.presigner.take(account.address, sent, offer)
    assert found is not None
    assert signer.presigner.count == 1
