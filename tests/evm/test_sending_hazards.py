"""What could make a sender do something twice, or never: each case in virtual time, against a chain whose nodes answer as told."""

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from support.intents import Counted, terms
from support.simchain import GWEI, SimChain, decoded, one_account

from squall_runner.evm.meters import TxMeters
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending import gaps
from squall_runner.evm.sending.answers import ANSWERS, Answer, answer_to
from squall_runner.evm.sending.outgoing import Call, SendError
from squall_runner.evm.signing.keys import wallet_key
from squall_runner.recording import Recorder

pytestmark = pytest.mark.looptime
KEY = wallet_key(b"hazards", 0)
LOST = RpcError(Kind.TIMEOUT, "no answer", unknown_fate=True)
AWAY = RpcError(Kind.UNREACHABLE, "nobody there")
OUTBID = RpcError(Kind.REPLACEMENT_UNDERPRICED, "underpriced here, and no answer there", unknown_fate=True)
OUTBID_HERE = RpcError(Kind.REPLACEMENT_UNDERPRICED, "underpriced")
UNDERPRICED = RpcError(Kind.UNDERPRICED, "transaction underpriced")
USED = RpcError(Kind.NONCE_TOO_LOW, "nonce too low")
INTERNAL = RpcError(Kind.SERVER_ERROR, "Internal error", code=-32603, unknown_fate=True)


@dataclass
class ToldChain(SimChain):
    """A chain of one node, which answers the next sends as it is told: with an error, having taken the transaction or not.

    Attributes:
        answers: For each send: whether it is taken, and the error that is answered; after the last all is well.
        seconds: How long a send takes.
    """

    answers: list[tuple[bool, RpcError]] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.well = True

    async def send_raw(self, raw, tx_hash, *, sticky="", timeout=None):  # noqa: ASYNC109 - as `Rpc` has it
        if not self.answers:
            return await super().send_raw(raw, tx_hash, sticky=sticky, timeout=timeout)
        self.calls["eth_sendRawTransaction"] = self.calls.get("eth_sendRawTransaction", 0) + 1
        taken, error = self.answers.pop(0)
        if taken:
            self.pools[0][sticky, decoded(raw, sticky).nonce] = decoded(raw, sticky)
        await asyncio.sleep(self.seconds)
        raise error


@asynccontextmanager
async def play(*answers, depth=0, lag=0.0, blocks=2.0):
    """An account before such a chain, which makes a block every so many seconds."""
    chain = ToldChain(random.Random(1), nodes=1, lag=lag, answers=list(answers))
    async with one_account(chain, KEY, blocks=blocks, depth=depth) as (accounts, account):
        yield chain, accounts, account


def intent(number, value=0):
    return Call(b"\x11" * 20, number.to_bytes(4, "big"), value)


async def send(account, number=1, **more):
    return await account.send(intent(number), terms(), **{"timeout": 120.0, **more})


def times(chain, number=1):
    return chain.included(intent(number).data)


async def test_where_nobody_knows_whether_a_node_has_it_another_one_with_its_nonce_gives_it_no_other():
    async with play((True, OUTBID), blocks=5.0) as (chain, accounts, account):
        sent = await send(account)
        await sent.included()
        assert await accounts.settle(60)
        assert (sent.nonce, times(chain)) == (0, 1)


async def test_a_count_that_is_ahead_of_receipts_makes_no_second_one():
    async with play((True, LOST), (False, USED), (False, USED), lag=7.0) as (chain, accounts, account):
        sent = await send(account)
        assert await accounts.settle(60)
        assert (sent.landed(), sent.nonce, times(chain)) == (True, 0, 1)


async def test_what_a_node_refused_as_used_up_is_nowhere_and_gets_another_nonce_at_once():
    async with play(lag=30.0) as (chain, accounts, account):
        chain.use(KEY.address)
        sent = await send(account)
        assert sent.nonce == 1
        assert asyncio.get_running_loop().time() < 5
        assert await accounts.settle(60)
        assert times(chain) == 1


@pytest.mark.parametrize("depth", [0, 3])
async def test_what_was_displaced_waits_until_the_chain_takes_that_back_no_more(depth):
    async with play(depth=depth) as (chain, _, account):
        sent = await send(account)
        chain.use(KEY.address)  # block 1
        while sent.nonce == 0:
            await asyncio.sleep(0.1)
        assert len(chain.blocks) > 1 + depth
        await sent.included()
        assert times(chain) == 1


async def test_who_is_cancelled_while_it_is_sent_again_keeps_its_nonce():
    async with play((False, AWAY), (True, LOST)) as (chain, accounts, account):
        chain.seconds = 5.0
        work = asyncio.create_task(send(account))
        while chain.answers:
            await asyncio.sleep(0.1)
        work.cancel()
        await asyncio.wait([work])
        assert account.flying[0].doubtful
        assert await accounts.settle(60)
        assert times(chain) == 1


async def test_what_cannot_be_signed_leaves_nothing_behind():
    async with play() as (chain, accounts, account):
        with pytest.raises(OverflowError):
            await account.send(intent(1, -1), terms())
        assert (account.pending, account.flying, accounts.pending) == (0, {}, 0)
        await (await send(account)).included()
        assert times(chain) == 1


