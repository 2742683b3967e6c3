"""What to do about a LoadTest, given all that is seen of it: the operator's one decision, pure and level-triggered.

    nothing --> Queued / Suspended / Rejected
       |
    Launching --objects made--> Starting --load--> Running --hub has the outcome--> Finished (Passed, Failed, ...)
                                   |                  |                               ^
                                   +----- a reason to stop -----> Stopping -----------+

It never asks what happened, only what is. So an operator that was away for a minute, or another one that takes over, decides the same. The
run is written into the status before any of its objects is made, and each phase has a deadline, so none is forgotten and none waits
for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from squall.kube.runs import run_id, run_key
from squall_operator import conditions
from squall_operator.lasting import lasted, may_last
from squall_operator.model import (
    CleanUp,
    Decision,
    DropReports,
    KeepReport,
    Launch,
    Mark,
    StopRun,
    Tell,
    TellHub,
    TellLost,
    WriteStatus,
)
from squall_operator.outcome import figures, past_of, phase_of, recalled, verdict_of, without_summary
from squall_operator.reasons import unwanted, waiting_for, why_stop
from squall_operator.remembered import done, known_run, reports, tells_otherwise
from squall_operator.status import RunStatus, Status, Stop
from squall_operator.times import seconds_since, stamp, unix_of

if TYPE_CHECKING:
    from squall.report.model import Summary
    from squall_operator.model import Action, Deadlines, Observed, Plan

SOON: Final = 1.0
"""Seconds until the next look at a run that is changing; its hub is asked about as often."""
LATER: Final = 15.0
"""Seconds until the next look at what waits for something that may come without an event."""
LISTED: Final = 3.0
"""Seconds after which a run that was launched is in its hub's list, which is asked for once a second."""
HISTORY: Final = 10
"""Runs that are remembered when the LoadTest does not say."""
UNHEARD: Final = 15.0
"""Seconds for which a stop that somebody wants waits for a hub that does not answer."""
_SHOWN_PROBLEMS: Final = 10


def decide(seen: Observed, deadlines: Deadlines) -> Decision:
    """What to do now."""
    run = known_run(seen)
    if seen.deleting:
        return _gone(seen, run)
    if run is not None and run.phase != "Finished":
        return _carry_on(seen, run, deadlines)
    key = run_key(seen.spec, seen.annotations)
    over, result = done(seen)
    if over == run_id(seen.name, seen.uid, key) and (run is None or tells_otherwise(seen, run, result)):
        return _remember(seen, key, result)
    if run is not None and run.key == key:
        return _rest(seen, run)
    return _begin(seen)


# -- before a run ---------------------------------------------------------------------------------------------


def _begin(seen: Observed) -> Decision:
    """Start the run that the LoadTest asks for, or say why not."""
    if seen.plan is None or seen.problems:
        shown = "; ".join(seen.problems[:_SHOWN_PROBLEMS])
        more = len(seen.problems) - _SHOWN_PROBLEMS
        return _refuse(seen, "ManifestInvalid", f"{shown}; and {more} more" if more > 0 else shown)
    if seen.allowance.violations:
        return _refuse(seen, "PolicyViolated", "; ".join(seen.allowance.violations))
    return _held(seen) or _accept(seen, seen.plan)


def _held(seen: Observed) -> Decision | None:
    """What a LoadTest that is right has to wait for, if anything."""
    ahead = seen.allowance.ahead
    if seen.spec.get("suspend"):
        return _hold(
            seen, "Suspended", "Suspended", "spec.suspend holds it; it starts when that is taken away"
        )
    if seen.allowance.halted:
        text = f"LoadTestPolicy {seen.allowance.halted} halts all load tests"
        return _hold(seen, "Queued", "Halted", text, again=LATER)
    if ahead:
        text = f"waits for {ahead} other runs to end"
        return _hold(seen, "Queued", "ConcurrencyLimit", text, again=LATER, position=ahead)
    if not seen.hubs:
        return _hold(seen, "Queued", "NoHub", "there is no hub to run it", again=LATER)
    return None


def _retired(seen: Observed) -> tuple[tuple[CleanUp, ...], RunStatus | None]:
    """The run before this one, and what takes away what is left of it: it is of no interest any more."""
    run = known_run(seen)
    if run is None or run.cleaned:
        return (), run
    return (CleanUp(run.id, run.hub),), msgspec.structs.replace(run, cleaned=True)


