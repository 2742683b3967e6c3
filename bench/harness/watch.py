"""What processes cost, as the kernel counts it: CPU time and memory of a program and everything it has started.

The same yardstick for all generators: none is asked what it thinks of itself.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.target import Target

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in a stretch of time.

    Attributes:
        seconds: Its length.
        requests: What came to the target.
        user: CPU seconds of the generator in its own code.
        system: CPU seconds of the generator in the kernel.
        target: CPU seconds of the target.
        runners: CPU seconds of the generator's processes that send requests, as far as they are told apart.
        memory: Bytes of all processes of the generator at the end (proportional set size: what they share is counted once).
    """

    seconds: float
    requests: int
    user: float
    system: float
    target: float
    runners: float
    memory: int

    @property
    def rate(self) -> float:
        """Requests per second, as the target saw them."""
        return self.requests / self.seconds


def tree(root: int) -> list[int]:
    """A process and everything it has started, directly or not."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int(_fields(int(entry.name))[1])
                children[parent].append(int(entry.name))
    found, open_ends = [], [root]
    while open_ends:
        pid = open_ends.pop()
        found.append(pid)
        open_ends += children[pid]
    return found


def runners(pids: list[int]) -> list[int]:
    """Those that are runners of Squall."""
    return [pid for pid in pids if b"squall_runner" in _command_line(pid)]


def memory(pids: list[int]) -> int:
    """Bytes of processes, what they share counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def watch(root: int, target: Target, seconds: float) -> Window:
    """Watch a generator and the target for some time from now on."""
    pids, servers = tree(root), tree(target.process.pid)
    before, before_target = _cpu(pids), _cpu(servers)
    first, began = target.requests(), time.monotonic()
    time.sleep(seconds)
    last, ended = target.requests(), time.monotonic()
    after, after_target = _cpu(pids), _cpu(servers)
    return Window(
        seconds=ended - began,
        requests=last - first,
        user=sum(after[pid][0] - before[pid][0] for pid in after if pid in before),
        system=sum(after[pid][1] - before[pid][1] for pid in after if pid in before),
        target=sum(sum(after_target[pid]) - sum(before_target[pid]) for pid in after_target),
        runners=sum(sum(after[pid]) - sum(before[pid]) for pid in runners(pids) if pid in after),
        memory=memory(pids),
    )


def on_cpu(pid: int) -> float:
    """Seconds that all threads of a process have been on a core, to the nanosecond where the kernel's ticks are 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def _cpu(pids: list[int]) -> dict[int, tuple[float, float]]:
    """CPU seconds of each process, in its own code and in the kernel."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            fields = _fields(pid)
            found[pid] = int(fields[11]) / _TICKS, int(fields[12]) / _TICKS
    return found


def _fields(pid: int) -> list[str]:
    # The name before the state may hold anything.
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(") ")[2].split()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
