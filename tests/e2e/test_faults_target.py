"""Targets that fail in every way, and the stops that protect them: right verdict, right exit code, and load that ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest
from support.countingtarget import CountingTarget
from support.hostile import Peer, Script, answers, hostile, well_behaved
from support.processes import free_ports
from support.squallrun import Ended, Squall, manifest, step

GARBAGE = b"HTTP/9.9 what?\r\n:::\r\n\r\n\x00\x01\x02"
LONG = "40s"
"""Longer than any of these runs may last."""


def resets(peer: Peer) -> None:
    peer.request()
    peer.reset()


def hangs(peer: Peer) -> None:
    peer.request()
    peer.hang()


def says_nothing(peer: Peer) -> None:
    peer.request()


cut_short = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def all_over(target: CountingTarget, ended: Ended) -> None:
    """Nobody is connected to the target any more, and every request that it saw has been counted."""
    target.wait_until(lambda: target.connections == 0, "the end of all connections")
    assert ended.count() == target.count("/") > 0


def test_a_target_that_is_not_there_is_told_before_any_load(squall: Squall) -> None:
    (port,) = free_ports(1)
    ended = squall(manifest(f"http://127.0.0.1:{port}", duration=LONG), processes=2).ended()
    assert ended.outcome() == (109, "Error", "", "TargetUnreachable")
    assert f"127.0.0.1:{port} cannot be reached" in ended.said
    assert "is it running, is the base URL right" in ended.said
    assert ended.count() == 0
    assert ended.summary.timings.load_seconds == 0


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (hangs, "no complete response within"),
        (answers(GARBAGE), "what the server sent"),
        (
            answers(b"HTTP/1.1 503 Not Yet\r\nContent-Length: 0\r\n\r\n"),
            "answered with 503 Service Unavailable",
        ),
    ],
    ids=["hangs", "garbage", "503"],
)
def test_a_target_that_is_not_well_gets_no_load(squall: Squall, script: Script, why: str) -> None:
    with hostile(script) as target:
        connectivity = {"url": "/health", "timeout": "300ms"}
        ended = squall(manifest(target.url, duration=LONG, safety={"connectivity": connectivity})).ended()
        assert [request.split()[1] for request in target.requests] == [b"/health"]
    assert ended.outcome() == (109, "Error", "", "TargetUnreachable")
    assert why in ended.said
    assert "is safety.connectivity.url right?" in ended.said


def test_every_way_in_which_a_target_fails_is_counted_as_what_it_is(squall: Squall) -> None:
    scripts = {
        "hangs": hangs,
        "resets": resets,
        "garbage": answers(GARBAGE),
        "says-nothing": says_nothing,
        "hangs-up": Peer.close,
        "cut-short": cut_short,
        "fine": well_behaved,
    }
    (nowhere,) = free_ports(1)
    with ExitStack() as stack:
        urls = {name: stack.enter_context(hostile(script)).url for name, script in scripts.items()}
        urls["refuses"] = f"http://127.0.0.1:{nowhere}"
        scenarios = [_visits(name, url) for name, url in urls.items()]
        calm = {"saturation": {"loopLag": "2s"}}  # what a busy machine does to the verdict is not the matter
        test = manifest(None, scenarios=scenarios, http={"timeout": "300ms"}, safety=calm)
        ended = squall(test).ended()
    assert ended.outcome()[:2] == (0, "Passed")
    assert {error.scenario: error.error for error in ended.summary.errors} == {
        "hangs": "timeout",
        "resets": "reset",
        "garbage": "protocol",
        "says-nothing": "closed",
        "hangs-up": "closed",
        "cut-short": "closed",
        "refuses": "connect_refused",
    }
    assert all(error.example for error in ended.summary.errors)
    assert ended.count(scenario="fine") > 0


def _visits(name: str, url: str) -> dict[str, Any]:
    return {
        "name": name,
        "executor": "constant-vus",
        "vus": 1,
        "duration": "1s",
        "steps": [step("get", url=f"{url}/"), {"think": {"duration": "50ms"}}],
    }


def _becomes_slow(target: CountingTarget) -> None:
    target.delay = 0.4


def _breaks(target: CountingTarget) -> None:
    target.status = 500


def _hides(target: CountingTarget) -> None:
    target.slow["/health"] = 60


STOPS: dict[str, tuple[Callable[[CountingTarget], None], dict[str, Any], str, str]] = {
    "errorRate": (
        CountingTarget.vanish,
        {"errorRate": {"stop": "50%"}},
        "ErrorRate",
        "of the requests failed",
    ),
    "consecutiveFailures": (
        _breaks,
        {"consecutiveFailures": 5},
        "ConsecutiveFailures",
        "one after the other",
    ),
    "responseTime": (_becomes_slow, {"responseTime": {"stop": "200ms"}}, "ResponseTime", "on average"),
    "throughput": (
        _becomes_slow,
        {"throughput": {"stop": 20}, "after": "1s"},
        "Throughput",
        "requests per second",
    ),
    "connectivity": (
        _hides,
        {"connectivity": {"url": "/health", "interval": "100ms", "timeout": "200ms", "failures": 2}},
        "Connectivity",
        "did not answer the connectivity check 2 times in a row",
    ),
}


@pytest.mark.parametrize("kind", STOPS)
def test_a_safety_limit_ends_the_load(squall: Squall, target: CountingTarget, kind: str) -> None:
    fault, safety, reason, message = STOPS[kind]
    run = squall(manifest(target.url, duration=LONG, safety={"window": "1s", "minSamples": 5, **safety}))
    run.wait_for_requests(target, 60, "/")
    fault(target)
    ended = run.ended()
    assert ended.outcome() == (106, "Aborted", "safety", reason)
    assert message in ended.said
    if kind == "errorRate":  # what was refused never reached it
        assert ended.count() > target.count() > 0
        assert {error.error for error in ended.summary.errors} <= {"connect_refused", "reset", "closed"}
    else:
        all_over(target, ended)


def test_a_run_ends_at_its_deadline(squall: Squall, target: CountingTarget) -> None:
    ended = squall(manifest(target.url, duration=LONG, safety={"maxDuration": "1s"})).ended()
    assert ended.outcome() == (102, "Aborted", "deadline", "Deadline")
    assert "safety.maxDuration" in ended.said
    all_over(target, ended)


def test_the_load_ends_soon_after_an_aborting_threshold_is_broken(
    squall: Squall, target: CountingTarget
) -> None:
    limit = {
        "metric": "http_req_duration",
        "expression": "p(95)<100ms",
        "over": "1s",
        "abortOnFail": True,
    }
    run = squall(manifest(target.url, duration=LONG, thresholds=[limit]), processes=2)
    run.wait_for_requests(target, 60, "/")
    target.delay = 0.3
    ended = run.ended()
    assert ended.outcome() == (99, "Aborted", "threshold", "ThresholdFailed")
    assert "p(95)<100ms" in ended.said
    all_over(target, ended)
    summary = ended.summary
    assert summary.verdict.observed is not None
    assert summary.verdict.observed > 0.1
    broken_at = datetime.fromisoformat(summary.started_at).timestamp() + (summary.verdict.at_seconds or 0)
    late, told = target.seen[-1].at - broken_at, summary.timings.stop_to_last_request_seconds
    assert told is not None
    assert abs(late - told) < 1, "what is reported is what the target saw"
    assert late < 5
