"""`record`: one rule for every kind of step, whether it succeeds, fails, or fails and the iteration goes on."""

import pytest
from support.driving import drive, drive_steps, manifest, target

FAIL = {"set": {"y": "${1 / (first - 1)}"}}
STEPS = {
    "http": ({"http": {"url": "/fine"}}, {"http": {"url": "/bad"}}),
    "http without a request": (
        {"http": {"url": "/fine"}},
        {"http": {"url": "/${1 / (first - 1)}"}},
    ),
    "http, extraction": (
        {"http": {"url": "/fine"}},
        {"http": {"url": "/fine"}, "extract": {"x": {"jsonPath": "$.missing"}}},
    ),
    "poll": (
        {"poll": {"http": {"url": "/fine"}, "until": "true"}},
        {"poll": {"http": {"url": "/bad"}, "until": "true"}},
    ),
    "python": (
        {"python": {"module": "support.pythonsteps", "function": "nothing"}},
        {"python": {"module": "support.pythonsteps", "function": "fail"}},
    ),
    "set": ({"set": {"y": 1}}, FAIL),
    "group": ({"group": {"steps": [{"set": {"y": 1}}]}}, {"group": {"steps": [FAIL]}}),
    "repeat": (
        {"repeat": {"times": 2, "steps": [{"set": {"y": 1}}]}},
        {"repeat": {"times": 2, "steps": [FAIL]}},
    ),
    "parallel": (
        {"parallel": {"branches": [{"steps": [{"set": {"y": 1}}]}]}},
        {"parallel": {"branches": [{"steps": [FAIL]}]}},
    ),
    "if": (
        {"if": {"condition": "true", "then": [{"set": {"y": 1}}]}},
        {"if": {"condition": "1 / (first - 1) > 0", "then": [{"set": {"y": 1}}]}},
    ),
}


RECORDS = (
    {"counter": "ended"},
    {"trend": "took"},
    {"rate": "went_well"},
    {"counter": "valued", "value": "2"},
    {"gauge": "level", "value": "7"},
    {"rate": "chosen", "value": "false"},
)


async def recorded(step, **given):
    """What three iterations of a step have recorded, each kind of record in a scenario of its own."""
    async with target() as server:
        server.answer("/bad", status=500)
        scenarios = [
            {
                "name": f"s{number}",
                "executor": "per-vu-iterations",
                "iterations": 3,
                "steps": [{"set": {"first": f"${{vu - {number}}}"}}, {**step, **given, "record": record}],
            }
            for number, record in enumerate(RECORDS)
        ]
        measured = await drive(manifest(server.url, [], spec={"scenarios": scenarios}))
    return (
        measured.count("ended"),
        measured.trend("took").count,
        measured.rate("went_well"),
        measured.count("valued"),
        len([metric for metric, _ in measured.defs.values() if metric == "level"]),
        measured.rate("chosen"),
    )


@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_that_succeeds_records_everything(kind):
    good, _ = STEPS[kind]
    assert await recorded(good) == (3, 3, (3, 3), 6, 1, (0, 3))


@pytest.mark.parametrize("policy", ["continue", "endIteration", "abortRun"])
@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_that_fails_records_that_it_ended_and_no_value(kind, policy):
    _, bad = STEPS[kind]
    assert await recorded(bad, onError=policy) == (3, 3, (0, 3), 0, 0, (0, 0))


async def test_a_container_whose_failing_step_goes_on_has_succeeded():
    fail = {"http": {"url": "/bad"}, "onError": "continue"}
    step = {"group": {"steps": [fail]}, "record": {"rate": "went_well"}}
    async with target() as server:
        server.answer("/bad", status=500)
        measured = await drive_steps(server, [step])
    assert measured.rate("went_well") == (1, 1)


async def test_the_trend_of_a_failed_poll_is_the_jobs_latency():
    poll = {"http": {"url": "/x"}, "until": "false", "interval": "20ms", "deadline": "100ms"}
    async with target() as server:
        measured = await drive_steps(server, [{"poll": poll, "record": {"trend": "took"}}])
    assert measured.trend("took").max == pytest.approx(measured.trend("job_latency").max)
