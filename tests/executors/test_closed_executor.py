import asyncio

import pytest
from support.iterations import Bench

pytestmark = pytest.mark.looptime


async def test_constant_vus_iterate_until_the_end():
    bench = Bench(0.3, executor="constant-vus", vus=3, duration="3s")
    took = await bench.run()
    # Each VU starts at 0, 0.3, ..., 2.7; the last ends at 3.0 and no further one starts then.
    assert len(bench.load.starts) == pytest.approx(30, abs=3)
    assert bench.load.finished == len(bench.load.starts)
    assert took == pytest.approx(3.0, abs=0.31)
    assert max(bench.load.starts) < 3.0
    assert bench.load.active == 0


async def test_ramps_are_exact_to_the_vu_at_every_moment():
    stages = [
        {"duration": "10s", "target": 20},
        {"duration": "5s", "target": 20},
        {"duration": "10s", "target": 5},
    ]
    bench = Bench(0.05, executor="ramping-vus", stages=stages)
    seen: list[tuple[float, int, int, int]] = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 24.9:
            await asyncio.sleep(0.25)
            now = loop.time()
            low = min(bench.plan.target(round((now - d) * 1e9)) for d in (0, 0.06))
            high = max(bench.plan.target(round((now - d) * 1e9)) for d in (0, 0.06))
            seen.append((now, bench.load.active, int(low), int(high)))

    await asyncio.gather(bench.run(), look())
    assert len(seen) > 90
    assert all(low <= active <= high for _, active, low, high in seen), seen
    assert max(active for _, active, _, _ in seen) == 20


async def test_shards_together_make_the_same_ramp():
    stages = [{"duration": "4s", "target": 10}, {"duration": "4s", "target": 0}]
    whole = Bench(0.1, executor="ramping-vus", stages=stages)
    parts = Bench(0.1, executor="ramping-vus", stages=stages, shards=3)
    levels: list[tuple[int, int]] = []

    async def look() -> None:
        for _ in range(15):
            await asyncio.sleep(0.53)
            levels.append((whole.load.active, parts.load.active))

    await asyncio.gather(whole.run(), parts.run(), look())
    assert all(a == b for a, b in levels), levels
    assert sorted(parts.load.made) == sorted(whole.load.made) == list(range(10))


async def test_a_ramped_down_vu_may_finish_within_its_grace():
    stages = [
        {"duration": "0s", "target": 4},
        {"duration": "1s", "target": 4},
        {"duration": "0s", "target": 0},
        {"duration": "9s", "target": 0},
    ]
    kind = Bench(3.0, executor="ramping-vus", stages=stages, gracefulRampDown="5s")
    await kind.run()
    assert (kind.load.finished, kind.load.interrupted) == (4, 0)
    strict = Bench(3.0, executor="ramping-vus", stages=stages, gracefulRampDown="1s")
    await strict.run(asyncio.get_running_loop().time())
    assert (strict.load.finished, strict.load.interrupted) == (0, 4)


async def test_a_vu_that_was_interrupted_comes_back_with_the_next_ramp():
    stages = [
        {"duration": "0s", "target": 1},
        {"duration": "1s", "target": 1},
        {"duration": "0s", "target": 0},
        {"duration": "2s", "target": 0},
        {"duration": "0s", "target": 1},
        {"duration": "1s", "target": 1},
    ]
    bench = Bench(2.0, executor="ramping-vus", stages=stages, gracefulRampDown="0s", gracefulStop="5s")
    await bench.run()
    assert bench.load.made == [0]
    assert [round(start) for start in bench.load.starts] == [0, 3]
    assert (bench.load.finished, bench.load.interrupted) == (1, 1)


async def test_the_planned_end_waits_for_graceful_stop_only():
    bench = Bench(60.0, executor="constant-vus", vus=2, duration="1s", gracefulStop="4s")
    took = await bench.run()
    assert took == pytest.approx(5.0, abs=0.01)
    assert bench.load.interrupted == 2


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
async def test_per_vu_iterations_are_exact(shards):
    bench = Bench(0.01, executor="per-vu-iterations", vus=5, iterations=7, shards=shards)
    await bench.run()
    assert bench.load.finished == 35
    assert bench.load.dropped.value == 0


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
async def test_shared_iterations_are_exact(shards):
    bench = Bench(0.01, executor="shared-iterations", vus=5, iterations=101, shards=shards)
    await bench.run()
    assert bench.load.finished == 101
    assert bench.load.dropped.value == 0


