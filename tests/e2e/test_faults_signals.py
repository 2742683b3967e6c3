"""Whoever watches a run may end it at any moment, by any signal: the load stops, and what was measured is reported."""

from __future__ import annotations

import os
import pty
import signal
import time

import pytest
from support.countingtarget import CountingTarget
from support.squallrun import Ended, Squall, SquallRun, manifest, step, stopped

LONG = "40s"
NEVER = 60.0
"""Seconds: an answer that nobody waits for."""
TEARDOWN = {"steps": [step("bye", url="/bye")]}
SETUP = {"steps": [step("hello", url="/hello")]}


def interrupted(ended: Ended, reason: str = "Interrupted") -> None:
    assert ended.outcome() == (105, "Aborted", "user", reason)


def all_over(target: CountingTarget, ended: Ended) -> None:
    """Nobody is connected any more, and the report holds every request of the load."""
    target.wait_until(lambda: target.connections == 0, "the end of all connections")
    assert ended.count() == target.count("/") > 0


def running(squall: Squall, target: CountingTarget, **parts: object) -> SquallRun:
    run = squall(manifest(target.url, duration=LONG, **parts))
    run.wait_for_requests(target, 40, "/")
    return run


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGINT, "Interrupted"),
        (signal.SIGTERM, "Terminated"),
        (signal.SIGHUP, "TerminalClosed"),
    ],
)
def test_a_signal_ends_the_load_then_tears_down_and_reports(
    squall: Squall, target: CountingTarget, number: signal.Signals, reason: str
) -> None:
    run = running(squall, target, teardown=TEARDOWN)
    run.signal_group(number)
    ended = run.ended()
    interrupted(ended, reason)
    all_over(target, ended)
    assert target.count("/bye") == 1
    assert target.seen[-1].path == "/bye"


def test_ctrl_c_twice_ends_at_once(squall: Squall, target: CountingTarget) -> None:
    target.slow["/bye"] = NEVER
    run = running(squall, target, teardown=TEARDOWN)
    run.signal_group(signal.SIGINT)
    run.wait_for_requests(target, 1, "/bye")
    run.signal_group(signal.SIGINT)
    ended = run.ended()
    interrupted(ended)
    assert "without teardown" in " ".join(ended.summary.warnings)
    all_over(target, ended)


def test_ctrl_c_twice_while_requests_in_flight_are_waited_for(squall: Squall, target: CountingTarget) -> None:
    run = running(squall, target, safety={"stopGrace": "30s"})
    target.delay = NEVER
    known = target.count()
    run.wait_for_requests(target, known + 1)
    run.signal(signal.SIGINT)
    run.wait_for_output("fault: stopping")
    asked = target.count()
    run.signal(signal.SIGINT)
    ended = run.ended()
    interrupted(ended)
    assert target.count() == asked
    target.wait_until(lambda: target.connections == 0, "the end of all connections")
    assert 0 < ended.count() <= target.count()


def test_ctrl_c_before_the_load(squall: Squall, target: CountingTarget) -> None:
    run = squall(manifest(target.url, duration=LONG))
    run.wait_for_output("fault: connecting")
    run.signal_group(signal.SIGINT)
    ended = run.ended()
    interrupted(ended)
    assert ended.count() == target.count() == 0


def test_ctrl_c_while_setup_runs(squall: Squall, target: CountingTarget) -> None:
    target.slow["/hello"] = NEVER
    run = squall(manifest(target.url, duration=LONG, setup=SETUP, teardown=TEARDOWN))
    run.wait_for_requests(target, 1, "/hello")
    run.signal_group(signal.SIGINT)
    ended = run.ended()
    interrupted(ended)
    assert [each.path for each in target.seen] == ["/hello", "/bye"], "what setup has begun is torn down"
    assert ended.count() == 0


def test_ctrl_c_while_a_threshold_stops_the_run_changes_nothing(
    squall: Squall, target: CountingTarget
) -> None:
    limit = {"metric": "http_reqs", "expression": "count<30", "abortOnFail": True}
    target.slow["/bye"] = 1.0
    run = squall(manifest(target.url, duration=LONG, thresholds=[limit], teardown=TEARDOWN))
    run.wait_for_requests(target, 1, "/bye")
    run.signal_group(signal.SIGINT)
    ended = run.ended()
    assert ended.outcome() == (99, "Aborted", "threshold", "ThresholdFailed")
    all_over(target, ended)


def test_ctrl_c_once_lets_a_teardown_end(squall: Squall, target: CountingTarget) -> None:
    target.slow["/bye"] = 1.0
    run = squall(manifest(target.url, duration="1s", teardown=TEARDOWN))
    run.wait_for_requests(target, 1, "/bye")
    run.signal_group(signal.SIGINT)
    ended = run.ended()
    assert ended.outcome()[:2] in [(0, "Passed"), (103, "Invalid")], "the load had been done"
    assert not [text for text in ended.summary.warnings if "teardown" in text]
    all_over(target, ended)


def test_ctrl_z_suspends_the_load_too(squall: Squall, target: CountingTarget) -> None:
    run = squall(manifest(target.url, duration="3s"), processes=2)
    run.wait_for_requests(target, 40, "/")
    pids = run.runners(2)
    run.signal(signal.SIGTSTP)
    run.wait_until(lambda: all(stopped(pid) for pid in (run.pid, *pids)), "the end of all motion")
    run.signal(signal.SIGCONT)
    ended = run.ended()
    assert ended.outcome()[0] in (0, 103)
    all_over(target, ended)


def test_a_terminal_that_is_closed_costs_no_results(squall: Squall, target: CountingTarget) -> None:
    upper, lower = pty.openpty()
    run = squall(manifest(target.url, duration=LONG, teardown=TEARDOWN), terminal=lower)
    os.close(lower)
    run.wait_for_requests(target, 40, "/")
    seen = os.read(upper, 65536)
    assert b"fault" in seen
    os.close(upper)
    ended = run.ended()
    assert ended.code == 105
    assert ended.summary.verdict.reason == "TerminalClosed"
    assert (ended.results / "report.md").read_text()
    assert target.count("/bye") == 1
    all_over(target, ended)


def test_a_signal_at_any_moment_of_the_start_ends_the_run(squall: Squall, target: CountingTarget) -> None:
    """However early it comes: nothing hangs, nothing is left, and no load is sent for long."""
    runs = []
    for pause in (0.2, 0.6, 1.0):
        run = squall(manifest(target.url, duration=LONG))
        time.sleep(pause)  # any moment will do
        run.signal_group(signal.SIGINT)
        runs.append(run)
    for run in runs:
        assert run.ended().code in (105, -signal.SIGINT), run.output()
    target.wait_until(lambda: target.connections == 0, "the end of all connections")
