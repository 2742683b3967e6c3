"""Whether the load may go on: the one word that a stop changes, and everybody who has to hear it.

After `stop` has returned no request is sent. That cannot rest on tasks being cancelled in time, since cancelling
takes effect later and a user's function may ignore it; so every VU carries a flag that is looked at before each
request, and the flags are set at once.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Haltable(Protocol):
    """A VU, as far as stopping it goes."""

    in_flight: int

    def halt(self) -> None:
        """Send nothing more."""

    def interrupt(self) -> None:
        """Send nothing more, and give up what is being waited for."""


class Timeline:
    """The run's clock: nanoseconds since its start.

    Args:
        clock: Nanoseconds, monotonic.
        start_ns: The start of the run on that clock.
    """

    __slots__ = ("_clock", "_sleepers", "_woken", "start_ns")

    def __init__(self, clock: Callable[[], int], start_ns: int) -> None:
        self._clock = clock
        self._sleepers: set[asyncio.Future[None]] = set()
        self._woken = False
        self.start_ns = start_ns

    def now(self) -> int:
        """Nanoseconds since the start of the run; negative before it."""
        return self._clock() - self.start_ns

    def later(self, due_ns: int, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call something at a moment of the run, within about a millisecond; whoever must not be early looks at `now`."""
        # uvloop rounds to milliseconds and counts from the beginning of the loop's turn. A millisecond at least
        # keeps a timer that fires early from firing again and again until it is due.
        delay = max(due_ns - self.now(), 1_000_000) / 1e9
        return asyncio.get_running_loop().call_later(delay, call)

    async def until(self, due_ns: int) -> None:
        """Wait for a moment of the run, or until everybody is woken; returns at once when it has passed."""
        loop = asyncio.get_running_loop()
        while not self._woken and self.now() < due_ns:
            sleeper = loop.create_future()
            self._sleepers.add(sleeper)
            handle = self.later(due_ns, lambda sleeper=sleeper: _wake(sleeper))  # type: ignore[misc]
            try:
                await sleeper
            finally:
                handle.cancel()
                self._sleepers.discard(sleeper)

    def wake(self) -> None:
        """End all waiting, now and later: the plan is void."""
        self._woken = True
        for sleeper in self._sleepers:
            _wake(sleeper)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Control:
    """The state of the load that everybody shares.

    Attributes:
        stopped: No request may be sent.
        last_request: When the last request was sent, in seconds of the monotonic clock; 0 before any.
        failure_streak: Iterations that failed one after the other, until now.
        beat: When the event loop was last seen to turn, in seconds of the same clock; infinite while nobody looks.
    """

    standstill: ClassVar[float] = 0.5
    """Seconds; an event loop that has not turned for this long was frozen, or may as well have been."""

    __slots__ = ("_vus", "beat", "failure_streak", "last_request", "on_stop", "stopped")

    def __init__(self) -> None:
        self.stopped = False
        self.last_request = 0.0
        self.failure_streak = 0
        self.beat = math.inf
        self.on_stop: asyncio.Event = asyncio.Event()
        self._vus: dict[int, Haltable] = {}

    async def thaw(self) -> None:
        """Wait until the event loop has turned once after a long standstill.

        A process that was frozen goes on in the middle of a turn. Whoever has to decide whether it may go on at all
        gets its turn first.
        """
        before = self.beat
        while self.beat == before and not self.stopped:  # noqa: ASYNC110 - an event set in every turn would cost every turn
            await asyncio.sleep(0.001)

    def register(self, vu: Haltable) -> None:
        """A VU that a stop has to reach."""
        self._vus[id(vu)] = vu
        if self.stopped:
            vu.interrupt()

    def unregister(self, vu: Haltable) -> None:
        """A VU that will not run again."""
        self._vus.pop(id(vu), None)

    def stop(self, grace_seconds: float) -> None:
        """Halt all VUs now; those with requests in flight have `grace_seconds` to finish them.

        Said again, it can only shorten that time.
        """
        if not self.stopped:
            self.stopped = True
            vus = list(self._vus.values())
            for vu in vus:
                vu.halt()
            for vu in vus:
                if not vu.in_flight:
                    vu.interrupt()
            self.on_stop.set()
        asyncio.get_running_loop().call_later(grace_seconds, self._interrupt_all)

    def _interrupt_all(self) -> None:
        for vu in list(self._vus.values()):
            vu.interrupt()
