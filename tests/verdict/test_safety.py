from __future__ import annotations

import pytest
from support.measured import Runner

from squall.metrics.slots import SlotStore
from squall.verdict.safety import Limit, SafetyLimits, SafetyWatch


def follow(
    limits: SafetyLimits, *seconds: dict[str, list[float]]
) -> tuple[SafetyWatch, list[tuple[int, str, str]]]:
    """Feed slots of measured values; gives what was remarked: slot, level, reason."""
    store, runner, watch, found = SlotStore(), Runner(), SafetyWatch(limits), []
    for slot, values in enumerate(seconds):
        for metric, each in values.items():
            runner.add(metric, *each)
        store.add(runner.snapshot(slot))
        found += [(r.slot, r.level, r.reason) for r in watch.step(slot, store)]
    return watch, found


def failed(bad: int, good: int) -> dict[str, list[float]]:
    return {"http_req_failed": [1.0] * bad + [0.0] * good}


ERRORS = Limit(warn=0.05, stop=0.5)


@pytest.mark.parametrize(
    ("options", "seconds", "remarks"),
    [
        ({}, [failed(0, 20), failed(1, 19)], []),
        ({}, [failed(0, 20), failed(9, 11)], [(1, "warn", "ErrorRate")]),
        ({}, [failed(9, 11), failed(9, 11)], [(0, "warn", "ErrorRate")]),  # once, until it was good
        (
            {"window": 1},
            [failed(9, 11), failed(0, 20), failed(9, 11)],
            [(0, "warn", "ErrorRate"), (2, "warn", "ErrorRate")],
        ),
        ({}, [failed(10, 10)], [(0, "warn", "ErrorRate")]),  # the level itself is still allowed
        ({}, [failed(11, 9), failed(20, 0)], [(0, "stop", "ErrorRate"), (1, "warn", "ErrorRate")]),
        ({"min_samples": 21}, [failed(20, 0)], []),
        ({"min_samples": 21}, [failed(20, 0), failed(1, 0)], [(1, "stop", "ErrorRate")]),
        ({"after": 2}, [failed(20, 0), failed(20, 0), failed(0, 20)], []),
        (
            {"window": 2},
            [failed(20, 0), failed(0, 90), failed(0, 90)],
            [(0, "stop", "ErrorRate"), (1, "warn", "ErrorRate")],
        ),
        ({}, [{}, {}], []),
    ],
)
def test_error_rate(options, seconds, remarks):
    watch, found = follow(SafetyLimits(error_rate=ERRORS, **options), *seconds)
    assert found == remarks
    assert (watch.stop is not None) == any(level == "stop" for _, level, _ in remarks)


def test_a_stop_says_what_was_seen_and_what_was_allowed():
    watch, _ = follow(SafetyLimits(error_rate=ERRORS), failed(15, 5))
    stop = watch.stop
    assert stop is not None
    assert (stop.cause, stop.observed, stop.limit, stop.slot) == ("safety", 0.75, 0.5, 0)
    assert "75.0% of the requests failed" in stop.message
    assert stop.expression == "errorRate.stop: 50%"


@pytest.mark.parametrize(
    ("seconds", "stops"),
    [
        ([[0.1] * 20], False),
        ([[0.1] * 20, [2.0] * 20], True),
        ([[5.0] * 9], False),  # too few
    ],
)
def test_mean_response_time(seconds, stops):
    limits = SafetyLimits(response_time=Limit(stop=1.0))
    watch, _ = follow(limits, *({"http_req_duration": each} for each in seconds))
    assert (watch.stop is not None) is stops


@pytest.mark.parametrize(
    ("requests", "at"),
    [
        ([10] * 6, None),
        ([1, 10, 10, 10], None),  # the window is not full in the first slots
        ([10, 10, 10, 0, 0], 4),
        ([0, 0, 0], 2),
    ],
)
def test_throughput_is_judged_over_full_windows(requests, at):
    limits = SafetyLimits(window=3, throughput=Limit(stop=5.0))
    watch, _ = follow(limits, *({"http_reqs": [float(count)], "vus": [1.0]} for count in requests))
    assert (watch.stop.slot if watch.stop else None) == at


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        ([(0, 4), (0, 5)], None),
        ([(0, 4), (0, 6)], 1),
        ([(0, 10)], 0),
        ([(0, 9), (1, 9), (0, 9), (0, 1)], 3),  # a success in between begins anew
        ([(0, 9), (0, 0), (0, 1)], 2),
        ([(1, 100)] * 5, None),
    ],
)
def test_failures_of_the_fleet_count_over_slots_without_a_success(seconds, at):
    limits = SafetyLimits(consecutive_failures=10)
    watch, _ = follow(
        limits,
        *({"iterations": [float(good)], "iterations_failed": [float(bad)]} for good, bad in seconds),
    )
    assert (watch.stop.slot if watch.stop else None) == at
    if watch.stop:
        assert (watch.stop.limit, watch.stop.reason) == (10, "ConsecutiveFailures")


def test_a_runner_that_reports_its_streak_is_exact_within_a_slot():
    second = {"iterations": [1.0], "iterations_failed": [50.0], "failure_streak": [3.0, 10.0, 0.0]}
    watch, found = follow(SafetyLimits(consecutive_failures=10), second)
    assert found == [(0, "stop", "ConsecutiveFailures")]
    watch, found = follow(SafetyLimits(consecutive_failures=11), second)
    assert watch.stop is None


def test_a_run_that_lasts_too_long_ends_by_its_deadline():
    watch, found = follow(SafetyLimits(max_duration=2.5), {}, {}, {}, {})
    assert found == [(2, "stop", "Deadline")]
    assert watch.stop is not None
    assert (watch.stop.cause, watch.stop.limit) == ("deadline", 2.5)
