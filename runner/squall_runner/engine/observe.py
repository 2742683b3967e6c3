"""The generator watches itself: a load generator that is too busy measures its own queue and calls it the target's.

A ticker asks the event loop every 20 ms how late it answers; the rest is read when a slot is measured.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from squall_runner.engine import machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.engine.control import Control
    from squall_runner.http import Network
    from squall_runner.recording import Recorder

_TICK: Final = 0.02
_RESOLUTION: Final = 0.001
"""uvloop's timers count milliseconds: up to one is no lag."""
_STEP_SECONDS: Final = 1.0
"""The wall clock may be this far from where the monotonic clock expects it after a second: more is a step."""
_COUNTED_SHARE: Final = 0.25
"""Connections are counted by destination only when all of them together would take this share of the local ports."""


class SelfObservation:
    """Loop lag, CPU, memory, garbage collection, sockets, ports, files and the clock of this process.

    Args:
        recorder: Where they are recorded.
        network: Knows the open sockets.
        control: Is told that the event loop turns.
        note: Writes to the run's log, see `Hooks.note`.
        wall: Seconds since 1970.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        recorder: Recorder,
        network: Network,
        control: Control,
        *,
        note: Callable[..., None] = lambda *_, **__: None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network = network
        self._control = control
        self._note = note
        self._wall = wall
        self._clock = clock
        self._lag = recorder.trend("loop_lag")
        self._gc = recorder.trend("gc_pause")
        self._stall = recorder.trend("send_stall")
        self._memory = recorder.gauge("memory_resident")
        self._files = recorder.gauge("open_files")
        self._files_share = recorder.gauge("files_used")
        self._ports_share = recorder.gauge("ports_used")
        self._sockets = recorder.gauge("connections_open")
        self._opened = recorder.counter("http_connections")
        self._steps = recorder.counter("clock_steps")
        self._cpu = _Cpu(recorder, clock)
        self._ports = machine.local_ports()
        # What is read for each slot is opened by its first reading: before the load takes all descriptors.
        self._memory.set(machine.resident_bytes())
        machine.closing_ports()
        self._gc_began = 0.0
        self._ahead = wall() - clock()
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
        self._cpu.read()
        self._memory.set(machine.resident_bytes())
        files, limit = machine.open_files(), machine.file_limit()
        self._files.set(files)
        self._files_share.set(min(1.0, files / limit) if limit else 0.0)
        self._sockets.set(self._network.stats.open_sockets)
        self._ports_share.set(self._ports_used())
        self._opened.value = self._network.stats.opened
        for seconds in self._network.take_stalls():
            self._stall.add(seconds)
        self._look_at_the_clock()

    def _ports_used(self) -> float:
        """The share of the local ports taken towards the destination with most connections, those just closed included."""
        most = self._network.stats.open_sockets
        if most > self._ports * _COUNTED_SHARE:
            most = max(Counter(self._network.destinations()).values(), default=0)
        return (most + machine.closing_ports()) / self._ports

    def _look_at_the_clock(self) -> None:
        ahead = self._wall() - self._clock()
        step, self._ahead = ahead - self._ahead, ahead
        if abs(step) <= _STEP_SECONDS:
            return
        if not self._steps.value:
            way = "forward" if step > 0 else "back"
            self._note(
                "warning",
                "ClockStepped",
                message=f"this machine's clock was set {way} by {abs(step):.1f} s during the run",
                hint="measurements do not use it; expiry of cookies and tokens, and ${now()}, do",
            )
        self._steps.value += 1

    async def _tick(self) -> None:
        loop, control = asyncio.get_running_loop(), self._control
        clock = time.monotonic
        while True:
            due = clock() + _TICK
            await asyncio.sleep(_TICK)
            now = clock()
            if now - control.beat > control.standstill:
                # Perhaps woken before the standstill and only run after it: the turn that began before it still goes on.
                await asyncio.sleep(_RESOLUTION)
            control.beat = clock()
            # A late answer stands for all the ticks that it swallowed, as each of them would have been late.
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


class _Cpu:
    """What this process uses of the CPU that it may use, how long it waited for it, and who else uses it.

    A runner is one event loop: more than one core it cannot use, and with a limit below one core it cannot use even that.
    """

    def __init__(self, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._usage = recorder.gauge("cpu_usage")
        self._busy = recorder.gauge("cores_busy")
        self._waited = recorder.counter("cpu_wait")
        self._throttled = recorder.counter("cpu_throttled")
        self._cgroup = machine.Cgroup.own()
        self._own = min(1.0, machine.allowed_cores(self._cgroup))
        self._throttled_before = self._cgroup.throttled()
        self._waited_before = machine.waited_seconds()
        self._seen = (clock(), time.process_time())
        self._cores_seen = machine.busy_seconds()

    def read(self) -> None:
        now, used = self._clock(), time.process_time()
        before, used_before = self._seen
        if now - before > 0.05:  # two slots measured at once have no usage of their own
            self._usage.set((used - used_before) / (now - before) / self._own)
            self._seen = (now, used)
            self._read_cores()
        # A reading that could not be taken is 0, and a counter only grows: the one before stands then.
        self._waited.value = max(self._waited.value, machine.waited_seconds() - self._waited_before)
        self._throttled.value = max(self._throttled.value, self._cgroup.throttled() - self._throttled_before)

    def _read_cores(self) -> None:
        before, now = self._cores_seen, machine.busy_seconds()
        if now is None:
            return
        self._cores_seen = now
        if before is None:
            return
        worked, there = (new - old for new, old in zip(now, before, strict=True))
        if there > 0:
            self._busy.set(worked / there)
