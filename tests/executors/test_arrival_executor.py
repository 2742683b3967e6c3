import asyncio
import itertools

import pytest
from support.iterations import Bench

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("shards", [1, 2, 5])
async def test_arrivals_are_exact_and_on_time(shards):
    bench = Bench(
        0.005, executor="constant-arrival-rate", rate=200, duration="10s", preAllocatedVUs=20, shards=shards
    )
    await bench.run()
    assert len(bench.load.starts) == 2000
    assert bench.load.dropped.value == 0
    assert bench.load.planned.value == 2000
    lags = [start - due for start, due in zip(bench.load.starts, bench.load.dues, strict=True)]
    assert min(lags) >= 0
    assert max(lags) <= 0.0011
    assert bench.load.active == 0


async def test_a_ramp_of_arrivals_has_the_area_under_its_line():
    bench = Bench(
        0.01,
        executor="ramping-arrival-rate",
        preAllocatedVUs=50,
        stages=[{"duration": "10s", "target": 100}, {"duration": "10s", "target": 0}],
    )
    await bench.run()
    assert len(bench.load.starts) == bench.plan.planned_iterations == 1000
    assert len([start for start in bench.load.starts if start < 5]) == pytest.approx(125, abs=1)


async def test_poisson_arrivals_are_all_started():
    bench = Bench(
        0.001,
        executor="constant-arrival-rate",
        rate=100,
        duration="20s",
        arrivals="poisson",
        seed=4,
        preAllocatedVUs=50,
    )
    await bench.run()
    assert len(bench.load.starts) == sum(1 for _ in bench.plan.arrivals_of(0))
    assert len(bench.load.starts) == pytest.approx(2000, abs=200)


async def test_vus_are_made_as_they_are_needed_up_to_the_maximum():
    bench = Bench(1.0, executor="constant-arrival-rate", rate=10, duration="5s", preAllocatedVUs=2, maxVUs=30)
    await bench.run()
    assert len(bench.load.made) in {10, 11}  # a VU may come free in the very moment of an arrival
    assert bench.load.dropped.value == 0


async def test_saturated_arrivals_are_dropped_and_counted():
    bench = Bench(1.0, executor="constant-arrival-rate", rate=10, duration="10s", preAllocatedVUs=3, maxVUs=3)
    await bench.run()
    started = len(bench.load.starts)
    assert started + bench.load.dropped.value == 100
    assert started == pytest.approx(30, abs=3)
    assert len(bench.load.made) == 3


async def test_saturated_arrivals_wait_when_they_are_told_to():
    bench = Bench(
        0.25,
        executor="constant-arrival-rate",
        rate=5,
        duration="10s",
        maxVUs=1,
        preAllocatedVUs=1,
        whenSaturated="queue",
    )
    await bench.run()
    started = len(bench.load.starts)
    assert started == pytest.approx(40, abs=1)  # four a second is all that one VU can do
    assert started + bench.load.dropped.value == 50
    lags = [start - due for start, due in zip(bench.load.starts, bench.load.dues, strict=True)]
    assert lags == sorted(lags)
    assert lags[-1] == pytest.approx(2.0, abs=0.3)  # the whole wait is visible


async def test_a_shard_that_comes_back_leaves_out_what_was_due_before():
    bench = Bench(0.01, executor="constant-arrival-rate", rate=100, duration="10s", preAllocatedVUs=300)
    await bench.run(-4.0)
    assert len(bench.load.starts) == 600


async def test_a_start_that_is_a_little_late_leaves_out_nothing():
    bench = Bench(0.01, executor="constant-arrival-rate", rate=100, duration="10s", preAllocatedVUs=300)
    await bench.run(-0.5)
    assert len(bench.load.starts) == 1000
    lags = [start - due for start, due in zip(bench.load.starts, bench.load.dues, strict=True)]
    assert max(lags) == pytest.approx(0.5, abs=0.01)


async def test_arrivals_due_during_a_stall_all_start_with_their_own_due_times():
    bench = Bench(0.01, executor="constant-arrival-rate", rate=1000, duration="2s", preAllocatedVUs=1000)
    loop = asyncio.get_running_loop()
    run = asyncio.create_task(bench.run())
    await asyncio.sleep(0.5)
    original = bench.timeline.now
    frozen = original()
    bench.timeline.__class__ = type(
        "Stalled", (type(bench.timeline),), {"__slots__": (), "now": lambda _: frozen}
    )
    await asyncio.sleep(0.5)
    bench.timeline.__class__ = type(bench.timeline).__mro__[1]
    await run
    assert len(bench.load.starts) == 2000
    assert len(set(bench.load.dues)) == 2000
    lags = [start - due for start, due in zip(bench.load.starts, bench.load.dues, strict=True)]
    assert 0.4 < max(lags) < 0.6
    assert loop.time() < 3


