"""How a run ends: stopped, lost, too late, or simply done; then teardown, then goodbye.

A stop is recorded before anybody is told. Every way to the end passes through `_end_load`, and each step of it has a
deadline, so that no runner, dead or alive, can keep a run from ending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from squall.hub import protocol
from squall.hub.limits import SECOND, gives_back, needs_teardown
from squall.hub.model import Judged, Stopping
from squall.hub.state import NEVER, RunBase
from squall.hub.timeline import shortened

if TYPE_CHECKING:
    from squall.hub.members import Member

CONFIRM_NS: Final = 5 * SECOND
"""How long after the grace of a stop runners may take to confirm it."""
MAX_REFUSED: Final = 5
"""Runners that have sent so often what makes no sense will not get better."""
LAST_WORD_NS: Final = SECOND
"""How long runners may take, when a run is ended at once, to deliver what they have measured since their last snapshot."""


class RunEnding(RunBase):
    """The end of a run."""

    _refused = 0
    """How often a runner has sent what makes no sense."""

    def stop(self, why: Stopping, now_ns: int) -> None:
        """End the load now, then tear down. Without effect on a run that is ending already."""
        if self.stopping is not None or self.phase in ("teardown", "finished"):
            return
        self._decide_stop(why, now_ns)
        for member in self.members.connected():
            self.tell_stop(member)
        if self.phase == "running":
            self.phase = "stopping"
            self.deadline_ns = now_ns + self.limits.stop_grace_ns + CONFIRM_NS
        else:
            self._end_load(now_ns)

    def refused(self, runner: int, problem: str, now_ns: int) -> None:
        """A runner has sent what makes no sense, and loses its connection.

        It may come back with everything that it has measured. But if it is that what makes no sense, it comes back for ever,
        and the end of its load is never heard of: after some times the run ends.
        """
        self._refused += 1
        if self._refused >= MAX_REFUSED:
            text = f"runner {runner} sends what makes no sense, again and again: {problem}"
            self.stop(Stopping(cause="error", reason="RunnerMalformed", message=text), now_ns)

    def _decide_stop(self, why: Stopping, now_ns: int) -> None:
        self.stopping = why = msgspec.structs.replace(why, message=shortened(why.message), at_unix=now_ns)
        self.record("stop", {"why": msgspec.to_builtins(why)}, durable=True)
        self.note("info" if why.cause == "user" else "error", why.reason, why.message, now_ns)

    def kill(self, now_ns: int) -> None:
        """End the run at once, without teardown; what was measured is still judged.

        Runners that have load get a moment to deliver the rest of what they have measured; asked again, not even that.
        """
        if self.phase == "finished":
            return
        again, self.killed = self.killed, True
        if self.stopping is None:
            self._decide_stop(Stopping(cause="user", reason="Killed", message="stopped at once"), now_ns)
        assert self.stopping is not None, "decided above"
        if needs_teardown(self.manifest) and not again:
            self._untidy("TeardownSkipped", "ended at once, without teardown", now_ns)
        for member in self.members.connected():
            self.send(member, protocol.Stop(self.stopping.reason, 0))
        if self.phase in ("running", "stopping") and not again:
            self.phase = "stopping"
            self.deadline_ns = now_ns + LAST_WORD_NS
        else:
            self._judge_rest()
            self._finish(now_ns)

    def lose(self, member: Member, text: str, now_ns: int, reason: str = "RunnerLost") -> None:
        """A runner is lost while there is load."""
        member.lost = True
        if member.index not in self.lost:
            self.lost.append(member.index)
        if self.phase == "running" and self.manifest.safety.on_runner_loss == "fail":
            self.stop(Stopping(cause="error", reason=reason, message=text), now_ns)
        else:
            self.note("warning", reason, text, now_ns)

    def look_for_lost(self, now_ns: int) -> None:
        """Find runners that have been gone or silent for too long."""
        if self.phase not in ("running", "stopping"):
            return
        for member in self.members.live():
            if member.left_ns is not None and now_ns - member.left_ns >= self.reconnect_ns:
                self.lose(member, f"runner {member.index} has lost its connection and did not return", now_ns)
            elif member.connected and now_ns - member.heard_ns > self.limits.lost_control_ns:
                self.lose(member, f"runner {member.index} has been silent for too long", now_ns)

    def too_late(self, now_ns: int) -> None:
        """The deadline of the current phase has passed."""
        match self.phase:
            case "connecting":
                waiting = [str(member.index) for member in self.members if not member.may_start]
                text = f"not ready within {self.spec.start_deadline_seconds:g} s: runner {', '.join(waiting)}"
                self.stop(Stopping(cause="error", reason="StartDeadline", message=text), now_ns)
            case "setup":
                text = f"setup has not ended within {self.limits.setup_ns / SECOND:g} s"
                self.stop(Stopping(cause="error", reason="SetupDeadline", message=text), now_ns)
            case "running":
                text = f"the run has reached safety.maxDuration, {self.manifest.safety.max_duration}"
                self.stop(Stopping(cause="deadline", reason="Deadline", message=text), now_ns)
            case "stopping" if self.killed:
                self._judge_rest()
                self._finish(now_ns)
            case "stopping":
                for member in self.members.live():
                    self.lose(member, f"runner {member.index} did not confirm the stop", now_ns)
            case "teardown":
                text = f"teardown has not ended within {self.limits.teardown_ns / SECOND:g} s"
                self._untidy("TeardownDeadline", text, now_ns)
                self._finish(now_ns)
            case "finished":
                self.deadline_ns = NEVER

    # -- judging what is left ---------------------------------------------------------------------------------

    def _judge_rest(self) -> None:
        """All that was delivered and not yet judged; too late to stop anything.

        The last slot was cut short when the load ended, and those after a stop were.
        """
        while self.judged < self.store.latest:
            slot = self.judged + 1
            self._judge(slot, full=slot < self.store.latest and self.stopping is None)

    def _judge(self, slot: int, *, full: bool) -> Stopping | None:
        """Judge a slot; returns why the run should stop, if it should."""
        assert self.start_ns is not None, "slots exist once the run has begun"
        self.judged = slot
        self.slots += 1
        end_ns = self.start_ns + (slot + 1) * SECOND
        why = self.judge.slot(slot, full=full)
        for level, event, text in self.judge.remarks():
            self.note(level, event, text, end_ns)
        for fields in self.judge.records():
            self.record("judged", fields)
        self._actions.append(Judged(slot))
        return why

    # -- teardown and goodbye ---------------------------------------------------------------------------------

    def _end_load(self, now_ns: int) -> None:
        """There is no load any more, and will be none: tear down if there is something to tear down."""
        begun = self.start_ns is not None or self.setup_runner is not None
        if not begun or not needs_teardown(self.manifest) or self.killed:
            self._finish(now_ns)
            return
        present = [member for member in self.members.connected() if not member.exited]
        if not present:
            self._untidy("TeardownSkipped", "no runner was left to run teardown", now_ns)
            self._finish(now_ns)
            return
        runner = next((member for member in present if member.index == self.setup_runner), present[0])
        self.phase = "teardown"
        self.teardown_runner = runner.index
        self.deadline_ns = now_ns + self.limits.teardown_ns
        self.record("teardown", {"runner": runner.index})
        self.send(runner, protocol.Teardown())

    def torn_down(self, member: Member, error: str, now_ns: int) -> None:
        """Teardown has ended."""
        if self.phase != "teardown" or member.index != self.teardown_runner:
            return
        if error:
            self._untidy("TeardownFailed", f"teardown failed: {error}", now_ns)
        self._finish(now_ns)

    def _untidy(self, event: str, text: str, now_ns: int) -> None:
        """Something is left of the run. Who lent money to its wallets has to hear how to get it back."""
        begun = self.start_ns is not None or self.setup_runner is not None
        if begun and gives_back(self.manifest):
            text += "; wallets may still have money, run `squall evm sweep`"
        self.note("warning", event, text, now_ns)

    def _finish(self, now_ns: int) -> None:
        self.phase = "finished"
        self.ended_ns = now_ns
        self.deadline_ns = NEVER
        for member in self.members.connected():
            self.send(member, protocol.Goodbye())
