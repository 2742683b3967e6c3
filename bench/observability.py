"""What pushing metrics costs, and whether what arrives is true: `make bench-observability`.

Every run here is the real `squall run` with a real Prometheus as the receiver. CPU is what the kernel counts: that of the
runner at full rate, and that of a process which does nothing but push (see `harness.exporting`). Percentiles and counters are
asked of Prometheus and compared with the run's own summary. For the receiver that is away, connections go through a relay that is
closed for 30 seconds. Writes `build/bench/observability.json`: a list of {name, value, unit, goal, holds}.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))  # a real Prometheus, and processes that end with the bench

import yaml  # noqa: E402
from harness.relay import Relay  # noqa: E402
from harness.results import Number, at_most, keep, show  # noqa: E402
from harness.target import running_target  # noqa: E402
from harness.watch import runners, tree  # noqa: E402
from support.processes import Process  # noqa: E402
from support.prometheus import Prometheus, running_prometheus  # noqa: E402

from squall.export.names import families_of  # noqa: E402
from squall.metrics.names import BUILT_IN, Kind  # noqa: E402
from squall.report.folder import read_summary  # noqa: E402
from squall.report.model import MetricSummary, Summary  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET_CORE = 1
AWAY_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MEGA = 1_000_000
_PERCENTILES = {"med": 0.5, "p95": 0.95, "p99": 0.99}


def manifest_of(
    url: str, receiver: str | None, *, scenario: dict[str, Any], shards: int = 1
) -> dict[str, Any]:
    """A manifest of one trivial GET."""
    steps = [{"name": "get", "http": {"url": "/item"}}]
    spec: dict[str, Any] = {
        "shards": shards,
        "http": {"baseUrl": url},
        "scenarios": [{"name": "load", "gracefulStop": "5s", "steps": steps, **scenario}],
    }
    if receiver:
        spec["outputs"] = {"prometheus": {"remoteWriteUrl": receiver}}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "bench"},
        "spec": spec,
    }


@dataclass(slots=True)
class Run:
    """A `squall run` that goes on."""

    process: Process
    folder: Path

    def summary(self) -> Summary:
        """Wait for its end."""
        deadline = time.monotonic() + 180
        while self.process.running() and time.monotonic() < deadline:
            time.sleep(0.1)
        found = list((self.folder / "results").iterdir())
        if not found:
            raise SystemExit(self.process.log_end(60))
        return read_summary(found[0])


@contextmanager
def running(test: dict[str, Any], *, processes: int = 1, core: int | None = None) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="squall-observability-") as name:
        folder = Path(name)
        (folder / "loadtest.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
        command = [sys.executable, "-m", "squall.cli.main", "run", str(folder / "loadtest.yaml")]
        command += ["--processes", str(processes), "--results", str(folder / "results")]
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        process = Process(command, log=folder / "log", cwd=folder)
        try:
            yield Run(process, folder)
        finally:
            process.stop()


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def value(prometheus: Prometheus, query: str, at: float) -> float:
    found = prometheus.query(query, time=at)
    return float(found[0]["value"][1]) if found else float("nan")


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# -- what it costs ------------------------------------------------------------------------------------------------


def costs(url: str, prometheus: Prometheus, seconds: float) -> list[Number]:
    """What an exporter takes beside a runner that sends all it can, which is what one core can."""
    hubs: dict[bool, list[float]] = {False: [], True: []}
    sent: list[float] = []
    rate = 0.0
    for pushing in (False, True, True, False, False, True):
        receiver = prometheus.remote_write_url if pushing else None
        closed = {"executor": "constant-vus", "vus": 50, "duration": f"{seconds + 5:g}s"}
        with running(manifest_of(url, receiver, scenario=closed)) as run:
            pid = run.process.pid
            run.process.wait_until(functools.partial(_runs, pid), timeout=60)
            time.sleep(3.0)
            (sends,) = runners(tree(pid))
            before = cpu(pid), cpu(sends)
            time.sleep(seconds)
            hubs[pushing].append(cpu(pid) - before[0])
            sent.append(cpu(sends) - before[1])
            summary = run.summary()
            rate = max(rate, count(summary, "http_reqs") / summary.timings.load_seconds)
    runner = max(sent) / seconds
    more = statistics.median(hubs[True]) - statistics.median(hubs[False])
    alone = exporter_alone(prometheus)
    return [
        Number("requests per second of the runner meanwhile", rate, "1/s"),
        Number("CPU of the runner meanwhile, of a core", 100 * runner, "%"),
        at_most(
            "exporter, CPU for a push a second, of the core that a runner has", 100 * alone["cpu"], "%", 3
        ),
        Number("hub with pushing against without, CPU of a core (noisy)", 100 * more / seconds, "%"),
        at_most("exporter, resident memory with all its libraries", alone["memory"] / _MEGA, "MB", 10),
        Number("exporter, series", alone["series"], ""),
        Number("exporter, bytes of a push", alone["bytes"], "B"),
    ]


def _runs(pid: int) -> bool:
    return len(runners(tree(pid))) > 0


def exporter_alone(prometheus: Prometheus) -> dict[str, float]:
    """What an exporter takes in a process that does nothing else."""
    command = [sys.executable, "-m", "harness.exporting", prometheus.remote_write_url]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(found.stdout)
    return answer


# -- whether it is true -------------------------------------------------------------------------------------------


def truth(url: str, prometheus: Prometheus) -> list[Number]:
    """Percentiles and counters of four shards, and how soon and how often they are there."""
    arrivals = {
        "executor": "constant-arrival-rate",
        "rate": 2000,
        "duration": "20s",
        "preAllocatedVUs": 100,
        "maxVUs": 1000,
    }
    late: list[float] = []
    with running(
        manifest_of(url, prometheus.remote_write_url, scenario=arrivals, shards=4), processes=4
    ) as run:
        seen = 0.0
        while run.process.running():
            newest = [
                float(each["value"][1])
                for each in prometheus.query('timestamp(squall_scenario_target{loadtest="bench"})')
            ]
            if newest and max(newest) > seen:
                seen = max(newest)
                late.append(time.time() - seen)
            time.sleep(0.1)
        summary = run.summary()
    at = unix(summary.ended_at) + 2
    selector = f'{{run="{summary.run}"}}'
    off = 0.0
    for metric in ("http_req_total", "http_req_duration", "http_req_response_time"):
        figures = whole(summary, metric)
        (family,) = families_of(BUILT_IN[metric])
        for name, q in _PERCENTILES.items():
            asked = value(prometheus, f"histogram_quantile({q}, sum({family.name}{selector}))", at)
            off = max(off, abs(asked / figures.values[name] - 1))
    wrong = [
        each.metric
        for each in summary.metrics
        if not each.tags and not _equal(prometheus, each, selector, at)
    ]
    samples = value(prometheus, f"max(count_over_time(squall_scenario_target{selector}[5m]))", at)
    return [
        at_most("p50, p95, p99 of three trends over 4 shards: off from the hub's", 100 * off, "%", 1.1),
        Number("counters that differ from the hub's after the flush", len(wrong), "", "== 0", not wrong),
        at_most("a second is visible in Prometheus after its end, at most", max(late), "s", 3),
        Number("seconds of 20 that are there", samples, "", ">= 20", samples >= 20),
    ]  # fmt: skip


def whole(summary: Summary, metric: str) -> MetricSummary:
    return next(each for each in summary.metrics if each.metric == metric and not each.tags)


def count(summary: Summary, metric: str) -> float:
    return whole(summary, metric).values["count"]


def _equal(prometheus: Prometheus, metric: MetricSummary, selector: str, at: float) -> bool:
    """Whether what is counted is the same in Prometheus; times that are added up to the last bit of a float."""
    names = [family.name for family in families_of(BUILT_IN[metric.metric])]
    if metric.kind == Kind.RATE:
        pairs = [(f"sum({names[0]}{selector})", "passes"), (f"sum({names[1]}{selector})", "total")]
    elif metric.kind == Kind.TREND:
        pairs = [(f"histogram_count(sum({names[0]}{selector}))", "count")]
    elif metric.kind == Kind.COUNTER:
        pairs = [(f"sum({names[0]}{selector})", "count")]
    else:
        return True
    for query, name in pairs:
        asked, expected = value(prometheus, query, at), metric.values[name]
        if metric.unit == "s" and metric.kind == Kind.COUNTER:
            if abs(asked - expected) > 1e-9 * max(1.0, expected):
                return False
        elif asked != expected and (expected or asked == asked):  # noqa: PLR0124 - NaN: nothing was counted
            return False
    return True


# -- a receiver that is away --------------------------------------------------------------------------------------


def away(url: str, prometheus: Prometheus) -> list[Number]:
    """Half a minute without the receiver, in the middle of a run."""
    seconds = int(AWAY_SECONDS) + 20
    arrivals = {
        "executor": "constant-arrival-rate",
        "rate": 500,
        "duration": f"{seconds}s",
        "preAllocatedVUs": 50,
        "maxVUs": 500,
    }
    relay = Relay(int(prometheus.url.rpartition(":")[2]))
    relay.listen(on=True)
    receiver = f"http://127.0.0.1:{relay.port}/api/v1/write"
    with running(manifest_of(url, receiver, scenario=arrivals)) as run:
        run.process.wait_until(lambda: bool(prometheus.query("count(squall_http_reqs_total)")), timeout=60)
        time.sleep(5)
        relay.listen(on=False)
        time.sleep(AWAY_SECONDS)
        relay.listen(on=True)
        summary = run.summary()
    at = unix(summary.ended_at) + 2
    selector = f'{{run="{summary.run}"}}'
    done = count(summary, "iterations")
    wanted = 500 * seconds
    samples = value(prometheus, f"count_over_time(squall_run_elapsed_seconds{selector}[5m])", at)
    dropped = value(prometheus, f"squall_remote_write_samples_dropped_total{selector}", at)
    same = value(prometheus, f"sum(squall_http_reqs_total{selector})", at) == count(summary, "http_reqs")
    missing = seconds - samples
    return [
        Number("receiver away for 30 s: iterations of the plan not done", wanted - done, "", "== 0", done == wanted),
        Number("receiver away for 30 s: seconds missing afterwards", missing, "", "<= 0", missing <= 0),
        Number("receiver away for 30 s: samples dropped", dropped, "", "== 0", dropped == 0),
        Number("receiver away for 30 s: counters equal at the end", float(same), "", "== 1", same),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the pushing of metrics.")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long CPU is watched (default: 10)")
    options = parser.parse_args()
    numbers: list[Number] = []
    with tempfile.TemporaryDirectory() as name, running_target(Path(name), TARGET_CORE) as target:
        for measure in (
            lambda prometheus: costs(target.http, prometheus, options.seconds),
            lambda prometheus: truth(target.http, prometheus),
            lambda prometheus: away(target.http, prometheus),
        ):
            with running_prometheus() as prometheus:
                found = measure(prometheus)
            show(found)
            numbers += found
    return keep("observability", numbers)


if __name__ == "__main__":
    sys.exit(main())
