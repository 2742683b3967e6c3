"""Whatever nodes do, each intent is on the chain at most once, and in the end once unless its sender was told of a failure."""

import asyncio
import random

import looptime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.simchain import GWEI, SimChain

from squall_runner.evm.sending.fees import FeePolicy
from squall_runner.evm.sending.fleet import Accounts, Patience
from squall_runner.evm.sending.gas import GasLimit
from squall_runner.evm.sending.outgoing import Call, SendError, Terms
from squall_runner.evm.signing.keys import wallet_key

KEYS = [wallet_key(b"property", index) for index in range(3)]
TROUBLE_SECONDS = 60.0
INTENTS = 40
MOST_CALLS = 30
"""For each intent, on the mean of a play; of a few hundred plays the mean is 5, and the most are 17."""


class Story:
    """What became of each intent: `included`, `refused`, `unsure` or `cancelled`."""

    def __init__(self) -> None:
        self.ends: dict[bytes, str] = {}

    async def send(self, account, data, terms, *, delay, seconds):
        await asyncio.sleep(delay)
        self.ends[data] = "cancelled"
        try:
            sent = await account.send(Call(b"\x11" * 20, data), terms, timeout=seconds)
            await sent.included()
        except SendError as error:
            self.ends[data] = "unsure" if error.may_land else "refused"
        else:
            self.ends[data] = "included"


async def trouble(chain: SimChain, rng: random.Random, end: float) -> None:
    """What happens to a chain beside bad answers, until `end`; then all is well."""
    loop = asyncio.get_running_loop()
    while loop.time() < end:
        await asyncio.sleep(rng.uniform(0.5, 6))
        match rng.randrange(4):
            case 0:
                chain.use(rng.choice(KEYS).address)
            case 1:
                chain.forget()
            case 2:
                chain.base_fee = GWEI * rng.choice([1, 2, 5, 20])
            case 3:
                chain.base_fee = GWEI
    chain.base_fee = GWEI
    chain.well = True


async def play(
    seed: int,
    *,
    nodes: int,
    strict: bool,
    replace: bool,
    cap: int,
    lag: float,
    drops: bool,
    keeps: int | None,
) -> None:
    rng = random.Random(seed)
    chain = SimChain(rng, nodes, strict, lag=lag, drops=drops, keeps=keeps)
    loop = asyncio.get_running_loop()
    accounts = Accounts(
        chain, chain, 1, clock=loop.time, rng=rng, most=cap, patience=Patience(least=4.0, most=8.0)
    )
    fees = FeePolicy(replace_after=8.0 if replace else None, max_replacements=10)
    story, background = Story(), [asyncio.create_task(chain.run())]
    background.append(asyncio.create_task(trouble(chain, rng, loop.time() + TROUBLE_SECONDS)))
    terms = Terms(GasLimit.fixed(50_000), fees)
    work = {}
    for number in range(INTENTS):
        data = number.to_bytes(4, "big") + b"intent"
        patient = rng.random() < 0.8
        story.ends[data] = "cancelled"
        one = story.send(
            accounts.of(rng.choice(KEYS)),
            data,
            terms,
            delay=rng.uniform(0, 50),
            seconds=400.0 if patient else rng.uniform(1, 20),
        )
        work[data] = asyncio.create_task(one)
    for task in rng.sample(list(work.values()), 4):
        loop.call_later(rng.uniform(1, 50), task.cancel)
    await asyncio.gather(*work.values(), return_exceptions=True)
    settled = await accounts.settle(200)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await accounts.close()
    assert sum(chain.calls.values()) <= MOST_CALLS * INTENTS, chain.calls
    for data, end in story.ends.items():
        times = chain.included(data)
        allowed = {"included": {1}, "refused": {0}}.get(end, {0, 1})
        assert times in allowed, f"{data!r} ended as {end} and is in {times} blocks"
    assert settled, f"{accounts.pending} transactions are still on their way"
    for key in KEYS:
        account = accounts.of(key)
        assert account.pending == 0
        if account.nonces is not None:
            assert account.nonces.free == []
            assert account.nonces.end <= chain.used.get(key.address, 0)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    nodes=st.integers(1, 3),
    strict=st.booleans(),
    replace=st.booleans(),
    cap=st.sampled_from([1, 4, 16]),
    lag=st.sampled_from([0.0, 3.0, 6.0]),
    drops=st.booleans(),
    keeps=st.sampled_from([None, 2, 8]),
)
def test_each_intent_happens_at_most_once_and_is_never_forgotten(
    *, seed, nodes, strict, replace, cap, lag, drops, keeps
):
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(
            play(
                seed,
                nodes=nodes,
                strict=strict,
                replace=replace,
                cap=cap,
                lag=lag,
                drops=drops,
                keeps=keeps,
            )
        )
