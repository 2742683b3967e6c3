"""One run from the first connection to its end, as a pure state machine: events and the time in, actions out.

    connecting --all ready--> setup --done--> running --all finished--> teardown --> finished
                                                 |--stop--> stopping --all finished, or too late--^

What must never happen decides its shape. The start and the stop are recorded before anybody is told, so a hub that
restarts neither begins a run twice nor forgets that it was stopped. Every phase has a deadline, so none waits for ever. Every
message can come twice, since connections break: what a runner must be told follows from what is known of it,
not from what was sent before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.hub import protocol
from squall.hub.ending import CONFIRM_NS
from squall.hub.limits import SECOND
from squall.hub.members import PINGS, Refused, TooManyAttempts, exit_text
from squall.hub.model import Log, Stopping
from squall.hub.starting import RunStarting
from squall.hub.state import NEVER
from squall.hub.timeline import shortened

if TYPE_CHECKING:
    from squall.hub.members import Member
    from squall.metrics.snapshot import Snapshot

AHEAD_SLOTS: Final = 2
"""A runner may be ahead of the hub by this much; what claims to be from later is nonsense."""
CLOCK_SLACK_NS: Final = 50_000_000
"""A runner's slot may end this much before the hub's, as clocks are known to half a round trip only."""
EXIT_MANIFEST: Final = 104
MAX_NOTES: Final = 10_000
"""Lines of one runner in the log of its run."""
MAX_PAST_NS: Final = 25 * 3600 * SECOND
"""A run of which this hub has no record has begun within this time: each second of it is judged one by one, on a runner's word alone."""
AHEAD_NS: Final = 10 * SECOND
"""Nor does it begin later than this."""
SLOTS_AT_ONCE: Final = 200
"""After an outage many slots are due; other runs get their turn in between."""


