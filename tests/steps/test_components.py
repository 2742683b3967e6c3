"""Steps with the tag `component`: each moment of a flow belongs to one component at most, whatever kinds of steps it took."""

import pytest
from support.driving import drive_steps, target

CHAIN, STORAGE = {"component": "chain"}, {"component": "storage"}
GET = {"http": {"url": "/"}}


def names(measured, metric="component_duration"):
    """How often each step was timed, by component and step."""
    found = {}
    for metric_name, tags in measured.defs.values():
        if metric_name == metric and "component" in tags:
            of = {"component": tags["component"], "step": tags["step"]}
            found[tags["component"], tags["step"]] = measured.trend(metric, **of).count
    return found


async def test_a_step_is_timed_as_its_components_whatever_its_kind():
    steps = [
        {"name": "get", "tags": CHAIN, **GET},
        {"name": "wait", "tags": CHAIN, "think": {"duration": "30ms"}},
        {"name": "code", "tags": STORAGE, "python": {"module": "support.pythonsteps", "function": "fail"}, "onError": "continue"},
        {"name": "plain", **GET},
    ]  # fmt: skip
    async with target() as server:
        measured = await drive_steps(server, steps, iterations=2)
    assert names(measured) == {("chain", "get"): 2, ("chain", "wait"): 2, ("storage", "code"): 2}
    assert measured.trend("component_duration", component="chain", step="wait").min >= 0.03
    assert measured.rate("component_failed", component="chain") == (0, 4)
    assert measured.rate("component_failed", component="storage") == (2, 2)
    assert measured.count("iterations") == 2


async def test_what_a_component_holds_is_timed_once_and_measured_as_its_own():
    inner = [{"name": "a", **GET}, {"name": "b", "tags": STORAGE, **GET}]
    steps = [{"name": "all", "tags": CHAIN, "group": {"steps": inner}}, {"name": "after", **GET}]
    async with target() as server:
        measured = await drive_steps(server, steps)
    assert names(measured) == {("chain", "all"): 1}
    assert measured.count("http_reqs", component="chain") == 1
    assert measured.count("http_reqs", component="storage", step="b") == 1
    assert measured.count("http_reqs", step="after") == 1
    assert not any(tags.get("step") == "after" and "component" in tags for _, tags in measured.defs.values())


async def test_of_a_scenario_with_the_tag_those_steps_count_that_do_something():
    steps = [
        {"name": "pause", "think": {"duration": "1ms"}},
        {"name": "way", "if": {"condition": "true", "then": [{"name": "get", **GET}]}},
        {"name": "other", "tags": STORAGE, "group": {"steps": [{"name": "inner", **GET}]}},
    ]
    async with target() as server:
        measured = await drive_steps(server, steps, tags=CHAIN)
    assert names(measured) == {("chain", "get"): 1, ("storage", "other"): 1}
    assert measured.count("http_reqs", component="storage", step="inner") == 1


@pytest.mark.parametrize("policy", ["continue", "endIteration"])
async def test_a_failure_within_is_the_components_unless_it_was_contained_there(policy):
    failing = {"name": "bad", "http": {"url": "/bad"}, "onError": policy}
    steps = [{"name": "all", "tags": CHAIN, "group": {"steps": [failing]}}]
    async with target() as server:
        server.answer("/bad", status=500)
        measured = await drive_steps(server, steps)
    assert measured.rate("component_failed", component="chain") == (int(policy != "continue"), 1)