def _accept(seen: Observed, plan: Plan) -> Decision:
    """Write down that there is a run; what it needs is made in the next round."""
    cleaned, _ = _retired(seen)
    key = run_key(seen.spec, seen.annotations)
    name = run_id(seen.name, seen.uid, key)
    run = RunStatus(
        id=name,
        key=key,
        phase="Launching",
        hub=seen.hubs[int(name[-8:], 16) % len(seen.hubs)],
        pods=plan.pods,
        accepted_at=stamp(seen.now),
    )
    status = Status(
        phase="Launching", message=f"run {name} is being launched", run=run, history=seen.status.history
    )
    warnings = [Tell("Warning", "ManifestWarning", text) for text in plan.warnings]
    accepted = Tell("Normal", "RunAccepted", f"run {name}: {plan.shards} shards on {plan.pods} pods")
    return Decision((*cleaned, _written(seen, status), *warnings, accepted), again=0.0)


def _refuse(seen: Observed, reason: str, text: str) -> Decision:
    cleaned, run = _retired(seen)
    status = Status(phase="Rejected", message=text, run=run, history=seen.status.history)
    return _said_once(seen, status, reason, "Warning", first=cleaned)


def _hold(
    seen: Observed,
    phase: Literal["Queued", "Suspended"],
    reason: str,
    text: str,
    *,
    again: float | None = None,
    position: int | None = None,
) -> Decision:
    cleaned, run = _retired(seen)
    status = Status(phase=phase, message=text, queue_position=position, run=run, history=seen.status.history)
    return _said_once(seen, status, reason, "Normal", first=cleaned, again=again)


def _said_once(
    seen: Observed,
    status: Status,
    reason: str,
    kind: Literal["Normal", "Warning"],
    *,
    first: tuple[Action, ...] = (),
    again: float | None = None,
) -> Decision:
    """Write a status, and tell people when its reason is new."""
    write = _written(seen, status, reason=reason)
    if write.status == seen.status:
        return Decision(again=again)
    before = conditions.reason_of(seen.status)
    news = () if before == reason else (Tell(kind, reason, status.message),)
    return Decision((*first, write, *news), again=again)


# -- an active run --------------------------------------------------------------------------------------------


def _carry_on(seen: Observed, run: RunStatus, deadlines: Deadlines) -> Decision:
    if seen.hub.summary is not None and not _is_of_before(run, seen.hub.summary):
        return _conclude(seen, run, seen.hub.summary)
    if run.phase == "Launching":
        return _launch(seen, run, deadlines)
    if run.stop is not None:
        return _stopping(seen, run, run.stop, deadlines)
    now = _as_it_is(seen, run)
    why = why_stop(seen, now, deadlines)
    if why is not None:
        return _stop(seen, now, why)
    return _follow(seen, now, began=now is not run)


def _is_of_before(run: RunStatus, summary: Summary) -> bool:
    """Whether an outcome is that of an earlier run with the same id: someone went back to a spec whose run the hub still has."""
    ended = unix_of(summary.ended_at)
    return run.phase == "Launching" and ended > 0 and ended < unix_of(run.accepted_at)


def _launch(seen: Observed, run: RunStatus, deadlines: Deadlines) -> Decision:
    """Make the run's objects. An earlier attempt may have made all of them and not have come to write it down."""
    live = seen.hub.live
    known = live is not None and live.phase != "finished"
    why = unwanted(seen, run)
    made = known and seen.pods.job
    late = lasted(run, seen.now) > may_last("Launching", seen.plan, deadlines)
    if why is None and late and seen.failure and not made:  # what nobody has tried yet has not failed
        text = f"its objects could not be made within {deadlines.start:g} s: {seen.failure}"
        why = Stop(cause="error", reason="LaunchFailed", message=text, at=stamp(seen.now))
    if why is not None:
        return _stop(seen, run, why) if known else _give_up(seen, run, why)
    hosts = seen.allowance.hosts
    started = msgspec.structs.replace(run, phase="Starting", launched_at=stamp(seen.now), hosts=hosts)
    status = Status(
        phase="Starting",
        message="waiting for all runners to be ready",
        run=started,
        history=seen.status.history,
    )
    launch = Launch(run.id, run.hub, hosts, anew=seen.hub.summary is not None)
    return Decision((launch, _written(seen, status)), again=SOON)


