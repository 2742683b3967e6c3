"""The numbers of a local run: how soon it starts, how fast it stops, how exact its schedule and its percentiles are.

Every run here is the real `squall run` as a process of its own, against a target in this process that notes when each
request came. Writes `build/bench/local.json`: a list of {name, value, unit, goal, holds}.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from harness.results import Number, keep, show
from harness.starting import start_cost

from squall.metrics.histogram import Histogram
from squall.report.folder import read_summary
from squall.report.model import Summary

ROOT = Path(__file__).parent.parent
SQUALL = [sys.executable, "-m", "squall.cli.main"]
BODY = json.dumps({"token": "t" * 20, "assetId": 1, "nftId": 1, "nfts": [{"id": 1}], "status": "ok"}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


class Target(asyncio.Protocol):
    """Answers every request at once and notes when it came; one request after the other per connection."""

    arrivals: ClassVar[list[float]] = []
    fail_from: ClassVar[float] = float("inf")

    def __init__(self) -> None:
        self._left = 0
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        while data:
            if self._left:
                taken = min(self._left, len(data))
                data = data[taken:]
                self._left -= taken
                if not self._left:
                    self._answer()
                continue
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            if not head.startswith(b"GET /health"):
                Target.arrivals.append(time.monotonic())
            length = next(
                (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
            )
            self._left = int(length.split(b":")[1])
            if not self._left:
                self._answer()

    def _answer(self) -> None:
        self._transport.write(FAILURE if time.monotonic() > Target.fail_from else ANSWER)  # type: ignore[attr-defined]


async def squall(manifest: Path, results: Path, *options: str, **environ: str) -> tuple[float, Summary]:
    """Run the manifest; returns when the process was started (monotonic) and the summary."""
    begun = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *SQUALL, "run", str(manifest), "--results", str(results), *options,
        env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    folders = sorted(results.iterdir(), key=lambda path: path.stat().st_mtime)
    if not folders:
        raise SystemExit(output.decode())
    return begun, read_summary(folders[-1])


def manifest_of(results: Path, url: str, **spec: Any) -> Path:
    """A manifest beside the results."""
    path = results.with_name(f"{time.monotonic_ns()}.yaml")
    body = {"http": {"baseUrl": url}, **spec}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "squall.dev/v1alpha1",
                "kind": "LoadTest",
                "metadata": {"name": "bench"},
                "spec": body,
            }
        )
    )
    return path


async def first_request(folder: Path, url: str) -> list[Number]:
    times = []
    for _ in range(5):
        Target.arrivals.clear()
        begun, _ = await squall(
            ROOT / "examples" / "nft-platform" / "loadtest.yaml", folder, "--time-scale", "0.002",
            BASE_URL=url, NFT_PASSWORD="p", AUTH_TOKEN="t",
        )  # fmt: skip
        times.append(Target.arrivals[0] - begun)
    value = statistics.median(times)
    return [Number("first request after `squall run` (workload A)", value, "s", "<= 1.5", value <= 1.5)]


async def help_time() -> list[Number]:
    times = []
    for _ in range(7):
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(*SQUALL, "--help", stdout=asyncio.subprocess.DEVNULL)
        await process.wait()
        times.append(time.monotonic() - begun)
    value = statistics.median(times)
    return [Number("squall --help", value, "s", "<= 0.3", value <= 0.3)]


async def stop_time(folder: Path, url: str) -> list[Number]:
    """The target begins to fail; one second later at the latest the slot ends that shows it."""
    reported, seen = [], []
    for _ in range(5):
        manifest = manifest_of(
            folder, url,
            scenarios=[{
                "name": "load", "executor": "constant-vus", "vus": 20, "duration": "20s", "gracefulStop": "0s",
                "steps": [{"name": "get", "http": {"url": "/"}, "onError": "continue"}, {"think": {"duration": "20ms"}}],
            }],
            thresholds=[{"metric": "http_req_failed", "expression": "rate<10%", "over": "1s", "abortOnFail": True}],
            shards=2,
        )  # fmt: skip
        Target.arrivals.clear()
        Target.fail_from = time.monotonic() + 3.5
        _, summary = await squall(manifest, folder, "--processes", "2")
        Target.fail_from = float("inf")
        at, started = summary.verdict.at_seconds, Target.arrivals[0]
        if (
            summary.verdict.result != "Aborted"
            or at is None
            or summary.timings.stop_to_last_request_seconds is None
        ):
            raise SystemExit(f"the breach was not seen: {summary.verdict}")
        reported.append(summary.timings.stop_to_last_request_seconds)
        seen.append(Target.arrivals[-1] - started - at)
    goal = "<= 1.5"
    return [
        Number("breach to last request, as reported", max(reported), "s", goal, max(reported) <= 1.5),
        Number("breach to last request, as the target saw it", max(seen), "s", goal, max(seen) <= 1.5),
    ]


async def arrivals(folder: Path, url: str) -> list[Number]:
    """2,000 arrivals a second for 30 seconds on two runners."""
    manifest = manifest_of(
        folder, url,
        scenarios=[{
            "name": "load", "executor": "constant-arrival-rate", "rate": 2000, "duration": "30s",
            "preAllocatedVUs": 100, "maxVUs": 1000, "steps": [{"name": "get", "http": {"url": "/"}}],
        }],
        shards=2,
    )  # fmt: skip
    Target.arrivals.clear()
    _, summary = await squall(manifest, folder, "--processes", "2")
    count = float(len(Target.arrivals))
    lag, skew = summary.generator.schedule_lag_p99_seconds, summary.timings.start_skew_seconds
    if lag is None or skew is None:
        raise SystemExit("the run measured no schedule lag or no skew")
    return [
        Number("arrivals at 2,000/s for 30 s, counted by the target", count, "requests", "== 60000", count == 60000),
        Number("schedule lag p99", lag * 1000, "ms", "<= 10", lag <= 0.010),
        Number("start skew between two runners", skew * 1000, "ms", "<= 20", skew <= 0.020),
        Number("verdict is not Invalid", float(summary.verdict.result != "Invalid"), "", "== 1", summary.verdict.result != "Invalid"),
    ]  # fmt: skip


def percentiles() -> list[Number]:
    generator = np.random.default_rng(1)
    worst = 0.0
    same = True
    for samples in (
        generator.lognormal(-4, 1, 1_000_000),
        generator.exponential(0.2, 1_000_000),
        np.concatenate([generator.normal(0.02, 0.002, 920_000), generator.normal(2, 0.1, 80_000)]).clip(1e-6),
    ):
        whole = Histogram()
        whole.record_many(samples)
        merged = Histogram()
        for part in np.array_split(samples, 8):
            shard = Histogram()
            shard.record_many(part)
            merged.merge(shard)
        same &= merged == whole
        for q in (0.5, 0.9, 0.95, 0.99, 0.999):
            exact = float(np.quantile(samples, q, method="inverted_cdf"))
            worst = max(worst, abs(whole.quantile(q) - exact) / exact)
    return [
        Number(
            "percentiles, worst error on three distributions of 10^6",
            worst * 100,
            "%",
            "<= 0.6",
            worst <= 0.006,
        ),
        Number("8 shards merged have the buckets of one", float(same), "", "== 1", bool(same)),
    ]


async def measure() -> list[Number]:
    server = await asyncio.get_running_loop().create_server(Target, "127.0.0.1", 0, backlog=4096)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as name:
        results = Path(name) / "results"
        results.mkdir()
        numbers = [
            *await help_time(),
            *await start_cost(url),
            *await first_request(results, url),
            *await stop_time(results, url),
            *await arrivals(results, url),
            *percentiles(),
        ]
    server.close()
    return numbers


def main() -> int:
    numbers = asyncio.run(measure())
    show(numbers)
    return keep("local", numbers)


if __name__ == "__main__":
    sys.exit(main())