async def test_iterations_for_which_there_was_no_time_are_dropped_and_counted():
    bench = Bench(1.0, executor="shared-iterations", vus=2, iterations=100, maxDuration="3500ms")
    await bench.run()
    assert bench.load.finished == 8
    assert bench.load.dropped.value == 92


@pytest.mark.parametrize("shards", [1, 3])
async def test_max_iterations_caps_a_timed_scenario_exactly(shards):
    bench = Bench(0.01, executor="constant-vus", vus=4, duration="1h", maxIterations=50, shards=shards)
    took = await bench.run()
    assert bench.load.finished == 50
    assert bench.load.dropped.value == 0
    assert took < 60


async def test_a_scenario_starts_at_its_start_time():
    bench = Bench(0.5, executor="constant-vus", vus=1, duration="1s", startTime="20s")
    await bench.run()
    assert [round(start, 1) for start in bench.load.starts] == [20.0, 20.5]


async def test_joining_late_continues_with_the_plan():
    bench = Bench(0.1, executor="ramping-vus", stages=[{"duration": "10s", "target": 10}])
    await bench.run(-5.0)  # the run began five seconds ago
    early = [start for start in bench.load.starts if start < 0.01]
    assert len(early) == 5
    assert max(bench.load.starts) < 5.0


async def test_an_iteration_that_waits_for_nothing_does_not_stop_the_world():
    bench = Bench(0.0, executor="constant-vus", vus=2, duration="1h")
    run = asyncio.create_task(bench.run())
    for _ in range(50):
        await asyncio.sleep(0)
    before = bench.load.finished
    assert before > 10
    bench.stop(0)
    await run
    assert bench.load.finished <= before + 2


async def test_a_stop_starts_nothing_more_and_ends_at_once():
    bench = Bench(30.0, executor="ramping-vus", stages=[{"duration": "10s", "target": 100}])
    run = asyncio.create_task(bench.run())
    await asyncio.sleep(5)
    started = len(bench.load.starts)
    bench.stop(0.5)
    took = await run
    assert started == 50
    assert len(bench.load.starts) == started
    assert took == pytest.approx(5.0, abs=0.6)


async def test_data_that_ends_ends_the_scenario_on_that_shard():
    bench = Bench(0.1, executor="constant-vus", vus=3, duration="1h", rows=10)
    took = await bench.run()
    assert bench.load.finished == 10
    assert took < 2


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("grace", [0, 2, 30])
async def test_a_ramp_down_lets_go_of_exactly_those_whose_time_is_over(grace, shards):
    stages = [
        {"duration": "0s", "target": 30},
        {"duration": "2s", "target": 30},
        {"duration": "10s", "target": 0},
    ]
    # One iteration is longer than the whole ramp: whoever is ramped down goes when the grace is over, not before.
    bench = Bench(
        100.0,
        executor="ramping-vus",
        stages=stages,
        gracefulRampDown=f"{grace}s",
        gracefulStop="3s",
        shards=shards,
    )
    seen: list[tuple[float, int, int]] = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 14.9:
            await asyncio.sleep(0.1)
            now = loop.time()
            # Since the one that goes at `t` still stands at `t`, and timers have a millisecond.
            wanted = sum(1 for vu in range(30) if _leaves(bench.plan, vu) > now - 0.002)
            seen.append((now, bench.load.active, wanted))

    await asyncio.gather(bench.run(), look())
    assert [(now, active) for now, active, wanted in seen if active != wanted] == []
    assert len({active for _, active, _ in seen}) > {0: 25, 2: 25, 30: 0}[grace]
    assert bench.load.interrupted == 30


def _leaves(plan, vu):
    """When a VU whose iteration never ends is interrupted, in seconds."""
    ((_, end),) = plan.vu_intervals(vu)
    return plan.interrupt_ns(end) / 1e9
