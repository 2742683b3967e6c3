"""What becomes of a LoadTestSchedule: which LoadTests it makes, stops and removes at a moment, and when to look again. Pure.

The status holds the moment until which everything is settled; what was due since then is at most one start, the last one: nobody wants
an hour of load tests at once because an operator was away for an hour. The name of a LoadTest follows from the time it is for, so a
start that was made, but not written down before a crash, is recognised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from squall.plan.cron import parse_cron
from squall.spec.schedule import LoadTestScheduleSpec
from squall_operator import conditions
from squall_operator.model import Tell
from squall_operator.status import Condition
from squall_operator.times import stamp, unix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from squall.plan.cron import Cron

ENDED: Final = frozenset({"Passed", "Failed", "Invalid", "Aborted", "Error", "Rejected"})
ON_TIME: Final = 10.0
"""Seconds by which a start may always be late: less could be missed by an operator that is merely busy."""
_MOST_MISSED: Final = 100
"""Missed starts are counted up to here."""
_LOOK: Final = 60.0
"""Seconds until the next look at the latest: clocks are set, and machines sleep."""
_WAIT: Final = 5.0
"""Seconds until the next look while something is being stopped; its end is seen without."""
_CLOCK_WAS_WRONG: Final = 86_400.0
"""A moment this far ahead has not been settled: the clock that said so was wrong."""
_LONGEST: Final = 63
_SHOWN_PROBLEMS: Final = 10


# -- what is seen ---------------------------------------------------------------------------------------------


class ScheduleStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status of a LoadTestSchedule, as the API server keeps it.

    Attributes:
        schedule: The expression and the zone that the times belong to.
        settled_until: What was due until then has been started, or is counted as missed.
        last_schedule_time: The last time for which a LoadTest was made.
        next_schedule_time: Empty while none will be made.
        active: LoadTests of this schedule that have not ended.
        missed: How many starts were left out since the schedule was made: nobody was there, it was suspended or wrong, the
            one before was still running, or it was too late.
    """

    observed_generation: int = 0
    schedule: str = ""
    settled_until: str = ""
    last_schedule_time: str = ""
    next_schedule_time: str = ""
    active: tuple[str, ...] = ()
    missed: int = 0
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A LoadTest that a schedule has made.

    Attributes:
        at: The time that it is for, Unix time.
        phase: Of its status; empty before there is any.
        replaced_by: The LoadTest for which it was stopped; empty otherwise.
        deleting: It is going.
    """

    name: str
    at: float
    phase: str = ""
    replaced_by: str = ""
    deleting: bool = False

    @property
    def active(self) -> bool:
        """Whether it runs, or may still run. What is suspended may, unless it gave way to another."""
        return self.phase not in ENDED and not (self.phase == "Suspended" and self.replaced_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSchedule:
    """A LoadTestSchedule and its LoadTests, at one moment.

    Attributes:
        created: When it was made, Unix time.
        spec: As it came from the API server.
        problems: What is wrong with it; then it makes nothing.
        now: Unix time.
    """

    name: str
    generation: int
    created: float
    spec: Mapping[str, Any]
    status: ScheduleStatus
    now: float
    made: tuple[Made, ...] = ()
    problems: tuple[str, ...] = ()


# -- what is wanted -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Make:
    """Make the LoadTest for a time; one of that name is there because this was done before."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Stop a LoadTest by `suspend`, so that it keeps its verdict and its report, and note for which other one."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a LoadTest that the history no longer holds."""

    name: str


@dataclass(frozen=True, slots=True)
class WriteSchedule:
    """Write the status; whatever follows happens only when it is written."""

    status: ScheduleStatus


ScheduleAction: TypeAlias = Make | GiveWay | Remove | WriteSchedule | Tell


@dataclass(frozen=True, slots=True)
class ScheduleDecision:
    """What to do now, in order, and after how many seconds to look again; None when only a change can bring something new."""

    actions: tuple[ScheduleAction, ...] = ()
    again: float | None = None


# -- deciding -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What becomes of the starts that are due.

    Attributes:
        actions: Before the status is written.
        settled: Until when everything is settled.
        missed: Starts that were left out.
        made: The LoadTest that is there now for the last due time.
        waits: For another one to end.
    """

    actions: tuple[ScheduleAction, ...] = ()
    settled: float
    missed: int = 0
    made: Make | None = None
    waits: bool = False


