"""What whoever looks after the operator is told: how many LoadTests are where, for how long, and which outlast their phase."""

from __future__ import annotations

from typing import Any

import pytest

from squall_operator.lasting import lasted, may_last, standing
from squall_operator.model import Deadlines, Plan
from squall_operator.status import read
from squall_operator.times import stamp

NOW = 1_800_000_000.0
DEADLINES = Deadlines(start=300.0, stop=30.0)
PLAN = Plan(
    shards=1, pods=1, max_seconds=600.0, stop_seconds=40.0, lost_control_seconds=60.0, setup_seconds=20.0
)
MAY_LAST = {"Launching": 300.0, "Starting": 320.0, "Running": 670.0, "Stopping": 70.0}
BEGAN = {"Launching": "acceptedAt", "Starting": "launchedAt", "Running": "startedAt"}


def load_test(uid: str, phase: str, seconds: float = 0.0) -> dict[str, Any]:
    """One that has been in a phase for so long."""
    since = stamp(NOW - seconds)
    status: dict[str, Any] = {"phase": phase}
    if phase in MAY_LAST:
        run = {"id": uid, "key": "k", "phase": phase, "acceptedAt": since}
        if phase == "Stopping":
            run |= {"startedAt": stamp(NOW - 9999)}
            status["run"] = run | {"stop": {"cause": "user", "reason": "R", "message": "m", "at": since}}
        else:
            status["run"] = run | {BEGAN[phase]: since}
    elif phase == "Queued":
        condition = {"reason": "R", "message": "m", "observedGeneration": 1, "lastTransitionTime": since}
        status["conditions"] = [
            {"type": "Ready", "status": "False", **condition, "lastTransitionTime": stamp(NOW - 9999)},
            {"type": "Reconciling", "status": "True", **condition},
        ]
    else:
        status["run"] = {"id": uid, "key": "k", "phase": "Finished", "endedAt": since}
    return {"metadata": {"uid": uid}, "status": status}


@pytest.mark.parametrize("phase", MAY_LAST)
def test_a_run_is_overdue_by_what_it_is_beyond_its_phase(phase: str) -> None:
    for seconds, overdue in ((MAY_LAST[phase] - 5, 0.0), (MAY_LAST[phase] + 7, 7.0)):
        run = read(load_test("a", phase, seconds)["status"]).run
        assert run is not None
        assert lasted(run, NOW) == seconds
        assert may_last(run.phase, PLAN, DEADLINES) == MAY_LAST[phase]
        found = standing([load_test("a", phase, seconds)], {"a": PLAN}.get, DEADLINES, NOW)
        assert found.overdue == overdue
        assert found.oldest[phase] == seconds


def test_of_several_the_one_that_has_lasted_longest_counts() -> None:
    tests = [
        load_test("a", "Running", 10),
        load_test("b", "Running", 680),
        load_test("c", "Launching", 301),
        load_test("d", "Queued", 4000),
        load_test("e", "Passed", 99999),
        {"metadata": {"uid": "f"}},
    ]
    found = standing(tests, dict.fromkeys("abcdef", PLAN).get, DEADLINES, NOW)
    assert found.phases == {"Running": 2, "Launching": 1, "Queued": 1, "Passed": 1, "New": 1}
    assert found.oldest == {"Queued": 4000, "Launching": 301, "Starting": 0, "Running": 680, "Stopping": 0}
    assert found.overdue == 10


def test_a_manifest_that_was_not_read_makes_nothing_overdue() -> None:
    found = standing([load_test("a", "Running", 99999)], lambda _uid: None, DEADLINES, NOW)
    assert found.overdue == 0
    assert found.oldest["Running"] == 99999


def test_a_status_that_somebody_has_made_unreadable_is_as_good_as_none() -> None:
    broken = [{"metadata": {"uid": "a"}, "status": {"phase": 7}}, load_test("b", "Running")]
    broken[1]["status"]["run"]["startedAt"] = "yesterday"
    found = standing(broken, {"b": PLAN}.get, DEADLINES, NOW)
    assert found.phases == {"New": 1, "Running": 1}
    assert found.overdue == 0


def test_those_that_a_policy_holds_back_tell_how_many_are_ahead() -> None:
    tests = [load_test(name, "Queued") for name in ("halted", "second", "third")]
    tests[1]["status"]["queuePosition"], tests[2]["status"]["queuePosition"] = 1, 2
    assert standing(tests, {}.get, DEADLINES, NOW).ahead == (1, 2)