async def test_nothing_is_on_its_way_only_when_it_is_so():
    async with play() as (_, accounts, account):
        await (await send(account, 1)).included()
        await send(account, 2)
        assert not await accounts.settle(0.5)
        assert await accounts.settle(10)


async def test_once_it_is_quiet_nothing_is_sent_and_what_lands_is_told():
    async with play(blocks=30.0) as (chain, accounts, account):
        sink = Counted()
        for number in range(3):
            await send(account, number, sink=sink)
        accounts.quiet()
        sends = chain.calls["eth_sendRawTransaction"]
        del chain.pools[0][KEY.address, 2]
        with pytest.raises(SendError) as caught:
            await send(account, 4, sink=sink)
        assert (caught.value.kind, caught.value.may_land) == (Kind.STOPPED, False)
        assert not await accounts.settle(300)
        assert chain.calls["eth_sendRawTransaction"] == sends
        assert (accounts.pending, sink.told.count("included"), sink.failures) == (1, 2, [])


async def test_what_is_being_sent_when_it_becomes_quiet_has_not_failed():
    async with play(*[(False, AWAY)] * 9) as (_, accounts, account):
        sink = Counted()
        work = asyncio.create_task(send(account, sink=sink))
        await asyncio.sleep(1)
        accounts.quiet()
        with pytest.raises(SendError) as caught:
            await work
        assert (caught.value.kind, sink.failures, accounts.pending) == (Kind.STOPPED, [], 0)


async def test_a_defect_in_looking_after_transactions_is_told_once(monkeypatch):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    async def defect(_account):
        raise ZeroDivisionError

    monkeypatch.setattr("squall_runner.evm.sending.tending.tend", defect)
    async with play((False, AWAY), blocks=60.0) as (_, accounts, account):
        await send(account)
        await accounts.settle(50)
    assert [type(each) for each in told] == [ZeroDivisionError]


async def test_an_internal_error_is_asked_about_and_then_believed():
    async with play(*[(False, INTERNAL)] * 50) as (chain, _, account):
        with pytest.raises(SendError) as caught:
            await send(account)
        assert (caught.value.kind, caught.value.may_land) == (Kind.SERVER_ERROR, True)
        assert chain.calls["eth_sendRawTransaction"] == 3
        assert asyncio.get_running_loop().time() < 5
    async with play((True, INTERNAL)) as (chain, _, account):
        await (await send(account)).included()
        assert times(chain) == 1


async def test_while_a_replacement_is_handed_over_nobody_else_hands_it_over():
    async with play(blocks=4.0) as (chain, accounts, account):
        sent = await account.send(intent(1), terms(replace_after=2.0, max_replacements=1))
        chain.seconds, chain.answers = 1.0, [(False, OUTBID_HERE)]
        while len(sent.versions) == 1:
            await asyncio.sleep(0.1)
        chain.forget()
        # Were it taken now, and its replacement refused a moment later, it would be in a block as what nobody looks for.
        await gaps.close_up(account)
        assert await accounts.settle(60)
        assert (sent.landed(), sent.nonce, times(chain)) == (True, 0, 1)


async def test_only_a_version_that_was_signed_counts_as_a_replacement():
    sink, limited = Counted(), terms(limit=5 * GWEI, headroom=9, replace_after=1000.0)
    async with play(blocks=60.0) as (chain, accounts, account):
        sent = await account.send(intent(1), limited, sink=sink)
        chain.forget()
        chain.answers = [(False, UNDERPRICED)]
        assert await accounts.settle(100)
        assert (len(sent.versions), sink.told.count("replaced"), times(chain)) == (1, 0, 1)


@pytest.mark.parametrize("sends", [0, 1, 6])
async def test_what_was_in_blocks_that_are_gone_is_sent_again_and_not_filled(sends):
    async with play(blocks=5.0) as (chain, accounts, account):
        early = [await send(account, number) for number in range(3)]
        for sent in early:
            await sent.included()
        for number in range(3, 6):
            await send(account, number)
        lost, before = chain.lose(), chain.calls["eth_sendRawTransaction"]
        # A node tells of other counts before anybody knows of other blocks.
        while chain.calls["eth_sendRawTransaction"] < before + sends:
            await asyncio.sleep(0.01)
        chain.tell_lost(lost)
        assert await accounts.settle(100)
        assert [times(chain, number) for number in range(6)] == [1] * 6
        assert account.nonces.end == 6


def test_all_kinds_of_failures_have_an_answer():
    assert set(ANSWERS) == set(Kind)
    assert answer_to(INTERNAL) is Answer.ASK
    assert answer_to(RpcError(Kind.SERVER_ERROR, "HTTP status 502")) is Answer.AGAIN


async def test_a_transaction_has_one_outcome_whenever_it_lands():
    recorder = Recorder(0, "a")
    async with play(blocks=30.0) as (chain, accounts, account):
        chain.base_fee = GWEI
        sink = TxMeters(recorder, (), allow_revert=False, wall=0.0)
        decided = []
        sent = await send(account, sink=sink, timeout=10.0)
        sent.when_decided(lambda: decided.append(sent.failure))
        assert await accounts.settle(60)
        assert sent.landed()
        assert decided == [sent.failure]
        sent.when_decided(lambda: decided.append("at once"))
        assert decided[1:] == ["at once"]
    failed = recorder.rate("evm_tx_failed", ())
    assert (failed.hits, failed.total) == (1, 1)