def decide(seen: SeenSchedule) -> ScheduleDecision:
    """What to do now.

    Raises:
        CronError: The schedule or its time zone is none, and `problems` does not say so.
    """
    if any(problem.startswith(("spec.schedule", "spec.timeZone")) for problem in seen.problems):
        return _finish(seen, _Turn(settled=max(seen.created, _known(seen))), upcoming=None)
    cron = parse_cron(_value(seen, "schedule"), _value(seen, "time_zone"))
    since = _settled(seen)
    due = cron.last_between(since, seen.now)
    turn = _Turn(settled=since) if due is None else _turn(seen, cron, since, due)
    return _finish(seen, turn, upcoming=cron.next_after(max(seen.now, turn.settled)))


def _value(seen: SeenSchedule, field: str) -> Any:
    """A field of the spec, or its default: the API server sets none."""
    about = LoadTestScheduleSpec.model_fields[field]
    return seen.spec.get(str(about.alias), about.default)


def _settled(seen: SeenSchedule) -> float:
    """Until when everything is settled before this look."""
    if seen.status.schedule and seen.status.schedule != _text(seen):
        return seen.now  # another schedule: what it would have done in the past is nobody's wish
    known = _known(seen)
    if known > seen.now + _CLOCK_WAS_WRONG:
        return seen.now
    # The status can be emptied by somebody; what was made tells as much.
    return max(seen.created, known) if known else max([seen.created, *(each.at for each in seen.made)])


def _known(seen: SeenSchedule) -> float:
    """Until when everything is settled by the status; 0 when it does not say."""
    try:
        return unix_of(seen.status.settled_until)
    except ValueError:
        return 0.0


def _turn(seen: SeenSchedule, cron: Cron, since: float, due: int) -> _Turn:
    """Deal with the last due time; those before it are missed."""
    name, when, missed = made_name(seen.name, due), stamp(due), _count(cron, since, due)
    running = [each for each in seen.made if each.active and each.name != name]
    policy, make = _value(seen, "concurrency_policy"), Make(name, due)
    if any(each.name == name for each in seen.made):
        return _Turn(settled=due, missed=missed - 1, made=make)
    if seen.problems or _value(seen, "suspend"):
        return _Turn(settled=due, missed=missed)
    if _too_late(seen, name, due):
        text = f"the start of {when} was not possible within startingDeadlineSeconds"
        return _Turn(actions=(Tell("Warning", "StartMissed", text),), settled=due, missed=missed)
    if running and policy == "Forbid":
        text = f"the start of {when} is left out: {_names(running)} has not ended"
        return _Turn(actions=(Tell("Normal", "StartLeftOut", text),), settled=due, missed=missed)
    if running and policy == "Replace":
        stops = [GiveWay(each.name, name) for each in running if each.replaced_by != name]
        told = [Tell("Normal", "Replacing", f"{each.name} gives way to {name}") for each in stops]
        return _Turn(actions=(*stops, *told), settled=since, waits=True)
    told = [Tell("Normal", "LoadTestMade", f"{name} is for {when}")]
    if missed > 1:
        text = f"{_number(missed - 1)} starts before {when} were missed; they are not made up for"
        told.append(Tell("Warning", "StartMissed", text))
    return _Turn(actions=(make, *told), settled=due, missed=missed - 1, made=make)


def _too_late(seen: SeenSchedule, name: str, due: int) -> bool:
    """Whether the start may no longer be made. One that waits for others to give way has come in time."""
    deadline = _value(seen, "starting_deadline_seconds")
    if deadline is None or any(each.replaced_by == name for each in seen.made):
        return False
    return bool(seen.now - due > max(deadline, ON_TIME))


def _count(cron: Cron, since: float, until: int) -> int:
    """How many times are due after one moment and not after another, as far as they are counted."""
    found, at = 0, cron.next_after(since)
    while at is not None and at <= until and found < _MOST_MISSED:
        found, at = found + 1, cron.next_after(at)
    return found


