"""Where the time of one request goes: samples of the runner's stack, native frames included, sorted into a few drawers.

The sampler does not stop the runner, so a few samples are torn; they are left out. Shares are of the runner's CPU, and times
are shares of the CPU that a request costs without the sampler.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.generators import TARGET_CORE, Timing, measure, squall
from harness.tools import fetch
from harness.watch import runners, tree

if TYPE_CHECKING:
    from harness.target import Target

_SECONDS = 6
_RATE = 400
_CASES = {"GET, 1 check": "get", "login + mint + list, one request of them": "flow"}
_KERNEL = ("send", "recv", "read", "write", "epoll", "syscall")


def show(target: Target, out: Path) -> None:
    """Sample both cases; prints the tables and writes them to a file."""
    fetch("py-spy")
    text = "\n".join(_case(title, script, target) for title, script in _CASES.items())
    out.write_text(text, encoding="utf-8")
    print(text)


def _case(title: str, script: str, target: Target) -> str:
    drawers: Counter[str] = Counter()
    stacks: list[str] = []
    timing = Timing(load=12, warm=2.0, watched=3.0)
    done = measure(
        partial(squall, script, target.http, timing.load), target, timing,
        during=lambda pid: stacks.extend(_sample(runners(tree(pid))[0])),
    )  # fmt: skip
    functions: Counter[str] = Counter()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        leaf = _leaf(frames.split(";"))
        drawers[_drawer(leaf)] += int(count)
        functions[leaf] += int(count)
    window = done.window
    cost = window.runners / window.requests * 1e6
    total = drawers.total() or 1
    lines = [
        f"### {title}: {cost:.1f} us of CPU, {window.system / (window.user + window.system):.0%} of it in the kernel\n"
    ]
    lines += ["| where | share | us |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {n / total:.1%} | {n / total * cost:.2f} |" for name, n in drawers.most_common()]
    lines += ["", "| function | share | us |", "| --- | ---: | ---: |"]
    lines += [
        f"| `{name}` | {n / total:.1%} | {n / total * cost:.2f} |" for name, n in functions.most_common(40)
    ]
    return "\n".join(lines) + "\n"


def _sample(pid: int) -> list[str]:
    """Folded stacks: frames from the outermost to the innermost, separated by `;`, and a count."""
    command = ["taskset", "-c", str(TARGET_CORE), str(fetch("py-spy")), "record", "--pid", str(pid)]
    command += [
        "--duration",
        str(_SECONDS),
        "--rate",
        str(_RATE),
        "--format",
        "raw",
        "--native",
        "--nonblocking",
    ]
    raw = subprocess.run([*command, "-o", "/dev/stdout"], check=False, capture_output=True, text=True)
    return [line for line in raw.stdout.splitlines() if ";" in line and line.rpartition(" ")[2].isdigit()]


def _leaf(frames: list[str]) -> str:
    return frames[-1].strip()


def _drawer(leaf: str) -> str:
    name, _, place = leaf.partition(" (")
    if any(word in name.lower() for word in _KERNEL) and ".py" not in place:
        return "system calls (send, receive, epoll)"
    if "squall_runner" in place or "/squall/" in place:
        return f"Python: {Path(place.rstrip(')').rpartition(':')[0]).name}"
    return "native"
