"""Where the time of one request goes, in two ways: layer by layer, and by what `perf` finds the processor busy with.

Profilers that follow Python's frames change what they measure when a request costs twenty microseconds. So the layers are
measured as they are, one after the other, and `perf`, where it is installed, samples from outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.generators import GENERATOR_CORE, TARGET_CORE, Timing, measure, squall, wrk
from harness.watch import runners, tree

if TYPE_CHECKING:
    from harness.target import Target

_LAYERS = {
    "bare": "uvloop and the kernel: send, wait, receive",
    "parser": "and the response is parsed (llhttp)",
    "task": "and handed over to a task that waits for it",
    "client": "Squall's client: phases, deadlines, limits, cookies, a response",
}
_LAYER_SECONDS = 4
_PERF = Timing(load=12, warm=2.0, watched=5.0)
_PLACES = {
    "kernel": "the kernel (TCP, system calls)",
    "libpython": "the interpreter and its objects",
    "loop.": "uvloop",
    "parser.": "the HTTP parser",
    "_asyncio": "tasks and futures",
    "_multiarray": "numpy: histograms",
    "_struct": "struct: rows of measurements",
    "libc": "libc",
    "vdso": "reading clocks",
    "_sslbase": "TLS",
    "libssl": "TLS",
    "libcrypto": "TLS",
}


def show(target: Target, out: Path) -> None:
    """Measure; prints the tables and writes them to a file."""
    text = f"{_layers(target)}\n{_sampled('GET, 1 check', 'get', target)}\n{_sampled('flow', 'flow', target)}"
    out.write_text(text, encoding="utf-8")
    print(text)


def _layers(target: Target) -> str:
    port = target.http.rpartition(":")[2]
    script = str(Path(__file__).with_name("layers.py"))
    rows = []
    for layer, title in _LAYERS.items():
        command = [
            "taskset",
            "-c",
            str(GENERATOR_CORE),
            sys.executable,
            script,
            layer,
            port,
            str(_LAYER_SECONDS),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append((title, int(done.stdout) / 1000))
    timing = Timing()
    window = measure(partial(squall, "get", target.http, timing.load), target, timing).window
    rows.append(("the whole of it: steps, checks, all metrics", window.runners / window.requests * 1e6))
    all_of_it = (window.user + window.system) / window.requests * 1e6
    rows.append(("and the command with its hub, the live view, the judge", all_of_it))
    lines = ["| GET, 1 check: CPU of one request | us | more than above |", "| --- | ---: | ---: |"]
    before = 0.0
    for title, cost in rows:
        lines.append(f"| {title} | {cost:.1f} | {cost - before:+.1f} |")
        before = cost
    other = measure(partial(wrk, "get", target.http, timing.load), target, timing).window
    lines.append(
        f"| for comparison: all of wrk | {(other.user + other.system) / other.requests * 1e6:.1f} | |"
    )
    return "\n".join(lines) + "\n"


def _sampled(title: str, script: str, target: Target) -> str:
    perf = shutil.which("perf")
    if perf is None:
        return f"{title}: `perf` is not installed\n"
    with tempfile.TemporaryDirectory(prefix="squall-perf-") as name:
        data = str(Path(name) / "data")
        window = measure(
            partial(squall, script, target.http, _PERF.load), target, _PERF,
            during=lambda pid: _record(perf, runners(tree(pid))[0], data),
        ).window  # fmt: skip
        done = subprocess.run(
            [perf, "report", "-i", data, "--stdio", "--sort", "dso"],
            check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    cost = window.runners / window.requests * 1e6
    shares: dict[str, float] = {}
    for line in done.stdout.splitlines():
        share, _, place = line.strip().partition("%")
        if place and not line.startswith("#"):
            known = next((words for key, words in _PLACES.items() if key in place), "other")
            shares[known] = shares.get(known, 0.0) + float(share)
    lines = [f"| {title}: {cost:.1f} us of the runner's CPU | share | us |", "| --- | ---: | ---: |"]
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    lines += [f"| {place} | {share:.1f} % | {share * cost / 100:.2f} |" for place, share in ordered]
    return "\n".join(lines) + "\n"


def _record(perf: str, pid: int, data: str) -> None:
    command = [
        "taskset",
        "-c",
        str(TARGET_CORE),
        perf,
        "record",
        "-e",
        "cpu-clock",
        "-F",
        "997",
        "-p",
        str(pid),
    ]
    subprocess.run([*command, "-o", data, "--", "sleep", "4"], check=True, capture_output=True)
