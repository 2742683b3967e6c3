"""The operator's queue: each key once, never two at one key, nothing lost; in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall_operator.queue import FIRST_RETRY, LAST_RETRY, WorkQueue

pytestmark = pytest.mark.looptime


class Work:
    """What is done with keys: it takes its time, fails when told to, and notes what happened."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.done: list[tuple[float, str]] = []
        self.failures: list[float] = []
        self.fail = 0
        self.busy: Counter[str] = Counter()
        self.most = 0
        self.again: float | None = None
        loop = asyncio.get_running_loop()
        self.queue: WorkQueue[str] = WorkQueue(self._do, self._failed, loop.time)
        self._now = loop.time

    async def _do(self, key: str) -> float | None:
        self.busy[key] += 1
        self.most = max(self.most, sum(self.busy.values()))
        assert self.busy[key] == 1, "two hands at one key"
        try:
            await asyncio.sleep(self.seconds)
            self.done.append((self._now(), key))
            if self.fail:
                self.fail -= 1
                raise RuntimeError(key)
        finally:
            self.busy[key] -= 1
        return self.again

    def _failed(self, key: str, error: Exception) -> None:
        assert str(error) == key
        self.failures.append(self._now())

    async def during(self, seconds: float, hands: int = 8) -> None:
        task = asyncio.create_task(self.queue.run(hands))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_that_is_added_often_is_looked_at_once() -> None:
    work = Work()
    for _ in range(100):
        work.queue.add("a")
    assert work.queue.waiting == 1
    await work.during(10)
    assert [key for _, key in work.done] == ["a"]


async def test_what_comes_while_a_key_is_looked_at_leads_to_one_more_look() -> None:
    work = Work()
    work.queue.add("a")
    for _ in range(5):
        asyncio.get_running_loop().call_later(0.5, work.queue.add, "a")
    await work.during(10)
    assert work.done == [(1.0, "a"), (2.0, "a")]


async def test_the_earlier_of_two_wishes_counts() -> None:
    work = Work(0.0)
    work.queue.add("a", 5.0)
    work.queue.add("a", 2.0)
    work.queue.add("a", 4.0)
    await work.during(10)
    assert work.done == [(2.0, "a")]


async def test_work_that_asks_for_another_look_gets_it_in_its_time() -> None:
    work = Work(0.0)
    work.again = 3.0
    work.queue.add("a")
    await work.during(10)
    assert [moment for moment, _ in work.done] == [0.0, 3.0, 6.0, 9.0]


async def test_what_fails_is_tried_later_and_later_and_a_success_forgets_it() -> None:
    work = Work(0.0)
    work.fail = 8
    work.queue.add("a")
    await work.during(200)
    waits = [later - earlier for (earlier, _), (later, _) in zip(work.done, work.done[1:], strict=False)]
    assert waits == [min(LAST_RETRY, FIRST_RETRY * 2**count) for count in range(8)]
    assert len(work.failures) == 8
    work.fail = 1
    work.queue.add("a")
    began = asyncio.get_running_loop().time()
    await work.during(5)
    assert [moment - began for moment, _ in work.done[-2:]] == [0.0, FIRST_RETRY]


async def test_one_keys_trouble_holds_up_no_other() -> None:
    work = Work(1.0)
    for number in range(20):
        work.queue.add(str(number))
    await work.during(3.5, hands=8)
    assert len(work.done) == 20
    assert work.most == 8


async def test_keys_survive_the_end_of_the_work_and_are_done_by_the_next() -> None:
    work = Work(1.0)
    for number in range(10):
        work.queue.add(str(number))
    await work.during(0.5, hands=3)
    assert work.done == []
    await work.during(20, hands=3)
    assert sorted(key for _, key in work.done) == sorted(map(str, range(10)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc"), st.floats(0, 3)), min_size=1, max_size=30),
    st.integers(1, 4),
)
def test_every_wish_is_followed_by_a_look_that_began_after_it(
    wishes: list[tuple[float, str, float]], hands: int
) -> None:
    now = 0.0
    began: list[tuple[float, str]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        nonlocal now
        start = loop.time()

        async def work(key: str) -> None:
            began.append((clock(), key))
            await asyncio.sleep(0)

        def clock() -> float:
            return now

        queue: WorkQueue[str] = WorkQueue(work, lambda *_: None, clock)
        del start
        for moment, key, after in sorted(wishes):
            now = moment
            queue.add(key, after)
        now = 100.0
        task = asyncio.create_task(queue.run(hands))
        for _ in range(200):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert queue.waiting == 0

    asyncio.run(main())
    assert {key for _, key in began} == {key for _, key, _ in wishes}
    assert len(began) == len({key for _, key in began}), "each stands in the queue at most once"
