"""What logging iterations costs a runner: `make bench-logs`.

Two real `squall run` at a time, each of which sends one trivial GET after the other from 50 VUs to an nginx of its own. They share one core,
both nginx another, so that whatever else the machine does falls on both alike; they differ in nothing but the share of iterations that is
logged: nothing beside nothing, which shows how exact this is, beside a hundredth, and beside all. What is compared is the CPU of the
runner for one request, as the kernel counts it and the target counts requests. Which of the two is started first takes turns. Writes
`build/bench/logs.json`: a list of {name, value, unit, goal, holds}.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # processes that end with the bench

from harness.pairs import FEWEST, Median, median
from harness.results import Number, at_most, keep, show
from harness.target import Target, running_target
from harness.watch import on_cpu, runners, tree
from observability import TARGET_CORE, Run, manifest_of, running

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNNER_CORE = 0
FIRST_REQUESTS = 1000
"""Until then a run is still beginning, or warming up."""
WARM_SECONDS = 1.0
LONG_SECONDS = 600
"""Of a run, which is ended once it has been watched."""
UNBOUNDED = 10_000_000
FLOW_LINES = 3
"""Of an iteration with one request."""
KINDS = (None, "1%", "100%")


def test_of(target: Target, sample: str | None) -> dict[str, Any]:
    """One trivial GET, with this share of iterations logged."""
    scenario = {"executor": "constant-vus", "vus": 50, "duration": f"{LONG_SECONDS}s"}
    test = manifest_of(target.http, None, scenario=scenario)
    if sample is not None:
        logs: dict[str, Any] = {"iterations": {"sample": sample, "maxPerSecond": UNBOUNDED}}
        test["spec"]["outputs"] = {"logs": logs}
    return test


def costs(targets: Sequence[Target], samples: Sequence[str | None], seconds: float) -> list[float]:
    """CPU seconds of each runner for one request, side by side."""
    before = [target.requests() for target in targets]
    with ExitStack() as stack:
        runs: list[Run] = [
            stack.enter_context(running(test_of(target, sample), core=RUNNER_CORE))
            for target, sample in zip(targets, samples, strict=True)
        ]
        for run, target, first in zip(runs, targets, before, strict=True):
            run.process.wait_until(lambda t=target, n=first: t.requests() > n + FIRST_REQUESTS, timeout=120)  # type: ignore[misc]
        time.sleep(WARM_SECONDS)
        pids = [pid for run in runs for pid in runners(tree(run.process.pid))]
        taken = [(on_cpu(pid), target.requests()) for pid, target in zip(pids, targets, strict=True)]
        time.sleep(seconds)
        return [
            (on_cpu(pid) - cpu) / (target.requests() - requests)
            for pid, target, (cpu, requests) in zip(pids, targets, taken, strict=True)
        ]


def measured(targets: Sequence[Target], seconds: float, rounds: int) -> list[Number]:
    quiet: list[float] = []
    ratios: dict[str | None, list[float]] = {sample: [] for sample in KINDS}
    for turn in range(rounds):
        for sample in KINDS:
            if turn % 2:
                logged, off = costs(targets, (sample, None), seconds)
            else:
                off, logged = costs(targets, (None, sample), seconds)
            quiet.append(off)
            ratios[sample].append(logged / off)
            print(f"{sample or 'nothing'} logged beside nothing: {logged / off:.3f}", flush=True)
    nothing, some, every = (median(ratios[sample]) for sample in KINDS)
    cost = sorted(quiet)[len(quiet) // 2] * 1e6
    return [
        Number("a request, nothing logged, CPU", cost, "us"),
        *_told("nothing logged / nothing logged", nothing),
        *_told("1 % logged / nothing logged", some)[:2],
        at_most("1 % logged / nothing logged, at most (95 %)", some.high, "x", 1.05),
        *_told("all logged / nothing logged", every),
        Number("a line", (every.value - 1) * cost / FLOW_LINES, "us"),
    ]


def _told(name: str, found: Median) -> list[Number]:
    return [
        Number(name, found.value, "x"),
        Number(f"{name}, at least (95 %)", found.low, "x"),
        Number(f"{name}, at most (95 %)", found.high, "x"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the logging of iterations.")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="how long each pair is watched (default: 6)"
    )
    parser.add_argument(
        "--rounds", type=int, default=8, help=f"pairs of each kind, {FEWEST} or more (default: 8)"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        targets = [
            stack.enter_context(
                running_target(Path(stack.enter_context(tempfile.TemporaryDirectory())), TARGET_CORE)
            )
            for _ in range(2)
        ]
        numbers = measured(targets, options.seconds, options.rounds)
    show(numbers)
    return keep("logs", numbers)


if __name__ == "__main__":
    sys.exit(main())