class RunState(RunStarting):
    """The state machine of one run."""

    _next_ping_ns = 0
    _tags_cut = False
    """The user was told that values were counted without some of their tags."""
    _unrecorded = False
    """The run was found under way, without a record of what had been decided before."""
    unknown = -1
    """The last slot of which nobody knows how it was judged, -1 when there is none."""
    _refined = True
    """The start is known as well as this hub's clock allows; False after a restart until a runner has told."""

    @property
    def due_ns(self) -> int:
        """When `tick` is wanted next, if nothing happens before."""
        if self._opening:
            return 0
        due = [self._next_ping_ns, self.deadline_ns]
        if self.phase == "finished":
            return NEVER
        if self.phase in ("running", "stopping"):
            due.append(self._watermark_ns(self.judged + 1))
            due.extend(left_ns + self.reconnect_ns for left_ns in self.members.away())
        return min(due)

    # -- events -----------------------------------------------------------------------------------------------

    def check(self, hello: protocol.Hello, now_ns: int) -> None:
        """See whether a runner has a place in this run.

        Raises:
            Refused: It has none.
        """
        try:
            self.members[hello.runner].check(hello)
        except TooManyAttempts as error:
            if hello.runner not in self._crowded:
                self._crowded.add(hello.runner)
                self.note("warning", "TooManyAttempts", str(error), now_ns)
            raise
        if self.start_ns is None and hello.started_ns is not None:
            ago_ns = hello.now_ns - hello.started_ns
            if not -AHEAD_NS <= ago_ns <= MAX_PAST_NS:
                raise Refused(f"it says that the load began {ago_ns / SECOND:.0f} s ago, which cannot be")

    def hello(self, hello: protocol.Hello, now_ns: int) -> None:
        """A runner has connected.

        Raises:
            Refused: It has no place here.
        """
        member = self.members[hello.runner]
        known = member.attempt
        new = member.welcome(hello, now_ns)
        if known and self.start_ns is not None:
            word = "was replaced by a new process" if new else "is back"
            self.note("info", "RunnerBack", f"runner {member.index} {word}", now_ns)
        self.send(member, protocol.Welcome(self.store.delivered(member.index, member.attempt)))
        self.send(member, protocol.Ping(now_ns))
        if self.phase == "finished":
            self.send(member, protocol.Goodbye())
            return
        if self.start_ns is None and hello.started_ns is not None:
            self._find_under_way(now_ns - (hello.now_ns - hello.started_ns), now_ns)
        self._remind(member, new=new, now_ns=now_ns)
        self._progress(now_ns, member)

    def _find_under_way(self, start_ns: int, now_ns: int) -> None:
        """The run has begun, and there is no record of it: the hub that gave the start died before it was written, or its disk is gone."""
        self._begin(start_ns, now_ns)
        self._refined, self._unrecorded = False, True
        self._wait_for_return(now_ns)

    def _wait_for_return(self, now_ns: int) -> None:
        """This hub takes over under load: runners that are not here get the time to come."""
        self.recovered_ns = now_ns
        for member in self.members:
            if not member.connected:
                member.left_ns = now_ns

    def received(  # noqa: PLR0912 - one branch for each message
        self, runner: int, message: protocol.FromRunner, now_ns: int
    ) -> None:
        """A message has come in from a runner that has said hello.

        Raises:
            ValueError: It makes no sense; the connection should be closed with that reason.
        """
        member = self.members[runner]
        member.heard_ns = now_ns
        match message:
            case protocol.Measured(snapshot):
                self._measured(member, snapshot, now_ns)
                self._advance(now_ns)
                return
            case protocol.Pong():
                self._pong(member, message, now_ns)
            case protocol.Ready():
                member.ready = True
            case protocol.Failed(reason, text):
                self._failed(member, reason, text, now_ns)
            case protocol.SetupDone():
                self._setup_done(member, message, now_ns)
            case protocol.Started(at_ns):
                member.started, member.began_ns = True, member.clock.to_hub(at_ns)
            case protocol.Note():
                self._noted(member, message)
            case protocol.Probe(ok, _, text):
                self._probed(self.judge.probe(ok=ok, message=text), now_ns)
            case protocol.Abort(reason, text, cause):
                self.stop(Stopping(cause=cause, reason=reason, message=text), now_ns)
            case protocol.Leaving(text):
                self._leaving(member, text, now_ns)
            case protocol.Finished(last_request_ns):
                member.finished = True
                if last_request_ns:
                    member.last_request_ns = member.clock.to_hub(last_request_ns)
                if member.exited:
                    self.send(member, protocol.Goodbye())  # it leaves, and nothing more is wanted of it
            case protocol.TeardownDone(error):
                self.torn_down(member, error, now_ns)
            case protocol.Hello():
                raise ValueError("a second hello in one connection")
        self._progress(now_ns, member)

    def disconnected(self, runner: int, now_ns: int) -> None:
        """A runner's connection is gone."""
        self.members[runner].leave(now_ns)
        self._progress(now_ns)

    def exited(self, runner: int, code: int, now_ns: int) -> None:
        """A runner's process has ended; whoever started it knows at once. Negative codes are signals."""
        early = self.phase in ("connecting", "setup")
        reason = "BadManifest" if code == EXIT_MANIFEST else "RunnerExited" if early else "RunnerLost"
        self.gone(runner, reason, f"runner {runner} {exit_text(code)}", now_ns)

    def gone(self, runner: int, reason: str, text: str, now_ns: int) -> None:
        """A runner is no more, for a reason that whoever started it knows.

        Raises:
            Refused: There is no such runner.
        """
        member = self.members[runner]
        member.exited = True
        if self.phase in ("connecting", "setup"):
            self.stop(Stopping(cause="error", reason=reason, message=text), now_ns)
        elif self.phase == "teardown":
            self.torn_down(member, text, now_ns)
        elif self.phase != "finished" and member.live:
            self.lose(member, text, now_ns, reason)
        self._progress(now_ns)

    def _leaving(self, member: Member, text: str, now_ns: int) -> None:
        if self.spec.in_pods:
            self.gone(member.index, "RunnerTerminated", text, now_ns)
        else:
            self.stop(Stopping(cause="user", reason="Terminated", message=text), now_ns)

    def tick(self, now_ns: int) -> None:
        """Time has passed."""
        if now_ns >= self._next_ping_ns:
            # Often enough for runners that are told to stop after a short silence.
            self._next_ping_ns = now_ns + min(SECOND, self.limits.lost_control_ns // 4 + 1)
            for member in self.members.connected():
                self.send(member, protocol.Ping(now_ns))
        self.look_for_lost(now_ns)
        if now_ns >= self.deadline_ns:
            self.too_late(now_ns)
        self._progress(now_ns)

    # -- what follows -----------------------------------------------------------------------------------------

    def _progress(self, now_ns: int, member: Member | None = None) -> None:
        """Whatever follows from what is known now, `member` having brought the news if anybody has."""
        if self._opening:
            self._opening = False
            if self.phase in ("connecting", "setup"):
                self._begin(now_ns + self._lead_ns(), now_ns)
                self.note("info", "Started", "the load begins", self.start_ns or now_ns)
                for each in self.members.connected():
                    self._tell_start(each)
        if self.phase == "connecting" and self.members.may_start():
            self._all_ready(now_ns)
        if self.phase == "setup" and self.setup_values is not None:
            self._open(now_ns)
        if self.phase == "running" and member is not None and member.may_start and not member.started:
            self._tell_start(member)
        if self.phase in ("running", "stopping"):
            self._advance(now_ns)

    def _remind(self, member: Member, *, new: bool, now_ns: int) -> None:
        """Tell a runner that has connected (again) what it may have missed."""
        if self.stopping is not None:
            self.tell_stop(member)
        elif self.phase == "setup" and member.index == self.setup_runner and self.setup_values is None:
            if new:
                text = f"runner {member.index} was lost while it ran setup, which is not run twice"
                self.stop(Stopping(cause="error", reason="SetupLost", message=text), now_ns)
            else:
                self.send(member, protocol.Setup())
        if self.phase == "running" and member.started:
            self._tell_levels(member)
        if self.phase == "teardown" and member.index == self.teardown_runner:
            self.send(member, protocol.Teardown())

    # -- single messages --------------------------------------------------------------------------------------

    def _failed(self, member: Member, reason: str, text: str, now_ns: int) -> None:
        who = f"runner {member.index}: " if len(self.members) > 1 else ""
        self.stop(Stopping(cause="error", reason=reason, message=f"{who}{text}"), now_ns)

    def _pong(self, member: Member, pong: protocol.Pong, now_ns: int) -> None:
        member.clock.add(pong.sent_ns, pong.received_ns, now_ns)
        if member.clock.samples < PINGS:
            self.send(member, protocol.Ping(now_ns))
        elif not self._refined and member.start_remote_ns is not None:
            self._refined = True
            self.start_ns = member.clock.to_hub(member.start_remote_ns)

    def _probed(self, why: Stopping | None, now_ns: int) -> None:
        if why is not None:
            self.stop(why, now_ns)

    def _noted(self, member: Member, note: protocol.Note) -> None:
        member.notes += 1
        if member.notes <= MAX_NOTES:
            fields = {name: shortened(v) if isinstance(v, str) else v for name, v in note.fields.items()}
            self._actions.append(Log(note.level, note.event, {**fields, "runner": member.index}))
        elif member.notes == MAX_NOTES + 1:
            text = f"runner {member.index} has written {MAX_NOTES:,} lines into the log, and gets no more"
            self.note("warning", "LogFull", text, self.ready_ns or self.launched_ns)
        is_example = self.timeline.example(note.fields)
        if note.level in ("warning", "error") and not is_example:
            text = str(note.fields.get("message", note.event))
            self.timeline.add(self.seconds(member.clock.to_hub(note.at_ns)), note.level, note.event, text)

    # -- slots ------------------------------------------------------------------------------------------------

    def _measured(self, member: Member, snapshot: Snapshot, now_ns: int) -> None:
        if (snapshot.runner, snapshot.attempt) != (member.index, member.attempt):
            raise ValueError("a snapshot of another runner")
        if self.start_ns is None or snapshot.slot > self.seconds(now_ns) + AHEAD_SLOTS:
            raise ValueError(f"a snapshot of slot {snapshot.slot}, which has not begun")
        if snapshot.folded and self.recovered_ns is not None:
            # Nobody knows any more what happened in these slots one by one.
            self.judged = max(self.judged, snapshot.slot)
            if self._unrecorded:
                self._miss(self.judged, now_ns)
        self.late += snapshot.slot <= self.judged and not snapshot.folded
        if self.store.add(snapshot):
            self.send(member, protocol.Welcome(-1))
        if not self._tags_cut and (warning := self.store.limit.warning()):
            self._tags_cut = True
            self.note("warning", "TagsDropped", warning, now_ns)
        member.slot = max(member.slot, snapshot.slot)
        self.send(member, protocol.Ack(snapshot.slot))

    def _miss(self, slot: int, now_ns: int) -> None:
        """What the slots up to this one were judged like nobody knows: whoever judged them has left no record."""
        if self.unknown < 0:
            text = "this hub has no record of the run's beginning: its seconds cannot be judged one by one any more"
            self.note("warning", "HistoryLost", text, now_ns)
        self.unknown = max(self.unknown, slot)

    def _watermark_ns(self, slot: int) -> int:
        """When a slot is judged at the latest. After a restart runners first get the time to come back."""
        assert self.start_ns is not None, "slots exist once the run has begun"
        end_ns = self.start_ns + (slot + 1) * SECOND
        if self.recovered_ns is not None:
            end_ns = max(end_ns, self.recovered_ns + self.reconnect_ns)
        return end_ns + round(self.spec.watermark_seconds * SECOND)

    def _is_complete(self, slot: int, now_ns: int) -> bool:
        """Whether all have delivered a slot that has ended; one delivered long before is the end of a load."""
        assert self.start_ns is not None, "slots exist once the run has begun"
        ended = now_ns >= self.start_ns + (slot + 1) * SECOND - CLOCK_SLACK_NS
        return ended and self.members.complete(slot)

    def _advance(self, now_ns: int) -> None:
        """Judge the slots that are complete or overdue; end the load when nobody has any left."""
        until = self.judged + SLOTS_AT_ONCE
        while self.phase in ("running", "stopping") and self.members.any_live():
            slot = self.judged + 1
            if slot > until:
                return  # they are overdue, so `due_ns` has the next tick come at once
            complete = self._is_complete(slot, now_ns)
            if not complete and now_ns < self._watermark_ns(slot):
                return
            self.incomplete += not complete
            if self.recovered_ns is not None and slot >= self.seconds(self.recovered_ns):
                self.recovered_ns = None
            why = self._judge(slot, full=self.stopping is None)
            if why is not None:
                self.stop(why, now_ns)
            if self.phase == "running":
                self._search(now_ns)
        if self.phase in ("running", "stopping"):
            self._judge_rest()
            if self.phase == "running" and all(member.lost for member in self.members):
                self._decide_stop(
                    Stopping(cause="error", reason="RunnersLost", message="every runner was lost"), now_ns
                )
            self._end_load(now_ns)

    # -- taking over ------------------------------------------------------------------------------------------

    def restore(self, records: list[dict[str, Any]], now_ns: int) -> None:
        """Take up the run from the journal of another hub process."""
        for record in records:
            match record["kind"]:
                case "setup":
                    self.phase, self.setup_runner = "setup", int(record["runner"])
                    self.members[self.setup_runner].attempt = str(record["attempt"])
                    self.members[self.setup_runner].attempts.add(str(record["attempt"]))
                case "setupDone":
                    self.setup_values = dict(record["values"])
                case "start":
                    self.phase, self.start_ns = "running", int(record["at"])
                case "stop":
                    self.stopping = msgspec.convert(record["why"], Stopping)
                case "teardown":
                    self.phase, self.teardown_runner = "teardown", int(record["runner"])
                case "level":
                    self.judge.searches.restore(record)
                case "judged":
                    self.judge.restore(record)
                case "end":
                    self.phase = "finished"
        self._take_up(now_ns)

    def _take_up(self, now_ns: int) -> None:
        """Give the phase that was left a deadline again, and the runners time to return."""
        if self.stopping is not None and self.phase == "running":
            self.phase = "stopping"
        elif self.stopping is not None and self.phase in ("connecting", "setup"):
            self._end_load(now_ns)
        lengths = {
            "connecting": round(self.spec.start_deadline_seconds * SECOND),
            "setup": self.limits.setup_ns,
            "stopping": self.reconnect_ns + self.limits.stop_grace_ns + CONFIRM_NS,
            "teardown": self.limits.teardown_ns,
        }
        self.deadline_ns = now_ns + lengths.get(self.phase, NEVER)
        if self.phase == "running":
            self.deadline_ns = (self.start_ns or now_ns) + self.limits.max_duration_ns
        if self.start_ns is not None:
            self._refined = False
            self._wait_for_return(now_ns)