def _as_it_is(seen: Observed, run: RunStatus) -> RunStatus:
    """The run in the phase that its hub has come to, and since when: nobody may have looked for a long time."""
    live = seen.hub.live
    if run.phase != "Starting" or live is None or live.phase not in ("running", "stopping", "teardown"):
        return run
    return msgspec.structs.replace(
        run, phase="Running", started_at=stamp(seen.now - max(0.0, live.elapsed_seconds))
    )


def _follow(seen: Observed, run: RunStatus, *, began: bool) -> Decision:
    """Nothing is wrong: show how it goes, and tell the hub what it may not know."""
    live = seen.hub.live
    actions: list[Action] = []
    if seen.hub.reachable and live is None and seconds_since(run.launched_at, seen.now) > LISTED:
        actions.append(TellHub(run.id, run.hub))
    if live is not None:
        known = {each.index for each in live.runners if each.phase in ("lost", "finished")}
        actions += [
            TellLost(run.id, run.hub, runner, lost)
            for runner, lost in sorted(seen.pods.lost.items())
            if runner not in known
        ]
    run = msgspec.structs.replace(
        run,
        scheduled_at=run.scheduled_at or (stamp(seen.pods.scheduled) if seen.pods.scheduled else ""),
        unreachable_since="" if seen.hub.reachable else run.unreachable_since or stamp(seen.now),
    )
    message = "the load is on" if run.phase == "Running" else waiting_for(seen)
    if not seen.hub.reachable:
        message = "the hub does not answer"
    status = figures(
        Status(
            phase=run.phase if run.phase != "Finished" else None,
            message=message,
            run=run,
            history=seen.status.history,
            shards=seen.status.shards,
            live=seen.status.live,
            thresholds=seen.status.thresholds,
        ),
        live,
        seen.plan.shards if seen.plan else 0,
    )
    write = _written(seen, status)
    news = (Tell("Normal", "LoadStarted", f"run {run.id}: the load begins"),) if began else ()
    return Decision((*actions, *((write,) if write.status != seen.status else ()), *news), again=SOON)


# -- the end --------------------------------------------------------------------------------------------------


def _stop(seen: Observed, run: RunStatus, why: Stop) -> Decision:
    stopping = msgspec.structs.replace(run, phase="Stopping", stop=why)
    status = msgspec.structs.replace(
        seen.status, phase="Stopping", message=f"being stopped: {why.message}", run=stopping
    )
    told = Tell("Warning" if why.cause == "error" else "Normal", why.reason, why.message)
    return Decision((_written(seen, status), StopRun(run.id, run.hub, why), told), again=SOON)


def _stopping(seen: Observed, run: RunStatus, why: Stop, deadlines: Deadlines) -> Decision:
    """The hub has been told, or could not be: it ends with the hub's outcome, or without after the deadline."""
    taken = may_last("Stopping", seen.plan, deadlines)
    passed = seconds_since(why.at, seen.now)
    forgotten = seen.hub.reachable and seen.hub.live is None
    # What nobody wants, or nobody may, must not go on because its hub cannot be told: it loses its pods.
    unheard = not seen.hub.reachable and why.cause != "error" and passed > UNHEARD
    if forgotten or unheard or why.reason == "HubLost" or passed > taken:
        return _conclude(seen, run, without_summary(why))
    known = seen.hub.live is not None and seen.hub.live.phase in ("stopping", "teardown", "finished")
    actions = () if known or not seen.hub.reachable else (StopRun(run.id, run.hub, why),)
    return Decision(actions, again=SOON)


def _give_up(seen: Observed, run: RunStatus, why: Stop) -> Decision:
    """End a run that its hub is not known to have. What there is of it all the same is stopped, and does not stay."""
    ended = _conclude(seen, msgspec.structs.replace(run, stop=why), without_summary(why))
    return Decision((StopRun(run.id, run.hub, why, now=True), *ended.actions), again=ended.again)


