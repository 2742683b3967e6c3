from __future__ import annotations

import pytest
from support.measured import Runner

from squall.metrics.slots import SlotStore
from squall.verdict.saturation import Saturation, SaturationLimits, SaturationWatch

GOOD = {"loop_lag": [0.001] * 50, "schedule_lag": [0.002] * 50, "arrivals_planned": [50.0]}
LAGGING = GOOD | {"loop_lag": [0.001] * 45 + [0.2] * 5}
LATE = GOOD | {"schedule_lag": [0.3] * 50}
SHORT = GOOD | {"schedule_lag": [0.002] * 20}
CLOSED = {"loop_lag": [0.001] * 50}
OWN = {"loop_lag", "cpu_usage", "cores_busy", "cpu_throttled", "gc_pause"}
BUSY = {"cpu_usage": [0.99], "cores_busy": [0.5], "cpu_throttled": [0.0], "gc_pause": [0.002]}


def follow(seconds, shards=2, scenarios=("a", "b"), **limit) -> Saturation:
    limits = SaturationLimits(scenarios=scenarios, **limit)
    store, runner, watch = SlotStore(), Runner(), SaturationWatch(limits)
    for slot, values in enumerate(seconds):
        for metric, each in values.items():
            tags = {} if metric in OWN else {"scenario": "a"}
            runner.add(metric, *each, **tags)
        store.add(runner.snapshot(slot))
        watch.step(slot, store)
    return watch.result(shards)


@pytest.mark.parametrize(
    ("seconds", "share", "invalid", "said"),
    [
        ([GOOD] * 20, 0.0, False, ""),
        ([CLOSED] * 20, 0.0, False, ""),
        ([{}] * 3, 0.0, False, ""),
        ([], 0.0, False, ""),
        ([LAGGING] + [GOOD] * 19, 0.05, False, "event loop lagged"),
        ([LAGGING] * 2 + [GOOD] * 18, 0.1, True, "event loop lagged (p99 200 ms"),
        ([LATE] * 20, 1.0, True, "arrivals started late (p99 300 ms"),
        ([LATE] * 3 + [LAGGING] * 5 + [GOOD] * 12, 0.4, True, "event loop lagged"),
        ([SHORT] * 20, 1.0, True, "arrivals were left out"),
    ],
)
def test_a_run_is_doubted_when_its_generator_was_too_busy_for_too_long(seconds, share, invalid, said):
    found = follow(seconds)
    assert (found.share, found.invalid) == (pytest.approx(share), invalid)
    assert said in found.message


def test_whoever_tolerates_all_of_it_gets_a_verdict():
    found = follow([LATE] * 3, tolerated=1.0)
    assert (found.share, found.invalid) == (1.0, False)


def test_the_advice_follows_from_what_was_missing():
    assert "shards: 2 -> 5)" in follow([SHORT] * 20, shards=2).message
    assert "shards: 2 -> 3)" in follow([LAGGING] * 20, shards=2).message
    assert follow([SHORT] * 20).observed == pytest.approx(0.41, abs=0.02)
    assert "p99 of loop_lag" in follow([LAGGING] * 20).expression


def test_an_arrival_at_the_edge_of_a_slot_is_not_missing():
    edge = [{"arrivals_planned": [1.0], "schedule_lag": [0.001] * 2 * (slot % 2)} for slot in range(20)]
    assert follow(edge) == Saturation()


def test_dropped_arrivals_were_handled_and_are_no_fault_of_the_generator():
    assert follow([SHORT | {"dropped_iterations": [30.0]}] * 20) == Saturation()


def test_arrivals_that_may_wait_for_a_vu_prove_nothing():
    assert follow([LATE, SHORT] * 10, scenarios=()) == Saturation()
    assert follow([LATE, LAGGING] * 10, scenarios=()).share == 0.5


@pytest.mark.parametrize(
    ("seen", "advice"),
    [
        ({}, "spread the load over more CPUs (shards: 2 -> 3)"),
        (BUSY, "spread the load over more CPUs (shards: 2 -> 3)"),
        (BUSY | {"cpu_throttled": [0.3]}, "raise the limit to one whole core"),
        (
            BUSY | {"cpu_throttled": [0.3], "gc_pause": [0.2], "cores_busy": [1.0]},
            "raise the limit to one whole core",
        ),
        (BUSY | {"cpu_throttled": [0.04]}, "spread the load over more CPUs"),
        (BUSY | {"gc_pause": [0.2, 0.001]}, "garbage collection held it up for 200 ms"),
        (BUSY | {"gc_pause": [0.04]}, "spread the load over more CPUs"),
        (BUSY | {"cores_busy": [0.97]}, "more shards on the same machine would not help"),
        (BUSY | {"cpu_usage": [0.3], "cores_busy": [0.95]}, "more shards on the same machine would not help"),
        (BUSY | {"cores_busy": [1.0], "files_used": [1.0]}, "raise its limit (`ulimit -n`)"),
        (
            BUSY | {"cores_busy": [1.0], "files_used": [0.98]},
            "more shards on the same machine would not help",
        ),
        (
            BUSY | {"cpu_throttled": [0.3], "ports_used": [1.0]},
            "all local ports for one destination were taken",
        ),
        (BUSY | {"cpu_usage": [0.2]}, "its core was busy for only 20%"),
        (BUSY | {"cpu_usage": [0.7]}, "spread the load over more CPUs"),
    ],
)
def test_the_advice_follows_from_what_held_the_generator_up(seen, advice):
    message = follow([LAGGING | seen] * 20).message
    assert "the event loop lagged" in message
    assert advice in message


def test_the_advice_is_about_what_was_there_most_often_while_it_was_saturated():
    throttled, full = BUSY | {"cpu_throttled": [0.5]}, BUSY | {"cores_busy": [1.0]}
    seconds = [LAGGING | throttled] * 3 + [LAGGING | full] * 5 + [GOOD | throttled] * 12
    found = follow(seconds)
    assert found.share == pytest.approx(0.4)
    assert "would not help" in found.message


def test_shards_follow_from_the_load_that_was_missing_also_on_a_full_machine():
    assert "(shards: 2 -> 5)" in follow([SHORT | BUSY | {"cores_busy": [1.0]}] * 20).message
    assert "(shards: 3 -> 8)" in follow([SHORT | BUSY] * 20, shards=3).message
