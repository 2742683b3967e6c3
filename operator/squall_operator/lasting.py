"""How long each phase of a run may last, and how long one has lasted.

The operator ends what has lasted too long. So a run that goes on beyond that is one that nobody looks after, or that cannot be ended, and
whoever looks after the operator is told by a metric.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall_operator.status import read
from squall_operator.times import seconds_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from squall_operator.model import Deadlines, Plan
    from squall_operator.status import RunPhase, RunStatus, Status

_PASSING: Final = ("Queued", "Launching", "Starting", "Running", "Stopping")


def may_last(phase: RunPhase, plan: Plan | None, deadlines: Deadlines) -> float:
    """How many seconds a run may be in a phase at most; what a manifest asks for counts as nothing while it is not known."""
    setup, load, stop = (plan.setup_seconds, plan.max_seconds, plan.stop_seconds) if plan else (0.0, 0.0, 0.0)
    match phase:
        case "Launching":
            return deadlines.start
        case "Starting":
            return deadlines.start + setup
        case "Running":
            return load + stop + deadlines.stop
        case "Stopping":
            return stop + deadlines.stop
        case "Finished":
            return math.inf


def lasted(run: RunStatus, now: float) -> float:
    """For how many seconds a run has been in its phase."""
    began = {
        "Launching": run.accepted_at,
        "Starting": run.launched_at,
        "Running": run.started_at,
        "Stopping": run.stop.at if run.stop else "",
        "Finished": run.ended_at,
    }
    return seconds_since(began[run.phase], now)


@dataclass(frozen=True, slots=True)
class Standing:
    """How all LoadTests stand, as far as it concerns whoever looks after the operator.

    Attributes:
        phases: How many are in each phase; `New` are those that nobody has looked at.
        oldest: By phase that should pass: for how many seconds that one has been in it that has been so the longest.
        overdue: By how many seconds a run has outlasted its phase, at most; 0 while none has.
        ahead: Of each that a policy holds back, for how many other runs it waits.
    """

    phases: Mapping[str, int]
    oldest: Mapping[str, float]
    overdue: float
    ahead: Sequence[int] = ()


def standing(
    load_tests: Iterable[Mapping[str, Any]],
    plan_of: Callable[[str], Plan | None],
    deadlines: Deadlines,
    now: float,
) -> Standing:
    """How these LoadTests stand.

    Args:
        load_tests: As the API has them.
        plan_of: Tells the plan of the one with a UID; None where its manifest is wrong or was not read.
        deadlines: Of the operator.
        now: Unix time.
    """
    phases: Counter[str] = Counter()
    oldest = dict.fromkeys(_PASSING, 0.0)
    overdue = 0.0
    ahead = []
    for each in load_tests:
        status = read(each.get("status"))
        phase: str = status.phase or "New"
        phases[phase] += 1
        if phase in oldest:
            oldest[phase] = max(oldest[phase], _age(status, now))
        if phase == "Queued" and status.queue_position is not None:
            ahead.append(status.queue_position)
        plan = plan_of(str(each["metadata"]["uid"]))
        if status.run is not None and plan is not None:
            overdue = max(overdue, lasted(status.run, now) - may_last(status.run.phase, plan, deadlines))
    return Standing(phases, oldest, overdue, tuple(ahead))


def _age(status: Status, now: float) -> float:
    if status.phase != "Queued":
        return lasted(status.run, now) if status.run is not None else 0.0
    since = (each.last_transition_time for each in status.conditions if each.type == "Reconciling")
    return seconds_since(next(since, ""), now)
