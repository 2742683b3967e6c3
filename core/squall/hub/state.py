"""What is known of a run, and the means to say something about it; the machine in `run` is built on this.

All times are nanoseconds of the hub's clock, which runs on from one hub process to the next (Unix time).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.hub import protocol
from squall.hub.limits import SECOND
from squall.hub.members import Members
from squall.hub.model import Action, Log, Record, RunSpec, Send, Stopping
from squall.hub.timeline import Timeline, shortened

if TYPE_CHECKING:
    from squall.hub.judging import Judge
    from squall.hub.limits import Limits
    from squall.hub.members import Member
    from squall.metrics.slots import SlotStore
    from squall.report.model import Phase
    from squall.spec.loadtest import LoadTestSpec

NEVER = 2**63
"""Later than anything."""


class RunBase:
    """The facts of a run.

    Args:
        spec: The run.
        manifest: Its manifest's spec, parsed.
        limits: What the manifest limits.
        store: Merges what is measured.
        judge: Judges it.
        now_ns: The time.
    """

    def __init__(
        self,
        spec: RunSpec,
        *,
        manifest: LoadTestSpec,
        limits: Limits,
        store: SlotStore,
        judge: Judge,
        now_ns: int,
    ) -> None:
        self.spec = spec
        self.manifest = manifest
        self.limits = limits
        self.store = store
        self.judge = judge
        self.members = Members(spec.runners)
        self.timeline = Timeline()
        self.phase: Phase = "connecting"
        self.launched_ns = round(spec.launched_unix * SECOND) or now_ns
        self.ready_ns: int | None = None
        """When every runner was ready."""
        self.start_ns: int | None = None
        """When slot 0 begins."""
        self.ended_ns: int | None = None
        self.stopping: Stopping | None = None
        self.judged = -1
        """The last slot that was judged."""
        self.slots = 0
        """How many slots this process has judged."""
        self.incomplete = 0
        """Those of them that could wait no longer for what a live runner should have delivered."""
        self.late = 0
        """Snapshots that came after their slot had been judged."""
        self.setup_runner: int | None = None
        self.setup_values: dict[str, object] | None = None
        self.teardown_runner: int | None = None
        self.lost: list[int] = []
        """Runners that were lost at any time, in that order."""
        self.killed = False
        """Somebody has asked for the end at once: no teardown, no patience."""
        self.recovered_ns: int | None = None
        """When this hub process took the run up from another; None once judging has caught up, or never."""
        self.deadline_ns = now_ns + round(spec.start_deadline_seconds * SECOND)
        """When the current phase has lasted too long."""
        self._crowded: set[int] = set()
        """Runners whose place has been filled by too many processes, as was told."""
        self._actions: list[Action] = []

    def take(self) -> list[Action]:
        """What is to be done now, in order."""
        actions, self._actions = self._actions, []
        return actions

    def seconds(self, at_ns: int) -> float:
        """Time since the start of the load; negative before it, 0 while there is none."""
        return (at_ns - self.start_ns) / SECOND if self.start_ns is not None else 0.0

    def lag_ns(self, now_ns: int) -> int:
        """How long ago the oldest slot ended that is not judged yet; 0 while there is no load."""
        if self.start_ns is None or self.phase not in ("running", "stopping"):
            return 0
        return max(0, now_ns - (self.start_ns + (self.judged + 2) * SECOND))

    @property
    def reconnect_ns(self) -> int:
        """How long a runner without connection may take to return."""
        return round(self.spec.reconnect_seconds * SECOND)

    # -- saying -----------------------------------------------------------------------------------------------

    def note(self, level: str, event: str, text: str, at_ns: int) -> None:
        """Something that belongs to the timeline and the log."""
        self.timeline.add(self.seconds(at_ns), level, event, text)
        self._actions.append(Log(level, event, {"message": shortened(text)}))

    def record(self, kind: str, fields: dict[str, object], *, durable: bool = False) -> None:
        """Something that a hub which takes over must know."""
        self._actions.append(Record(kind, fields, durable))

    def send(self, member: Member, message: protocol.FromHub) -> None:
        """Tell a runner something, if it is there to hear it."""
        if member.connected:
            self._actions.append(Send(member.index, message))

    def tell_stop(self, member: Member) -> None:
        """Tell a runner of the stop."""
        assert self.stopping is not None, "only a run that is being stopped tells so"
        self.send(member, protocol.Stop(self.stopping.reason, self.limits.stop_grace_ns))