async def test_planned_arrivals_follow_the_clock_even_if_the_pacer_does_not():
    bench = Bench(0.01, executor="constant-arrival-rate", rate=100, duration="10s", preAllocatedVUs=10)
    run = asyncio.create_task(bench.run())
    await asyncio.sleep(3.005)
    bench.executors[0].account()
    assert bench.load.planned.value == 301
    await run
    assert bench.load.planned.value == 1000


async def test_iterations_are_interrupted_after_graceful_stop():
    bench = Bench(
        100.0, executor="constant-arrival-rate", rate=1, duration="5s", preAllocatedVUs=10, gracefulStop="3s"
    )
    took = await bench.run()
    assert bench.load.interrupted == 5
    assert took == pytest.approx(8.0, abs=0.01)


async def test_max_iterations_bounds_the_arrivals():
    bench = Bench(
        0.01,
        executor="constant-arrival-rate",
        rate=100,
        duration="1h",
        preAllocatedVUs=10,
        maxIterations=250,
        shards=3,
    )
    await bench.run()
    assert len(bench.load.starts) == 250


async def test_a_stop_ends_the_pacer_and_the_iterations():
    bench = Bench(
        30.0, executor="constant-arrival-rate", rate=10, duration="1h", preAllocatedVUs=500, maxVUs=500
    )
    run = asyncio.create_task(bench.run())
    await asyncio.sleep(5)
    started = len(bench.load.starts)
    bench.stop(0.5)
    took = await run
    assert len(bench.load.starts) == started
    assert took == pytest.approx(5, abs=0.6)
    assert bench.load.interrupted == started
    assert bench.load.dropped.value == 0


async def test_data_that_ends_ends_the_arrivals():
    bench = Bench(0.1, executor="constant-arrival-rate", rate=10, duration="1h", preAllocatedVUs=5, rows=20)
    took = await bench.run()
    assert bench.load.finished == 20
    assert took < 5


async def test_roles_carry_only_their_own_scenarios():
    bench = Bench(
        0.01,
        executor="constant-arrival-rate",
        rate=10,
        duration="2s",
        preAllocatedVUs=5,
        shards=4,
        placement={"shards": "2-3"},
    )
    assert [bench.plan.share_for(shard) is not None for shard in range(4)] == [False, True, True, False]
    bench.carried = (1, 2)
    await bench.run()
    assert len(bench.load.starts) == 20


@pytest.mark.parametrize("shards", [1, 3])
async def test_after_a_stall_exactly_what_was_missed_starts_at_once_and_nothing_else(shards):
    bench = Bench(
        0.001, executor="constant-arrival-rate", rate=100, duration="10s", preAllocatedVUs=300, shards=shards
    )
    run = asyncio.create_task(bench.run())
    await asyncio.sleep(3.0005)
    before = len(bench.load.starts)
    # The clock stands still for the executors, as if the event loop did not turn for two seconds.
    real, moment = bench.timeline._clock, bench.timeline._clock()
    bench.timeline._clock = lambda: moment
    await asyncio.sleep(2.0)
    assert len(bench.load.starts) - before <= 1, "nobody starts what is not due yet"
    bench.timeline._clock = real
    await asyncio.sleep(0.0095)
    assert len(bench.load.starts) == pytest.approx(502, abs=1), "all that was missed, and no more"
    await run
    assert len(bench.load.starts) == bench.load.planned.value == 1000
    assert sorted(bench.load.dues) == pytest.approx([number / 100 for number in range(1000)])
    later = sorted(start for start in bench.load.starts if start >= 5.03)
    assert min(b - a for a, b in itertools.pairwise(later)) > 0.008, "then the rate is the plan's again"


async def test_catching_up_lets_others_have_their_turn():
    bench = Bench(0.5, executor="constant-arrival-rate", rate=5_000, duration="1s", preAllocatedVUs=5_000)
    turns: list[int] = []

    async def look() -> None:
        while len(bench.load.starts) < 2500:
            turns.append(len(bench.load.starts))
            await asyncio.sleep(0)

    run = asyncio.create_task(bench.run(-0.5))  # half a second late: half of them are due at once
    await look()
    assert len(turns) > 5, "no more than a few hundred start in one turn of the loop"
    assert max(b - a for a, b in itertools.pairwise(turns)) <= 512
    await run
    assert len(bench.load.starts) == 5_000


async def test_every_iteration_is_given_the_moment_at_which_it_was_due():
    bench = Bench(
        0.02, executor="constant-arrival-rate", rate=50, duration="4s", preAllocatedVUs=10, startTime="2s"
    )
    await bench.run()
    assert bench.load.dues == pytest.approx([2 + number / 50 for number in range(200)])