def _finish(seen: SeenSchedule, turn: _Turn, upcoming: int | None) -> ScheduleDecision:
    """The actions of a turn, the status after it, and what the history no longer holds."""
    idle = bool(seen.problems or _value(seen, "suspend"))
    active = {each.name for each in seen.made if each.active}
    if turn.made is not None and not any(each.name == turn.made.name for each in seen.made):
        active.add(turn.made.name)
    reason, message = _state(seen, turn)
    status = ScheduleStatus(
        observed_generation=seen.generation,
        schedule=_text(seen),
        settled_until=stamp(turn.settled),
        last_schedule_time=stamp(turn.made.at) if turn.made else seen.status.last_schedule_time,
        next_schedule_time=stamp(upcoming) if upcoming is not None and not idle else "",
        active=tuple(sorted(active)),
        missed=seen.status.missed + turn.missed,
        conditions=conditions.build(
            {"Ready": not seen.problems, "Reconciling": False, "Stalled": bool(seen.problems)},
            (reason, message),
            seen.status.conditions,
            (seen.now, seen.generation),
        ),
    )
    written = (WriteSchedule(status),) if status != seen.status else ()
    warning = _warning(seen, reason, message)
    # Nothing is removed before it is written down that it was made: it would be made again.
    actions = (*turn.actions, *written, *warning, *_removed(seen))
    waits = [_WAIT] if turn.waits else []
    comes = [] if upcoming is None else [max(0.0, upcoming - seen.now), _LOOK]
    return ScheduleDecision(actions, again=min([*waits, *comes], default=None))


def _state(seen: SeenSchedule, turn: _Turn) -> tuple[str, str]:
    """A reason and a message for the conditions."""
    if seen.problems:
        return "ManifestInvalid", "; ".join(seen.problems[:_SHOWN_PROBLEMS])
    if _value(seen, "suspend"):
        return "Suspended", "spec.suspend: no LoadTests are made"
    if turn.waits:
        return "Replacing", "waits for the LoadTest before to end"
    return "Scheduled", "LoadTests are made on time"


def _warning(seen: SeenSchedule, reason: str, message: str) -> tuple[Tell, ...]:
    before = next((each.message for each in seen.status.conditions if each.type == "Ready"), "")
    return (Tell("Warning", reason, message),) if seen.problems and before != message else ()


def _removed(seen: SeenSchedule) -> Iterable[Remove]:
    """The LoadTests beyond the history limits, the oldest of either kind."""
    ended = [each for each in seen.made if not each.active and not each.deleting]
    for passed, field in (
        (True, "successful_runs_history_limit"),
        (False, "failed_runs_history_limit"),
    ):
        kind = [each for each in ended if (each.phase == "Passed") == passed]
        kind.sort(key=lambda each: (each.at, each.name), reverse=True)
        for each in kind[_value(seen, field) :]:
            yield Remove(each.name)


def _text(seen: SeenSchedule) -> str:
    return f"{_value(seen, 'schedule')} {_value(seen, 'time_zone')}"


def _names(made: Iterable[Made]) -> str:
    return ", ".join(each.name for each in made)


def _number(count: int) -> str:
    return f"{count} or more" if count >= _MOST_MISSED - 1 else str(count)


def made_name(schedule: str, at: float) -> str:
    """The name of the LoadTest for a time: the schedule's, and the minutes since 1970.

    A name that is too long is cut, and told apart by a hash.
    """
    end = f"-{int(at) // 60}"
    if len(schedule) + len(end) > _LONGEST:
        digest = hashlib.sha256(schedule.encode()).hexdigest()[:6]
        schedule = f"{schedule[: _LONGEST - len(end) - 7].rstrip('-.')}-{digest}"
    return schedule + end


def read_status(status: Any) -> ScheduleStatus:
    """The status of an object from the API; what somebody else has made of it beyond recognition counts as none."""
    try:
        return msgspec.convert(status or {}, ScheduleStatus)
    except msgspec.ValidationError:
        return ScheduleStatus()
