"""The load engine beside its peers: k6, wrk and Locust, with the same work, on the same core, against the same target.

Rates are counted by the target and CPU and memory by the kernel, so all generators are measured with one yardstick. They take
turns; every ratio is made of neighbours in time, and what is reported is the median of several rounds. Writes
`build/bench/engine.json`: a list of {name, value, unit, goal, holds}, and `engine-table.md` beside it.

`--only flow,get` measures a part. `profile` as its argument tells where the time of one request goes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))  # real servers and certificates are the tests' business as well

from harness import generators, profiling  # noqa: E402
from harness.generators import GENERATOR_CORE, TARGET_CORE, Measured, Timing, measure  # noqa: E402
from harness.results import OUT, Number, at_least, at_most, keep  # noqa: E402
from harness.target import Target, running_target  # noqa: E402
from harness.tools import fetch, versions  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.generators import Maker

TABLE = OUT / "engine-table.md"
MIB = 1024 * 1024
PEERS = {"squall": generators.squall, "k6": generators.k6, "wrk": generators.wrk, "locust": generators.locust}
MEMORY = Timing(load=0, warm=12.0, watched=6.0)
ARRIVALS = Timing(load=0, warm=20.0, watched=20.0)


Rounds = dict[str, list[Measured]]


def side_by_side(title: str, target: Target, runs: Mapping[str, Maker], rounds: int) -> Rounds:
    """Measure generators in turn, several times."""
    found: Rounds = {name: [] for name in runs}
    for number in range(rounds):
        for name, command in runs.items():
            measured = measure(command, target, Timing())
            found[name].append(measured)
            window = measured.window
            print(
                f"  {title} {number + 1}/{rounds} {name}: {window.rate:,.0f}/s, "
                f"target {window.target / window.seconds:.0%} busy",
                flush=True,
            )
    return found


def compare(title: str, found: Rounds, goals: dict[str, float]) -> list[Number]:
    """Rates, CPU per request, how busy the target was, and the ratios that have a goal."""
    numbers = []
    for name, rounds in found.items():
        windows = [each.window for each in rounds]
        numbers.append(Number(f"{title}: {name}", _median(w.rate for w in windows), "requests/s"))
        cpu = _median(_cpu(each) * 1e6 for each in rounds)
        numbers.append(Number(f"{title}: {name}, CPU of one request", cpu, "us"))
        busy = _median(w.target / w.seconds * 100 for w in windows)
        numbers.append(Number(f"{title}: {name}, the target's core", busy, "% busy"))
    for peer, goal in goals.items():
        cpu = _median(
            _cpu(theirs) / _cpu(ours) for ours, theirs in zip(found["squall"], found[peer], strict=True)
        )
        numbers.append(Number(f"{title}: CPU of one request, {peer} / squall", cpu, "x"))
        pairs = zip(found["squall"], found[peer], strict=True)
        ratio = _median(ours.window.rate / theirs.window.rate for ours, theirs in pairs)
        numbers.append(at_least(f"{title}: squall / {peer}", ratio, "x", goal))
    return numbers


def flow(target: Target, rounds: int) -> list[Number]:
    runs = {
        name: partial(PEERS[name], "flow", target.http, Timing().load) for name in ("squall", "k6", "locust")
    }
    title = "login + mint + list, 6 checks, 100 VUs"
    return compare(title, side_by_side("flow", target, runs, rounds), {"k6": 5})


def get(target: Target, rounds: int) -> list[Number]:
    runs = {name: partial(PEERS[name], "get", target.http, Timing().load) for name in PEERS}
    return compare("GET, 1 check, 100 VUs", side_by_side("get", target, runs, rounds), {"k6": 5, "wrk": 0.5})


def tls(target: Target, rounds: int) -> list[Number]:
    load = Timing().load
    theirs = partial(generators.k6, "get", target.https, load)
    ours = partial(generators.squall, "get", target.https, load, options=("--variant", "tls"))
    return compare(
        "GET over TLS", side_by_side("tls", target, {"squall": ours, "k6": theirs}, rounds), {"k6": 2.5}
    )


def think(target: Target, rounds: int) -> list[Number]:
    """Ten thousand VUs that think for a second: memory, and what the generator adds to the target's own time."""
    ours, theirs, extra = [], [], []
    for number in range(max(1, rounds // 2)):
        target.forget_times()
        mine = measure(partial(generators.squall, "think", target.logged, 0), target, MEMORY)
        time.sleep(1.5)  # nginx writes its log once a second
        own = statistics.fmean(target.times())
        other = measure(partial(generators.k6, "think", target.http, 0), target, MEMORY)
        ours.append(mine.window.memory / MIB)
        theirs.append(other.window.memory / MIB)
        extra.append((_trend(mine, "http_req_response_time", "avg") - own) * 1000)
        print(
            f"  think {number + 1}: squall {ours[-1]:.0f} MiB at {mine.window.rate:,.0f}/s, "
            f"k6 {theirs[-1]:.0f} MiB at {other.window.rate:,.0f}/s",
            flush=True,
        )
    title = "10,000 VUs, 1 s think time"
    return [
        at_most(f"{title}: squall, memory of all processes", _median(ours), "MiB", 256),
        Number(f"{title}: k6, memory", _median(theirs), "MiB"),
        at_most(f"{title}: squall / k6, memory", _median(a / b for a, b in zip(ours, theirs, strict=True)), "x", 0.1),
        at_most(f"{title}: squall, mean latency beyond the target's own", _median(extra), "ms", 10),
    ]  # fmt: skip


def arrivals(target: Target, _: int) -> list[Number]:
    done = measure(partial(generators.squall, "arrivals", target.http, 0), target, ARRIVALS)
    assert done.summary is not None, "Squall was measured"
    lag = done.summary.generator.schedule_lag_p99_seconds
    title = "10,000 arrivals/s for 60 s"
    return [
        Number(f"{title}, counted by the target", done.total, "requests", "== 600000", done.total == 600_000),
        at_most(f"{title}: schedule lag p99", float("nan") if lag is None else lag * 1000, "ms", 5),
        Number(f"{title}: cores used", (done.window.user + done.window.system) / done.window.seconds, "cores"),
    ]  # fmt: skip


def processes(target: Target, rounds: int) -> list[Number]:
    """One runner process against two that share the same core: what being two costs."""
    shards = ("--set", "shards=2")
    runs = {
        str(count): partial(
            generators.squall, "get", target.http, Timing().load,
            options=("--processes", str(count), *shards),
        )
        for count in (1, 2)
    }  # fmt: skip
    found = side_by_side("processes", target, runs, rounds)
    pairs = zip(found["1"], found["2"], strict=True)
    ratio = _median(_runner_cpu(two) / _runner_cpu(one) for one, two in pairs)
    return [at_most("CPU of one request: two runner processes / one", ratio, "x", 1.1)]


def recording(_target: Target, _rounds: int) -> list[Number]:
    script = str(ROOT / "bench" / "harness" / "recording.py")
    command = ["taskset", "-c", str(GENERATOR_CORE), sys.executable, script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [at_most("recording one finished request", int(done.stdout) / 1000, "us", 1.0)]


PARTS = {
    "recording": recording, "flow": flow, "get": get, "tls": tls, "processes": processes, "think": think,
    "arrivals": arrivals,
}  # fmt: skip


def _cpu(measured: Measured) -> float:
    """CPU seconds of one request, of all processes of the generator."""
    return (measured.window.user + measured.window.system) / measured.window.requests


def _runner_cpu(measured: Measured) -> float:
    return measured.window.runners / measured.window.requests


def _trend(measured: Measured, metric: str, figure: str) -> float:
    assert measured.summary is not None, "Squall was measured"
    return next(
        row.values[figure] for row in measured.summary.metrics if row.metric == metric and not row.tags
    )


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def table(numbers: list[Number]) -> str:
    """The numbers as Markdown."""
    lines = ["| what | measured | goal | |", "| --- | ---: | --- | --- |"]
    for each in numbers:
        verdict = ("holds" if each.holds else "**missed**") if each.goal else ""
        lines.append(f"| {each.name} | {_shown(each.value)} {each.unit} | {each.goal} | {verdict} |")
    return "\n".join(lines) + "\n"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the load engine beside its peers.")
    parser.add_argument("what", nargs="?", choices=("all", "profile"), default="all")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="how often generators take turns")
    options = parser.parse_args()
    for tool in ("k6", "wrk", "nginx", "locust"):
        fetch(tool)
    began = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="squall-target-") as folder,
        running_target(Path(folder), TARGET_CORE) as target,
    ):
        if options.what == "profile":
            profiling.show(target, OUT / "engine-profile.md")
            return 0
        numbers = [
            number for part in options.only.split(",") for number in PARTS[part](target, options.rounds)
        ]
    with_versions = (
        table(numbers) + "\n" + ", ".join(f"{name} {value}" for name, value in versions().items()) + "\n"
    )
    TABLE.write_text(with_versions, encoding="utf-8")
    print(with_versions)
    print(f"measured in {time.monotonic() - began:.0f} s")
    return keep("engine", numbers)


if __name__ == "__main__":
    sys.exit(main())
