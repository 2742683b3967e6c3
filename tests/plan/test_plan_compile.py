"""From manifests to plans: defaults, run time, shares of a shard, and every impossible thing named."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.compile import check_plan, compile_plan
from squall.plan.model import StageSpan
from squall.plan.problems import PlanError
from squall.spec.loadtest import LoadTestSpec

S = 1_000_000_000
STEPS = [{"http": {"url": "/"}}]


def spec(*scenarios, shards=1):
    named = [{"name": f"s{i}", "steps": STEPS, **scenario} for i, scenario in enumerate(scenarios)]
    return LoadTestSpec.model_validate({"scenarios": named, "shards": shards})


def plan_of(*scenarios, shards=1):
    return compile_plan(spec(*scenarios, shards=shards))


def only(scenario, shards=1):
    return plan_of(scenario, shards=shards).scenarios[0]


RAMPING = {
    "executor": "ramping-vus",
    "startVUs": 0,
    "stages": [{"duration": "1m", "target": 10}, {"name": "hold", "duration": "3m", "target": 10}],
}


def test_constant_vus():
    plan = only({"executor": "constant-vus", "vus": 5, "duration": "1m"})
    assert (plan.max_vus, plan.end_ns, plan.stop_ns) == (5, 60 * S, 90 * S)
    assert plan.stages == (StageSpan("", 0, 60 * S),)
    assert (plan.target(0), plan.target(60 * S)) == (5, 0)
    assert plan.planned_iterations is None


def test_stages_are_tagged_by_name_or_place_in_run_time():
    plan = only({**RAMPING, "startTime": "10s"})
    assert plan.stages == (StageSpan("1", 10 * S, 70 * S), StageSpan("hold", 70 * S, 250 * S))
    moments = [0, 10 * S, 70 * S - 1, 70 * S, 250 * S, 999 * S]
    assert [plan.stage_at(t) for t in moments] == ["1", "1", "1", "hold", "hold", "hold"]
    assert (plan.target(5 * S), plan.target(40 * S), plan.target(70 * S)) == (0, 5, 10)
    assert plan.vu_intervals(4) == ((40 * S, 250 * S),)


def test_a_jump_has_no_moment_of_its_own():
    stages = [
        {"duration": "0s", "target": 4},
        {"duration": "5s", "target": 4},
        {"duration": "0s", "target": 0},
    ]
    plan = only({"executor": "ramping-vus", "stages": stages})
    assert [span.name for span in plan.stages] == ["1", "2", "3"]
    assert [plan.stage_at(t) for t in (0, 3 * S, 5 * S)] == ["2", "2", "2"]


def test_iterations_are_interrupted_after_their_grace():
    ramp_down = {"executor": "ramping-vus", "startVUs": 2, "stages": [{"duration": "10s", "target": 0}]}
    plan = only({**ramp_down, "gracefulRampDown": "4s", "gracefulStop": "2s"})
    assert [plan.vu_intervals(vu) for vu in (0, 1)] == [((0, 10 * S),), ((0, 5 * S),)]
    assert plan.interrupt_ns(5 * S) == 9 * S
    assert plan.interrupt_ns(9 * S) == 12 * S  # bounded by gracefulStop
    assert plan.interrupt_ns(10 * S) == 12 * S


def test_iteration_executors_know_their_number():
    each = only({"executor": "per-vu-iterations", "vus": 3, "iterations": 20}, shards=2)
    assert (each.iterations_per_vu, each.planned_iterations, each.iterations_of(0)) == (20, 60, None)
    assert [each.planned_iterations_of(shard) for shard in (0, 1)] == [40, 20]
    assert each.end_ns == 600 * S
    shared = only(
        {"executor": "shared-iterations", "vus": 3, "iterations": 100, "maxDuration": "1m"}, shards=2
    )
    assert (shared.iterations_per_vu, shared.planned_iterations, shared.end_ns) == (None, 100, 60 * S)
    assert [shared.iterations_of(shard) for shard in (0, 1)] == [67, 33]  # two VUs and one


def test_arrival_rates():
    constant = only({"executor": "constant-arrival-rate", "rate": 120, "timeUnit": "1m", "duration": "30s"})
    assert constant.is_open
    assert not constant.is_random
    assert constant.target(S) == 2
    assert constant.planned_iterations == 60
    assert (constant.max_vus, constant.pre_allocated_vus, constant.when_saturated) == (1000, 1, "drop")
    ramping = only(
        {
            "executor": "ramping-arrival-rate",
            "startRate": 10,
            "stages": [{"duration": "10s", "target": 30}],
            "startTime": "1m",
            "preAllocatedVUs": 7,
            "arrivals": "poisson",
            "whenSaturated": "queue",
        }
    )
    assert ramping.is_random
    assert (ramping.max_vus, ramping.pre_allocated_vus, ramping.when_saturated) == (7, 7, "queue")
    assert (ramping.target(65 * S), ramping.peak, ramping.planned_iterations) == (20, 30, 200)
    assert ramping.load.count(5 * S) == 75
    due = list(ramping.arrivals_of(0))
    assert 60 * S <= due[0] < due[-1] <= 70 * S
    assert ramping.vu_intervals(0) == ((60 * S, 70 * S),)


def test_the_seed_and_the_name_of_the_scenario_decide_poisson_arrivals():
    def due(**changes):
        base = {"executor": "constant-arrival-rate", "rate": 50, "duration": "10s", "arrivals": "poisson"}
        return list(only({**base, **changes}).arrivals_of(0))

    assert due() == due(seed=0)
    assert due(seed=1) != due()
    assert due(name="other") != due()


def test_a_closed_model_has_no_arrivals():
    with pytest.raises(TypeError, match="ramping-vus has no arrivals"):
        only(RAMPING).arrivals_of(0)


def test_arrivals_in_run_time_resume_at_the_moment():
    plan = only(
        {"executor": "constant-arrival-rate", "rate": 1, "duration": "5s", "startTime": "2s"}, shards=2
    )
    assert [list(plan.arrivals_of(shard)) for shard in (0, 1)] == [[2 * S, 4 * S, 6 * S], [3 * S, 5 * S]]
    assert list(plan.arrivals_of(0, from_ns=4 * S)) == [4 * S, 6 * S]


def test_vu_ids_are_unique_over_scenarios_and_shards():
    scenarios = [{"executor": "constant-vus", "vus": 5, "duration": "1s"}, {**RAMPING}]
    plan = plan_of(*scenarios, shards=3)
    ids = [s.vu_id(vu) for s in plan.scenarios for shard in range(3) for vu in s.vus_of(shard)]
    assert sorted(ids) == list(range(1, plan.max_vus + 1))


def test_placement_gives_shards_roles():
    placed = {**RAMPING, "placement": {"shards": "2-3"}}
    plan = only(placed, shards=4)
    assert [list(plan.vus_of(shard)) for shard in range(4)] == [[], [0, 2, 4, 6, 8], [1, 3, 5, 7, 9], []]
    assert plan.share_for(0) is None
    assert [plan.pre_allocated_vus_of(shard) for shard in range(4)] == [0, 5, 5, 0]
    capped = only({**placed, "maxIterations": 11}, shards=4)
    assert [capped.iterations_of(shard) for shard in range(4)] == [0, 6, 5, 0]


EXECUTORS = st.one_of(
    st.fixed_dictionaries(
        {
            "executor": st.just("shared-iterations"),
            "vus": st.integers(1, 20),
            "iterations": st.integers(1, 500),
        }
    ),
    st.fixed_dictionaries(
        {"executor": st.just("per-vu-iterations"), "vus": st.integers(1, 20), "iterations": st.integers(1, 9)}
    ),
    st.fixed_dictionaries(
        {
            "executor": st.just("constant-arrival-rate"),
            "rate": st.integers(1, 90),
            "duration": st.sampled_from(["1s", "3500ms"]),
            "maxVUs": st.integers(1, 20),
            "arrivals": st.sampled_from(["uniform", "poisson"]),
        },
        optional={"maxIterations": st.integers(1, 100)},
    ),
)


@given(scenario=EXECUTORS, shards=st.integers(1, 64))
def test_work_is_complete_and_only_where_there_are_vus(scenario, shards):
    plan = only(scenario, shards)
    per_shard = [plan.planned_iterations_of(shard) for shard in range(shards)]
    assert sum(per_shard) == plan.planned_iterations
    vus = [len(plan.vus_of(shard)) for shard in range(shards)]
    assert sum(vus) == plan.max_vus
    assert all(not work or vus[shard] for shard, work in enumerate(per_shard))
    if plan.is_open and not plan.is_random:
        assert [len(list(plan.arrivals_of(shard))) for shard in range(shards)] == per_shard


@given(cap=st.integers(1, 1000), shards=st.integers(1, 64))
def test_a_cap_beside_the_time_is_split_exactly(cap, shards):
    plan = only({**RAMPING, "maxIterations": cap}, shards)
    assert sum(plan.iterations_of(shard) for shard in range(shards)) == cap


def test_the_whole_test():
    plan = plan_of({**RAMPING, "gracefulStop": "0s"}, {**RAMPING, "name": "late", "startTime": "1m"})
    assert (plan.duration_ns, plan.stop_ns, plan.max_vus) == (300 * S, 330 * S, 20)
    assert plan.scenario("late").vu_base == 10
    with pytest.raises(KeyError):
        plan.scenario("nobody")


def arrival(**changes):
    return {"executor": "constant-arrival-rate", "rate": 1, "duration": "1s", **changes}


@pytest.mark.parametrize(
    ("scenario", "path", "message"),
    [
        ({"executor": "constant-vus", "vus": 1, "duration": "0s"}, "duration", "lasts 0s"),
        ({"executor": "ramping-vus", "stages": [{"duration": "0", "target": 1}]}, "stages", "lasts 0s"),
        (
            {"executor": "ramping-vus", "startVUs": 0, "stages": [{"duration": "1s", "target": 0}]},
            "stages",
            "no VU is ever active",
        ),
        ({"executor": "shared-iterations", "iterations": 1, "maxDuration": "0s"}, "maxDuration", "lasts 0s"),
        ({"executor": "constant-vus", "vus": 2_000_000, "duration": "1s"}, "vus", "2000000 VUs"),
        (arrival(timeUnit="0s"), "timeUnit", "per no time"),
        (arrival(preAllocatedVUs=5, maxVUs=4), "maxVUs", "4 is less than preAllocatedVUs, 5"),
        (arrival(rate=100_000_000), "rate", "1e+08 iterations per second"),
        (
            {"executor": "ramping-arrival-rate", "stages": [{"duration": "1s", "target": 1}]},
            "stages",
            "not one iteration is ever due",
        ),
        (
            {**RAMPING, "placement": {"shards": "1-3"}},
            "placement.shards",
            "shard 3 is named, but the run has 2",
        ),
        ({**RAMPING, "placement": {"shards": "2-1"}}, "placement.shards", "backwards"),
    ],
)
def test_what_is_impossible_is_named(scenario, path, message):
    problems = check_plan(spec(scenario, shards=2))
    assert [problem.path for problem in problems] == [f"spec.scenarios[0].{path}"]
    assert message in problems[0].message
    assert problems[0].hint


@pytest.mark.parametrize("field", [{"startVUs": "${var.n}"}, {"startTime": "${var.n}"}])
def test_a_reference_that_nobody_resolved_is_refused(field):
    with pytest.raises(ValueError, match=r"var\.n"):
        compile_plan(spec({**RAMPING, **field}))


def test_all_problems_are_raised_at_once():
    broken = spec(arrival(timeUnit="0s"), {**RAMPING, "placement": {"shards": "9"}}, shards=20_000)
    with pytest.raises(PlanError) as raised:
        compile_plan(broken)
    paths = [problem.path for problem in raised.value.problems]
    assert paths == ["spec.shards", "spec.scenarios[0].timeUnit", "spec.scenarios[1].placement.shards"]
    assert raised.value.exit_code == 104
    assert all(path in raised.value.message for path in paths)


def test_shards_can_be_overridden():
    test = spec({**RAMPING, "placement": {"shards": "1-3"}}, shards=3)
    assert compile_plan(test).shards == 3
    assert compile_plan(test, shards=5).shards == 5
    assert [problem.path for problem in check_plan(test, shards=2)] == ["spec.scenarios[0].placement.shards"]
    assert next(problem.path for problem in check_plan(test, shards=0)) == "spec.shards"


def test_rates_are_exact_fractions():
    plan = only({"executor": "constant-arrival-rate", "rate": 1, "timeUnit": "3s", "duration": "9s"})
    assert plan.load.curve.rate(0) == Fraction(1, 3)
    assert plan.planned_iterations == 3


def test_a_ramp_begins_with_one_vu_as_in_k6():
    plan = only({"executor": "ramping-vus", "stages": [{"duration": "10s", "target": 10}]})
    assert (plan.target(0), plan.target(9 * S)) == (1, 9)
    assert plan.vu_intervals(0) == ((0, 10 * S),)
