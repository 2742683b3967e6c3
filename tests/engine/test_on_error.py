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
    assert "/bad/***" in message
    assert "hunter2" not in message
