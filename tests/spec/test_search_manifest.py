"""A search for capacity in the manifest: what is refused and where, and what the command line makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from support.problems import load, manifest, problem_of

GET = "steps: [{http: {url: http://h/}}]"
LEVEL = "thresholds: [{metric: http_req_duration, expression: p(95)<200ms}]"
RATE = f"{{name: find, executor: capacity, search: {{by: rate, start: 5, max: 50, {LEVEL}}}, maxVUs: 80, timeUnit: 1m, {GET}}}"
VUS = f"{{name: find, executor: capacity, search: {{by: vus, start: 5, max: 50, hold: 20s, {LEVEL}}}, maxDuration: 1h, {GET}}}"


def scenario(text: str, **options: Any) -> dict[str, Any]:
    """The one scenario of a manifest, with the command line's changes."""
    data = load(manifest("", f"scenarios: [{text}]\n"), **options).data
    (found,) = data["spec"]["scenarios"]
    return {key: value for key, value in found.items() if key != "steps"}


def refused(text: str, spec: str = "") -> tuple[str, str]:
    """Where and why it is refused."""
    problem = problem_of(manifest(spec, f"scenarios: [{text}]\n"))
    return problem.path, problem.message


@pytest.mark.parametrize(
    ("before", "after", "path", "message"),
    [
        ("start: 5", "start: 51", "search.start", "51 is more than max, 50"),
        ("max: 50", "max: 50, growth: 0%", "search.growth", "never raised"),
        ("max: 50", "max: 50, growth: 150", "search.growth", "as a plain number it would be 15000%"),
        ("max: 50", "max: 50, precision: 0%", "search.precision", "above 0%, and at most 100%"),
        ("max: 50", "max: 50, precision: 101%", "search.precision", "above 0%, and at most 100%"),
        ("max: 50", "max: 50, hold: 999ms", "search.hold", "judged by whole seconds"),
        (
            LEVEL,
            "thresholds: [{metric: capacity, expression: value>5}]",
            "search.thresholds[0].metric",
            "is to find",
        ),
        ("max: 50", "max: 50, hold: 10m", "maxDuration", "too short for a single level, which lasts 10m2s"),
        ("timeUnit: 1m", "timeUnit: 0s", "timeUnit", "a rate per no time"),
        ("max: 50", "max: 1000000000", "search.max", "not possible"),
        ("timeUnit: 1m", "duration: 1m", "duration", "duration does not belong to capacity"),
        ("maxVUs: 80", "maxVUs: 80, whenSaturated: queue", "whenSaturated", "does not belong to capacity"),
        ("by: rate, ", "", "search.by", "missing"),
        ("by: rate", "by: users", "search.by", "not possible"),
        (
            "http_req_duration",
            "http_req_duraton",
            "search.thresholds[0].metric",
            'there is no metric "http_req_duraton"',
        ),
        ("p(95)<200ms", "p(95)<200MB", "search.thresholds[0].expression", "not compared with"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(before: str, after: str, path: str, message: str) -> None:
    assert before in RATE
    found = refused(RATE.replace(before, after, 1))
    assert found[0] == f"spec.scenarios[0].{path}"
    assert message in found[1]


def test_a_search_for_vus_has_no_arrivals() -> None:
    path, message = refused(VUS.replace("maxDuration", "arrivals: poisson, maxDuration"))
    assert (path, message) == ("spec.scenarios[0].arrivals", "arrivals does not belong to a search by: vus")


def test_more_vus_than_there_can_be_are_refused() -> None:
    path, message = refused(VUS.replace("max: 50", "max: 2000000"))
    assert path == "spec.scenarios[0].search.max"
    assert "2000000 VUs are not possible" in message


def test_an_executor_that_does_not_search_takes_no_search() -> None:
    text = f"{{name: find, executor: constant-vus, vus: 1, duration: 1m, search: {{by: vus, start: 1, max: 2, {LEVEL}}}, {GET}}}"
    assert refused(text) == ("spec.scenarios[0].search", "search does not belong to constant-vus")


@pytest.mark.parametrize("selector", ["{stage:25}", "{scenario:find,stage:7}"])
def test_levels_are_stages_for_thresholds(selector: str) -> None:
    limit = f"thresholds: [{{metric: 'http_req_duration{selector}', expression: p(95)<1s}}]"
    load(manifest(limit, f"scenarios: [{RATE}]\n"))


@pytest.mark.parametrize("selector", ["{stage:fast}", "{scenario:other,stage:25}"])
def test_but_not_everything_is_a_level(selector: str) -> None:
    other = f"{{name: other, executor: constant-vus, vus: 1, duration: 1m, {GET}}}"
    limit = f"thresholds: [{{metric: 'http_req_duration{selector}', expression: p(95)<1s}}]"
    assert "there is no stage" in refused(f"{RATE}, {other}", limit)[1]


def test_what_is_found_can_have_a_threshold() -> None:
    load(
        manifest(
            "thresholds: [{metric: 'capacity{scenario:find}', expression: value>=20}]",
            f"scenarios: [{RATE}]\n",
        )
    )


@pytest.mark.parametrize(
    ("metric", "expression", "key", "message"),
    [
        ("capacity", "value>=51", "expression", "no search goes that high: search.max is 50"),
        ("capacity{scenario:find}", "value>50", "expression", "no search goes that high: search.max is 50"),
        ("capacity{stage:25}", "value>=20", "metric", 'capacity has no tag "stage"'),
    ],
)
def test_a_threshold_that_no_search_can_meet_is_refused(
    metric: str, expression: str, key: str, message: str
) -> None:
    limits = f"thresholds: [{{metric: '{metric}', expression: {expression}}}]"
    path, text = refused(RATE, limits)
    assert path == f"spec.thresholds[0].{key}"
    assert message in text


def test_the_highest_level_itself_can_be_asked_for() -> None:
    for expression in ("value>=50", "value<51", "value>49"):
        load(
            manifest(
                f"thresholds: [{{metric: capacity, expression: {expression}}}]", f"scenarios: [{RATE}]\n"
            )
        )


def test_a_search_that_the_command_line_bounds_keeps_its_threshold() -> None:
    limits = "thresholds: [{metric: capacity, expression: value>=40}]"
    found = load(manifest(limits, f"scenarios: [{VUS}]\n"), vus=3)
    assert len(found.data["spec"]["thresholds"]) == 1


def test_stages_on_the_command_line_make_a_ramp_of_what_is_searched() -> None:
    stages = [{"duration": "5s", "target": 100}]
    assert scenario(RATE, stages=("5s:100",)) == {
        "name": "find", "executor": "ramping-arrival-rate", "maxVUs": 80, "timeUnit": "1m", "stages": stages,
    }  # fmt: skip
    assert scenario(VUS, stages=("5s:100",)) == {"name": "find", "executor": "ramping-vus", "stages": stages}


def test_thresholds_on_what_a_ramp_does_not_find_are_left_out() -> None:
    limits = """thresholds:
  - {metric: 'capacity{scenario:find}', expression: value>=20}
  - {metric: 'http_req_duration{stage:25}', expression: p(95)<1s}
  - {metric: 'http_req_duration{stage:1}', expression: p(95)<2s}
"""
    found = load(manifest(limits, f"scenarios: [{VUS}]\n"), stages=("5s:10",))
    assert [each["expression"] for each in found.data["spec"]["thresholds"]] == ["p(95)<2s"]
    assert len(found.warnings) == 2


def test_vus_and_duration_on_the_command_line_bound_a_search() -> None:
    found = scenario(VUS, vus=3, duration="2m")
    assert found["search"]["start"] == found["search"]["max"] == 3
    assert found["maxDuration"] == "2m"
    assert scenario(VUS, vus=30)["search"]["start"] == 5
    found = scenario(RATE, vus=3, duration="2m")
    assert (found["maxVUs"], found["maxDuration"], found["search"]["max"]) == (3, "2m", 50)
    assert scenario(RATE.replace("maxVUs: 80", "preAllocatedVUs: 20"), vus=3)["preAllocatedVUs"] == 3


def test_time_scale_changes_how_long_levels_last() -> None:
    text = VUS.replace("hold: 20s", "hold: 20s, settle: 4s, cooldown: 10s")
    found = scenario(text, time_scale=0.1)
    assert [found["search"][key] for key in ("hold", "settle", "cooldown")] == ["2s", "400ms", "1s"]
    assert found["maxDuration"] == "6m"
    assert scenario(text, time_scale=0.001)["search"]["hold"] == "1s"
