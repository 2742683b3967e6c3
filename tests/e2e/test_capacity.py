"""A search for capacity as its user has it: `squall run`, two shards, a target with a known limit."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.examples import PATIENT
from support.squallrun import Squall

TARGET = Path(__file__).parents[1] / "support" / "limitedtarget.py"


@contextmanager
def limited(kind: str, *numbers: float) -> Iterator[str]:
    """A target with a limit; the URL of it."""
    process = subprocess.Popen(
        [sys.executable, str(TARGET), kind, *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=10)


def searching(
    url: str, by: str, thresholds: list[dict[str, Any]] | None = None, **search: Any
) -> dict[str, Any]:
    wanted = {
        "by": by,
        "settle": "1s",
        "hold": "2s",
        "growth": "100%",
        "thresholds": [{"metric": "http_req_response_time{scenario:find}", "expression": "p(95)<400ms"}],
    }
    scenario = {
        "name": "find",
        "executor": "capacity",
        "search": wanted | search,
        "steps": [{"name": "get", "http": {"url": "/"}}],
    }
    spec = {
        "shards": 2,
        "http": {"baseUrl": url},
        "scenarios": [scenario],
        "thresholds": thresholds or [],
        "safety": {"maxDuration": "3m"},
    }
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "find"},
        "spec": spec,
    }


def test_it_finds_the_rate_that_a_target_serves(squall: Squall) -> None:
    limit = {"metric": "capacity{scenario:find}", "expression": "value>=40"}
    with limited("rate", 100) as url:
        test = searching(url, "rate", [limit], start=60, max=400, precision="40%")
        ended = squall(test, *PATIENT, processes=2).ended()
    assert ended.outcome()[:2] == (0, "Passed")
    (found,) = ended.summary.capacity
    assert found.ended == "found"
    # Levels so short give the queue little time to grow; `make bench-capacity` says how exact a search can be.
    assert 60 <= found.knee <= 130
    assert found.confirmed
    assert found.limiting.endswith("p(95)<400ms")
    assert "is the highest load that held" in ended.said
    assert "## Capacity: find" in (ended.results / "report.md").read_text()
    assert ended.summary.thresholds[0].value == found.knee
    by_level = {
        row.tags["stage"]: row.values
        for row in ended.summary.metrics
        if row.metric == "http_reqs" and "stage" in row.tags
    }
    assert set(by_level) == {str(level.target) for level in found.levels}
    assert by_level["60"]["rate"] == pytest.approx(60, rel=0.2)


def test_a_stop_in_the_middle_of_a_search_keeps_what_is_known(squall: Squall) -> None:
    with limited("places", 500, 0.02) as url:
        run = squall(searching(url, "vus", start=2, max=100), *PATIENT, processes=1)
        run.wait_for_output("find [4]")
        run.signal(signal.SIGINT)
        ended = run.ended()
    assert ended.outcome()[:3] == (105, "Aborted", "user")
    (found,) = ended.summary.capacity
    assert (found.ended, found.knee) == ("stopped", 2)
