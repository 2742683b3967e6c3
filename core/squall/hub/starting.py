"""How a run begins: all are ready, one has run setup, the moment is chosen, and everybody is told; then how loads go on that are searched for.

The intent to start is durable before the moment is chosen, and the start is recorded before anybody is told: a hub that restarts never
begins a run twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from squall.hub import protocol
from squall.hub.ending import RunEnding
from squall.hub.limits import SECOND, needs_setup
from squall.hub.model import Stopping

if TYPE_CHECKING:
    from squall.hub.members import Member

START_LEAD_NS: Final = 100_000_000
"""From the decision to start until the start, besides two round trips: enough for every runner to be told before."""

MAX_SETUP_BYTES: Final = 256 * 1024
"""What setup may extract: each runner gets all of it, a thousand of them at the same moment."""


class RunStarting(RunEnding):
    """The beginning of a run."""

    _opening = False
    """The intent to start has been recorded; the moment is chosen once that is durable."""

    def _all_ready(self, now_ns: int) -> None:
        if self.ready_ns is None:
            self.ready_ns = now_ns
            self.note("info", "Ready", f"runners ready: {len(self.members)}", now_ns)
        if not needs_setup(self.manifest) or self.setup_values is not None:
            self._open(now_ns)
            return
        first = self.members[0]
        self.phase = "setup"
        self.deadline_ns = now_ns + self.limits.setup_ns
        self.setup_runner = first.index
        self.record("setup", {"runner": first.index, "attempt": first.attempt}, durable=True)
        self.send(first, protocol.Setup())

    def _setup_done(self, member: Member, done: protocol.SetupDone, now_ns: int) -> None:
        if self.phase != "setup" or member.index != self.setup_runner or self.setup_values is not None:
            return
        if done.error:
            reason, text = done.reason or "SetupFailed", f"setup failed: {done.error}"
            self.stop(Stopping(cause="error", reason=reason, message=text), now_ns)
            return
        values = done.values
        size = len(msgspec.msgpack.encode(values))
        if size > MAX_SETUP_BYTES:
            text = f"setup has extracted {size:,} bytes, and each runner gets at most {MAX_SETUP_BYTES:,}: extract only what is used later"
            self.stop(Stopping(cause="error", reason="SetupFailed", message=text), now_ns)
            return
        self.setup_values = values
        self.record("setupDone", {"values": values}, durable=True)

    def _open(self, now_ns: int) -> None:
        """Nothing is missing but the moment, which is chosen once the intent is durable: disks can be slow."""
        if self.members.may_start():
            self._opening = True
            self.record("starting", {"at": now_ns}, durable=True)

    def _begin(self, start_ns: int, now_ns: int) -> None:
        self.start_ns = start_ns
        self.record("start", {"at": start_ns})
        self.phase = "running"
        self.deadline_ns = start_ns + self.limits.max_duration_ns
        self._search(now_ns)

    def _tell_start(self, member: Member) -> None:
        assert self.start_ns is not None, "a run that runs has a start"
        if self.setup_values is not None:
            self.send(member, protocol.SetupValues(self.setup_values))
        self.send(member, protocol.Start(member.clock.to_remote(self.start_ns)))
        member.started = True
        self._tell_levels(member)

    def _lead_ns(self) -> int:
        """How long before a moment all runners have to be told of it."""
        return START_LEAD_NS + 2 * self.members.round_trip_ns()

    def _search(self, now_ns: int) -> None:
        """Let searches for capacity go on: record what they want, then tell the runners."""
        assert self.start_ns is not None, "a run that runs has a start"
        earliest = max(0, -(-(now_ns + self._lead_ns() - self.start_ns) // SECOND))
        for fields, order, text in self.judge.searches.step(self.judged, earliest):
            self.record("level", fields, durable=True)
            if text:
                self.note("info", "Level", text, now_ns)
            for member in self.members.connected():
                if member.started:
                    self.send(member, order)

    def _tell_levels(self, member: Member) -> None:
        for order in self.judge.searches.latest():
            self.send(member, order)
