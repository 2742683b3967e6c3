"""What runs out or stands still: a target that is frozen for a while, and a machine without ports or file descriptors."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import fewports
from support.countingtarget import CountingTarget
from support.leftout import missing, skip_if_left_out
from support.manifests import ROOT
from support.processes import Process
from support.squallrun import Ended, Squall, manifest, step

SERVE = "from support.countingtarget import CountingTarget; print(CountingTarget().port, flush=True)"
STALL_SECONDS = 2.0
RATE = 40
VUS = 4


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[Process]:
    """A target in a process of its own."""
    process = Process([sys.executable, "-c", SERVE], log=tmp_path / "target.log", cwd=ROOT / "tests")
    process.wait_until(lambda: process.log_end().endswith("\n") or process.log_end().isdigit(), timeout=20)
    yield process
    os.kill(process.pid, signal.SIGCONT)
    process.stop()


def value(ended: Ended, metric: str, scenario: str, name: str) -> float:
    """A figure of one scenario."""
    tags = {"scenario": scenario}
    rows = [row for row in ended.summary.metrics if row.metric == metric and row.tags == tags]
    return rows[0].values[name] if rows else 0.0


def open_model(name: str, url: str, saturated: str) -> dict[str, Any]:
    return {
        "name": name,
        "executor": "constant-arrival-rate",
        "rate": RATE,
        "duration": "5s",
        "preAllocatedVUs": VUS,
        "maxVUs": VUS,
        "whenSaturated": saturated,
        "steps": [step("get", url=f"{url}/")],
    }


def test_a_target_that_stands_still_for_a_while_is_seen_for_as_long_as_it_does(
    squall: Squall, target: CountingTarget, other_process: Process
) -> None:
    url = f"http://127.0.0.1:{other_process.log_end()}"
    closed = {
        "name": "closed",
        "executor": "constant-vus",
        "vus": 2,
        "duration": "5s",
        "steps": [step("get", url=f"{url}/"), {"think": {"duration": "20ms"}}],
    }
    witness = open_model("witness", target.url, "drop")
    scenarios = [closed, open_model("queue", url, "queue"), open_model("drop", url, "drop"), witness]
    # A second of lateness is what this machine may cause; the stall is twice that, and must not count as the generator's.
    saturation = {"loopLag": "1s", "lateness": "1s"}
    run = squall(manifest(target.url, scenarios=scenarios, shards=1, safety={"saturation": saturation}))
    run.wait_for_requests(target, RATE, "/")
    os.kill(other_process.pid, signal.SIGSTOP)
    time.sleep(STALL_SECONDS)  # the stall itself: what is measured
    os.kill(other_process.pid, signal.SIGCONT)
    ended = run.ended()
    assert ended.outcome()[:2] == (0, "Passed")
    assert ended.summary.errors == ()
    stalled = STALL_SECONDS * RATE
    # The closed model stands still with its target: each of its VUs saw the stall once, and asked nothing meanwhile.
    assert value(ended, "http_req_duration", "closed", "max") > STALL_SECONDS * 0.9
    # The open model goes on: who had to wait has waited, though hardly any request took long by itself.
    assert value(ended, "http_req_response_time", "queue", "p90") > STALL_SECONDS / 4
    assert value(ended, "http_req_duration", "queue", "p90") < STALL_SECONDS / 4
    assert value(ended, "schedule_lag", "queue", "max") > STALL_SECONDS * 0.8
    assert value(ended, "dropped_iterations", "queue", "count") == 0
    assert ended.count(scenario="queue") == 5 * RATE
    # Where nothing may wait, it is counted instead.
    assert value(ended, "dropped_iterations", "drop", "count") > stalled * 0.7
    assert value(ended, "http_req_duration", "drop", "max") > STALL_SECONDS * 0.9
    # Whoever asks somebody else noticed nothing.
    assert ended.count(scenario="witness") == 5 * RATE
    assert value(ended, "http_req_response_time", "witness", "p90") < STALL_SECONDS / 4


def test_no_file_descriptor_left(squall: Squall, target: CountingTarget) -> None:
    # An open model whose VUs are many only when the target is slow: what is certain to be too much is refused before.
    load = open_model("visit", target.url, "drop") | {"rate": 200, "duration": "2s", "maxVUs": 150}
    target.delay = 0.5
    run = squall(manifest(target.url, shards=1, scenarios=[load], safety={"saturation": {"loopLag": "1s"}}))
    resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (90, 90))  # what it starts inherits that
    ended = run.ended()
    assert ended.outcome()[:2] == (0, "Passed")
    (error,) = ended.summary.errors
    assert error.error == "connect_failed"
    assert "no file descriptor is left" in error.example
    assert "ulimit -n" in error.example
    assert any("open files" in line.get("message", "") for line in ended.log)
    # Those that had got a connection went on.
    assert ended.count() - error.count > 100
    target.wait_until(lambda: target.connections == 0, "the end of all connections")


def test_no_local_port_left() -> None:
    skip_if_left_out("network-namespace")
    done = subprocess.run(
        [sys.executable, "-m", "support.fewports"],
        cwd=ROOT / "tests",
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode == fewports.NO_NETWORK:
        missing("network-namespace", f"a network of its own takes root's rights: {done.stderr.decode()}")
    assert done.returncode == 0, done.stderr.decode()
    measured = json.loads(done.stdout)
    assert measured["errors"] == measured["failed"] > 0
    # One VU for each port goes on, and nobody hammered at what was not there.
    assert measured["iterations"] > fewports.PORTS * 5
    assert measured["failed"] <= fewports.VUS * (fewports.SECONDS / 0.1 + 1)
    (note,) = measured["notes"]
    assert note["error"] == "connect_failed"
    assert "no local port is left: widen net.ipv4.ip_local_port_range or use more runners" in note["message"]
