"""What a failure does: every policy with every kind of failure."""

import pytest
from support.driving import Told, drive_steps, target

FAILURES = {
    "http": {"http": {"url": "/bad"}},
    "extract": {"http": {"url": "/fine"}, "extract": {"x": {"jsonPath": "$.missing"}}},
    "poll": {"poll": {"http": {"url": "/bad"}, "until": "true"}},
    "expression": {"set": {"y": "${1 / (vu - 1)}"}},
    "python": {"python": {"module": "support.pythonsteps", "function": "fail"}},
    "repeat": {"repeat": {"while": "true", "limit": 1, "steps": [{"set": {"z": 1}}]}},
    "group": {"group": {"steps": [{"http": {"url": "/bad"}}]}},
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("policy", ["continue", "endIteration", "abortRun", None])
async def test_the_policy_holds_for_every_kind_of_failure(failure, policy):
    told = Told()
    step = dict(FAILURES[failure])
    if failure == "group":
        # The failure belongs to the step within, and so does the policy.
        step = {"group": {"steps": [step["group"]["steps"][0] | ({"onError": policy} if policy else {})]}}
    elif policy is not None:
        step["onError"] = policy
    async with target() as server:
        server.answer("/bad", status=500)
        steps = [step, {"http": {"url": "/after"}}]
        last = [{"http": {"url": "/finally"}}]
        measured = await drive_steps(server, steps, told, **{"finally": last})
    goes_on = policy == "continue"
    assert ("/after" in server.paths()) == goes_on
    assert server.paths()[-1] == "/finally"
    assert measured.count("iterations") == (1 if goes_on else 0)
    assert measured.count("iterations_failed") == (0 if goes_on else 1)
    assert measured.count("iterations_started") == 1
    assert bool(told.aborts) == (policy == "abortRun")


async def test_a_failure_in_finally_fails_the_iteration():
    async with target() as server:
        server.answer("/bad", status=500)
        measured = await drive_steps(
            server, [{"http": {"url": "/a"}}], **{"finally": [{"http": {"url": "/bad"}}]}
        )
    assert measured.count("iterations_failed") == 1


async def test_examples_are_kept_once_for_each_kind_of_failure():
    told = Told()
    async with target() as server:
        server.answer("/bad", status=500)
        await drive_steps(server, [{"name": "a", "http": {"url": "/bad"}}], told, vus=5, iterations=10)
    assert len(told.notes) == 1
    level, event, fields = told.notes[0]
    assert (level, event, fields["error"], fields["step"]) == ("warning", "step_failed", "http_5xx", "a")


async def test_the_failure_streak_counts_failures_in_a_row():
    async with target() as server:
        server.answer("/bad", status=500)
        step = {
            "if": {
                "condition": "iter < 4",
                "then": [{"http": {"url": "/bad"}}],
                "else": [{"http": {"url": "/good"}}],
            }
        }
        measured = await drive_steps(server, [step], iterations=6)
    last, _, peak = measured.gauge("failure_streak")
    assert (last, peak) == (0, 4)
    assert measured.count("iterations_failed") == 4
    assert measured.count("iterations") == 2
    assert measured.trend("iteration_duration").count == 2


async def test_the_run_is_asked_to_end_once_and_without_secrets():
    told = Told()
    async with target() as server:
        server.answer("/bad/hunter2", status=500)
        steps = [{"name": "a", "http": {"url": "/bad/${var.key}"}, "onError": "abortRun"}]
        spec = {"variables": [{"name": "key", "secret": {"name": "s", "key": "k"}}]}
        given = {"secrets": {"key": "hunter2"}}
        await drive_steps(server, steps, told, spec=spec, vus=5, iterations=5, given=given)
    ((reason, message),) = told.aborts
    assert reason == "StepFailed"
    assert "/bad/${var.key}" in message
    assert "hunter2" not in message


INNER = {
    "group": lambda steps: {"group": {"steps": steps}},
    "if": lambda steps: {"if": {"condition": "true", "then": steps}},
    "else": lambda steps: {"if": {"condition": "false", "then": [{"http": {"url": "/not"}}], "else": steps}},
    "choose": lambda steps: {"choose": [{"steps": steps}]},
    "repeat": lambda steps: {"repeat": {"times": 3, "steps": steps}},
    "parallel": lambda steps: {"parallel": {"branches": [{"steps": steps}, {"steps": [{"think": NAP}]}]}},
}
NAP = {"duration": "1ms"}
BAD = {"name": "bad", "http": {"url": "/bad"}}


@pytest.mark.parametrize("container", INNER)
@pytest.mark.parametrize("outer", ["continue", "endIteration", "abortRun"])
@pytest.mark.parametrize("inner", ["continue", "endIteration", "abortRun"])
async def test_the_inner_policy_comes_first_and_the_containers_after_it(container, inner, outer):
    told = Told()
    failing = [{"name": "bad", "http": {"url": "/bad"}, "onError": inner}, {"http": {"url": "/inside"}}]
    steps = [{**INNER[container](failing), "onError": outer}, {"http": {"url": "/after"}}]
    async with target() as server:
        server.answer("/bad", status=500)
        measured = await drive_steps(server, steps, told)
    contained = inner == "continue" or (inner == "endIteration" and outer == "continue")
    rounds = 3 if container == "repeat" and inner == "continue" else 1
    assert server.paths().count("/bad") == rounds
    assert server.paths().count("/inside") == (rounds if inner == "continue" else 0)
    assert ("/after" in server.paths()) == contained
    assert "/not" not in server.paths()
    assert measured.count("iterations") == (1 if contained else 0)
    assert measured.count("iterations_failed") == (0 if contained else 1)
    assert measured.count("step_failures") == measured.count("step_failures", step="bad") == rounds
    aborts = inner == "abortRun" or (inner == "endIteration" and outer == "abortRun")
    assert len(told.aborts) == aborts
    if aborts:
        assert "main / bad: GET" in told.aborts[0][1]


async def test_the_nearest_container_that_goes_on_contains_a_failure():
    async with target() as server:
        server.answer("/bad", status=500)
        middle = {"group": {"steps": [{"http": {"url": "/bad"}}]}, "onError": "continue"}
        outer = {"group": {"steps": [middle, {"http": {"url": "/inside"}}]}, "onError": "continue"}
        measured = await drive_steps(server, [outer, {"http": {"url": "/after"}}])
    assert server.paths() == ["/bad", "/inside", "/after"]
    assert measured.trend("group_duration").count == 1  # the outer one has reached its end


async def test_a_branch_that_aborts_the_run_is_not_hidden_by_one_that_only_fails():
    told = Told()
    slow = {"think": {"duration": "20ms"}}
    branches = [
        {"steps": [{"http": {"url": "/bad"}}]},
        {"steps": [slow, {"http": {"url": "/bad"}, "onError": "abortRun"}]},
    ]
    async with target() as server:
        server.answer("/bad", status=500)
        step = {"parallel": {"branches": branches}, "onError": "continue"}
        measured = await drive_steps(server, [step, {"http": {"url": "/after"}}], told)
    assert len(told.aborts) == 1
    assert "/after" not in server.paths()
    assert measured.count("iterations_failed") == 1


PAUSE = {"think": {"duration": "60ms"}}


@pytest.mark.parametrize("bad", [BAD, {"group": {"steps": [BAD, {"http": {"url": "/inside"}}]}}])
async def test_a_failed_iteration_still_makes_the_pauses_that_stand_after_the_failure(bad):
    async with target() as server:
        server.answer("/bad", status=500)
        steps = [{"think": {"duration": "1ms"}}, bad, PAUSE, {"http": {"url": "/after"}}, PAUSE]
        measured = await drive_steps(server, steps, **{"finally": [{"http": {"url": "/finally"}}]})
    assert server.paths() == ["/bad", "/finally"]
    assert server.seen[1].at - server.seen[0].at >= 0.12
    assert measured.count("iterations_failed") == measured.count("iterations_started") == 1


async def test_a_pause_after_a_failure_makes_nothing_else_of_the_think_step():
    async with target() as server:
        server.answer("/bad", status=500)
        recorded = {**PAUSE, "record": {"counter": "pauses"}}
        measured = await drive_steps(
            server, [BAD, recorded, {**PAUSE, "record": {"trend": "x", "value": "1 / (vu - 1)"}}]
        )
    assert server.paths() == ["/bad"]
    assert measured.count("pauses") == 0
    assert measured.count("step_failures") == 1


async def test_no_pause_is_made_when_the_failure_ends_the_run():
    told = Told()
    async with target() as server:
        server.answer("/bad", status=500)
        await drive_steps(server, [{**BAD, "onError": "abortRun"}, {"think": {"duration": "1h"}}], told)
    assert len(told.aborts) == 1


async def test_an_iteration_that_is_cut_short_in_a_pause_after_its_failure_has_failed():
    async with target() as server:
        server.answer("/bad", status=500)
        steps = [BAD, {"think": {"duration": "1h"}}]
        load = {"executor": "constant-vus", "vus": 1, "duration": "300ms", "gracefulStop": "0s"}
        measured = await drive_steps(server, steps, **load)
    assert server.paths() == ["/bad"]
    assert measured.count("iterations_failed") == 1
    assert measured.count("iterations_interrupted") == 0
