"""Arrivals: k6's tables, exact counts, exact inverses, and Poisson statistics for fixed seeds."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.arrivals import ArrivalSchedule
from squall.plan.rates import RateCurve, RateRamp
from squall.plan.share import Share

S = 1_000_000_000
MS = 1_000_000


def rates(start, *stages, unit=S):
    ramps = tuple(RateRamp(int(seconds * S), Fraction(target, unit)) for seconds, target in stages)
    return RateCurve(Fraction(start, unit), ramps)


def uniform(curve, *, at_once=False, cap=None):
    return ArrivalSchedule(curve, "uniform", at_once=at_once, cap=cap)


def constant(rate, seconds, unit=S):
    return uniform(rates(rate, (seconds, rate), unit=unit), at_once=True)


# grafana/k6, lib/executor/ramping_arrival_rate_test.go, TestRampingArrivalRateCal: 0 to 1/s in 5 s, 1 s, to 0 in 5 s.
K6_STAGES = [(5, 1), (1, 1), (5, 0)]
K6_TIMES_MS = [3162, 4472, 5500, 6527, 7837, 11000]
K6_THIRDS_MS = [[3162, 6527], [4472, 7837], [5500, 11000]]
K6_THREE_TIMES_MS = [
    1825, 2581, 3162, 3651, 4082, 4472, 4830, 5166, 5499, 5833, 6169, 6527, 6917, 7348, 7837, 8418, 9174, 10999,
]  # fmt: skip


def test_k6_ramping_arrival_table():
    due = uniform(rates(0, *K6_STAGES)).arrivals()
    assert [round(t / MS) for t in due] == pytest.approx(K6_TIMES_MS, abs=1)


@pytest.mark.parametrize("third", [0, 1, 2])
def test_k6_ramping_arrival_table_in_thirds(third):
    due = uniform(rates(0, *K6_STAGES)).arrivals(Share(third, 3))
    assert [round(t / MS) for t in due] == pytest.approx(K6_THIRDS_MS[third], abs=1)


def test_k6_ramping_arrival_table_with_a_time_unit():
    # k6 counts per a third of a second, cut to whole nanoseconds.
    due = uniform(rates(0, *K6_STAGES, unit=S // 3)).arrivals()
    assert [round(t / MS) for t in due] == pytest.approx(K6_THREE_TIMES_MS, abs=2)


@pytest.mark.parametrize("third", [0, 1, 2])
def test_k6_constant_arrival_table_in_thirds(third):
    # TestConstantArrivalRateRunCorrectTiming: 50/s, thirds in sequence start at 0, 20, 40 ms, 60 ms apart.
    due = list(islice(constant(50, 5).arrivals(Share(third, 3)), 20))
    assert due == [20 * MS * third + 60 * MS * k for k in range(20)]


def test_two_thousand_a_second_for_thirty_seconds_are_sixty_thousand():
    schedule = constant(2000, 30)
    assert schedule.total == 60_000
    assert sum(1 for _ in schedule.arrivals()) == 60_000
    assert [sum(1 for _ in schedule.arrivals(Share(i, 7))) for i in range(7)] == [8572] * 3 + [8571] * 4


def test_a_long_slow_schedule_does_not_drift():
    schedule = constant(7, 30 * 24 * 3600, unit=60 * S)
    assert schedule.total == 7 * 60 * 24 * 30
    assert schedule.time_of(7 * 60 * 24 * 29) == 29 * 24 * 3600 * S


CURVES = st.builds(
    lambda start, stages, unit: RateCurve(
        Fraction(start, unit), tuple(RateRamp(length, Fraction(target, unit)) for length, target in stages)
    ),
    st.integers(0, 200),
    st.lists(
        st.tuples(st.one_of(st.just(0), st.integers(1, 3 * S)), st.integers(0, 200)), min_size=1, max_size=6
    ),
    st.sampled_from([S, S // 3, 7 * S, 60 * S]),
)
RAMPING = CURVES.map(uniform)
CONSTANT = st.builds(constant, st.integers(1, 200), st.integers(1, 5), st.sampled_from([S, S // 3, 7 * S]))
SCHEDULES = RAMPING | CONSTANT


def area(curve, start, stages):
    """The area under straight lines, as fractions: what the integers have to agree with."""
    total = Fraction(0)
    for length, target in stages:
        total += (start + target) * length / 2
        start = target
    return total


@given(
    start=st.integers(0, 50),
    stages=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 50)), min_size=1, max_size=6),
)
def test_the_total_is_the_area_under_the_stages(start, stages):
    curve = rates(start, *stages)
    expected = area(curve, Fraction(start), [(Fraction(s), Fraction(t)) for s, t in stages])
    assert uniform(curve).total == int(expected)
    assert Fraction(curve.total_units, curve.unit) == expected


@given(schedule=SCHEDULES, data=st.data())
def test_count_and_time_of_are_inverses(schedule, data):
    if not schedule.total:
        return
    number = data.draw(st.integers(0, schedule.total - 1))
    due = schedule.time_of(number)
    assert 0 <= due <= schedule.end_ns
    assert schedule.count(due) <= number < schedule.count(due + 1)
    assert schedule.count(due) in (number, 0)


@given(schedule=SCHEDULES)
def test_the_iterator_gives_what_time_of_says_in_order(schedule):
    due = list(islice(schedule.arrivals(), 400))
    assert due == [schedule.time_of(i) for i in range(len(due))]
    assert due == sorted(due)
    assert len(due) == min(400, schedule.total)


@given(schedule=SCHEDULES, a=st.integers(-S, 20 * S), b=st.integers(-S, 20 * S))
def test_count_never_falls(schedule, a, b):
    low, high = sorted((a, b))
    assert 0 <= schedule.count(low) <= schedule.count(high) <= schedule.total


@given(schedule=SCHEDULES, count=st.integers(1, 64), t=st.integers(0, 20 * S))
def test_shards_together_produce_the_arrivals_of_one(schedule, count, t):
    parts = [list(schedule.arrivals(Share(i, count))) for i in range(count)]
    assert sorted(due for part in parts for due in part) == list(schedule.arrivals())
    assert sum(sum(due < t for due in part) for part in parts) == schedule.count(t)


@given(schedule=SCHEDULES, count=st.integers(1, 8), t=st.integers(-S, 20 * S), data=st.data())
def test_a_shard_that_comes_back_joins_at_the_current_moment(schedule, count, t, data):
    share = Share(data.draw(st.integers(0, count - 1)), count)
    assert list(schedule.arrivals(share, t)) == [due for due in schedule.arrivals(share) if due >= t]


@given(curve=CURVES, cap=st.integers(1, 300), count=st.integers(1, 16))
def test_a_cap_is_exact_over_the_fleet(curve, cap, count):
    schedule = uniform(curve, cap=cap)
    started = sum(len(list(schedule.arrivals(Share(i, count)))) for i in range(count))
    assert started == schedule.total == min(cap, uniform(curve).total)


@given(curve=CURVES, t=st.integers(0, 20 * S))
def test_the_rate_stays_within_the_stages(curve, t):
    assert 0 <= curve.rate(t) <= curve.peak()


def test_arrivals_that_do_not_exist_are_refused():
    schedule = constant(10, 1)
    with pytest.raises(ValueError, match="no arrival number 10"):
        schedule.time_of(10)
    with pytest.raises(ValueError, match="ends before"):
        schedule.curve.time_at(schedule.curve.total_units + 1)
    with pytest.raises(ValueError, match="no arrival"):
        poisson(rates(10, (1, 10))).time_of(0)


def poisson(curve, seed="1/buyers", cap=None):
    return ArrivalSchedule(curve, "poisson", at_once=True, cap=cap, seed=seed)


@pytest.mark.parametrize("count", [1, 8])
def test_poisson_shards_add_up_to_poisson_at_the_whole_rate(count):
    schedule = poisson(rates(200, (100, 200)))
    due = sorted(t for i in range(count) for t in schedule.arrivals(Share(i, count)))
    assert abs(len(due) - 20_000) < 4 * sqrt(20_000)
    gaps = [(b - a) / S for a, b in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1 / 200, rel=0.03)
    assert sqrt(variance) == pytest.approx(mean, rel=0.05)  # exponential: deviation equals mean
    longer = sum(gap > mean for gap in gaps) / len(gaps)
    assert longer == pytest.approx(0.3679, rel=0.03)  # exp(-1)
    per_second = [0] * 100
    for t in due:
        per_second[t // S] += 1
    dispersion = sum((n - 200) ** 2 for n in per_second) / 100 / 200
    assert 0.6 < dispersion < 1.5  # counts: variance equals mean


def test_poisson_follows_a_ramp():
    schedule = poisson(rates(0, (100, 400)))
    due = list(schedule.arrivals())
    for t in (25, 50, 75, 100):
        expected = schedule.count(t * S)
        assert expected == 2 * t * t
        assert abs(sum(d < t * S for d in due) - expected) < 4 * sqrt(expected)


def test_poisson_is_repeated_by_the_same_seed_only():
    curve = rates(100, (10, 100))
    once = list(poisson(curve).arrivals(Share(1, 4)))
    assert once == list(poisson(curve).arrivals(Share(1, 4)))
    assert once != list(poisson(curve, seed="2/buyers").arrivals(Share(1, 4)))
    assert once != list(poisson(curve, seed="1/sellers").arrivals(Share(1, 4)))
    assert once != list(poisson(curve).arrivals(Share(2, 4)))


def test_poisson_draws_are_the_same_on_every_machine():
    first = list(islice(poisson(rates(100, (10, 100))).arrivals(), 3))
    assert first == [4_515_704, 10_596_835, 15_945_993]


def test_poisson_resumes_at_the_moment_with_the_rest_of_the_load():
    schedule = poisson(rates(100, (100, 100)))
    due = list(schedule.arrivals(Share(0, 2), from_ns=60 * S))
    assert min(due) >= 60 * S
    assert abs(len(due) - 2000) < 4 * sqrt(2000)


def test_a_poisson_cap_is_exact_over_the_fleet():
    schedule = poisson(rates(100, (100, 100)), cap=1001)
    assert sum(len(list(schedule.arrivals(Share(i, 5)))) for i in range(5)) == schedule.total == 1001
