"""One timer for all requests of a process.

A timer per request would cost more than parsing its response, and nearly all of them would be cancelled unused. Here
every connection carries the deadline of its exchange as a number, and one sweep looks at all of them when the earliest
known deadline is due. With 30 s timeouts and requests that take milliseconds, that is one sweep in about 30 s.

A request is ended at most `GRANULARITY` (50 ms) after its deadline, never before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

GRANULARITY: Final = 0.05
"""Least time between two sweeps, in seconds: the most by which a timeout can be late."""
NEVER: Final = float("inf")
# Timers of an event loop have a resolution of a millisecond; one that fires early would cost another round.
_ROUNDING = 0.001
_MAX_STALLS: Final = 10_000
"""Between two calls of `take_stalls`; there are no more than that while somebody looks."""


class Expiring(Protocol):
    """Something whose time can run out."""

    deadline: float
    """When, in the clock's seconds; `NEVER` while nothing is in flight."""

    def expire(self, now: float) -> None:
        """Ends what is in flight."""


class Deadlines:
    """The open connections of a process and the timer that watches them.

    Attributes:
        members: All open connections.
        due: When the next sweep is due. Whoever sets an earlier deadline calls `expect`; it is read directly on the
            hot path, where a comparison is all that is spent.
    """

    __slots__ = ("_clock", "_stalled", "_stalls", "_timer", "due", "members")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self.members: set[Expiring] = set()
        self.due = NEVER
        self._stalled: dict[Expiring, float] = {}
        self._stalls: deque[float] = deque(maxlen=_MAX_STALLS)

    def expect(self, deadline: float) -> None:
        """Makes sure that a sweep happens soon after `deadline`."""
        if deadline < self.due:
            self._arm(deadline, self._clock())

    def stall(self, member: Expiring) -> None:
        """Notes that a connection can send nothing more for now: its peer does not keep up."""
        self._stalled[member] = self._clock()

    def resume(self, member: Expiring) -> None:
        """Notes that a connection can send again."""
        since = self._stalled.pop(member, None)
        if since is not None:
            self._stalls.append(self._clock() - since)

    def take_stalls(self) -> list[float]:
        """Returns how long connections could not send, in seconds: of each time that has ended since the last call."""
        for member in [each for each in self._stalled if each not in self.members]:
            self.resume(member)  # it was closed
        found = list(self._stalls)
        self._stalls.clear()
        return found

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.due = None, NEVER

    def _arm(self, deadline: float, now: float, least: float = 0.0) -> None:
        self.close()
        self.due = deadline
        delay = max(deadline - now + _ROUNDING, least)
        self._timer = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        now = self._clock()
        earliest = NEVER
        self._timer, self.due = None, NEVER
        for member in tuple(self.members):
            if member.deadline <= now:
                member.expire(now)
            elif member.deadline < earliest:
                earliest = member.deadline
        if earliest < NEVER:
            self._arm(earliest, now, GRANULARITY)
