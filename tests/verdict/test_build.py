from __future__ import annotations

import pytest
from support.measured import Runner

from squall.metrics.declared import catalogue_of
from squall.metrics.names import Kind
from squall.metrics.series import Selector
from squall.metrics.slots import SlotStore
from squall.spec.loadtest import LoadTestSpec
from squall.verdict import build
from squall.verdict.quantity import ThresholdError
from squall.verdict.safety import Limit, SafetyLimits
from squall.verdict.saturation import SaturationLimits
from squall.verdict.tiers import Grading, grades


def spec(**more) -> LoadTestSpec:
    """A manifest's spec with two scenarios and a metric of its own, deep in its steps."""
    inner = {"name": "mint", "http": {"url": "/mint"}, "record": {"trend": "mint_duration"}}
    steps = [
        {"http": {"url": "/"}, "record": {"counter": "pages"}},
        {"group": {"steps": [{"if": {"condition": "1 == 1", "then": [inner]}}]}},
        {"http": {"url": "/"}, "record": {"trend": "page_size", "value": "size"}},
    ]
    ramp = [{"duration": "1m", "target": 5}, {"name": "hold", "duration": "1m", "target": 5}]
    scenarios = [
        {"name": "signup", "executor": "ramping-vus", "stages": ramp, "steps": steps},
        {"name": "gallery", "executor": "constant-vus", "vus": 1, "duration": "1m", "steps": steps},
    ]
    return LoadTestSpec.model_validate({"scenarios": scenarios, **more})


def first(**threshold):
    return build.thresholds_of(spec(thresholds=[threshold]))[0]


def test_a_threshold_with_all_its_options():
    found = first(
        name="fast enough",
        metric="mint_duration{scenario:signup,stage:hold}",
        expression="p(95)<500",
        over="10s",
        **{"for": "4500ms"},
        after="30s",
        minSamples=20,
        abortOnFail=True,
        severity="warn",
        noData="pass",
    )
    assert found.name == "fast enough"
    assert found.selector == Selector("mint_duration", (("scenario", "signup"), ("stage", "hold")))
    assert (found.kind, found.unit) == (Kind.TREND, "s")
    assert found.expression.limit == 0.5
    assert (found.over, found.hold, found.after, found.min_samples) == (10, 5, 30, 20)
    assert (found.abort_on_fail, found.severity, found.no_data) == (True, "warn", "pass")


def test_a_threshold_without_options():
    found = first(metric="http_req_failed", expression="rate<1%")
    assert (found.name, found.unit) == ("http_req_failed rate<1%", "share")
    assert (found.over, found.hold, found.after, found.min_samples) == (None, 1, 0, 0)
    assert (found.abort_on_fail, found.severity, found.no_data) == (False, "fail", "fail")


@pytest.mark.parametrize(
    ("threshold", "unit"),
    [
        ({"metric": "data_sent", "expression": "count>1MB"}, "bytes"),
        ({"metric": "http_req_duration", "expression": "count>1"}, "1"),
        ({"metric": "http_req_duration", "expression": "below(1s)>99%"}, "share"),
        ({"metric": "page_size", "expression": "p(95)<10KiB"}, "1"),
        ({"query": "up", "expression": "value==1"}, ""),
        ({"metric": "http_req_duration{stage:1}", "expression": "avg<1s"}, "s"),
    ],
)
def test_the_unit_of_what_is_observed(threshold, unit):
    assert first(**threshold).unit == unit


WRONG = [
    ({"metric": "http_req_durations", "expression": "p(95)<1s"}, "metric", "no metric", "http_req_duration?"),
    ({"metric": "mint_time", "expression": "p(95)<1s"}, "metric", "no metric", ""),
    ({"metric": "http_reqs{", "expression": "count>1"}, "metric", "no metric selector", ""),
    ({"metric": "http_reqs{scenario:singup}", "expression": "count>1"}, "metric", "no scenario", "signup?"),
    ({"metric": "http_reqs{stage:3}", "expression": "count>1"}, "metric", "no stage '3'", "1, 2, hold"),
    ({"metric": "http_reqs", "expression": "p(95)<1s"}, "expression", "is a counter", "count, rate"),
    (
        {"metric": "http_req_duration", "expression": "p(95)<2x", "relativeTo": "vus"},
        "relativeTo",
        "differ",
        "like with like",
    ),
]


@pytest.mark.parametrize(("threshold", "field", "message", "hint"), WRONG)
def test_a_threshold_that_can_never_be_judged_is_refused(threshold, field, message, hint):
    with pytest.raises(ThresholdError) as caught:
        first(**threshold)
    assert caught.value.field == field
    assert message in caught.value.message
    if not message.startswith("no stage"):
        assert hint in caught.value.hint


def test_all_problems_are_found_at_once_each_with_its_path():
    good = {"metric": "vus", "expression": "max>=1"}
    wrong = [threshold for threshold, *_ in WRONG]
    found = list(
        build.threshold_problems(
            spec(
                thresholds=[good, wrong[0], wrong[5]],
                tiers=[{"name": "best", "thresholds": [good, wrong[6]]}],
            )
        )
    )
    assert [path for path, _ in found] == [
        "spec.thresholds[1].metric",
        "spec.thresholds[2].expression",
        "spec.tiers[0].thresholds[1].relativeTo",
    ]


