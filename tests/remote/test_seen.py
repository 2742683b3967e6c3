"""How a run that is followed has ended, read from what the operator writes."""

import io
from typing import Any

import pytest
from rich.console import Console

from squall.errors import ExitCode
from squall.remote.seen import Outcome, outcome_of, status_of
from squall.remote.view import PlainView, render

KEY = "0123456789abcdef"
RUN = {"id": "shop-1", "key": KEY, "phase": "Finished"}
PAST = {"id": "shop-1", "key": KEY, "result": "Passed", "report": "shop-1-report"}


def body(*, suspend: bool = False, **status: Any) -> dict[str, Any]:
    full = {"observedGeneration": 2} | status
    return {"metadata": {"generation": 2}, "spec": {"suspend": suspend}, "status": full}


def ready(reason: str) -> list[dict[str, str]]:
    return [{"type": "Ready", "status": "False", "reason": reason}]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"run": RUN, "verdict": {"result": "Passed"}}, ExitCode.PASSED),
        ({"run": RUN, "verdict": {"result": "Failed", "exitCode": 99}}, ExitCode.THRESHOLDS),
        ({"run": RUN, "verdict": {"result": "Error"}}, ExitCode.ERROR),
        ({"run": RUN}, ExitCode.ERROR),
        ({"phase": "Rejected", "conditions": ready("ManifestInvalid")}, ExitCode.MANIFEST),
        ({"phase": "Rejected", "conditions": ready("PolicyViolated")}, ExitCode.POLICY),
        ({"run": {"id": "shop-2", "key": "other", "phase": "Running"}, "history": [PAST]}, ExitCode.PASSED),
        (
            {"run": {"id": "shop-2", "key": "other"}, "history": [PAST | {"result": "Aborted"}]},
            ExitCode.USER,
        ),
    ],
)
def test_an_end_has_its_exit_code(status: dict[str, Any], code: int) -> None:
    outcome = outcome_of(body(**status), KEY)
    assert outcome is not None
    assert outcome.exit_code == code


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"run": {**RUN, "phase": "Stopping"}},
        {"run": {**RUN, "key": "before"}, "phase": "Passed"},
        {"run": {**RUN, "key": "before", "phase": "Stopping"}, "phase": "Stopping"},
        {"phase": "Queued"},
        {"phase": "Suspended"},
        {"phase": "Rejected", "observedGeneration": 1},
    ],
)
def test_what_is_not_an_end(status: dict[str, Any]) -> None:
    assert outcome_of(body(**status), KEY) is None


def test_where_the_report_is() -> None:
    found = outcome_of(body(run=RUN, verdict={"result": "Passed"}, history=[PAST], message="all held"), KEY)
    assert found == Outcome(run="shop-1", message="all held", report="shop-1-report", exit_code=0)


def test_held_before_it_began_and_gone() -> None:
    held = outcome_of(body(phase="Suspended", suspend=True), KEY)
    gone = outcome_of(None, KEY)
    assert held is not None
    assert gone is not None
    assert (held.exit_code, gone.exit_code) == (ExitCode.USER, ExitCode.USER)


def test_a_status_that_somebody_has_made_unreadable_counts_as_none() -> None:
    assert status_of({"status": {"run": "nonsense"}}) == status_of({})


def lines(*statuses: dict[str, Any]) -> list[str]:
    console = Console(width=200, record=True, file=io.StringIO())
    view = PlainView(console)
    for each in statuses:
        view.update("shop", status_of({"status": each}))
    return console.export_text().splitlines()


def test_where_nobody_sees_it_renewed_only_what_is_new_is_told() -> None:
    live = {"requestsPerSecond": 10.0, "errorRate": 0.5}
    running = {"phase": "Running", "message": "the load is on"}
    broken = [{"name": "fast", "expression": "p(95)<1s", "state": "violated", "value": 1.5}]
    told = lines(
        running,
        {**running, "live": live | {"elapsedSeconds": 1}},
        {**running, "live": live | {"elapsedSeconds": 3}},
        {**running, "live": live | {"elapsedSeconds": 6}, "thresholds": broken},
        {**running, "live": live | {"elapsedSeconds": 7}, "thresholds": broken},
    )
    assert [line.split("  ")[0] for line in told] == [
        "shop: Running (the load is on)",
        "1s elapsed",
        "6s elapsed",
        "threshold fast p(95)<1s: violated, value 1.5",
    ]


def test_in_a_terminal_everything_is_shown() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    status = {
        "phase": "Running",
        "live": {"requestsPerSecond": 12.0},
        "shards": {"desired": 3, "running": 2, "lost": 1},
        "thresholds": [{"name": "fast", "expression": "p(95)<1s", "state": "pass", "value": 0.5}],
    }
    console.print(render("shop", status_of({"status": status})))
    text = console.export_text()
    assert all(
        part in text for part in ("shop  Running", "req/s 12", "shards 2/3", "lost 1", "fast  p(95)<1s")
    )
