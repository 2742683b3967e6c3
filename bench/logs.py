"""What logging iterations costs a runner: `make bench-logs`.

The real `squall run` sends one trivial GET after the other from 50 VUs to nginx, with no iteration logged, with a hundredth of them, and
with all. What is compared is the CPU of the runner for one request, as the kernel counts it and the target counts requests; the three take
turns, so that whatever else the machine does falls on all of them. Writes `build/bench/logs.json`: a list of {name, value, unit, goal, holds}.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # processes that end with the bench

from harness.results import Number, at_most, keep, show
from harness.target import Target, running_target
from harness.watch import runners, tree
from observability import TARGET_CORE, cpu, manifest_of, running

FIRST_REQUESTS = 1000
"""Until then a run is still beginning, or warming up."""
WARM_SECONDS = 1.0
UNBOUNDED = 10_000_000
FLOW_LINES = 3
"""Of an iteration with one request."""


def request_cost(target: Target, sample: str | None, seconds: float) -> float:
    """CPU seconds of the runner for one request, with this share of iterations logged."""
    test = manifest_of(
        target.http,
        None,
        scenario={"executor": "constant-vus", "vus": 50, "duration": f"{seconds + 3 * WARM_SECONDS:g}s"},
    )
    if sample is not None:
        logs: dict[str, Any] = {"iterations": {"sample": sample, "maxPerSecond": UNBOUNDED}}
        test["spec"]["outputs"] = {"logs": logs}
    before = target.requests()
    with running(test) as run:
        pid = run.process.pid
        run.process.wait_until(lambda: target.requests() > before + FIRST_REQUESTS, timeout=60)
        time.sleep(WARM_SECONDS)
        (runner,) = runners(tree(pid))
        cpu_before, requests_before = cpu(runner), target.requests()
        time.sleep(seconds)
        cost = (cpu(runner) - cpu_before) / (target.requests() - requests_before)
        run.summary()
    return cost


def measured(target: Target, seconds: float, rounds: int) -> list[Number]:
    costs: dict[str | None, list[float]] = {None: [], "1%": [], "100%": []}
    for turn in range(rounds):
        for sample in list(costs) if turn % 2 else reversed(list(costs)):
            costs[sample].append(request_cost(target, sample, seconds))
    off, some, every = (statistics.median(found) * 1e6 for found in costs.values())
    return [
        Number("a request, nothing logged, CPU", off, "us"),
        Number("a request, 1 % of iterations logged, CPU", some, "us"),
        Number("a request, all iterations logged, CPU", every, "us"),
        at_most("1 % logged / nothing logged", some / off, "x", 1.05),
        Number("all logged / nothing logged", every / off, "x"),
        Number("a line", (every - off) / FLOW_LINES, "us"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the logging of iterations.")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="how long each run is watched (default: 6)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_target(Path(name), TARGET_CORE) as target:
        numbers = measured(target, options.seconds, options.rounds)
    show(numbers)
    return keep("logs", numbers)


if __name__ == "__main__":
    sys.exit(main())
