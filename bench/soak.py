"""Whether memory stays constant over time, whatever the load test is told: `make bench-soak`.

A generator that remembers a little of each request measures well for a minute and dies in the night. So this is ten minutes at
full rate against a target that never says the same thing twice (`bench/endless`): URLs, headers, cookies, statuses, hosts,
error texts and tags are new each time. The resident memory of every process is read each second.

What is judged is the slope after the first minute, in which code is imported, connections are opened and histograms find their
width. Allocators give back memory late and in pieces, so a single reading says little: ten seconds each become their median, and
the slope is the median of the slopes between any two of these (Theil-Sen). A step near the beginning, such as that of the windows
which are full after a minute and a half, hardly moves it, while a leak cannot hide. Resident memory is what the kernel counts for a
process (RSS): unlike the proportional size it does not change when another process ends that used the same libraries.

Writes `build/bench/soak.json`: a list of {name, value, unit, goal, holds}, and every reading as `soak.csv` beside it. `--minutes 3`
is enough to find a leak that matters.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))  # processes that end with the bench are the tests' business as well

from harness.generators import GENERATOR_CORE, TARGET_CORE  # noqa: E402
from harness.results import OUT, Number, at_least, at_most, keep, show  # noqa: E402
from harness.watch import runners, tree  # noqa: E402
from support.processes import Process, free_ports  # noqa: E402

from squall.report.folder import read_summary  # noqa: E402
from squall.report.model import Summary  # noqa: E402

SAMPLES = OUT / "soak.csv"
ENDLESS = ROOT / "bench" / "endless"
GOAL = 0.2
"""MB a minute, of all processes together."""
WARM_SECONDS = 60.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BUCKET_SECONDS = 10.0
_MEGA = 1_000_000
_ERRORS = 8
"""The target and the manifest provoke at least so many classes of failures."""
_READY_SECONDS = 60.0
_END_SECONDS = 60.0


@dataclass
class Samples:
    """Resident memory over time: seconds since the first request, and bytes."""

    at: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    def add(self, at: float, resident: int) -> None:
        self.at.append(at)
        self.resident.append(resident)

    def medians(self, after: float) -> list[tuple[float, float]]:
        """The medians of ten seconds each, with the middle of their time."""
        buckets: dict[int, list[int]] = {}
        for at, resident in zip(self.at, self.resident, strict=True):
            if at >= after:
                buckets.setdefault(int(at // _BUCKET_SECONDS), []).append(resident)
        return [
            ((number + 0.5) * _BUCKET_SECONDS, statistics.median(each)) for number, each in buckets.items()
        ]

    def slope(self, after: float) -> float:
        """MB a minute after a time; 0 with less than two medians."""
        found = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(self.medians(after), 2)]
        return statistics.median(found) * 60 / _MEGA if found else 0.0


def resident(pid: int) -> int:
    """Bytes of a process in memory; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return 0


def names(root: int) -> dict[int, str]:
    """The processes of a run, and what to call them."""
    pids = tree(root)
    own = runners(pids)
    return {
        pid: f"runner {own.index(pid)}" if pid in own else "squall run" if pid == root else "another process"
        for pid in sorted(pids)
    }


def follow(run: Process, seconds: float) -> dict[str, Samples]:
    """Read the memory of all processes of a run each second, for as long as its load lasts."""
    known = names(run.pid)
    samples = {name: Samples() for name in known.values()}
    samples["all processes"] = Samples()
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds and run.running():
        sizes = {name: resident(pid) for pid, name in known.items()}
        if not all(sizes.values()):
            break  # the run ends
        for name, size in sizes.items():
            samples[name].add(at, size)
        samples["all processes"].add(at, sum(sizes.values()))
        time.sleep(1.0 - (time.monotonic() - began) % 1.0)
    return samples


def write(samples: dict[str, Samples], path: Path) -> None:
    """Keep the readings: a row per second, a column per process, in bytes."""
    rows = zip(samples["all processes"].at, *(each.resident for each in samples.values()), strict=True)
    lines = [",".join(("seconds", *samples)), *(",".join(f"{value:.0f}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def numbers(samples: dict[str, Samples], summary: Summary, seconds: float) -> list[Number]:
    """What came out."""
    warm = min(WARM_SECONDS, seconds / 2)
    whole = samples["all processes"]
    slope = whole.slope(warm)
    found = [at_most("soak: slope of resident memory, all processes", slope, "MB/min", GOAL)]
    for name, each in samples.items():
        if name != "all processes":
            found.append(Number(f"soak: slope of resident memory, {name}", each.slope(warm), "MB/min"))
    for name, each in samples.items():
        medians = each.medians(warm)
        found.append(Number(f"soak: {name}, after the first minute", medians[0][1] / _MEGA, "MB"))
        found.append(Number(f"soak: {name}, at the end", medians[-1][1] / _MEGA, "MB"))
    requests = sum(
        row.values["count"] for row in summary.metrics if row.metric == "http_reqs" and not row.tags
    )
    found.append(Number("soak: requests", requests, ""))
    found.append(Number("soak: requests per second", requests / summary.timings.load_seconds, "1/s"))
    classes = float(len({error.error for error in summary.errors}))
    found.append(at_least("soak: classes of failures met", classes, "", _ERRORS))
    minutes = (whole.at[-1] + 1.0) / 60
    found.append(
        Number("soak: time watched", minutes, "min", f">= {seconds / 60:g}", minutes >= seconds / 60 - 0.2)
    )
    return found


def soak(minutes: float) -> list[Number]:
    """Run it."""
    seconds = minutes * 60
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="squall-soak-") as name:
        folder = Path(name)
        pinned = ["taskset", "-c", str(TARGET_CORE), sys.executable, str(ENDLESS / "target.py"), str(port)]
        target = Process(pinned, log=folder / "target.log")
        run = Process(
            [
                *("taskset", "-c", str(GENERATOR_CORE), sys.executable, "-m", "squall.cli.main", "run"),
                *(str(ENDLESS / "loadtest.yaml"), "--processes", "1", "--results", str(folder / "results")),
                *("--var", f"port={port}", "--duration", f"{seconds + 5:.0f}s"),
            ],
            log=folder / "run.log",
            cwd=folder,
        )  # fmt: skip
        try:
            run.wait_until(lambda: len(runners(tree(run.pid))) > 0 and _begun(folder), timeout=_READY_SECONDS)
            samples = follow(run, seconds)
            deadline = time.monotonic() + _END_SECONDS
            while run.running() and time.monotonic() < deadline:
                time.sleep(0.2)
            print(run.log_end(60))
            write(samples, SAMPLES)
            (results,) = (folder / "results").iterdir()
            return numbers(samples, read_summary(results), seconds)
        finally:
            run.stop()
            target.stop()


def _begun(folder: Path) -> bool:
    """Whether the run has measured its first seconds."""
    return any(path.stat().st_size > 0 for path in (folder / "results").glob("*/series*"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Watch the memory of a long run at full rate.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it is watched (default: 10)")
    minutes = parser.parse_args().minutes
    OUT.mkdir(parents=True, exist_ok=True)
    found = soak(minutes)
    show(found)
    return keep("soak", found)


if __name__ == "__main__":
    sys.exit(main())
