"""What becomes of a LoadTestSchedule in each situation; no cluster, no clock."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall_operator.manifests import scheduled
from squall_operator.model import Tell
from squall_operator.schedules import (
    ENDED,
    GiveWay,
    Made,
    Make,
    Remove,
    ScheduleAction,
    ScheduleDecision,
    ScheduleStatus,
    SeenSchedule,
    WriteSchedule,
    decide,
    made_name,
    read_status,
)
from squall_operator.times import stamp

TEXT = "30 2 * * *"
CREATED = "2026-06-01T12:00:00+00:00"


def unix(text: str) -> float:
    return datetime.fromisoformat(text if "+" in text else f"{text}+00:00").timestamp()


def status(until: str, **changes: Any) -> ScheduleStatus:
    """The status of a schedule that was looked at before."""
    known = ScheduleStatus(schedule=f"{TEXT} Etc/UTC", settled_until=stamp(unix(until)))
    return msgspec.structs.replace(known, **changes)


def seen(
    now: str, until: str | None = None, *, spec: dict[str, Any] | None = None, **changes: Any
) -> SeenSchedule:
    base = SeenSchedule(
        name="nightly",
        generation=1,
        created=unix(CREATED),
        spec={"schedule": TEXT, **(spec or {})},
        status=ScheduleStatus() if until is None else status(until),
        now=unix(now),
    )
    return replace(base, **changes)


def name(at: str) -> str:
    return made_name("nightly", unix(at))


def made(at: str, phase: str = "Running", **changes: Any) -> Made:
    return Made(name=name(at), at=unix(at), phase=phase, **changes)


def of(decision: ScheduleDecision, kind: type[ScheduleAction]) -> list[Any]:
    return [action for action in decision.actions if isinstance(action, kind)]


def written(decision: ScheduleDecision) -> ScheduleStatus:
    (write,) = of(decision, WriteSchedule)
    found: ScheduleStatus = write.status
    return found


def told(decision: ScheduleDecision) -> list[str]:
    return [tell.reason for tell in of(decision, Tell)]


def condition(found: ScheduleStatus, kind: str) -> tuple[str, str]:
    return next((each.status, each.reason) for each in found.conditions if each.type == kind)


def follow(before: SeenSchedule, decision: ScheduleDecision, **changes: Any) -> SeenSchedule:
    """What is seen after the actions were carried out."""
    there = list(before.made)
    for action in decision.actions:
        if isinstance(action, Make) and all(each.name != action.name for each in there):
            there.append(Made(name=action.name, at=action.at))
        elif isinstance(action, Remove):
            there = [each for each in there if each.name != action.name]
        elif isinstance(action, GiveWay):
            there = [
                replace(each, replaced_by=action.to) if each.name == action.name else each for each in there
            ]
    states = [action.status for action in decision.actions if isinstance(action, WriteSchedule)]
    return replace(before, made=tuple(there), status=states[-1] if states else before.status, **changes)


# -- on time --------------------------------------------------------------------------------------------------


def test_a_new_schedule_waits_for_its_time() -> None:
    decision = decide(seen("2026-06-01T12:00:00"))
    found = written(decision)
    assert (found.next_schedule_time, found.missed, found.active) == ("2026-06-02T02:30:00Z", 0, ())
    assert condition(found, "Ready") == ("True", "Scheduled")
    assert decision.again == 60
    assert not of(decision, Make)


def test_nothing_is_written_when_nothing_is_new() -> None:
    first = seen("2026-06-01T12:00:00")
    later = follow(first, decide(first), now=unix("2026-06-01T13:00:00"))
    assert decide(later).actions == ()


def test_it_is_looked_at_again_when_it_is_due() -> None:
    assert decide(seen("2026-06-02T02:29:48", "2026-06-01T12:00:00")).again == 12


def test_a_load_test_is_made_when_it_is_due() -> None:
    decision = decide(seen("2026-06-02T02:30:00", "2026-06-01T12:00:00"))
    at = "2026-06-02T02:30:00"
    assert of(decision, Make) == [Make(name(at), int(unix(at)))]
    found = written(decision)
    assert found.last_schedule_time == "2026-06-02T02:30:00Z"
    assert found.next_schedule_time == "2026-06-03T02:30:00Z"
    assert (found.active, found.missed) == ((name(at),), 0)
    assert told(decision) == ["LoadTestMade"]
    kinds = [type(action) for action in decision.actions]
    assert kinds.index(Make) < kinds.index(WriteSchedule)  # written first, a crash would lose the start


def test_after_a_crash_between_making_and_writing_nothing_is_made_again() -> None:
    at = "2026-06-02T02:30:00"
    for phase in ("", "Running", "Passed"):
        decision = decide(seen("2026-06-02T02:31:00", "2026-06-01T12:00:00", made=(made(at, phase),)))
        assert not of(decision, Make)
        assert written(decision).last_schedule_time == "2026-06-02T02:30:00Z"
        assert written(decision).missed == 0


# -- too late, too early, not at all --------------------------------------------------------------------------


def test_after_a_long_outage_one_start_is_made_up_for() -> None:
    decision = decide(seen("2026-06-09T12:00:00", "2026-06-01T12:00:00"))
    at = "2026-06-09T02:30:00"
    assert of(decision, Make) == [Make(name(at), int(unix(at)))]
    assert written(decision).missed == 7
    assert told(decision) == ["LoadTestMade", "StartMissed"]


def test_an_outage_of_years_is_counted_up_to_a_hundred() -> None:
    decision = decide(seen("2029-06-09T12:00:00", "2026-06-01T12:00:00", spec={"schedule": TEXT}))
    assert len(of(decision, Make)) == 1
    assert written(decision).missed == 99


@pytest.mark.parametrize(
    ("deadline", "late", "makes"),
    [(600, 600, True), (600, 601, False), (0, 9, True), (0, 11, False), (None, 80_000, True)],
)
def test_the_deadline_for_a_start(deadline: int | None, late: int, makes: bool) -> None:
    spec = {} if deadline is None else {"startingDeadlineSeconds": deadline}
    now = stamp(unix("2026-06-02T02:30:00") + late).removesuffix("Z")
    decision = decide(seen(now, "2026-06-01T12:00:00", spec=spec))
    assert bool(of(decision, Make)) == makes
    assert written(decision).missed == (not makes)
    assert ("StartMissed" in told(decision)) != makes
    assert written(decision).settled_until == "2026-06-02T02:30:00Z"


def test_a_suspended_schedule_makes_nothing_and_makes_up_for_nothing() -> None:
    before = seen("2026-06-04T12:00:00", "2026-06-01T12:00:00", spec={"suspend": True})
    decision = decide(before)
    assert not of(decision, Make)
    found = written(decision)
    assert (found.missed, found.next_schedule_time) == (3, "")
    assert condition(found, "Ready") == ("True", "Suspended")
    after = decide(follow(before, decision, spec={"schedule": TEXT}, generation=2))
    assert not of(after, Make)
    assert written(after).next_schedule_time == "2026-06-05T02:30:00Z"


def test_another_schedule_does_not_start_what_would_have_been() -> None:
    before = seen("2026-06-02T12:00:00", "2026-06-02T02:30:00", spec={"schedule": "0 11 * * *"})
    decision = decide(before)
    assert not of(decision, Make)
    assert written(decision).next_schedule_time == "2026-06-03T11:00:00Z"
    assert decide(follow(before, decision)).actions == ()


@pytest.mark.parametrize("key", ["spec.schedule", "spec.timeZone"])
def test_a_schedule_that_is_none(key: str) -> None:
    problems = (f"{key}: there is none",)
    before = seen("2026-06-04T12:00:00", spec={"schedule": "no a cron at all"}, problems=problems)
    decision = decide(before)
    assert decision.again is None
    assert condition(written(decision), "Stalled") == ("True", "ManifestInvalid")
    assert told(decision) == ["ManifestInvalid"]
    later = follow(before, decision, now=unix("2026-06-09T12:00:00"))
    assert decide(later).actions == ()
    corrected = decide(replace(later, spec={"schedule": TEXT}, problems=(), generation=2))
    assert not of(corrected, Make)
    assert written(corrected).next_schedule_time == "2026-06-10T02:30:00Z"


def test_a_template_that_is_wrong_makes_nothing() -> None:
    decision = decide(
        seen("2026-06-02T02:30:00", "2026-06-01T12:00:00", problems=("spec.loadTestTemplate: no",))
    )
    assert not of(decision, Make)
    assert written(decision).missed == 1
    assert condition(written(decision), "Ready") == ("False", "ManifestInvalid")


# -- one at a time --------------------------------------------------------------------------------------------

BEFORE = made("2026-06-02T02:30:00")
AT = "2026-06-03T02:30:00"


def due(policy: str, *there: Made, now: str = AT, **spec: Any) -> SeenSchedule:
    return seen(now, "2026-06-02T02:30:00", spec={"concurrencyPolicy": policy, **spec}, made=there)


def test_allow_starts_beside_the_one_before() -> None:
    decision = decide(due("Allow", BEFORE))
    assert [each.name for each in of(decision, Make)] == [name(AT)]
    assert written(decision).active == (BEFORE.name, name(AT))


@pytest.mark.parametrize("phase", ["", "Queued", "Suspended", "Launching", "Running", "Stopping"])
def test_forbid_leaves_it_out_for_good(phase: str) -> None:
    before = due("Forbid", replace(BEFORE, phase=phase))
    decision = decide(before)
    assert (of(decision, Make), told(decision)) == ([], ["StartLeftOut"])
    assert written(decision).missed == 1
    after = follow(before, decision, now=unix("2026-06-03T02:40:00"))
    ended = decide(replace(after, made=(replace(BEFORE, phase="Passed"),)))
    assert not of(ended, Make)
    assert written(ended).active == ()


@pytest.mark.parametrize("phase", sorted(ENDED))
def test_forbid_starts_when_the_one_before_has_ended(phase: str) -> None:
    assert of(decide(due("Forbid", replace(BEFORE, phase=phase))), Make)


def test_replace_stops_the_one_before_and_waits_for_its_end() -> None:
    before = due("Replace", BEFORE, startingDeadlineSeconds=10)
    first = decide(before)
    assert of(first, GiveWay) == [GiveWay(BEFORE.name, name(AT))]
    assert not of(first, Make)
    assert first.again == 5
    stopping = follow(before, first, now=unix(AT) + 30)
    assert decide(stopping).actions == ()
    ended = replace(stopping, made=(replace(stopping.made[0], phase="Aborted"),))
    second = decide(ended)  # waiting has taken longer than the deadline, and the start has still come in time
    assert [each.name for each in of(second, Make)] == [name(AT)]
    assert written(second).missed == 0


def test_what_was_queued_and_gave_way_is_waited_for_no_more() -> None:
    gave_way = replace(BEFORE, phase="Suspended", replaced_by=name(AT))
    assert of(decide(due("Replace", gave_way)), Make)


def test_the_next_time_comes_while_another_gives_way() -> None:
    gives_way = replace(BEFORE, phase="Stopping", replaced_by=name(AT))
    decision = decide(due("Replace", gives_way, now="2026-06-04T02:30:00"))
    assert of(decision, GiveWay) == [GiveWay(BEFORE.name, name("2026-06-04T02:30:00"))]


# -- what is kept ---------------------------------------------------------------------------------------------


def test_the_history_keeps_the_newest_of_either_kind() -> None:
    passed = [made(f"2026-06-{day:02}T02:30:00", "Passed") for day in range(2, 8)]
    failed = [made(f"2026-06-{day:02}T02:30:00", "Failed") for day in range(8, 11)]
    running = made("2026-06-11T02:30:00")
    spec = {"successfulRunsHistoryLimit": 4, "failedRunsHistoryLimit": 0}
    there = (*passed, *failed, running)
    decision = decide(seen("2026-06-11T03:00:00", "2026-06-11T02:30:00", spec=spec, made=there))
    expected = {each.name for each in (*passed[:2], *failed)}
    assert {each.name for each in of(decision, Remove)} == expected


def test_what_is_going_is_not_removed_again() -> None:
    there = (made("2026-06-02T02:30:00", "Passed", deleting=True),)
    spec = {"successfulRunsHistoryLimit": 0}
    assert not of(decide(seen("2026-06-02T03:00:00", "2026-06-02T02:30:00", spec=spec, made=there)), Remove)


# -- clocks and status ----------------------------------------------------------------------------------------


def test_a_clock_that_steps_back_starts_nothing_twice() -> None:
    first = seen("2026-06-02T02:30:00", "2026-06-01T12:00:00", spec={"concurrencyPolicy": "Allow"})
    after = follow(first, decide(first))
    for now in ("2026-06-02T01:30:00", "2026-06-02T02:29:59", "2026-06-02T02:30:00", "2026-06-02T03:30:00"):
        assert not of(decide(replace(after, now=unix(now), made=())), Make)


def test_a_clock_that_was_a_year_ahead_holds_up_nothing() -> None:
    ahead = seen("2026-06-02T02:00:00", "2027-06-02T02:30:00")
    after = follow(ahead, decide(ahead), now=unix("2026-06-02T02:30:00"))
    assert of(decide(after), Make)


def test_an_emptied_status_starts_nothing_again() -> None:
    there = (made("2026-06-02T02:30:00", "Passed"), made("2026-06-05T02:30:00", "Passed"))
    decision = decide(seen("2026-06-05T12:00:00", made=there))
    assert not of(decision, Make)
    assert written(decision).missed == 0


@pytest.mark.parametrize("found", [None, {}, {"missed": "many"}, [], {"settledUntil": "yesterday"}])
def test_a_status_beyond_recognition(found: Any) -> None:
    decision = decide(seen("2026-06-01T12:30:00", status=read_status(found)))
    assert written(decision).next_schedule_time == "2026-06-02T02:30:00Z"


# -- names ----------------------------------------------------------------------------------------------------


@given(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
    st.integers(int(unix("2020-01-01T00:00:00")), int(unix("2150-01-01T00:00:00"))),
)
def test_names_fit_and_tell_minutes_apart(schedule: str, at: int) -> None:
    found = made_name(schedule, at)
    assert len(found) <= 63
    assert found[0].isalnum()
    assert found != made_name(schedule, at + 60)


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert made_name("x" * 62 + "a", 6e8) != made_name("x" * 62 + "b", 6e8)


def test_what_is_made_is_read_again() -> None:
    body = {
        "metadata": {"name": "nightly", "namespace": "team", "uid": "u"},
        "spec": {"loadTestTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"scenarios": []}}},
    }
    at = unix("2026-06-02T02:30:00")
    test = scheduled.load_test(body, Make(name("2026-06-02T02:30:00"), int(at)))
    assert test["metadata"]["labels"]["a"] == "b"
    assert scheduled.schedule_of(test) == ("nightly", "u")
    assert scheduled.made(test) == Made(name=name("2026-06-02T02:30:00"), at=at)
    for key, value in scheduled.giving_way(GiveWay("x", "y"))["metadata"].items():
        test["metadata"][key].update(value)
    assert scheduled.made(test).replaced_by == "y"


# -- in the long run ------------------------------------------------------------------------------------------


@given(
    policy=st.sampled_from(["Allow", "Forbid", "Replace"]),
    limits=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    steps=st.lists(
        st.tuples(
            st.integers(-7200, 90_000), st.sampled_from(["", "Running", "Passed", "Aborted"]), st.booleans()
        ),
        max_size=25,
    ),
)
@settings(deadline=None)
def test_whatever_happens_nothing_starts_twice_or_beside_another(
    policy: str, limits: tuple[int, int], steps: list[tuple[int, str, bool]]
) -> None:
    spec = {
        "schedule": "*/30 * * * *",
        "timeZone": "Europe/Berlin",
        "concurrencyPolicy": policy,
        "successfulRunsHistoryLimit": limits[0],
        "failedRunsHistoryLimit": limits[1],
    }
    here = seen("2026-10-24T12:00:00", spec=spec, created=unix("2026-10-24T11:00:00"))
    started: list[str] = []
    for seconds, phase, crash in steps:
        decision = decide(here)
        for make in of(decision, Make):
            assert make.at <= here.now
            assert make.name not in started
            assert policy == "Allow" or not any(each.active for each in here.made)
            started.append(make.name)
        if crash and (makes := of(decision, Make)):
            # the process ends between making and writing
            here = follow(here, ScheduleDecision(tuple(makes)))
            decision = decide(here)
            assert not of(decision, Make)
        here = follow(here, decision)
        assert not of(decide(here), Make)
        for passed, limit in ((True, limits[0]), (False, limits[1])):
            kept = [each for each in here.made if not each.active and (each.phase == "Passed") == passed]
            assert len(kept) <= limit
        there = tuple(replace(each, phase=phase) if each.active else each for each in here.made)
        here = replace(here, now=here.now + seconds, made=there)
