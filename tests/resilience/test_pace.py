"""The pace that a host is given: never more than declared, and not less than could be had."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.resilience.pace import LATE, Gate, Pace

ROUNDING = 1e-5

gaps = st.lists(st.floats(0, 2.0), min_size=1, max_size=80)
intervals = st.floats(0.001, 1.0)
bursts = st.integers(1, 20)


def most_within(moments: list[float], interval: float, burst: int, slack: float = 0.0) -> None:
    """No stretch holds more than its share and one burst."""
    for i, first in enumerate(moments):
        for j in range(i, len(moments)):
            allowed = burst + (moments[j] - first + slack + ROUNDING) / interval
            assert j - i + 1 <= allowed, (i, j)


def served(pace: Pace, arrivals: list[float]) -> list[float]:
    """When requests go that come at these moments, each served as early as it may be, in order."""
    moments, before = [], 0.0
    for arrival in arrivals:
        moment = before = max(arrival, before, pace.turn())
        pace.take(moment, moment)
        moments.append(moment)
    return moments


def arrivals_of(pauses: list[float]) -> list[float]:
    moments, now = [], 0.0
    for pause in pauses:
        now += pause
        moments.append(now)
    return moments


@given(gaps, intervals, bursts)
def test_no_stretch_holds_more_than_rate_and_burst(pauses, interval, burst):
    most_within(served(Pace(Gate(interval, burst)), arrivals_of(pauses)), interval, burst)


@given(gaps, intervals, bursts, st.floats(0.0, 0.3))
def test_spacing_holds_beside_the_rate(pauses, interval, burst, spacing):
    moments = served(Pace(Gate(interval, burst), Gate(spacing, 1, strict=True)), arrivals_of(pauses))
    most_within(moments, interval, burst)
    for earlier, later in pairwise(moments):
        assert later - earlier >= spacing - 1e-5


@given(intervals, bursts, st.integers(1, 500))
def test_nothing_is_lost_while_requests_wait(interval, burst, count):
    moments = served(Pace(Gate(interval, burst)), [5.0] * count)
    assert moments[-1] == pytest.approx(5.0 + max(0, count - burst) * interval, abs=1e-3)


@given(gaps, intervals, bursts)
def test_a_request_goes_at_once_unless_the_limit_forbids_it(pauses, interval, burst):
    arrivals = arrivals_of(pauses)
    moments = served(Pace(Gate(interval, burst)), arrivals)
    for at, (arrival, moment) in enumerate(zip(arrivals, moments, strict=True)):
        if moment > arrival:  # a moment earlier, some stretch would have held too many
            tight = [at - i + 1 - burst - (moment - moments[i] - ROUNDING) / interval for i in range(at)]
            assert max(tight, default=-inf) >= 0


@given(intervals, bursts, st.lists(st.floats(0, 0.05), min_size=1, max_size=100))
def test_late_timers_cost_no_throughput_but_a_standstill_is_not_made_up(interval, burst, delays):
    pace, moments, now = Pace(Gate(interval, burst)), [], 0.0
    for delay in delays:  # somebody always waits; each is let go a little late
        due = max(pace.turn(), 0.0)
        now = max(now, due + delay)
        pace.take(due, now)
        moments.append(now)
    most_within(moments, interval, burst, slack=LATE)
    if max(delays) <= LATE:
        assert pace.turn() <= max(0.0, (len(delays) - burst + 1) * interval) + 1e-4


@given(
    intervals,
    bursts,
    st.none() | st.floats(0.001, 0.5),
    st.tuples(st.integers(0, 30), st.integers(0, 40)),
    st.floats(0, 1.0),
)
def test_the_place_in_the_line_is_known_when_one_joins_it(interval, burst, spacing, line, now):
    before, ahead = line
    gates = [Gate(interval, burst)] + ([Gate(spacing, 1, strict=True)] if spacing else [])
    pace = Pace(*gates)
    served(pace, [0.0] * before)
    promised = pace.place(ahead, now)
    moments = served(pace, [now] * (ahead + 1))
    assert promised == pytest.approx(moments[-1], abs=1e-4)


def test_a_pace_that_was_never_used_is_idle_and_a_used_one_becomes_so():
    pace = Pace(Gate(0.1, 3))
    assert pace.idle(0.0)
    served(pace, [1.0, 1.0])
    assert not pace.idle(1.15)
    assert pace.idle(1.25)
