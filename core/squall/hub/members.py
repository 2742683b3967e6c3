"""What the hub knows of each runner, whether it is connected or not.

A runner is a place in the run (an index and its shards). A process that fills it is an attempt; connections of an attempt come and go.
So three things are kept apart here: what belongs to the place, to the attempt, and to the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.hub import protocol
from squall.hub.clock import ClockOffset
from squall.report.model import RunnerPhase, RunnerState

if TYPE_CHECKING:
    from collections.abc import Iterator

PINGS = 8
"""Round trips measured before a runner may start: on a busy machine one in eight is undisturbed."""
MAX_ATTEMPTS = 50
"""Processes that may fill one place, one after another. Whoever runs pods replaces one a few times; each costs memory until the run is
forgotten, as its snapshots may come again."""


class Refused(Exception):  # noqa: N818 - it is the hub's answer, not an error of the hub
    """The runner has no place in this run."""


class TooManyAttempts(Refused):
    """Its place has been filled by so many processes that no further one is let in."""


class Member:
    """One runner."""

    def __init__(self, index: int, shards: tuple[int, ...]) -> None:
        self.index = index
        self.shards = shards
        self.slot = -1
        """The last slot that it has delivered, in any attempt."""
        self.attempts: set[str] = set()
        """All that have filled this place, the current one included."""
        self.notes = 0
        """Lines that it has written into the log."""
        # Of the attempt:
        self.attempt = ""
        self.ready = False
        self.started = False
        self.finished = False
        self.began_ns: int | None = None
        """When it really began, in hub time."""
        self.last_request_ns: int | None = None
        """When it sent its last request, in hub time; known once it has finished, and only if it sent one."""
        self.lost = False
        self.exited = False
        self.start_remote_ns: int | None = None
        """The start that it was given, in its own clock."""
        self.clock = ClockOffset()
        self.hello_ns = 0
        """When it said its last hello, in its own clock."""
        # Of the connection:
        self.connected = False
        self.left_ns: int | None = None
        """When its connection broke; None while connected or before the first."""
        self.heard_ns = 0

    @property
    def live(self) -> bool:
        """Whether it still has load to deliver, as far as anybody knows."""
        return not (self.finished or self.lost)

    @property
    def may_start(self) -> bool:
        """Ready, and its clock is known."""
        return self.connected and self.ready and self.clock.samples >= PINGS

    def check(self, hello: protocol.Hello) -> None:
        """See whether this place is that runner's.

        Raises:
            Refused: The runner speaks another version, carries other shards than it was given, or has lost its place to
                another process: two that take it from each other would both send load. Or it is a connection that the
                runner has left for a newer one, and that comes late.
            TooManyAttempts: It is one process too many.
        """
        if hello.version != protocol.VERSION:
            raise Refused(f"it speaks version {hello.version} of the protocol, this hub {protocol.VERSION}")
        if hello.shards != self.shards:
            raise Refused(f"runner {self.index} carries the shards {self.shards}, not {hello.shards}")
        if hello.attempt == self.attempt:
            if hello.now_ns < self.hello_ns:
                raise Refused(f"runner {self.index} has a newer connection")
        elif hello.attempt in self.attempts:
            raise Refused(f"another process has taken the place of runner {self.index}")
        elif len(self.attempts) >= MAX_ATTEMPTS:
            raise TooManyAttempts(
                f"runner {self.index} was replaced {MAX_ATTEMPTS - 1} times, more is not allowed"
            )

    def welcome(self, hello: protocol.Hello, now_ns: int) -> bool:
        """Take in the first message of a connection; True when it is a new attempt. Raises like `check`."""
        self.check(hello)
        new = hello.attempt != self.attempt
        if new:
            self.attempt = hello.attempt
            self.attempts.add(hello.attempt)
            self.ready = self.finished = self.exited = False
            self.last_request_ns = self.began_ns = None
            self.clock = ClockOffset(hello.now_ns - now_ns)
        self.hello_ns = hello.now_ns
        self.start_remote_ns = hello.started_ns
        self.started = hello.started_ns is not None
        self.lost = False
        self.connected, self.left_ns, self.heard_ns = True, None, now_ns
        return new

    def leave(self, now_ns: int) -> None:
        """Its connection is gone."""
        self.connected, self.left_ns = False, now_ns

    def phase(self) -> RunnerPhase:
        """For the live view."""
        if self.lost:
            return "lost"
        if self.finished:
            return "finished"
        if self.started:
            return "running"
        return "ready" if self.ready else "connecting"


class Members:
    """All runners of a run, by index."""

    def __init__(self, shards: tuple[tuple[int, ...], ...]) -> None:
        self._all = [Member(index, carried) for index, carried in enumerate(shards)]
        self._missing = 0
        self._unready = 0

    def __iter__(self) -> Iterator[Member]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Member:
        """The runner with this index.

        Raises:
            Refused: There is none.
        """
        if not 0 <= index < len(self._all):
            raise Refused(f"the run has no runner {index}, only 0 to {len(self._all) - 1}")
        return self._all[index]

    def may_start(self) -> bool:
        """Whether all of them may start. As with `complete`, one who may not is looked at first."""
        if not self._all[self._unready].may_start:
            return False
        for member in self._all:
            if not member.may_start:
                self._unready = member.index
                return False
        return True

    def connected(self) -> list[Member]:
        """Those that can be spoken to now."""
        return [member for member in self._all if member.connected]

    def away(self) -> list[int]:
        """When those left who are live and have no connection any more."""
        return [m.left_ns for m in self._all if m.left_ns is not None and m.live]

    def any_live(self) -> bool:
        """Whether anybody still has load to deliver."""
        return any(member.live for member in self._all)

    def complete(self, slot: int) -> bool:
        """Whether all who are live have delivered a slot; cheap to ask after each snapshot.

        One who is missing is remembered: until it has delivered, nobody else needs to be looked at.
        """
        count = len(self._all)
        for _ in range(count):
            member = self._all[self._missing]
            if member.live and member.slot < slot:
                return False
            self._missing = (self._missing + 1) % count
        return True

    def live(self) -> list[Member]:
        """Those that still have load to deliver."""
        return [member for member in self._all if member.live]

    def round_trip_ns(self) -> int:
        """The longest of the connections' smallest round trips."""
        return max((member.clock.round_trip_ns for member in self.connected()), default=0)

    def skew_ns(self) -> int | None:
        """Between the first and the last real start; None before two have begun."""
        began = [member.began_ns for member in self._all if member.began_ns is not None]
        return max(began) - min(began) if len(began) > 1 else None

    def last_request_ns(self) -> int | None:
        """The last request of all runners that have told, in hub time."""
        return max((m.last_request_ns for m in self._all if m.last_request_ns is not None), default=None)

    def states(self) -> tuple[RunnerState, ...]:
        """For the live view."""
        return tuple(
            RunnerState(index=m.index, shards=m.shards, phase=m.phase(), slot=m.slot) for m in self._all
        )


def exit_text(code: int) -> str:
    """What a runner's exit code says, negative for a signal, to follow "runner N"."""
    if code < 0:
        return f"was killed by signal {-code}"
    if code == 70:
        return "has stopped by itself, as nobody was in control of it"
    if code == 104:
        return "could not use the manifest"
    return f"ended with exit code {code} before its work was done"