def _conclude(seen: Observed, run: RunStatus, outcome: Summary | Status) -> Decision:
    """Write down what came of it, and take away what it was made of."""
    ended = msgspec.structs.replace(run, phase="Finished", ended_at=stamp(seen.now), unreachable_since="")
    status = outcome if isinstance(outcome, Status) else verdict_of(outcome)
    report = f"{run.id}-report" if not isinstance(outcome, Status) else ""
    limit = int(seen.spec.get("historyLimit", HISTORY))
    passed = [each for each in seen.status.history if each.id != run.id]
    history = [past_of(ended, status, report), *passed]
    status = msgspec.structs.replace(status, run=ended, history=tuple(history[:limit]))
    dropped = reports(seen, history[limit:])
    keep = (
        (KeepReport(run.id, outcome),)
        if report and report not in dropped and not isinstance(outcome, Status)
        else ()
    )
    assert status.verdict is not None, "a run that has ended has a verdict"
    result = status.verdict.result
    reason = f"Run{result}"
    told = Tell("Normal" if result == "Passed" else "Warning", reason, status.message)
    return Decision(
        (
            *keep,
            Mark(f"{run.id} {result}"),
            _written(seen, status, reason=status.verdict.reason or result),
            *((DropReports(dropped),) if dropped else ()),
            told,
        ),
        again=0.0,
    )


def _kept_seconds(seen: Observed, run: RunStatus) -> float:
    """How much longer the run's objects stay for people to look at; 0 when they are to be taken away.

    What nobody wants does not stay, nor does what may still have load: only its hub, if anybody, has said that it has none.
    """
    if run.stop is not None and (run.stop.cause != "error" or seen.status.timings is None):
        return 0.0
    keep = int(seen.spec.get("ttlSecondsAfterFinished") or 0)
    return max(0.0, keep - seconds_since(run.ended_at, seen.now))


def _rest(seen: Observed, run: RunStatus) -> Decision:
    """The run that is asked for is over; what is left is housekeeping."""
    actions: list[Action] = []
    if done(seen)[0] != run.id and seen.status.verdict is not None:
        actions.append(Mark(f"{run.id} {seen.status.verdict.result}"))  # somebody has removed it
    again: float | None = None
    if not run.cleaned:
        kept = _kept_seconds(seen, run)
        if kept:
            again = max(1.0, kept)
        else:
            actions.append(CleanUp(run.id, run.hub))
            run = msgspec.structs.replace(run, cleaned=True)
    limit = int(seen.spec.get("historyLimit", HISTORY))
    dropped = reports(seen, seen.status.history[limit:])
    phase = phase_of(seen.status.verdict) or seen.status.phase  # somebody may have changed it
    history = seen.status.history[:limit]
    status = msgspec.structs.replace(seen.status, phase=phase, run=run, history=history)
    write = _written(seen, status, reason=conditions.reason_of(seen.status))
    if write.status != seen.status:
        actions.append(write)
    if dropped:
        actions.append(DropReports(dropped))
    return Decision(tuple(actions), again=again)


def _remember(seen: Observed, key: str, result: str) -> Decision:
    """The status does not tell of the run that is asked for, which is over: it does not run again, and what is still known of it is told."""
    name = run_id(seen.name, seen.uid, key)
    past = next((each for each in seen.status.history if (each.id, each.result) == (name, result)), None)
    run = RunStatus(id=name, key=key, phase="Finished", ended_at=stamp(seen.now))
    status = recalled(run, result, past)
    status = msgspec.structs.replace(status, history=seen.status.history)
    return Decision((_written(seen, status, reason=past.reason if past else ""),))


def _gone(seen: Observed, run: RunStatus | None) -> Decision:
    """The LoadTest is being deleted: its load stops now. What belongs to it goes with it, by its owner references."""
    if run is None or run.phase == "Finished":
        return Decision()
    why = Stop(cause="user", reason="Deleted", message="the LoadTest was deleted", at=stamp(seen.now))
    return Decision((StopRun(run.id, run.hub, why, now=True), CleanUp(run.id, run.hub)))


def _written(seen: Observed, status: Status, *, reason: str = "") -> WriteStatus:
    """The action that writes a status, with the conditions that follow from it."""
    full = conditions.complete(status, seen, reason)
    return WriteStatus(full, urgent=not conditions.only_figures(seen.status, full))