def test_the_metrics_of_a_manifest_are_found_however_deep():
    known = catalogue_of(spec())
    assert (known["mint_duration"].unit, known["pages"].kind, known["page_size"].unit) == (
        "s",
        "counter",
        "1",
    )


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"trend": "vus"}], "built-in"),
        ([{"trend": "mine"}, {"counter": "mine"}], "declared as"),
    ],
)
def test_a_metric_declared_wrongly_is_refused(records, message):
    steps = [{"http": {"url": "/"}, "record": record} for record in records]
    scenario = {"name": "a", "executor": "constant-vus", "vus": 1, "duration": "1m", "steps": steps}
    with pytest.raises(ValueError, match=message):
        catalogue_of(LoadTestSpec.model_validate({"scenarios": [scenario]}))


def test_safety_and_saturation():
    limits = {
        "window": "15s",
        "after": "5s",
        "minSamples": 3,
        "errorRate": {"warn": "5%", "stop": "10%"},
        "responseTime": {"stop": "1500ms"},
        "throughput": {"warn": 5},
        "consecutiveFailures": 50,
        "maxDuration": "30m",
        "saturation": {"loopLag": "20ms", "delivered": "80%", "tolerated": "0.2"},
    }
    assert build.safety_of(spec(safety=limits)) == SafetyLimits(
        window=15,
        after=5,
        min_samples=3,
        error_rate=Limit(0.05, 0.1),
        response_time=Limit(None, 1.5),
        throughput=Limit(5.0, None),
        consecutive_failures=50,
        max_duration=1800.0,
    )
    assert build.saturation_of(spec(safety=limits)) == SaturationLimits(0.02, 0.1, 0.8, 0.2)
    assert build.saturation_of(spec()) == SaturationLimits()
    rate = {
        "executor": "constant-arrival-rate",
        "rate": 1,
        "duration": "1m",
        "steps": [{"http": {"url": "/"}}],
    }
    scenarios = [{"name": "a", **rate}, {"name": "b", **rate, "whenSaturated": "queue"}]
    assert build.saturation_of(spec(scenarios=scenarios)).scenarios == ("a",)
    plain = build.safety_of(spec())
    assert (plain.error_rate, plain.consecutive_failures, plain.window) == (None, None, 10)


# -- tiers -------------------------------------------------------------------------------------------------

LADDER = [
    {"name": "best", "thresholds": [{"metric": "http_req_duration", "expression": "max<100ms"}]},
    {"name": "good", "thresholds": [{"metric": "http_req_duration", "expression": "max<500ms"}]},
    {
        "name": "calm",
        "group": "steadiness",
        "thresholds": [
            {
                "metric": "http_req_duration{stage:hold}",
                "relativeTo": "http_req_duration{stage:1}",
                "expression": "p(50)<1.5x",
            }
        ],
    },
    {
        "name": "never-slow",
        "group": "worst",
        "thresholds": [
            {"metric": "vus", "expression": "max>=2"},
            {"metric": "http_req_duration", "expression": "max<300ms", "over": "1s"},
        ],
    },
]


@pytest.mark.parametrize(
    ("ramp", "hold", "vus", "expected"),
    [
        (0.05, 0.06, 2.0, {"": "best", "steadiness": "calm", "worst": "never-slow"}),
        (0.05, 0.2, 2.0, {"": "good", "steadiness": "", "worst": "never-slow"}),
        (0.4, 0.4, 2.0, {"": "good", "steadiness": "calm", "worst": ""}),
        (0.05, 0.06, 1.0, {"": "best", "steadiness": "calm", "worst": ""}),
        (0.9, 0.9, 2.0, {"": "", "steadiness": "calm", "worst": ""}),
    ],
)
def test_the_first_tier_of_each_group_that_holds_is_its_grade(ramp, hold, vus, expected):
    grading = Grading(build.tiers_of(spec(tiers=LADDER)))
    store, runner = SlotStore(), Runner()
    for slot, (stage, duration) in enumerate([("1", ramp), ("hold", hold)]):
        runner.add("http_req_duration", duration, stage=stage).add("vus", vus)
        store.add(runner.snapshot(slot))
        grading.step(slot, store, {})
    outcomes = grading.finish(1, store)
    assert grades(outcomes) == expected
    assert [len(outcome.outcomes) for outcome in outcomes] == [1, 1, 1, 2]


def test_tiers_may_ask_prometheus():
    tiers = [{"name": "lean", "thresholds": [{"query": "memory", "expression": "value<2e9"}]}]
    for answer, grade in ((1e9, "lean"), (3e9, ""), (None, "")):
        grading = Grading(build.tiers_of(spec(tiers=tiers)))
        assert grading.queries == {"memory"}
        grading.step(0, SlotStore(), {"memory": answer})
        assert grades(grading.finish(0, SlotStore())) == {"": grade}
