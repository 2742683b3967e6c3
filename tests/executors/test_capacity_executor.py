"""What runners do of a search: the levels as ordered, exact on any number of shards, and an end at any moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.iterations import Bench

from squall.hub.protocol import Level

pytestmark = pytest.mark.looptime

SECOND = 1_000_000_000
THRESHOLDS = [{"metric": "http_req_duration", "expression": "p(95)<200ms"}]


def search(seconds: float, by: str, *, most: int = 1000, shards: int = 1, **scenario: Any) -> Bench:
    wanted = {"by": by, "start": 1, "max": most, "thresholds": THRESHOLDS, "hold": "3s", "settle": "0s"}
    return Bench(seconds, executor="capacity", search=wanted, shards=shards, **scenario)


async def order(bench: Bench, number: int, target: int, at: float, *, last: bool = False) -> None:
    """What the hub does: tell of a level some time before it begins."""
    await asyncio.sleep(max(0.0, at - 0.2 - asyncio.get_running_loop().time()))
    bench.load.level = Level("s", number, target, round(at * SECOND), last)


async def orders(bench: Bench, *levels: tuple[int, float]) -> None:
    for number, (target, at) in enumerate(levels):
        await order(bench, number, target, at, last=number == len(levels) - 1)


def within(times: list[float], first: float, last: float) -> int:
    return sum(first <= each < last for each in times)


@pytest.mark.parametrize("shards", [1, 2, 5])
async def test_each_level_has_its_rate_from_its_moment_on(shards: int) -> None:
    bench = search(0.005, "rate", shards=shards, maxVUs=50)
    await asyncio.gather(bench.run(), orders(bench, (40, 1), (7, 3), (0, 5), (100, 6), (0, 8)))
    counts = [within(bench.load.dues, at, at + 1) for at in range(9)]
    assert counts == [0, 40, 40, 7, 7, 0, 100, 100, 0]
    assert bench.load.planned.value == len(bench.load.starts) == 294
    assert max(s - d for s, d in zip(bench.load.starts, bench.load.dues, strict=True)) < 0.0011


async def test_a_level_counts_per_time_unit() -> None:
    bench = search(0.005, "rate", timeUnit="1m", maxVUs=5)
    await asyncio.gather(bench.run(), orders(bench, (30, 0), (0, 10)))
    assert bench.load.dues == [0.0, 2.0, 4.0, 6.0, 8.0]


async def test_an_arrival_that_is_far_away_does_not_delay_the_next_level() -> None:
    bench = search(0.005, "rate", timeUnit="1m", maxVUs=5)
    await asyncio.gather(bench.run(), orders(bench, (1, 0), (120, 2), (0, 4)))
    assert bench.load.dues == [0.0, 2.0, 2.5, 3.0, 3.5]


@pytest.mark.parametrize("shards", [1, 2, 5])
async def test_each_level_has_its_vus(shards: int) -> None:
    bench = search(0.1, "vus", shards=shards)
    active: list[int] = []

    async def look() -> None:
        for second in range(9):
            await asyncio.sleep(second + 0.55 - asyncio.get_running_loop().time())
            active.append(bench.load.active)

    await asyncio.gather(bench.run(), look(), orders(bench, (4, 1), (7, 2), (0, 3), (9, 5), (2, 6), (0, 8)))
    assert active == [0, 4, 7, 0, 0, 9, 2, 2, 0]
    assert sorted(bench.load.made) == list(range(9))


async def test_measurements_have_the_level_as_their_stage() -> None:
    bench = search(0.1, "vus")
    seen: list[str] = []

    async def look() -> None:
        for second in range(4):
            await asyncio.sleep(second + 0.5 - asyncio.get_running_loop().time())
            seen.append(bench.load.stage)

    await asyncio.gather(bench.run(), look(), orders(bench, (4, 1), (0, 2), (12, 3), (0, 4)))
    assert seen == ["", "4", "4", "12"]


async def test_an_order_that_is_repeated_or_overtaken_changes_nothing() -> None:
    bench = search(0.005, "rate", maxVUs=50)

    async def tell() -> None:
        await order(bench, 3, 10, 1)
        await order(bench, 3, 10, 1)
        await asyncio.sleep(1)
        bench.load.level = Level("s", 2, 500, 2 * SECOND)
        await order(bench, 4, 0, 3, last=True)

    await asyncio.gather(bench.run(), tell())
    assert len(bench.load.starts) == 20


@pytest.mark.parametrize("by", ["rate", "vus"])
async def test_who_comes_late_joins_the_level_where_it_is(by: str) -> None:
    bench = search(0.1, by, maxVUs=50) if by == "rate" else search(0.1, by)

    async def late() -> None:
        await asyncio.sleep(5)
        bench.load.level = Level("s", 8, 10, SECOND)
        await order(bench, 9, 0, 7, last=True)

    await asyncio.gather(bench.run(), late())
    assert min(bench.load.starts) >= 5
    assert len(bench.load.starts) == (20 if by == "rate" else pytest.approx(200, abs=10))


@pytest.mark.parametrize("by", ["rate", "vus"])
async def test_without_orders_there_is_no_load_until_the_time_is_up(by: str) -> None:
    bench = search(0.1, by, maxDuration="8s")
    assert await bench.run() == pytest.approx(8, abs=0.1)
    assert bench.load.starts == []


@pytest.mark.parametrize("by", ["rate", "vus"])
async def test_a_level_without_an_end_ends_with_the_scenario(by: str) -> None:
    bench = search(0.1, by, maxDuration="8s")
    bench.load.level = Level("s", 0, 10, SECOND)
    assert await bench.run() == pytest.approx(8, abs=0.2)
    assert 7.8 < max(bench.load.starts) < 8
    assert bench.load.active == 0


@pytest.mark.parametrize("by", ["rate", "vus"])
async def test_at_the_end_iterations_have_the_graceful_stop(by: str) -> None:
    bench = search(4.0, by, gracefulStop="1s")
    took, _ = await asyncio.gather(bench.run(), orders(bench, (2, 0), (0, 2)))
    assert took == pytest.approx(3, abs=0.1)
    assert bench.load.interrupted == len(bench.load.starts) == (4 if by == "rate" else 2)


@pytest.mark.parametrize("by", ["rate", "vus"])
async def test_a_vu_that_pauses_and_goes_on_is_the_same(by: str) -> None:
    bench = search(1.2, by)
    took, _ = await asyncio.gather(bench.run(), orders(bench, (3, 0), (0, 1), (3, 2), (0, 3)))
    assert took == pytest.approx(4.2 if by == "rate" else 3.4, abs=1.0)
    assert len(bench.load.made) == (3 if by == "vus" else len(set(bench.load.made)))
    assert bench.load.interrupted == 0
    assert bench.load.finished == len(bench.load.starts)


@pytest.mark.parametrize("by", ["rate", "vus"])
@pytest.mark.parametrize("when", [0.5, 1.5, 2.5, 3.5])
async def test_a_stop_at_any_moment_ends_it(by: str, when: float) -> None:
    bench = search(0.3, by)

    async def stop() -> None:
        await asyncio.sleep(when)
        bench.stop(0.1)

    tell = asyncio.create_task(orders(bench, (20, 1), (0, 2), (30, 3), (0, 60)))
    took, _ = await asyncio.gather(bench.run(), stop())
    tell.cancel()
    assert took <= when + 0.2
    assert bench.load.active == 0
    assert all(start <= when for start in bench.load.starts)


@pytest.mark.parametrize("by", ["rate", "vus"])
async def test_a_shard_without_data_ends(by: str) -> None:
    wanted = {"by": by, "start": 1, "max": 50, "thresholds": THRESHOLDS}
    bench = Bench(0.1, executor="capacity", search=wanted, rows=12)
    tell = asyncio.create_task(orders(bench, (10, 0), (0, 60)))
    assert await bench.run() < 5
    tell.cancel()
    assert bench.load.finished == 12
