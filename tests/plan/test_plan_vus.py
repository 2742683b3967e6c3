"""VU schedules: k6's published tables, and exactness for every number of shards at every instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.share import Share
from squall.plan.vus import Ramp, VuCurve

S = 1_000_000_000


def curve(start, *stages):
    return VuCurve(start, tuple(Ramp(int(seconds * S), target) for seconds, target in stages))


# grafana/k6, lib/executor/ramping_vus_test.go: the plan example (first 23 s) and the execution tuple tests.
K6_STAGES = [(2, 6), (5, 1), (4, 5), (4, 1), (3, 4), (2, 4), (0, 1), (3, 1)]
K6_STAGES_LONG = [*K6_STAGES, (0, 5), (3, 5), (0, 0), (2, 2), (2, 0), (4, 4)]
K6_PLAN = [
    (0, 4), (1, 5), (2, 6), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1), (8, 2), (9, 3), (10, 4), (11, 5), (12, 4),
    (13, 3), (14, 2), (15, 1), (16, 2), (17, 3), (18, 4), (20, 1),
]  # fmt: skip
K6_PLAN_LONG = [
    *K6_PLAN, (23, 5), (26, 0), (27, 1), (28, 2), (29, 1), (30, 0), (31, 1), (32, 2), (33, 3), (34, 0),
]  # fmt: skip
K6_THIRDS = [
    [(0, 2), (5, 1), (10, 2), (13, 1), (18, 2), (20, 1), (23, 2), (26, 0), (27, 1), (30, 0), (31, 1), (34, 0)],
    [
        (0, 1), (1, 2), (4, 1), (7, 0), (8, 1), (11, 2), (12, 1), (15, 0), (16, 1), (20, 0), (23, 2), (26, 0),
        (28, 1), (29, 0), (32, 1), (34, 0),
    ],
    [
        (0, 1), (2, 2), (3, 1), (6, 0), (9, 1), (14, 0), (17, 1), (20, 0), (23, 1), (26, 0), (33, 1), (34, 0),
    ],
]  # fmt: skip


def changes(vus, share):
    """The moments at which the share's number of VUs changes, from its VUs' intervals."""
    deltas = {0: 0}
    for vu in range(share.index, vus.max_vus, share.count):
        for begin, end in vus.intervals(vu):
            deltas[begin] = deltas.get(begin, 0) + 1
            deltas[end] = deltas.get(end, 0) - 1
    active, table = 0, []
    for at in sorted(deltas):
        active += deltas[at]
        if not table or table[-1][1] != active:
            table.append((at / S, active))
    return table


def test_k6_execution_plan_example():
    assert changes(curve(4, *K6_STAGES), Share(0, 1)) == [*K6_PLAN, (23, 0)]


def test_k6_execution_tuple_table():
    # k6 reaches 4 VUs at 34 s, the very end, and takes them back at the same moment; here it is 0 at once.
    assert changes(curve(4, *K6_STAGES_LONG), Share(0, 1)) == K6_PLAN_LONG


@pytest.mark.parametrize("third", [0, 1, 2])
def test_k6_execution_tuple_table_in_thirds(third):
    assert changes(curve(4, *K6_STAGES_LONG), Share(third, 3)) == K6_THIRDS[third]


@pytest.mark.parametrize(
    ("start", "stages", "expected"),
    [
        (2, [(0, 5), (2, 3)], [(0, 5), (1, 4), (2, 0)]),  # "going up then down straight away"
        (3, [(2, 5)], [(0, 3), (1, 4), (2, 0)]),  # "jump up then go up again"
        (0, [(2, 2), (2, 0), (2, 2), (2, 0)], [(0, 0), (1, 1), (2, 2), (3, 1), (4, 0), (5, 1), (6, 2), (7, 1), (8, 0)]),
    ],
)  # fmt: skip
def test_k6_corner_cases(start, stages, expected):
    assert changes(curve(start, *stages), Share(0, 1)) == expected


def test_a_jump_down_and_up_at_once_does_not_restart_a_vu():
    assert curve(3, (1, 3), (0, 1), (0, 3), (1, 3)).intervals(2) == ((0, 2 * S),)


def test_constant_vus_are_active_all_the_time_and_no_more():
    vus = VuCurve.constant(3, 10 * S)
    assert [vus.intervals(j) for j in range(4)] == [((0, 10 * S),)] * 3 + [()]
    assert [vus.target(t) for t in (-1, 0, 10 * S - 1, 10 * S)] == [0, 3, 3, 0]


CURVES = st.builds(
    VuCurve,
    st.integers(0, 40),
    st.lists(
        st.builds(
            Ramp, st.one_of(st.just(0), st.integers(1, 50), st.integers(1, 10**13)), st.integers(0, 40)
        ),
        min_size=1,
        max_size=8,
    ).map(tuple),
)


def instants(vus):
    edges = {t for vu in range(vus.max_vus) for pair in vus.intervals(vu) for t in pair}
    edges |= {0, vus.end_ns}
    return sorted({t + d for t in edges for d in (-1, 0, 1)})


@given(vus=CURVES, count=st.integers(1, 64))
def test_the_shards_add_up_to_the_target_at_every_instant(vus, count):
    for t in instants(vus):
        active = [vu for vu in range(vus.max_vus) if any(a <= t < b for a, b in vus.intervals(vu))]
        assert active == list(range(vus.target(t)))
        locally = [Share(i, count).of(vus.target(t)) for i in range(count)]
        assert sum(locally) == vus.target(t)
        owned = [sum(1 for vu in active if vu % count == i) for i in range(count)]
        assert owned == locally


@given(vus=CURVES)
def test_intervals_are_in_order_apart_and_within_the_scenario(vus):
    for vu in range(vus.max_vus + 1):
        flat = [t for pair in vus.intervals(vu) for t in pair]
        assert flat == sorted(set(flat))
        assert all(0 <= t <= vus.end_ns for t in flat)


@given(start=st.integers(0, 50), target=st.integers(0, 50), length=st.integers(1, 10**12), data=st.data())
def test_a_ramp_never_turns_back(start, target, length, data):
    vus = VuCurve(start, (Ramp(length, target),))
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, length - 1)] * 2)))
    low, high = sorted((start, target))
    assert low <= vus.target(a) <= high
    assert (vus.target(a) <= vus.target(b)) if target >= start else (vus.target(a) >= vus.target(b))
