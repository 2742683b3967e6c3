"""What is drawn and printed of a plan: peaks that are not lost, corners, requests, shards, the document."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.compile import compile_plan
from squall.plan.curve import column_peaks, peak, vertices
from squall.plan.document import plan_document, shard_load
from squall.plan.sizing import Requests, requests_per_iteration, suggest_shards
from squall.spec.loadtest import LoadTestSpec

S = 1_000_000_000
HTTP = {"http": {"url": "/"}}


def spec(*scenarios, shards=1):
    named = [{"name": f"s{i}", "steps": [HTTP], **scenario} for i, scenario in enumerate(scenarios)]
    return LoadTestSpec.model_validate({"scenarios": named, "shards": shards})


def ramping(*stages, **more):
    return {
        "executor": "ramping-vus",
        "startVUs": 0,
        "stages": [{"duration": duration, "target": target} for duration, target in stages],
        **more,
    }


def rate(value, duration="10s", **more):
    return {"executor": "constant-arrival-rate", "rate": value, "duration": duration, **more}


STAGES = st.lists(
    st.tuples(st.sampled_from(["0s", "1ms", "1s", "7s", "1m"]), st.integers(0, 30)), min_size=1, max_size=6
)


@given(stages=STAGES, columns=st.integers(1, 40), data=st.data())
def test_no_moment_is_higher_than_its_column(stages, columns, data):
    plan = compile_plan(spec(ramping(("1s", 1), *stages), rate(5)))
    closed = [plan.scenarios[0]]
    end = plan.duration_ns
    peaks = column_peaks(closed, columns, end)
    assert len(peaks) == columns
    t = data.draw(st.integers(0, end - 1))
    column = next(c for c in range(columns) if t < end * (c + 1) // columns)
    assert closed[0].target(t) <= peaks[column]
    assert max(peaks) <= peak({closed[0]: 1}) <= closed[0].peak


def test_a_spike_shorter_than_a_column_is_seen():
    plan = compile_plan(spec(ramping(("1h", 1), ("1s", 500), ("1s", 1), ("1h", 1))))
    assert max(column_peaks(plan.scenarios, 70, plan.duration_ns)) == 500


def test_scenarios_one_after_the_other_do_not_add_up():
    plan = compile_plan(spec(rate(100), rate(80, startTime="10s"), rate(30, startTime="5s")))
    assert peak(dict.fromkeys(plan.scenarios, 1)) == 130
    assert column_peaks(plan.scenarios, 4, plan.duration_ns) == [100, 130, 110, 80]


def test_corners_join_to_the_curve():
    plan = compile_plan(spec(ramping(("2s", 4), ("0s", 9), ("1s", 9), ("3s", 0), startTime="1s")))
    corners = vertices(plan.scenarios[0])
    assert [(t / S, value) for t, value in corners] == [(1, 0), (3, 4), (3, 9), (4, 9), (7, 0)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([HTTP, {"think": {"duration": "1s"}}, HTTP], "2"),
        ([{"group": {"steps": [HTTP, HTTP]}}], "2"),
        ([{"if": {"condition": "x", "then": [HTTP, HTTP]}}], "0 to 2"),
        ([{"choose": [{"steps": [HTTP]}, {"steps": [HTTP, HTTP, HTTP]}]}], "1 to 3"),
        ([{"repeat": {"times": 4, "steps": [HTTP]}}], "4"),
        ([{"repeat": {"times": "${n}", "steps": [HTTP]}}], "0 or more"),
        ([{"repeat": {"while": "x", "steps": [{"set": {"a": 1}}]}}], "0"),
        ([{"parallel": {"branches": [{"steps": [HTTP]}, {"steps": [HTTP]}]}}], "2"),
        ([HTTP, {"poll": {"http": {"url": "/"}, "until": "x"}}], "2 or more"),
        ([{"python": {"module": "m", "function": "f"}}], "0 or more"),
    ],
)
def test_requests_per_iteration(steps, expected):
    scenario = spec({**rate(1), "steps": steps}).scenarios[0]
    assert str(requests_per_iteration(scenario)) == expected


def test_finally_steps_count_too():
    scenario = spec({**rate(1), "finally": [HTTP]}).scenarios[0]
    assert requests_per_iteration(scenario) == Requests(2, 2)


@pytest.mark.parametrize(
    ("scenarios", "shards", "expected"),
    [
        ([rate(10)], 1, 1),
        ([rate(10_000)], 1, 1),
        ([rate(10_001)], 1, 2),
        ([rate(10_000), rate(10_000, startTime="10s")], 1, 1),
        ([rate(10_000), rate(10_000)], 1, 2),
        ([{"executor": "constant-vus", "vus": 12_500, "duration": "1s"}], 1, 3),
        ([rate(10, placement={"shards": "4"})], 5, 4),
        ([rate(10)], 5, 1),
    ],
)
def test_shards_are_suggested_by_the_stated_rule(scenarios, shards, expected):
    plan = compile_plan(spec(*scenarios, shards=shards))
    assert suggest_shards(plan, [Requests(1, 1)] * len(scenarios)).shards == expected


def test_the_suggestion_counts_the_requests_of_an_iteration():
    plan = compile_plan(spec(rate(5000)))
    assert suggest_shards(plan, [Requests(2, 6)]).shards == 3
    assert suggest_shards(plan, [Requests(2, None)]).shards == 1


def test_a_shard_without_a_part_has_none():
    plan = compile_plan(spec(rate(10, placement={"shards": "1"}), shards=2))
    assert shard_load(plan, 1).scenarios == ()
    assert shard_load(plan, 0).iterations == 100


def test_the_document_is_json_and_its_shares_sum_to_the_whole():
    plan = compile_plan(
        spec(
            ramping(("10s", 30)),
            rate(7, maxVUs=2),
            {"executor": "shared-iterations", "vus": 4, "iterations": 99},
            shards=3,
        )
    )
    document = json.loads(json.dumps(plan_document("demo", plan, [Requests(1, 1)] * 3)))
    assert (document["name"], document["maxVUs"], document["durationSeconds"]) == ("demo", 36, 600)
    for scenario in document["scenarios"]:
        shares = [
            s["scenarios"][scenario["name"]] for s in document["shares"] if scenario["name"] in s["scenarios"]
        ]
        assert sum(share["vus"] for share in shares) == scenario["maxVUs"]
        if scenario["iterations"] is not None:
            assert sum(share["iterations"] for share in shares) == scenario["iterations"]
    assert document["scenarios"][0]["curve"] == [[0, 0], [10, 30]]
    assert [s["shard"] for s in document["shares"]] == [1, 2, 3]
