"""When the next request may go to a host: a rate with a burst, and a least distance.

The rate is GCRA, the generic cell rate algorithm (ITU-T I.371, annex A): one number, the theoretical arrival time of
the next request, is moved on by the interval `1 / rate` with each request, and a request may come early by as much as
the burst allows. Nothing is refilled, nothing drifts, and a limit that nobody uses costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LATE: Final = 0.01
"""Seconds by which timers may be late without the rate suffering; what a longer standstill has cost is not made up."""
_ROUNDING: Final = 1e-6
"""Seconds; sums of intervals are not exact, and the last request of a burst is not to wait for what is lost in them."""


@dataclass(slots=True)
class Gate:
    """One limit: `burst` requests at once after a quiet time, then one each `interval` seconds.

    In any stretch of `t` seconds it lets at most `burst + t / interval` requests through, reckoned by the moments
    that they are given, see `Pace.take`.

    Attributes:
        interval: Seconds.
        burst: Requests, at least 1.
        strict: Whether the distance counts from when a request really went, rather than from when it was due.
    """

    interval: float
    burst: int = 1
    strict: bool = False
    _due: float = field(default=float("-inf"), init=False)

    def turn(self) -> float:
        """The earliest moment of the next request."""
        return self._due - (self.burst - 1) * self.interval - _ROUNDING

    def quiet(self, now: float) -> bool:
        """Whether a whole burst could go."""
        return self._due - _ROUNDING <= now

    def take(self, at: float) -> None:
        """A request goes, at this moment, which is not before `turn`."""
        self._due = max(self._due, at) + self.interval

    def place(self, ahead: int, first: float) -> float:
        """The earliest moment for the request that has `ahead` others before it, the first of which goes at `first`."""
        return max(self._due, first) + (ahead - self.burst + 1) * self.interval


class Pace:
    """All limits of one host in one shard.

    Args:
        gates: The limits.
    """

    __slots__ = ("_gates",)

    def __init__(self, *gates: Gate) -> None:
        self._gates = gates

    def turn(self) -> float:
        """The earliest moment of the next request; it may have passed."""
        return max([gate.turn() for gate in self._gates])

    def idle(self, now: float) -> bool:
        """Whether everything it may have held back is over: a new pace would say the same from now on."""
        return all(gate.quiet(now) for gate in self._gates)

    def take(self, due: float, now: float) -> None:
        """A request goes now, and was due a little earlier: that it is late must not make the next one late.

        Args:
            due: When it could have gone: not before `turn`, nor before it came. At most `LATE` of the delay is made up.
            now: The moment.
        """
        due = max(due, now - LATE)
        for gate in self._gates:
            gate.take(now if gate.strict else due)

    def place(self, ahead: int, now: float) -> float:
        """The earliest moment for a request that comes now and has `ahead` others before it."""
        first = max(self.turn(), now)
        return max([first, *[gate.place(ahead, first) for gate in self._gates]]) if ahead else first
