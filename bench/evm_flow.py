"""The data-portability example against its whole network on this machine, at a steady flow and with 1,000 users at once.

The network has a core's worth of work of its own, and shares the machine with what is measured: times are those of both. What the generator
alone takes is its CPU time for a user, and its memory.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the network

from harness.results import Number, at_least, at_most
from support.dataportability import running_network
from support.examples import DATA_PORTABILITY, SQUALL

from squall.report.figures import find
from squall.report.folder import read_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.report.model import Summary

HOLD_SECONDS = 60
USERS_PER_MINUTE = 330
"""Ten percent more than what is to hold: users come by chance."""
STEADY = {
    "RAMP_UP": "10s",
    "HOLD": f"{HOLD_SECONDS}s",
    "PEAK": "0s",
    "RAMP_DOWN": "1s",
    "USERS_PER_MINUTE": str(USERS_PER_MINUTE),
    "PEAK_USERS_PER_MINUTE": str(USERS_PER_MINUTE),
    "FUNDED_AHEAD": "20",
}
"""So few wallets are filled ahead that users wait when filling does not keep up."""
CROWD = 1000
AT_ONCE = {
    "RAMP_UP": "10s",
    "HOLD": "3m",
    "RAMP_DOWN": "1s",
    "MAX_CONCURRENT_USERS": str(CROWD),
    "TOTAL_USERS": str(CROWD),
    "MAX_WALLETS": str(CROWD),
    "TRANSACTION_TIMEOUT": "2m",
    "INFERENCE_TIMEOUT": "2m",
}
SLOW_AI = ("--inference-time", "30s", "--ai-rate", "0", "--ai-workers", str(CROWD))


def measure() -> list[Number]:
    with tempfile.TemporaryDirectory() as folder:
        steady, cpu = ran(Path(folder), (), STEADY)
        crowd, _ = ran(Path(folder), SLOW_AI, AT_ONCE, "--variant", "burst")
    flow = {"scenario": "users", "step": "flow"}
    users = value(steady, "iterations", "count")
    sent = value(steady, "evm_txs", "count")
    called = value(steady, "evm_rpc_reqs", "count")
    succeeded = value(steady, "flow_succeeded", "rate")
    return [
        at_least(
            f"data-portability flows, steady for {HOLD_SECONDS} s",
            value(steady, "iterations", "count", scenario="users", stage="hold") / HOLD_SECONDS,
            "users/s",
            5,
        ),
        at_most("whole flow of a user at that rate: p95", value(steady, "group_duration", "p95", **flow), "s", 45),
        at_least("flows that succeed at that rate", 100 * succeeded, "%", 99),
        at_most(
            "longest wait of a user for a wallet at that rate, 20 filled ahead",
            value(steady, "evm_wallet_wait", "max"),
            "s",
            30,
        ),
        Number("CPU of squall for a user's flow, funding and sweep included", 1e3 * cpu / users, "ms"),
        Number("transactions at that rate", sent / users, "per user"),
        Number("calls of nodes for a transaction in that flow, all that users ask included", called / sent, ""),
        at_least("users at once", value(crowd, "vus", "max"), "", CROWD),
        at_most("memory of the generator with 1,000 users at once", memory(crowd) / 1e6, "MB", 1000),
        at_least("flows that succeed with 1,000 users at once", 100 * value(crowd, "flow_succeeded", "rate"), "%", 99),
    ]  # fmt: skip


def ran(
    folder: Path, network: tuple[str, ...], environment: Mapping[str, str], *options: str
) -> tuple[Summary, float]:
    """A run of the example, and the CPU seconds of all its processes.

    Raises:
        SystemExit: It ended without a summary.
    """
    with running_network(folder, *network) as world:
        results = Path(tempfile.mkdtemp(dir=folder))
        before = children_seconds()
        done = subprocess.run(
            [*SQUALL, "run", str(DATA_PORTABILITY), "--results", str(results), *options],
            env={**os.environ, **world.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        cpu = children_seconds() - before
    found = list(results.glob("*/summary.json"))
    if not found:
        raise SystemExit(done.stdout + done.stderr)
    summary = read_summary(found[0].parent)
    if summary.verdict.result not in {"Passed", "Failed"}:
        print(
            f"{' '.join(options) or 'steady'}: {summary.verdict.result}, {summary.verdict.message}",
            file=sys.stderr,
        )
    return summary, cpu


def children_seconds() -> float:
    """CPU seconds of processes that have ended and were waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def value(summary: Summary, metric: str, figure: str, **tags: str) -> float:
    """A figure of a metric; 0 when nothing was measured, as when nobody had to wait."""
    row = find(summary.metrics, metric, **tags)
    return row.values[figure] if row else 0.0


def memory(summary: Summary) -> float:
    """The most bytes that the runners had in use."""
    return value(summary, "memory_resident", "max")
