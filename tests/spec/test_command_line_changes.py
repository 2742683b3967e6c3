"""`--set`, `--vus`, `--duration`, `--stage`, `--scenario` and `--time-scale`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.problems import SCENARIOS, load, manifest, problem_of, problems_of

from squall.spec.quantities import nanoseconds

GET = "steps: [{http: {url: http://h/}}]"
KINDS = f"""
scenarios:
  - {{name: constant, executor: constant-vus, vus: 2, duration: 1m, {GET}}}
  - {{name: ramp, executor: ramping-vus, startVUs: 2, gracefulRampDown: 5s, stages: [{{duration: 1m, target: 10}}, {{duration: 3m, target: 0}}], {GET}}}
  - {{name: each, executor: per-vu-iterations, vus: 2, iterations: 5, {GET}}}
  - {{name: shared, executor: shared-iterations, vus: 2, iterations: 9, maxDuration: 1m, {GET}}}
  - {{name: arrivals, executor: constant-arrival-rate, rate: 5, duration: 1m, preAllocatedVUs: 50, maxVUs: 80, {GET}}}
  - {{name: surge, executor: ramping-arrival-rate, startRate: 1, stages: [{{duration: 1m, target: 10}}, {{duration: 1m, target: 5}}], {GET}}}
"""


def scenarios(**options: Any) -> dict[str, dict[str, Any]]:
    data = load(manifest("", KINDS), **options).data
    return {s.pop("name"): {k: v for k, v in s.items() if k != "steps"} for s in data["spec"]["scenarios"]}


def test_vus_and_duration_make_load_constant() -> None:
    found = scenarios(vus=3, duration="30s")
    assert found["constant"] == {"executor": "constant-vus", "vus": 3, "duration": "30s"}
    assert found["ramp"] == {"executor": "constant-vus", "vus": 3, "duration": "30s"}
    assert found["each"] == {"executor": "per-vu-iterations", "vus": 3, "iterations": 5, "maxDuration": "30s"}
    assert found["shared"]["vus"] == 3
    assert found["shared"]["maxDuration"] == "30s"
    assert found["arrivals"] == {
        "executor": "constant-arrival-rate", "rate": 5, "duration": "30s", "preAllocatedVUs": 3, "maxVUs": 3,
    }  # fmt: skip
    assert [stage["duration"] for stage in found["surge"]["stages"]] == ["15s", "15s"]


def test_vus_alone_keep_the_shape_of_a_ramp() -> None:
    found = scenarios(vus=5)
    assert found["ramp"]["startVUs"] == 1
    assert [stage["target"] for stage in found["ramp"]["stages"]] == [5, 0]
    assert [stage["duration"] for stage in found["ramp"]["stages"]] == ["1m", "3m"]
    assert found["constant"] == {"executor": "constant-vus", "vus": 5, "duration": "1m"}


def test_duration_alone_stretches_a_ramp() -> None:
    found = scenarios(duration="1m")
    assert [stage["duration"] for stage in found["ramp"]["stages"]] == ["15s", "45s"]
    assert [stage["target"] for stage in found["ramp"]["stages"]] == [10, 0]


def test_stages_replace_the_shape_and_keep_the_kind_of_load() -> None:
    found = scenarios(stages=("2m:1000", "5m:0"))
    stages = [{"duration": "2m", "target": 1000}, {"duration": "5m", "target": 0}]
    assert found["constant"] == {"executor": "ramping-vus", "stages": stages}
    assert found["ramp"] == {"executor": "ramping-vus", "stages": stages, "gracefulRampDown": "5s"}
    assert found["each"] == {"executor": "ramping-vus", "stages": stages}
    assert found["arrivals"] == {
        "executor": "ramping-arrival-rate", "stages": stages, "preAllocatedVUs": 50, "maxVUs": 80,
    }  # fmt: skip
    assert found["surge"] == {"executor": "ramping-arrival-rate", "stages": stages}


def test_the_size_of_a_ramp_may_come_from_variables() -> None:
    text = manifest(
        "variables: [{name: n, env: N}]",
        f'scenarios: [{{name: a, executor: ramping-vus, startVUs: 0, stages: [{{duration: 1m, target: "${{var.n}}"}}], {GET}}}]',
    )
    spec = load(text, environ={"N": "100"}, vus=7).model.spec
    assert spec.scenarios[0].stages[0].target == 7  # type: ignore[index]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=6).filter(any), st.integers(1, 2000))
def test_the_peak_of_a_scaled_ramp_is_what_was_asked_for(targets: list[int], vus: int) -> None:
    stages = ", ".join(f"{{duration: 1m, target: {target}}}" for target in targets)
    text = manifest(
        "", f"scenarios: [{{name: a, executor: ramping-vus, startVUs: 0, stages: [{stages}], {GET}}}]"
    )
    found = [stage["target"] for stage in load(text, vus=vus).data["spec"]["scenarios"][0]["stages"]]
    assert max(found) == vus
    assert [bool(target) for target in found] == [bool(target) for target in targets]


@given(st.lists(st.integers(1, 7200), min_size=1, max_size=6), st.integers(1, 100_000))
def test_a_stretched_ramp_is_as_long_as_was_asked_for(lengths: list[int], wanted: int) -> None:
    stages = ", ".join(f"{{duration: {length}s, target: 5}}" for length in lengths)
    text = manifest("", f"scenarios: [{{name: a, executor: ramping-vus, stages: [{stages}], {GET}}}]")
    found = load(text, duration=f"{wanted}ms").data["spec"]["scenarios"][0]["stages"]
    total = sum(nanoseconds(stage["duration"]) for stage in found)
    assert abs(total - wanted * 10**6) <= len(lengths)


def test_only_the_wanted_scenarios_are_kept_with_their_thresholds() -> None:
    spec = """
        thresholds:
          - {metric: "iterations{scenario:ramp}", expression: count>1}
          - {metric: "iterations{scenario:each}", expression: count>1}
          - {metric: mine, expression: p(95)<2s}
        """
    kinds = KINDS.replace("name: each,", "name: each, tags: {a: b},").replace(
        "maxDuration: 1m, steps: [{http: {url: http://h/}}]",
        "maxDuration: 1m, steps: [{http: {url: http://h/}, record: {trend: mine}}]",
    )
    test = load(manifest(spec, kinds), scenarios=("each",))
    assert [scenario.name for scenario in test.model.spec.scenarios] == ["each"]
    assert [threshold.metric for threshold in test.model.spec.thresholds] == ["iterations{scenario:each}"]
    assert [warning.split(": ")[-1] for warning in test.warnings] == [
        "scenario ramp is not in this run",
        "metric mine is not in this run",
    ]


@pytest.mark.parametrize(
    ("options", "option", "message", "hint"),
    [
        ({"scenarios": ("sing",)}, "--scenario sing", 'there is no scenario "sing"', "scenarios: signup"),
        ({"vus": 0}, "--vus 0", "at least one VU", "from 1"),
        ({"duration": "5"}, "--duration 5", '"5" is not a duration', "30s"),
        ({"stages": ("2m",)}, "--stage 2m", "needs a duration and a target", "2m:1000"),
        ({"stages": ("x:5",)}, "--stage x:5", '"x" is not a duration', "30s"),
        ({"stages": ("1m:-5",)}, "--stage 1m:-5", "needs a duration and a target", "2m:1000"),
        ({"stages": ("1m:5",), "vus": 5}, "--stage", "already say how many", "leave out"),
        ({"time_scale": 0.0}, "--time-scale 0", "has to be more than 0", "0.1"),
        ({"time_scale": float("nan")}, "--time-scale nan", "has to be more than 0", "0.1"),
        ({"sets": ("http.timeout",)}, "--set http.timeout", "needs a path and a value", "http.timeout=5s"),
        ({"sets": ("=5",)}, "--set =5", "the path is empty", "path=value"),
        ({"sets": ("http..x=5",)}, "--set http..x=5", '"http..x" is not a path', "scenarios.signup"),
        (
            {"sets": ("htp.timeout=5s",)},
            "--set htp.timeout=5s",
            'spec has no "htp"; did you mean "http"?',
            "valid here",
        ),
        (
            {"sets": ("http.timeot=5s",)},
            "--set http.timeot=5s",
            'http has no "timeot"; did you mean "timeout"?',
            "valid",
        ),
        (
            {"sets": ("scenarios.singup.vus=5",)},
            "--set scenarios.singup.vus=5",
            'did you mean "signup"?',
            "items: signup",
        ),
        ({"sets": ("scenarios[3].vus=5",)}, "--set scenarios[3].vus=5", "scenarios has 1 item", "from 0"),
        ({"sets": ("shards=[",)}, "--set shards=[", "not valid YAML", "brackets"),
        ({"sets": ("shards=x",)}, "--set shards=x", '"x" is not a whole number', "whole number"),
        ({"sets": ("shards.x=1",)}, "--set shards.x=1", "", ""),
        (
            {"sets": ("http.timeout=5",)},
            "--set http.timeout=5",
            "5 is not a duration: the unit is missing",
            "write 5s",
        ),
        ({"files": {"x": "y"}}, "--file x", 'the manifest has no file "x"', "spec.files"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], option: str, message: str, hint: str) -> None:
    problem = problem_of(manifest("shards: 2"), **options)
    assert (problem.file, problem.line) == (option, 0)
    assert message in problem.message
    assert hint in problem.hint
    assert problem.render().startswith(f"{option}: ")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("shards=5", ("shards",), 5),
        ("spec.shards=5", ("shards",), 5),
        ("scenarios.signup.stages[0].target=9", ("scenarios", 0, "stages", 0, "target"), 9),
        ("scenarios.signup.stages.hold.target=9", ("scenarios", 0, "stages", 1, "target"), 9),
        ("scenarios[0].stages[1].duration=9s", ("scenarios", 0, "stages", 1, "duration"), "9s"),
        (
            "scenarios[signup].steps.join.http.method=PUT",
            ("scenarios", 0, "steps", 0, "http", "method"),
            "PUT",
        ),
        ("safety.errorRate.stop=5%", ("safety", "errorRate", "stop"), "5%"),
        ("http.headers={A: b}", ("http", "headers"), {"A": "b"}),
        ('http.headers.X-Id="5"', ("http", "headers", "X-Id"), "5"),
        ("files[users.csv].inline=a=b", ("files", 0, "inline"), "a=b"),
        (
            "scenarios.signup.stages=[{duration: 1m, target: 3}]",
            ("scenarios", 0, "stages"),
            [{"duration": "1m", "target": 3}],
        ),
    ],
)
def test_set(text: str, path: tuple[str | int, ...], value: object) -> None:
    found: Any = load(manifest("files: [{name: users.csv, inline: x}]"), sets=(text,)).data["spec"]
    for segment in path:
        found = found[segment]
    assert found == value


def test_sets_apply_in_their_order_and_after_variants() -> None:
    text = manifest("variants: [{name: v, spec: {shards: 3}}]")
    assert load(text, variants=("v",), sets=("shards=4", "shards=5")).model.spec.shards == 5


def test_time_scale_changes_how_long_a_search_may_last_also_where_it_is_the_default() -> None:
    search = "{by: rate, start: 5, max: 50, thresholds: [{metric: http_reqs, expression: count>0}]}"
    found = f"scenarios: [{{name: find, executor: capacity, search: {search}, {GET}}}]\n"
    (scenario,) = load(manifest("", found), time_scale=0.1).data["spec"]["scenarios"]
    assert scenario["maxDuration"] == "1m"
    assert "maxDuration" not in load(manifest("", found)).data["spec"]["scenarios"][0]


def test_time_scale_changes_the_schedule_and_nothing_else() -> None:
    spec = """
        http: {timeout: 10s}
        safety: {maxDuration: 10m}
        thresholds: [{metric: http_req_failed, expression: rate<1%, after: 10s, over: 10s, for: 5s}]
        """
    parts = """
        scenarios:
          - name: a
            executor: ramping-vus
            startTime: 1m
            gracefulStop: 30s
            stages: [{duration: 1m30s, target: 5}, {duration: 10ms, target: 5}]
            steps: [{think: {duration: 10s}}, {http: {url: http://h/, timeout: 10s}}]
        """
    data = load(manifest(spec, parts), time_scale=0.05).data["spec"]
    (scenario,) = data["scenarios"]
    assert scenario["startTime"] == "3s"
    assert scenario["gracefulStop"] == "1.5s"
    assert [stage["duration"] for stage in scenario["stages"]] == ["4.5s", "500us"]
    assert scenario["steps"][0] == {"think": {"duration": "10s"}}
    assert data["http"] == {"timeout": "10s"}
    assert data["safety"] == {"maxDuration": "10m"}
    assert data["thresholds"][0]["after"] == "500ms"
    assert data["thresholds"][0]["for"] == "250ms"
    assert data["thresholds"][0]["over"] == "1s"


def test_everything_wrong_with_options_and_manifest_comes_at_once() -> None:
    found = problems_of(
        manifest("shards: 0"), variants=("x",), sets=("a=1",), scenarios=("b",), variables={"c": "1"}
    )
    assert [problem.file for problem in found] == [
        "--scenario b",
        "--set a=1",
        "--var c",
        "--variant x",
        "t.yaml",
    ]


def test_the_original_is_not_changed_without_options() -> None:
    assert load(manifest()).data["spec"]["scenarios"][0]["name"] == "signup"
    assert load(manifest()).data == load(manifest("", SCENARIOS)).data
