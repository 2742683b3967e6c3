"""The circuit breaker: a state machine that decides whether a host is sent anything.

        enough failures                openFor has passed            all probes succeed
    closed ------------> open -----------------------> half open ------------------------> closed
                          ^                               |
                          +------ a probe fails ----------+   (for twice as long, up to ten times)

Requests take time, so a result may come when the machine has long moved on. Each request carries a ticket of the
phase in which it was let through, and a result of an earlier phase decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from squall.spec.quantities import fraction, seconds, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.spec.structs import CircuitBreaker

_BUCKETS: Final = 10
_LONGEST: Final = 10
"""A circuit is never open for longer than so many times `openFor`."""
_ROUNDING: Final = 1e-9
REJECTED: Final = 0
"""The ticket of a request that must not be sent."""


class State(IntEnum):
    """What the gauge `circuit_state` shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens and closes; times in seconds.

    Attributes:
        error_rate: The share of failures from which on it opens.
        window: What the share is taken over.
        min_requests: With fewer in the window it stays closed.
        open_for: How long it is open at first.
        probes: So many are let through when it is half open.
    """

    error_rate: float
    window: float
    min_requests: int
    open_for: float
    probes: int

    @classmethod
    def of(cls, spec: CircuitBreaker) -> Self:
        """Those of a manifest."""
        return cls(
            error_rate=fraction(spec.error_rate),
            window=seconds(spec.window),
            min_requests=whole(spec.min_requests),
            open_for=seconds(spec.open_for),
            probes=whole(spec.probes),
        )


class Breaker:
    """The circuit to one host.

    Args:
        rules: When it opens and closes.
        changed: Told of each transition, after it: the new state, the moment, and for how long it is open.

    Attributes:
        state: Its state; from open it goes to half open only when a request asks.
    """

    __slots__ = (
        "_changed",
        "_failed",
        "_first",
        "_length",
        "_opened",
        "_past",
        "_pending",
        "_phase",
        "_rules",
        "_total",
        "_until",
        "_wanted",
        "_window",
        "state",
    )

    def __init__(self, rules: BreakerRules, changed: Callable[[State, float, float], None]) -> None:
        self._rules = rules
        self._changed = changed
        self.state = State.CLOSED
        self._phase = 1
        self._window: list[tuple[int, int]] = [(0, 0)] * _BUCKETS
        self._first = 0
        self._total = self._failed = 0
        self._length = rules.open_for
        self._until = 0.0
        self._pending = self._wanted = 0
        self._opened = self._past = 0.0

    def rejects(self, now: float) -> bool:
        """Whether a request that came now would be turned away; changes nothing."""
        if self.state is State.CLOSED:
            return False
        return now < self._until if self.state is State.OPEN else not self._pending

    def enter(self, now: float) -> int:
        """Let a request through: its ticket, or `REJECTED`. Each ticket goes back, to `leave` or `abandon`."""
        if self.state is not State.CLOSED:
            if self.rejects(now):
                return REJECTED
            if self.state is State.OPEN:
                self._pending = self._wanted = self._rules.probes
                self._turn(State.HALF_OPEN, now)
            self._pending -= 1
        return self._phase

    def leave(self, ticket: int, now: float, *, failed: bool) -> None:
        """A request has ended."""
        if ticket != self._phase:
            return
        if self.state is State.CLOSED:
            self._count(now, failed=failed)
        elif failed:
            self._length = min(2 * self._length, _LONGEST * self._rules.open_for)
            self._open(now)
        else:
            self._wanted -= 1
            if not self._wanted:
                self._close(now)

    def abandon(self, ticket: int) -> None:
        """A request was given up by the generator, and says nothing about the host: another may take its place."""
        if ticket == self._phase and self.state is State.HALF_OPEN:
            self._pending += 1

    def open_seconds(self, now: float) -> float:
        """How long the circuit was open or half open until now, in seconds."""
        return self._past + (0.0 if self.state is State.CLOSED else now - self._opened)

    def idle(self, now: float) -> bool:
        """Whether nothing is held against the host: a new circuit would decide no sooner."""
        self._forget(self._bucket(now))
        return self.state is State.CLOSED and not self._failed

    def _bucket(self, now: float) -> int:
        return int(now / self._rules.window * _BUCKETS)

    def _count(self, now: float, *, failed: bool) -> None:
        self._forget(self._bucket(now))
        total, bad = self._window[-1]
        self._window[-1] = (total + 1, bad + failed)
        self._total += 1
        self._failed += failed
        rules = self._rules
        if not failed or self._total < rules.min_requests:
            return
        if self._failed >= rules.error_rate * self._total - _ROUNDING:
            self._length = rules.open_for
            self._opened = now
            self._open(now)

    def _forget(self, bucket: int) -> None:
        """Move the window so that it ends with this bucket, in tenths of its length since the clock's zero."""
        old = bucket - self._first - _BUCKETS + 1
        if old <= 0:
            return
        gone = self._window[:old]
        self._window = [*self._window[old:], *[(0, 0)] * min(old, _BUCKETS)]
        self._first += old
        self._total -= sum(total for total, _ in gone)
        self._failed -= sum(failed for _, failed in gone)

    def _open(self, now: float) -> None:
        self._until = now + self._length
        self._turn(State.OPEN, now)

    def _close(self, now: float) -> None:
        self._past += now - self._opened
        self._window = [(0, 0)] * _BUCKETS
        self._total = self._failed = 0
        self._turn(State.CLOSED, now)

    def _turn(self, state: State, now: float) -> None:
        self.state = state
        self._phase += 1
        self._changed(state, now, self._length)
