"""The plan of a search: the most that there can be, and each level divided over the shards exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.compile import compile_plan
from squall.plan.document import plan_document
from squall.plan.model import ScenarioPlan, TestPlan
from squall.plan.share import Share
from squall.plan.sizing import Requests
from squall.spec.loadtest import LoadTestSpec

S = 1_000_000_000


def plan_of(by: str, *, shards: int = 1, search: dict[str, Any] | None = None, **scenario: Any) -> TestPlan:
    wanted = {
        "by": by,
        "start": 10,
        "max": 600,
        "thresholds": [{"metric": "http_req_duration", "expression": "p(95)<1s"}],
    }
    made = {
        "name": "find",
        "executor": "capacity",
        "search": wanted | (search or {}),
        "steps": [{"http": {"url": "/"}}],
    }
    return compile_plan(LoadTestSpec.model_validate({"scenarios": [made | scenario], "shards": shards}))


def find(by: str, **options: Any) -> ScenarioPlan:
    return plan_of(by, **options).scenarios[0]


def test_defaults() -> None:
    plan = find("rate")
    assert plan.search is not None
    assert (plan.search.growth, plan.search.precision, plan.search.confirmations) == (
        Fraction(1, 2),
        Fraction(1, 20),
        1,
    )
    assert (plan.search.settle, plan.search.hold, plan.search.slots, plan.search.cooldown) == (2, 10, 12, 30)
    assert (plan.is_open, plan.max_vus, plan.end_ns, plan.stop_ns) == (True, 1000, 600 * S, 630 * S)


def test_times_are_whole_slots() -> None:
    search = find("rate", search={"hold": "1200ms", "settle": "1ms", "cooldown": "0s"}).search
    assert search is not None
    assert (search.hold, search.settle, search.cooldown) == (2, 1, 0)


def test_vus_live_on_the_shards_as_those_of_others_do() -> None:
    plan = find("vus", shards=4, maxDuration="5m")
    assert (plan.is_open, plan.max_vus, plan.peak, plan.end_ns) == (False, 600, 600, 300 * S)
    assert sorted(vu for shard in range(4) for vu in plan.vus_of(shard)) == list(range(600))


@pytest.mark.parametrize("by", ["rate", "vus"])
def test_what_is_not_known_before_is_not_promised(by: str) -> None:
    plan = find(by)
    assert plan.planned_iterations is None
    assert plan.planned_iterations_of(0) is None
    assert plan.peak == 600


def test_rates_count_per_time_unit() -> None:
    plan = find("rate", timeUnit="1m")
    assert plan.search is not None
    assert (plan.peak, plan.search.per_second(30)) == (10.0, 0.5)


@given(
    level=st.integers(1, 400),
    shards=st.integers(1, 7),
    begin=st.integers(0, 20),
    unit=st.sampled_from(["1s", "7s", "1m"]),
    late=st.integers(0, 5 * S),
)
def test_the_shards_together_bring_the_arrivals_of_one(
    level: int, shards: int, begin: int, unit: str, late: int
) -> None:
    search = find("rate", timeUnit=unit).search
    assert search is not None
    times = {"begin_ns": begin * S, "end_ns": begin * S + 10 * S, "from_ns": begin * S + late}
    whole = list(search.arrivals(level, Share(0, 1), **times))
    parts = [list(search.arrivals(level, Share(i, shards), **times)) for i in range(shards)]
    assert sorted(t for part in parts for t in part) == whole
    assert all(begin * S + late <= t < begin * S + 10 * S for t in whole)
    if not late:
        assert len(whole) == -(-level * 10 * S // search.unit_ns)


def test_random_arrivals_are_drawn_anew_for_each_repetition() -> None:
    search = find("rate", arrivals="poisson", seed=3).search
    assert search is not None
    times = {"begin_ns": 0, "end_ns": 10 * S}
    first, again, other = (
        list(search.arrivals(50, Share(0, 1), number=number, **times)) for number in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) == pytest.approx(500, abs=120)


def test_nothing_is_due_at_no_load_or_after_the_end() -> None:
    search = find("rate").search
    assert search is not None
    assert list(search.arrivals(0, Share(0, 1), begin_ns=0, end_ns=S)) == []
    assert list(search.arrivals(5, Share(0, 1), begin_ns=S, end_ns=S)) == []


def test_the_plan_as_a_document_says_how_it_searches() -> None:
    document = plan_document("test", plan_of("rate", timeUnit="1m"), [Requests(1, 1)])
    (scenario,) = document["scenarios"]
    assert scenario["search"] == {
        "by": "rate",
        "start": pytest.approx(1 / 6),
        "max": 10.0,
        "settleSeconds": 2,
        "holdSeconds": 10,
    }
    assert scenario["iterations"] is None
