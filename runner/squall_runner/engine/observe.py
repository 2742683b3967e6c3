"""The generator watches itself: a load generator that is too busy measures its own queue and calls it the target's.

A ticker asks the event loop every 20 ms how late it answers; the rest is read when a slot is measured.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from squall_runner.engine.control import Control
    from squall_runner.http import Network
    from squall_runner.recording import Recorder

_TICK: Final = 0.02
_RESOLUTION: Final = 0.001
"""uvloop's timers count milliseconds: up to one is no lag."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM: Final = Path("/proc/self/statm")
_FDS: Final = Path("/proc/self/fd")
_CPU_STAT: Final = Path("/sys/fs/cgroup/cpu.stat")


class SelfObservation:
    """Loop lag, CPU, memory, garbage collection, sockets and files of this process.

    Args:
        recorder: Where they are recorded.
        network: Knows the open sockets.
        control: Is told that the event loop turns.
    """

    def __init__(self, recorder: Recorder, network: Network, control: Control) -> None:
        self._network = network
        self._control = control
        self._lag = recorder.trend("loop_lag")
        self._gc = recorder.trend("gc_pause")
        self._cpu = recorder.gauge("cpu_usage")
        self._memory = recorder.gauge("memory_resident")
        self._files = recorder.gauge("open_files")
        self._sockets = recorder.gauge("connections_open")
        self._opened = recorder.counter("http_connections")
        self._throttled = recorder.counter("cpu_throttled")
        self._throttled_before = _throttled_seconds()
        self._gc_began = 0.0
        self._cpu_seen = (time.monotonic(), time.process_time())
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; needs a running loop."""
        self._ticker = asyncio.create_task(self._tick())
        gc.callbacks.append(self._on_gc)

    async def stop(self) -> None:
        """Watch no more."""
        if self._on_gc in gc.callbacks:
            gc.callbacks.remove(self._on_gc)
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
            self._ticker = None
        self._control.beat = math.inf

    def read(self) -> None:
        """Take the readings that belong to the slot which ends now."""
        now, used = time.monotonic(), time.process_time()
        before, used_before = self._cpu_seen
        if now - before > 0.05:  # two slots measured at once have no usage of their own
            self._cpu.set((used - used_before) / (now - before))
            self._cpu_seen = (now, used)
        self._memory.set(_resident())
        self._files.set(_open_files())
        self._sockets.set(self._network.stats.open_sockets)
        self._opened.value = self._network.stats.opened
        self._throttled.value = max(0.0, _throttled_seconds() - self._throttled_before)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        clock = time.monotonic
        while True:
            due = clock() + _TICK
            await asyncio.sleep(_TICK)
            # A late answer stands for all the ticks that it swallowed, as each of them would have been late.
            self._control.beat = now = clock()
            lag = max(0.0, now - due - _RESOLUTION)
            self._lag.add(lag)
            while lag > _TICK and loop.is_running():
                lag -= _TICK
                self._lag.add(lag)

    def _on_gc(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began = time.perf_counter()
        elif self._gc_began:
            # Appending only: histograms allocate, which a collection must not.
            self._gc.pending.append(time.perf_counter() - self._gc_began)


def _resident() -> float:
    try:
        return float(int(_STATM.read_text().split()[1]) * _PAGE)
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak)  # where there is no /proc: the peak, in bytes on macOS


def _open_files() -> float:
    for place in (_FDS, Path("/dev/fd")):
        try:
            return float(len(os.listdir(place)))  # noqa: PTH208 - names only, as cheap as can be
        except OSError:
            continue
    return 0.0


def _throttled_seconds() -> float:
    """How long the cgroup was throttled so far (cgroup v2); 0 where that is not known."""
    try:
        for line in _CPU_STAT.read_text().splitlines():
            if line.startswith("throttled_usec "):
                return int(line.split()[1]) / 1e6
    except (OSError, ValueError):
        pass
    return 0.0
