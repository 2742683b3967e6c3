"""What pushing metrics costs, and whether what arrives is true: `make bench-observability`.

Every run here is the real `squall run` with a real Prometheus as the receiver. CPU is what the kernel counts: that of the
runner at full rate, and that of a process which does nothing but push, whose few milliseconds a second would drown in the noise of a
hub that also draws its view. Percentiles and counters are
asked of Prometheus and compared with the run's own summary. For the receiver that is away, connections go through a relay that is
closed for 30 seconds. Writes `build/bench/observability.json`: a list of {name, value, unit, goal, holds}.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))  # a real Prometheus, and processes that end with the bench

import numpy as np  # noqa: E402
import yaml  # noqa: E402
from harness.results import Number, at_most, keep, show  # noqa: E402
from harness.target import running_target  # noqa: E402
from harness.watch import runners, tree  # noqa: E402
from support.processes import Process, free_ports  # noqa: E402
from support.prometheus import Prometheus, running_prometheus  # noqa: E402

from squall.export.names import families_of  # noqa: E402
from squall.hub.limits import SECOND  # noqa: E402
from squall.metrics.histogram import Histogram  # noqa: E402
from squall.metrics.names import BUILT_IN, Kind  # noqa: E402
from squall.metrics.slots import SlotStore  # noqa: E402
from squall.metrics.snapshot import SeriesDef, Snapshot, pack  # noqa: E402
from squall.report.folder import read_summary  # noqa: E402
from squall.report.model import MetricSummary, Summary  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET_CORE = 1
AWAY_SECONDS = 30.0
WARM = 20
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
def running(test: dict[str, Any], *, processes: int = 1) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="squall-observability-") as name:
        folder = Path(name)
        (folder / "loadtest.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
        command = [sys.executable, "-m", "squall.cli.main", "run", str(folder / "loadtest.yaml")]
        command += ["--processes", str(processes), "--results", str(folder / "results")]
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
    command = [sys.executable, __file__, "--alone", prometheus.remote_write_url]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(found.stdout)
    return answer


async def alone(url: str) -> dict[str, float]:
    """Push, a hundred times, all metrics that there are, from the store that a hub has: what is counted is all but the merging."""
    import aiohttp

    del aiohttp  # which a hub has whether it pushes or not
    tags = (("method", "GET"), ("scenario", "load"), ("status", "200"), ("step", "get"))
    random = np.random.default_rng(1)
    store, spread = SlotStore(keep=5), Histogram()
    for slot in range(WARM):  # what a hub has anyway is no memory of the exporter's
        spread.record_many(random.lognormal(-6, 1, 20_000))
        store.add(_snapshot(slot, tags, spread))
        list(store.standing(slot))
    before = resident()

    from squall.export.exporter import Exporter
    from squall.export.model import Receiver, RemoteWrite

    settings = RemoteWrite(receiver=Receiver(url=url))
    exporter = Exporter(settings, BUILT_IN, (("run", "alone"),), clock=time.time_ns, say=lambda *_: None)
    exporter.start()
    start, pushes, size, took = time.time_ns() - 200 * SECOND, 100, 0, 0.0
    for slot in range(WARM, WARM + pushes):
        spread.record_many(random.lognormal(-6, 1, 20_000))
        store.add(_snapshot(slot, tags, spread))
        exporter._free_at = 0.0  # noqa: SLF001 - as quickly as it can, to have more to measure
        began = time.process_time()
        exporter.push(start + (slot + 1) * SECOND, start, list(store.standing(slot)))
        await exporter._idle.wait()  # noqa: SLF001 - there is no other way to see one request
        size = max(size, exporter._buffer.size)  # noqa: SLF001 - likewise
        await exporter._sender.drained()  # noqa: SLF001 - likewise
        took += time.process_time() - began
    memory = resident() - before
    series = exporter._exposition.series  # noqa: SLF001 - likewise
    await exporter.close()
    return {"cpu": took / pushes, "memory": memory, "series": series, "bytes": size}


def _snapshot(slot: int, tags: tuple[tuple[str, str], ...], spread: Histogram) -> Snapshot:
    """What a runner sends of every metric there is."""
    found: dict[Kind, list[int]] = {kind: [] for kind in Kind}
    for number, metric in enumerate(BUILT_IN.values()):
        found[metric.kind].append(number)
    many = (slot + 1) * 1000
    return Snapshot(
        runner=0,
        attempt="a",
        slot=slot,
        defs=[SeriesDef(number, each.name, each.kind, tags) for number, each in enumerate(BUILT_IN.values())]
        if slot == 0
        else [],
        counters=[(number, float(many)) for number in found[Kind.COUNTER]],
        rates=[(number, slot, many) for number in found[Kind.RATE]],
        gauges=[(number, 1.0, 1.0, 1.0) for number in found[Kind.GAUGE]],
        trends=[(number, pack(spread)) for number in found[Kind.TREND]],
    )


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


class Relay:
    """Passes connections on to a port, or refuses them."""

    def __init__(self, to: int) -> None:
        self._to = to
        (self.port,) = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def listen(self, *, on: bool) -> None:
        asyncio.run_coroutine_threadsafe(self._listen(on=on), self._loop).result(10)

    async def _listen(self, *, on: bool) -> None:
        if on:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        elif self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, back}
        self._open |= both
        with suppress(OSError):
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        self._open -= both
        for each in both:
            each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


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
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(asyncio.run(alone(options.alone))))
        return 0
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
