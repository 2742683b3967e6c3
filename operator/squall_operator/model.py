"""What the operator sees of a LoadTest at one moment, and what it wants done about it: plain values.

`decide` goes from the one to the other without looking anywhere else, so every situation that a cluster can bring about is a
row in a table of tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.report.model import LiveState, Summary
    from squall_operator.status import Status, Stop

# -- what is seen ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why pods do not run, or have ceased to.

    Attributes:
        reason: One CamelCase word, stable, for machines.
        message: For people: which pod, what happened.
        grace_seconds: How long it may last before it ends the run; 0: at once. Images are pulled again, nodes come.
        since: When it began, Unix time; 0 when that is not known.
    """

    reason: str
    message: str
    grace_seconds: float = 0.0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """What became of a runner that is no more: one CamelCase word, and a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """The Job of a run and its pods.

    Attributes:
        job: There is a Job.
        deleting: The Job is going.
        pods: How many pods there are that have not ended.
        scheduled: When the last of all pods got its node, Unix time; 0 while one has none.
        troubles: What is wrong with them, the worst first.
        lost: Runners whose pod has ended badly or is gone, and why.
    """

    job: bool = False
    deleting: bool = False
    pods: int = 0
    scheduled: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    lost: Mapping[int, Lost] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubView:
    """What the hub says of a run.

    Attributes:
        reachable: It has answered.
        live: The run as it is; None when the hub does not know it.
        summary: Its outcome, when it has finished.
    """

    reachable: bool = False
    live: LiveState | None = None
    summary: Summary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What policies say of a LoadTest now.

    Attributes:
        violations: Each a sentence; any of them forbids the run.
        halted: The policy that stops everything; empty without one.
        ahead: How many runs have to end before this one may begin.
        hosts: For each policy that says where load may go, its patterns; runners keep them when they connect.
    """

    violations: tuple[str, ...] = ()
    halted: str = ""
    ahead: int = 0
    hosts: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a manifest that is right asks for.

    Attributes:
        shards: Logical shares of the load.
        pods: Pods that carry them.
        max_seconds: `safety.maxDuration`.
        setup_seconds: `setup.timeout`; 0 without a setup.
        stop_seconds: How long a stop may take by the manifest: grace, then teardown.
        lost_control_seconds: `safety.lostControl`: how long runners go on without a hub.
        runners: How many each pod has, by index.
        warnings: What its author should know.
    """

    shards: int
    pods: int
    max_seconds: float
    stop_seconds: float
    lost_control_seconds: float
    setup_seconds: float = 0.0
    runners: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A LoadTest and everything around it, at one moment.

    Attributes:
        now: Unix time.
        deleting: It is being deleted, or gone.
        plan: None when the manifest is wrong; then `problems` says why.
        allowance: What policies say.
        pods: Of the run that `status` names.
        hub: What the hub says of that run.
        hubs: Base URLs of the hubs there are.
        failure: What the last round's actions failed with; empty when they did not.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Mapping[str, Any]
    annotations: Mapping[str, str]
    status: Status
    now: float
    deleting: bool = False
    plan: Plan | None = None
    problems: tuple[str, ...] = ()
    allowance: Allowance = Allowance()
    pods: Pods = Pods()
    hub: HubView = HubView()
    hubs: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each phase may last, in seconds; nothing waits for ever.

    Attributes:
        start: From the launch until the load begins.
        schedule: A pod may wait for a node this long; nodes that are added on demand take minutes.
        hub: A hub that does not answer for this long is given up while the load has not begun or is being stopped. Under
            load the runners' own `safety.lostControl` ends the load, and this begins afterwards.
        stop: A stop may take this long beyond what the manifest grants.
    """

    start: float = 300.0
    schedule: float = 120.0
    hub: float = 60.0
    stop: float = 30.0


# -- what is wanted -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the status; whatever follows happens only when it is written.

    Attributes:
        urgent: More than figures have changed: it is not put off to the next time that figures are written.
    """

    status: Status
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class Launch:
    """Make the run's Secret and ConfigMaps, tell the hub, then make the Job. Done again, it changes nothing.

    Attributes:
        hosts: See `Allowance.hosts`.
        anew: The hub has the outcome of an earlier run with this id, and is to forget it first.
    """

    run: str
    hub: str
    hosts: tuple[tuple[str, ...], ...] = ()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class TellHub:
    """Give the hub a run that it does not know (any more)."""

    run: str
    hub: str


@dataclass(frozen=True, slots=True)
class TellLost:
    """Tell the hub what became of a runner's pod."""

    run: str
    hub: str
    runner: int
    lost: Lost


@dataclass(frozen=True, slots=True)
class StopRun:
    """Have the hub stop the load; `now` without teardown."""

    run: str
    hub: str
    stop: Stop
    now: bool = False


@dataclass(frozen=True, slots=True)
class KeepReport:
    """Store a summary in a ConfigMap that belongs to the LoadTest."""

    run: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class Mark:
    """Note on the LoadTest itself, beside its status, which run is over: the annotation `runs.DONE`."""

    text: str


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Delete the run's Job, Secret and ConfigMaps, and let the hub forget it."""

    run: str
    hub: str


@dataclass(frozen=True, slots=True)
class DropReports:
    """Delete reports that the history no longer holds."""

    reports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """An Event for people."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


Action: TypeAlias = (
    WriteStatus | Launch | TellHub | TellLost | StopRun | KeepReport | Mark | CleanUp | DropReports | Tell
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, in order, and when to look again if nothing happens before.

    Attributes:
        actions: A failed one ends the round; the next begins by looking again.
        again: Seconds; None when only a change can bring something new.
    """

    actions: tuple[Action, ...] = ()
    again: float | None = None
