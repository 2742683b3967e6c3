"""Reasons of the operator to end a run: nobody wants it any more, or it is broken beyond what the hub can see.

Thresholds, safety limits and lost runners are the hub's business; it ends such runs by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.kube.runs import run_key
from squall.spec.hosts import is_narrower
from squall_operator.lasting import lasted, may_last
from squall_operator.status import RunStatus, Stop
from squall_operator.times import seconds_since, stamp

if TYPE_CHECKING:
    from squall_operator.model import Deadlines, Observed, Trouble

SETTLED: Final = 15.0
"""Seconds after which what was made must have been seen: watches tell of it a little later."""


def unwanted(seen: Observed, run: RunStatus) -> Stop | None:
    """Why somebody no longer wants this run, if so."""
    at = stamp(seen.now)
    if run.key != run_key(seen.spec, seen.annotations):
        return Stop(
            cause="user",
            reason="Replaced",
            message="the LoadTest was changed, which asks for another run",
            at=at,
        )
    if seen.spec.get("suspend"):
        return Stop(cause="user", reason="Suspended", message="spec.suspend stops what runs", at=at)
    if seen.allowance.halted:
        text = f"LoadTestPolicy {seen.allowance.halted} halts all load tests"
        return Stop(cause="policy", reason="Halted", message=text, at=at)
    if seen.allowance.violations:
        text = "; ".join(seen.allowance.violations)
        return Stop(cause="policy", reason="PolicyViolated", message=text, at=at)
    if run.hosts is not None and is_narrower(seen.allowance.hosts, run.hosts):
        text = "its runners may send load to hosts that policies no longer allow: allowedHosts has become narrower"
        return Stop(cause="policy", reason="PolicyViolated", message=text, at=at)
    return None


def why_stop(seen: Observed, run: RunStatus, deadlines: Deadlines) -> Stop | None:
    """Why the operator should stop the run, if it should; thresholds and lost runners are the hub's business."""
    stop = unwanted(seen, run)
    if stop is not None:
        return stop
    found = _broken(seen, run, deadlines)
    if found is None:
        return None
    return Stop(cause="error", reason=found[0], message=found[1], at=stamp(seen.now))


def _broken(seen: Observed, run: RunStatus, deadlines: Deadlines) -> tuple[str, str] | None:
    """What has gone wrong beyond repair, as reason and message."""
    pods = seen.pods
    if pods.deleting or (not pods.job and seconds_since(run.launched_at, seen.now) > SETTLED):
        return "JobDeleted", f"the Job {run.id} was deleted"
    if run.phase == "Starting" and seen.hub.reachable:  # else nobody knows whether the load has begun
        fatal = next((each for each in pods.troubles if _lasts(each, seen.now)), None)
        if fatal is not None:
            return fatal.reason, fatal.message
        allowed = _start_seconds(seen, deadlines)
        if lasted(run, seen.now) > allowed:
            trouble = pods.troubles[0] if pods.troubles else None
            reason = trouble.reason if trouble else "StartDeadline"
            return reason, f"the load did not begin within {allowed:g} s: {waiting_for(seen)}"
    silent = seconds_since(run.unreachable_since, seen.now) if run.unreachable_since else 0.0
    if not seen.hub.reachable and silent > _patience(seen, run, deadlines):
        return "HubLost", f"the hub {run.hub} has not answered for {silent:.0f} s"
    if run.phase == "Running" and lasted(run, seen.now) > may_last("Running", seen.plan, deadlines):
        return "Overdue", "the hub has not ended the run at safety.maxDuration"
    return None


def _start_seconds(seen: Observed, deadlines: Deadlines) -> float:
    """How long it may take until the load begins. A setup comes when all runners are ready, and has a time of its own."""
    connecting = seen.hub.live is not None and seen.hub.live.phase == "connecting"
    return may_last("Starting", None if connecting else seen.plan, deadlines)


def _lasts(trouble: Trouble, now: float) -> bool:
    return trouble.grace_seconds == 0 or (trouble.since > 0 and now - trouble.since >= trouble.grace_seconds)


def _patience(seen: Observed, run: RunStatus, deadlines: Deadlines) -> float:
    """How long a hub may be silent. Under load its runners go on for `lostControl`, and may find it again until then."""
    if run.phase != "Running" or seen.plan is None:
        return deadlines.hub
    return deadlines.hub + seen.plan.lost_control_seconds


def waiting_for(seen: Observed) -> str:
    """What a run that has not begun is waiting for, for people."""
    if seen.pods.troubles:
        return seen.pods.troubles[0].message
    return "waiting for all runners to be ready"
