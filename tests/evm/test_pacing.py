"""Turns by gas, in virtual time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.share import WHOLE, Share
from squall_runner.evm.sending.pacing import GasRate, MempoolDepth, Pacer

pytestmark = pytest.mark.looptime(resolution=1e-9)


class Scene:
    def __init__(self, measure):
        self.loop = asyncio.get_running_loop()
        self.begun = self.loop.time()
        self.pacer = Pacer(measure, self.loop.time, lambda: 100)
        self.went = []

    def now(self):
        return round(self.loop.time() - self.begun, 6)

    async def go(self, name, gas=None):
        turn = await self.pacer.turn(gas)
        self.went.append((name, self.now()))
        return turn

    def join(self, *names, gas=None):
        return [asyncio.ensure_future(self.go(name, gas)) for name in names]


def pool(blocks, share, gas_limit=1000):
    there = [0]
    return MempoolDepth(blocks, share, gas_limit=lambda: gas_limit, on_its_way=lambda: there[0]), there


async def test_each_waits_for_the_gas_of_those_before():
    scene = Scene(GasRate(100, WHOLE))
    await asyncio.gather(*scene.join("a", gas=50), *scene.join("b", gas=200), *scene.join("c", "d"))
    assert [(name, round(at, 1)) for name, at in scene.went] == [("a", 0), ("b", 0.5), ("c", 2.5), ("d", 3.5)]


async def test_who_is_cancelled_costs_nothing():
    scene = Scene(GasRate(100, WHOLE))
    waiting = scene.join(*"abcd")
    await asyncio.sleep(0.5)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [(name, round(at)) for name, at in scene.went] == [("a", 0), ("c", 1), ("d", 2)]


async def test_a_quiet_time_is_not_made_up():
    scene = Scene(GasRate(100, WHOLE))
    await asyncio.gather(*scene.join("a"))
    await asyncio.sleep(100)
    await asyncio.gather(*scene.join("b", "c"))
    assert scene.went[2][1] - scene.went[1][1] == pytest.approx(1, abs=0.011)


@given(rate=st.integers(1, 10**9), shards=st.integers(1, 50))
def test_all_shards_together_have_the_whole_rate(rate, shards):
    assert sum(GasRate(rate, Share(index, shards))._rate for index in range(shards)) == rate


async def test_a_shard_without_a_share_sends_nothing():
    scene = Scene(GasRate(1, Share(1, 2)))
    (waiting,) = scene.join("a")
    await asyncio.sleep(1000)
    waiting.cancel()
    assert scene.went == []


async def test_the_mempool_is_filled_up_and_no_further():
    depth, there = pool(2, Share(0, 4))  # 500 of 2,000 gas
    scene = Scene(depth)
    waiting = scene.join(*"abcdefg")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [name for name, _ in scene.went] == list("abcde")
    for task in waiting[:5]:  # sent: from reserved to on its way
        there[0] += 100
        task.result().close()
    await asyncio.sleep(1)
    assert len(scene.went) == 5
    there[0] -= 100
    scene.pacer.look()
    await asyncio.sleep(0)
    assert scene.went[5:] == [("f", 1)]
    waiting[5].result().close()
    waiting[5].result().close()
    await asyncio.gather(*waiting)
    assert depth.reserved == 100, "the last one's, and f's is given back once"


async def test_a_turn_that_is_not_used_is_the_next_ones():
    scene = Scene(pool(1, WHOLE, gas_limit=100)[0])
    with await scene.go("a"):
        waiting = scene.join("b")
        await asyncio.sleep(1)
        assert len(scene.went) == 1
    await asyncio.gather(*waiting)
    assert scene.went[1] == ("b", 1)


async def test_one_that_is_larger_than_the_mempool_goes_alone():
    scene = Scene(pool(1, Share(0, 10))[0])
    waiting = scene.join("a", "b", gas=5000)
    await asyncio.sleep(1)
    assert scene.went == [("a", 0)]
    waiting[0].result().close()
    await asyncio.gather(*waiting)


async def test_when_the_first_in_line_gives_up_a_smaller_one_may_go():
    depth, there = pool(1, WHOLE)
    there[0] = 900
    scene = Scene(depth)
    (large,) = scene.join("large", gas=500)
    waiting = scene.join("small")
    await asyncio.sleep(1)
    assert scene.went == []
    large.cancel()
    await asyncio.gather(*waiting)
    assert scene.went == [("small", 1)]


async def test_thousands_wait_with_one_timer(monkeypatch):
    scene = Scene(GasRate(100_000, WHOLE))
    timers = []
    call_later = scene.loop.call_later
    monkeypatch.setattr(scene.loop, "call_later", lambda *args: timers.append(args) or call_later(*args))
    waiting = scene.join(*map(str, range(2000)))
    await asyncio.sleep(0)
    assert len(timers) == 1
    await asyncio.gather(*waiting)
    assert [name for name, _ in scene.went] == list(map(str, range(2000)))
    assert scene.went[-1][1] == pytest.approx(1.999, abs=0.02)
