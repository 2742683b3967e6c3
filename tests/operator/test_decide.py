"""What the operator decides in each situation that a cluster can bring about; no cluster is needed to ask it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from squall.errors import SquallError
from squall.kube.paths import named
from squall.kube.runs import AGAIN, DONE, run_id, run_key
from squall.report.model import LiveState, RunnerState, Summary, VerdictSummary
from squall_operator.conditions import complete
from squall_operator.decide import decide
from squall_operator.model import (
    Action,
    Allowance,
    CleanUp,
    Deadlines,
    Decision,
    DropReports,
    HubView,
    KeepReport,
    Launch,
    Lost,
    Mark,
    Observed,
    Plan,
    Pods,
    StopRun,
    Tell,
    TellHub,
    TellLost,
    Trouble,
    WriteStatus,
)
from squall_operator.status import Past, RunPhase, RunStatus, Status, Stop, Verdict, read, write
from squall_operator.times import stamp

NOW = 1_800_000_000.0
SPEC: dict[str, Any] = {"shards": 4, "scenarios": [{"name": "look"}]}
KEY = run_key(SPEC, {})
ID = run_id("shop", "uid-1", KEY)
HUB = "http://hub-0:4180"
PLAN = Plan(shards=4, pods=2, max_seconds=60, stop_seconds=10, lost_control_seconds=60)
DEADLINES = Deadlines(start=300, hub=60, stop=30)


def observed(**changes: Any) -> Observed:
    base = Observed(
        namespace="default",
        name="shop",
        uid="uid-1",
        generation=1,
        spec=SPEC,
        annotations={},
        status=Status(),
        now=NOW,
        plan=PLAN,
        hubs=(HUB,),
    )
    return replace(base, **changes)


def running(phase: RunPhase, *, since: float = 5.0, **changes: Any) -> Observed:
    """A LoadTest with a run that reached its phase `since` seconds ago; a Job is there, and a hub that knows it."""
    at = stamp(NOW - since)
    began = at if phase in ("Running", "Stopping") else ""
    run = RunStatus(
        id=ID, key=KEY, phase=phase, hub=HUB, pods=2, accepted_at=at, launched_at=at, started_at=began
    )
    run = msgspec.structs.replace(run, cleaned=phase == "Finished")
    run = msgspec.structs.replace(run, **changes.pop("run", {}))
    shown: Any = phase if phase != "Finished" else "Passed"
    changes.setdefault("pods", Pods(job=phase != "Launching", pods=2))
    changes.setdefault("hub", HubView(reachable=True, live=live("running" if began else "connecting")))
    over = phase == "Finished"
    status = Status(phase=shown, run=run, verdict=Verdict(result="Passed") if over else None)
    if over:
        changes["annotations"] = {DONE: f"{ID} Passed", **changes.get("annotations", {})}
    changes.setdefault("status", complete(status, observed(), "Passed") if phase == "Finished" else status)
    return observed(**changes)


def live(phase: Any, *, lost: tuple[int, ...] = ()) -> LiveState:
    runners = tuple(
        RunnerState(index=i, shards=(2 * i, 2 * i + 1), phase="lost" if i in lost else "running", slot=3)
        for i in range(2)
    )
    return LiveState(
        run=ID,
        name="shop",
        phase=phase,
        elapsed_seconds=4.2,
        planned_seconds=60,
        runners=runners,
        requests=10,
    )


def summary(result: Any = "Passed", **verdict: Any) -> Summary:
    return Summary(
        squall_version="1",
        run=ID,
        name="shop",
        started_at="",
        ended_at="",
        planned_seconds=60,
        shards=4,
        runners=2,
        manifest_hash="",
        verdict=VerdictSummary(result=result, **verdict),
    )


def kinds(decision: Decision) -> list[type[Action]]:
    return [type(action) for action in decision.actions]


def status_of(decision: Decision) -> Status:
    return next(action.status for action in decision.actions if isinstance(action, WriteStatus))


def condition(status: Status, kind: str) -> tuple[str, str]:
    return next((each.status, each.reason) for each in status.conditions if each.type == kind)


# -- before a run ---------------------------------------------------------------------------------------------


def test_a_new_load_test_is_written_down_before_anything_is_made() -> None:
    decision = decide(observed(), DEADLINES)
    assert kinds(decision) == [WriteStatus, Tell]
    status = status_of(decision)
    assert status.run is not None
    assert (status.run.id, status.run.key, status.run.phase, status.run.hub) == (ID, KEY, "Launching", HUB)
    assert status.phase == "Launching"
    assert condition(status, "Reconciling") == ("True", "Launching")
    assert decision.again == 0.0


@pytest.mark.parametrize(
    ("changes", "phase", "reason"),
    [
        ({"plan": None, "problems": ("spec.x: wrong",)}, "Rejected", "ManifestInvalid"),
        ({"allowance": Allowance(violations=("too many shards",))}, "Rejected", "PolicyViolated"),
        ({"spec": {**SPEC, "suspend": True}}, "Suspended", "Suspended"),
        ({"allowance": Allowance(halted="stop-all")}, "Queued", "Halted"),
        ({"allowance": Allowance(ahead=2)}, "Queued", "ConcurrencyLimit"),
        ({"hubs": ()}, "Queued", "NoHub"),
    ],
)
def test_what_cannot_run_says_why_once(changes: dict[str, Any], phase: str, reason: str) -> None:
    decision = decide(observed(**changes), DEADLINES)
    assert kinds(decision) == [WriteStatus, Tell]
    status = status_of(decision)
    assert (status.phase, status.run) == (phase, None)
    assert condition(status, "Ready") == ("False", reason)
    assert condition(status, "Stalled")[0] == ("True" if phase == "Rejected" else "False")
    again = decide(observed(**changes, status=status), DEADLINES)
    assert again.actions == ()


def test_a_long_list_of_problems_is_cut() -> None:
    problems = tuple(f"problem {number}" for number in range(14))
    assert status_of(decide(observed(plan=None, problems=problems), DEADLINES)).message.endswith(
        "; and 4 more"
    )


def test_the_same_run_never_runs_twice() -> None:
    assert decide(running("Finished", pods=Pods()), DEADLINES) == Decision()


def test_nor_does_it_when_somebody_empties_the_status() -> None:
    decision = decide(observed(annotations={DONE: f"{ID} Failed"}), DEADLINES)
    assert kinds(decision) == [WriteStatus]
    status = status_of(decision)
    assert (status.phase, status.run and status.run.phase) == ("Failed", "Finished")


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"plan": None, "problems": ("spec.shards: too many",)},
        {"allowance": Allowance(violations=("too many shards",))},
        {"allowance": Allowance(halted="stop-all")},
    ],
    ids=["wrong", "forbidden", "held"],
)
def test_an_edit_that_never_ran_and_is_taken_back_leaves_the_verdict_what_it_was(
    meanwhile: dict[str, Any],
) -> None:
    found = summary("Aborted", cause="threshold", reason="ThresholdBroken", message="p(95)", exit_code=99)
    seen = running("Running", hub=HubView(reachable=True, summary=found))
    ended = decide(seen, DEADLINES)
    mark = next(action for action in ended.actions if isinstance(action, Mark))
    over = replace(seen, status=status_of(ended), annotations={DONE: mark.text}, pods=Pods())
    edited = decide(replace(over, spec={**SPEC, "shards": 5}, **meanwhile), DEADLINES)
    back = status_of(decide(replace(over, status=status_of(edited)), DEADLINES))
    assert back.verdict is not None
    assert (back.phase, back.verdict.reason, back.verdict.exit_code) == ("Aborted", "ThresholdBroken", 99)
    assert condition(back, "Stalled") == ("True", "ThresholdBroken")
    assert back.run is not None
    assert back.run.ended_at == stamp(NOW)
    assert "its report" in back.message


@pytest.mark.parametrize(
    ("result", "code"), [("Passed", 0), ("Failed", 99), ("Invalid", 103), ("Aborted", 109), ("Error", 109)]
)
def test_no_pipeline_takes_a_run_whose_details_are_gone_for_one_that_has_passed(
    result: str, code: int
) -> None:
    verdict = status_of(decide(observed(annotations={DONE: f"{ID} {result}"}), DEADLINES)).verdict
    assert verdict is not None
    assert (verdict.result, verdict.exit_code) == (result, code)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {**SPEC, "shards": 5}},
        {"annotations": {AGAIN: "again"}},
        {"annotations": {AGAIN: "again", DONE: f"{ID} Passed"}},
    ],
)
def test_another_key_runs_again_and_keeps_the_history(change: dict[str, Any]) -> None:
    past = Past(id=ID, key=KEY, result="Passed")
    before = running("Finished")
    status = msgspec.structs.replace(before.status, history=(past,))
    decision = decide(replace(before, status=status, pods=Pods(), **change), DEADLINES)
    status = status_of(decision)
    assert status.run is not None
    assert (status.run.phase, status.run.key == KEY) == ("Launching", False)
    assert status.history == (past,)


@pytest.mark.parametrize("result", ["Queued", "Launching", "", "nonsense"])
def test_a_mark_that_tells_no_result_is_none(result: str) -> None:
    assert Launch not in kinds(decide(observed(annotations={DONE: f"{ID} {result}"}), DEADLINES))
    assert status_of(decide(observed(annotations={DONE: f"{ID} {result}"}), DEADLINES)).phase == "Launching"


def test_a_mark_that_was_copied_from_another_load_test_says_nothing_of_this_one() -> None:
    other = run_id("shop", "uid-2", KEY)
    assert status_of(decide(observed(annotations={DONE: f"{other} Passed"}), DEADLINES)).phase == "Launching"


@pytest.mark.parametrize(
    "change", [{"suspend": True}, {"historyLimit": 3}, {"ttlSecondsAfterFinished": 60}, {"suspend": False}]
)
def test_what_is_no_part_of_the_run_starts_none(change: dict[str, Any]) -> None:
    decision = decide(running("Finished", pods=Pods(), spec={**SPEC, **change}), DEADLINES)
    assert decision.actions == ()


# -- launching and starting -----------------------------------------------------------------------------------


def test_its_objects_are_made_and_made_again_after_a_failure() -> None:
    for _ in range(2):
        decision = decide(running("Launching", hub=HubView(reachable=True)), DEADLINES)
        assert kinds(decision) == [Launch, WriteStatus]
        status = status_of(decision)
        assert status.run is not None
        assert status.run.phase == "Starting"


def test_objects_that_cannot_be_made_end_the_run_with_the_reason() -> None:
    seen = running("Launching", since=301, hub=HubView(), failure="403: exceeded quota: jobs")
    status = status_of(decide(seen, DEADLINES))
    assert status.verdict is not None
    assert (status.verdict.result, status.verdict.reason) == ("Error", "LaunchFailed")
    assert "exceeded quota" in status.verdict.message


def test_a_run_that_nobody_wants_any_more_is_not_launched() -> None:
    seen = running("Launching", spec={**SPEC, "suspend": True}, hub=HubView(reachable=True))
    decision = decide(seen, DEADLINES)
    assert Launch not in kinds(decision)
    assert status_of(decision).phase == "Aborted"
    assert (Launch in kinds(decision), decision.again) == (False, 0.0)


@pytest.mark.parametrize(
    ("change", "cause", "reason"),
    [
        ({"spec": {**SPEC, "suspend": True}}, "user", "Suspended"),
        ({"allowance": Allowance(halted="stop-all")}, "policy", "Halted"),
        ({"since": 301.0, "failure": "503: away"}, "error", "LaunchFailed"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["hub knows it", "hub is not known to know it"])
def test_what_an_unfinished_launch_has_begun_is_stopped_and_not_kept(
    change: dict[str, Any], cause: str, reason: str, known: bool
) -> None:
    """Its Job may be there, and its load on: the launch may have failed with its last call, or its answer was lost."""
    spec = {**SPEC, "ttlSecondsAfterFinished": 3600}
    change = {**change, "spec": {**spec, **change.get("spec", {})}}
    hub = HubView(reachable=True, live=live("connecting") if known else None)
    seen = running("Launching", hub=hub, **change)
    decision = decide(seen, DEADLINES)
    stop = next(action for action in decision.actions if isinstance(action, StopRun))
    assert (stop.stop.cause, stop.stop.reason) == (cause, reason)
    status = status_of(decision)
    if known:
        assert status.phase == "Stopping", "the hub has the last word, and teardown its turn"
        return
    assert stop.now
    assert status.verdict is not None
    assert (status.verdict.cause or "error", status.verdict.reason) == (cause, reason)
    mark = next(action for action in decision.actions if isinstance(action, Mark))
    over = replace(seen, status=status, annotations={DONE: mark.text})
    assert CleanUp in kinds(decide(over, DEADLINES)), "nothing of it stays for an hour"


def test_a_launch_that_was_done_but_not_written_down_goes_on_however_long_no_operator_was_there() -> None:
    there = HubView(reachable=True, live=live("running"))
    made = running("Launching", since=900, hub=there, pods=Pods(job=True, pods=2), failure="409: conflict")
    decision = decide(made, DEADLINES)
    assert kinds(decision) == [Launch, WriteStatus]
    assert status_of(decision).phase == "Starting"


def test_a_run_whose_launch_nobody_came_to_try_is_launched() -> None:
    decision = decide(running("Launching", since=900, hub=HubView(reachable=True)), DEADLINES)
    assert kinds(decision) == [Launch, WriteStatus]


@pytest.mark.parametrize(
    "change",
    [
        {"since": 301.0},
        {"pods": Pods(job=True, pods=1, lost={1: Lost("RunnerCrashed", "pod shop-1 crashed")})},
        {"pods": Pods(job=True, pods=1, troubles=(Trouble(reason="RunnerCrashed", message="crashed"),))},
    ],
    ids=["longer than a start may take", "lost a pod", "lost a pod that cannot come back"],
)
def test_a_load_that_has_begun_while_no_operator_was_there_goes_on(change: dict[str, Any]) -> None:
    """What a start may take, and what must not happen in it, is over: of lost runners the hub decides."""
    begun = running("Starting", hub=HubView(reachable=True, live=live("running")), **change)
    decision = decide(begun, DEADLINES)
    assert StopRun not in kinds(decision)
    assert status_of(decision).phase == "Running"
    silent = replace(begun, hub=HubView())
    assert StopRun not in kinds(decide(silent, DEADLINES)), "without the hub nobody knows whether it has"


def test_the_load_begins_when_the_hub_says_so() -> None:
    decision = decide(running("Starting", hub=HubView(reachable=True, live=live("running"))), DEADLINES)
    status = status_of(decision)
    assert status.run is not None
    assert (status.phase, status.run.started_at) == ("Running", stamp(NOW - 4.2)), "whenever it was noticed"
    assert Tell("Normal", "LoadStarted", f"run {ID}: the load begins") in decision.actions
    assert status.shards is not None
    assert (status.shards.desired, status.shards.running) == (4, 4)


def test_a_hub_that_does_not_know_the_run_is_told() -> None:
    for phase in ("Starting", "Running"):
        decision = decide(running(phase, hub=HubView(reachable=True)), DEADLINES)
        assert TellHub(ID, HUB) in decision.actions


def test_a_hub_is_not_told_again_of_what_it_was_told_a_moment_ago() -> None:
    seen = running("Starting", since=2, hub=HubView(reachable=True))
    assert TellHub not in kinds(decide(seen, DEADLINES))


@pytest.mark.parametrize(
    ("trouble", "stops"),
    [
        (Trouble(reason="OutOfMemory", message="killed"), True),
        (Trouble(reason="ImagePull", message="no such image", grace_seconds=60, since=NOW - 59), False),
        (Trouble(reason="ImagePull", message="no such image", grace_seconds=60, since=NOW - 60), True),
    ],
)
def test_pods_that_cannot_start_get_their_grace_and_no_more(trouble: Trouble, stops: bool) -> None:
    decision = decide(running("Starting", pods=Pods(job=True, pods=1, troubles=(trouble,))), DEADLINES)
    assert (StopRun in kinds(decision)) is stops
    status = status_of(decision)
    assert trouble.message in status.message
    assert status.phase == ("Stopping" if stops else "Starting")


def test_a_start_that_takes_too_long_is_ended_with_what_it_waited_for() -> None:
    trouble = Trouble(reason="Unschedulable", message="no node has 8 CPUs", grace_seconds=900, since=NOW)
    seen = running("Starting", since=301, pods=Pods(job=True, pods=1, troubles=(trouble,)))
    stop = next(action for action in decide(seen, DEADLINES).actions if isinstance(action, StopRun))
    assert (stop.stop.cause, stop.stop.reason) == ("error", "Unschedulable")
    assert "no node has 8 CPUs" in stop.stop.message


@pytest.mark.parametrize(
    ("hub", "since", "stopped"),
    [
        (HubView(reachable=True, live=live("setup")), 301, False),
        (HubView(reachable=True, live=live("setup")), 899, False),
        (HubView(reachable=True, live=live("setup")), 901, True),
        (HubView(reachable=True, live=live("connecting")), 301, True),
        (HubView(), 301, False),
    ],
    ids=["setup", "long setup", "endless setup", "runners are not ready", "hub is away during setup"],
)
def test_a_setup_has_the_time_that_the_manifest_gives_it(hub: HubView, since: float, stopped: bool) -> None:
    seen = running("Starting", since=since, hub=hub, plan=replace(PLAN, setup_seconds=600))
    stops = [each.stop.reason for each in decide(seen, DEADLINES).actions if isinstance(each, StopRun)]
    assert stops == (["StartDeadline"] if stopped else [])


# -- running --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "cause", "reason"),
    [
        ({"spec": {**SPEC, "shards": 5}}, "user", "Replaced"),
        ({"spec": {**SPEC, "suspend": True}}, "user", "Suspended"),
        ({"allowance": Allowance(halted="stop-all")}, "policy", "Halted"),
        ({"allowance": Allowance(violations=("host not allowed",))}, "policy", "PolicyViolated"),
        (
            {"run": {"hosts": ()}, "allowance": Allowance(hosts=(("10.0.0.0/8",),))},
            "policy",
            "PolicyViolated",
        ),
        ({"pods": Pods(job=True, deleting=True)}, "error", "JobDeleted"),
    ],
)
@pytest.mark.parametrize("phase", ["Starting", "Running"])
def test_reasons_to_stop(phase: RunPhase, change: dict[str, Any], cause: str, reason: str) -> None:
    decision = decide(running(phase, **change), DEADLINES)
    assert kinds(decision) == [WriteStatus, StopRun, Tell]
    stop = next(action for action in decision.actions if isinstance(action, StopRun))
    assert (stop.stop.cause, stop.stop.reason, stop.now) == (cause, reason, False)
    status = status_of(decision)
    assert status.run is not None
    assert (status.phase, status.run.stop) == ("Stopping", stop.stop)


@pytest.mark.parametrize("launched_with", [None, (), (("10.0.0.0/8",),)])
def test_a_run_goes_on_while_policies_allow_all_that_its_runners_may_reach(
    launched_with: tuple[tuple[str, ...], ...] | None,
) -> None:
    seen = running("Running", run={"hosts": launched_with}, allowance=Allowance(hosts=launched_with or ()))
    assert StopRun not in kinds(decide(seen, DEADLINES))


def test_what_a_run_is_launched_with_is_written_down() -> None:
    seen = running("Launching", allowance=Allowance(hosts=(("10.0.0.0/8",),)))
    run = status_of(decide(seen, DEADLINES)).run
    assert run is not None
    assert run.hosts == (("10.0.0.0/8",),)
    assert read(write(Status(run=run))).run == run


def test_a_job_that_is_not_seen_yet_is_not_taken_for_deleted() -> None:
    assert StopRun not in kinds(decide(running("Starting", since=2, pods=Pods()), DEADLINES))
    assert StopRun in kinds(decide(running("Starting", since=30, pods=Pods()), DEADLINES))


def test_the_hub_learns_what_became_of_a_pod() -> None:
    pods = Pods(job=True, pods=1, lost={1: Lost("OOMKilled", "pod shop-1 was killed")})
    decision = decide(running("Running", pods=pods), DEADLINES)
    assert TellLost(ID, HUB, 1, Lost("OOMKilled", "pod shop-1 was killed")) in decision.actions
    known = decide(
        running("Running", pods=pods, hub=HubView(reachable=True, live=live("running", lost=(1,)))), DEADLINES
    )
    assert TellLost not in kinds(known)


def test_the_status_tells_when_all_pods_had_a_node_and_keeps_it() -> None:
    first = decide(running("Starting", pods=Pods(job=True, pods=2, scheduled=NOW - 3)), DEADLINES)
    run = status_of(first).run
    assert run is not None
    assert run.scheduled_at == stamp(NOW - 3)
    replaced = running("Running", run={"scheduled_at": run.scheduled_at}, pods=Pods(job=True, pods=2))
    again = status_of(decide(replaced, DEADLINES)).run
    assert again is not None
    assert again.scheduled_at == stamp(NOW - 3)


def test_figures_alone_are_not_urgent() -> None:
    first = decide(running("Running"), DEADLINES)
    seen = running("Running", status=status_of(first))
    faster = msgspec.structs.replace(live("running"), requests=20)
    second = decide(replace(seen, hub=HubView(reachable=True, live=faster)), DEADLINES)
    writes = [action for action in second.actions if isinstance(action, WriteStatus)]
    assert [write.urgent for write in writes] == [False]
    assert decide(
        replace(seen, status=writes[0].status, hub=HubView(reachable=True, live=faster)), DEADLINES
    ) == Decision(again=1.0)


def test_a_silent_hub_under_load_gets_the_time_that_runners_go_on_without_it() -> None:
    seen = running("Running", hub=HubView())
    status = status_of(decide(seen, DEADLINES))
    assert status.run is not None
    assert status.run.unreachable_since == stamp(NOW)
    for silent, lost in ((119, False), (121, True)):
        later = running("Running", hub=HubView(), run={"unreachable_since": stamp(NOW - silent)})
        assert (StopRun in kinds(decide(later, DEADLINES))) is lost
    back = running("Running", run={"unreachable_since": stamp(NOW - 50)})
    assert (
        status_of(decide(back, DEADLINES)).run or RunStatus(id="", key="", phase="Running")
    ).unreachable_since == ""


def test_a_hub_that_forgets_the_deadline_is_overruled() -> None:
    seen = running("Running", since=101)
    stop = next(action for action in decide(seen, DEADLINES).actions if isinstance(action, StopRun))
    assert stop.stop.reason == "Overdue"


# -- the end --------------------------------------------------------------------------------------------------


def test_an_outcome_is_kept_before_the_status_says_so_and_then_all_is_cleaned_up() -> None:
    for phase in ("Starting", "Running", "Stopping"):
        decision = decide(running(phase, hub=HubView(reachable=True, summary=summary())), DEADLINES)
        assert kinds(decision) == [KeepReport, Mark, WriteStatus, Tell]
        assert decision.again == 0.0
        status = status_of(decision)
        assert kinds(
            decide(running(phase, status=status, annotations={DONE: f"{ID} Passed"}), DEADLINES)
        ) == [
            CleanUp,
            WriteStatus,
        ]
        assert (status.phase, status.verdict and status.verdict.result) == ("Passed", "Passed")
        assert condition(status, "Ready") == ("True", "Passed")
        assert condition(status, "Reconciling")[0] == "False"
        assert [(past.id, past.report) for past in status.history] == [(ID, f"{ID}-report")]


def test_a_bad_outcome_is_stalled_with_its_reason() -> None:
    found = summary(
        "Aborted", cause="threshold", reason="ThresholdBroken", message="p(95) was 3 s", exit_code=99
    )
    decision = decide(running("Running", hub=HubView(reachable=True, summary=found)), DEADLINES)
    status = status_of(decision)
    assert condition(status, "Stalled") == ("True", "ThresholdBroken")
    assert condition(status, "Ready") == ("False", "ThresholdBroken")
    assert decision.actions[-1] == Tell("Warning", "RunAborted", "Aborted (ThresholdBroken): p(95) was 3 s")


def stopping(waited: float, *, cause: Any = "user", reason: str = "Suspended", **changes: Any) -> Observed:
    stop = Stop(cause=cause, reason=reason, message="because", at=stamp(NOW - waited))
    return running("Stopping", run={"stop": stop}, **changes)


def test_a_stop_is_repeated_until_the_hub_has_understood() -> None:
    assert kinds(decide(stopping(1), DEADLINES)) == [StopRun]
    understood = HubView(reachable=True, live=live("stopping"))
    assert decide(stopping(1, hub=understood), DEADLINES) == Decision(again=1.0)
    assert decide(stopping(1, hub=HubView()), DEADLINES) == Decision(again=1.0)


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (stopping(41, hub=HubView(reachable=True, live=live("stopping"))), "Aborted"),
        (stopping(41, hub=HubView()), "Aborted"),
        (stopping(1, hub=HubView(reachable=True)), "Aborted"),
        (stopping(1, cause="error", reason="HubLost", hub=HubView()), "Error"),
    ],
)
def test_a_stop_ends_without_the_hub_when_it_must(seen: Observed, result: str) -> None:
    decision = decide(seen, DEADLINES)
    assert kinds(decision) == [Mark, WriteStatus, Tell]
    assert status_of(decision).phase == result
    assert decision.again == 0.0, "and what is left of it is taken away at once"


@pytest.mark.parametrize(("cause", "ends"), [("user", True), ("policy", True), ("error", False)])
def test_what_nobody_wants_does_not_go_on_because_its_hub_is_silent(cause: Any, ends: bool) -> None:
    slow = replace(PLAN, stop_seconds=600)
    seen = stopping(16, cause=cause, hub=HubView(), plan=slow)
    assert (Mark in kinds(decide(seen, DEADLINES))) is ends
    assert Mark not in kinds(decide(stopping(10, cause=cause, hub=HubView(), plan=slow), DEADLINES))


def test_pods_stay_for_a_while_when_that_is_wanted() -> None:
    spec = {**SPEC, "ttlSecondsAfterFinished": 60}
    done = HubView(reachable=True, summary=summary())
    assert CleanUp not in kinds(decide(running("Running", spec=spec, hub=done), DEADLINES))
    kept = decide(running("Finished", spec=spec, run=left(20)), DEADLINES)
    assert kept == Decision(again=40.0)
    over = decide(running("Finished", spec=spec, run=left(61)), DEADLINES)
    assert kinds(over) == [CleanUp, WriteStatus]
    cleaned = status_of(over).run
    assert cleaned is not None
    assert cleaned.cleaned


@pytest.mark.parametrize(
    ("cause", "reason", "said", "kept"),
    [
        ("error", "RunnerCrashed", True, True),
        ("error", "HubLost", False, False),
        ("user", "Suspended", True, False),
        ("policy", "Halted", True, False),
    ],
)
def test_pods_stay_of_what_broke_but_not_of_what_nobody_wants_or_what_may_still_have_load(
    cause: Any, reason: str, said: bool, kept: bool
) -> None:
    """What a runner has logged before it crashed at its start is what people look for."""
    found = summary("Error" if cause == "error" else "Aborted", cause=cause, reason=reason)
    hub = HubView(reachable=True, summary=found) if said else HubView()
    spec = {**SPEC, "ttlSecondsAfterFinished": 60}
    seen = stopping(100, cause=cause, reason=reason, hub=hub, spec=spec)
    ended = decide(seen, DEADLINES)
    mark = next(action for action in ended.actions if isinstance(action, Mark))
    after = replace(seen, status=status_of(ended), annotations={DONE: mark.text})
    assert (CleanUp not in kinds(decide(after, DEADLINES))) is kept
    assert CleanUp in kinds(decide(replace(after, now=NOW + 61), DEADLINES))


def test_what_is_left_of_a_run_whose_status_was_emptied_goes_in_time_too() -> None:
    spec = {**SPEC, "ttlSecondsAfterFinished": 60}
    seen = observed(spec=spec, annotations={DONE: f"{ID} Passed"})
    later = replace(seen, status=status_of(decide(seen, DEADLINES)), now=NOW + 61)
    assert kinds(decide(later, DEADLINES)) == [CleanUp, WriteStatus]


def left(seconds: float) -> dict[str, Any]:
    """A run that ended so many seconds ago, and whose objects are there."""
    return {"ended_at": stamp(NOW - seconds), "cleaned": False}


def test_what_was_left_of_a_run_is_cleaned_up_whatever_is_seen_of_it() -> None:
    decision = decide(running("Finished", run=left(5), pods=Pods()), DEADLINES)
    assert kinds(decision) == [CleanUp, WriteStatus], "a Secret may be there without a Job"


@pytest.mark.parametrize(
    "change",
    [{}, {"annotations": {AGAIN: "2", DONE: f"{ID} Passed"}}, {"plan": None, "problems": ("no",)}],
)
def test_a_run_that_was_kept_goes_when_another_is_asked_for(change: dict[str, Any]) -> None:
    kept = {"ttlSecondsAfterFinished": 3600}
    seen = running("Finished", run=left(5), spec={**SPEC, **kept})
    decision = decide(replace(seen, spec={**SPEC, **kept, "shards": 6}, **change), DEADLINES)
    assert decision.actions[0] == CleanUp(ID, HUB)
    assert status_of(decision).run != seen.status.run


def test_the_outcome_of_an_earlier_run_with_this_id_is_none_of_this_one() -> None:
    old = msgspec.structs.replace(summary(), ended_at=stamp(NOW - 100))
    decision = decide(running("Launching", hub=HubView(reachable=True, summary=old)), DEADLINES)
    assert decision.actions[0] == Launch(ID, HUB, (), anew=True)
    own = msgspec.structs.replace(summary(), ended_at=stamp(NOW))
    assert Mark in kinds(decide(running("Launching", hub=HubView(reachable=True, summary=own)), DEADLINES))


def test_history_has_a_limit_and_takes_its_reports_along() -> None:
    names = [run_id("shop", "uid-1", str(n)) for n in range(2)]
    reports = tuple(f"{name}-report" for name in names)
    past = tuple(
        Past(id=name, key=str(n), result="Passed", report=f"{name}-report") for n, name in enumerate(names)
    )
    seen = running(
        "Running", spec={**SPEC, "historyLimit": 2}, hub=HubView(reachable=True, summary=summary())
    )
    seen = replace(seen, status=msgspec.structs.replace(seen.status, history=past))
    decision = decide(seen, DEADLINES)
    assert [each.id for each in status_of(decision).history] == [ID, names[0]]
    assert DropReports(reports[1:]) in decision.actions
    lowered = replace(running("Finished", pods=Pods(), spec={**SPEC, "historyLimit": 0}))
    lowered = replace(lowered, status=msgspec.structs.replace(lowered.status, history=past))
    assert DropReports(reports) in decide(lowered, DEADLINES).actions


def test_a_history_that_somebody_has_written_takes_nothing_away() -> None:
    """The operator may delete ConfigMaps; whoever may write a status must not thereby delete those of others."""
    own = run_id("shop", "uid-1", "0")
    past = (
        Past(id="r0", key="0", result="Passed", report="settings-of-another"),
        Past(id=run_id("shop", "uid-2", "0"), key="0", result="Passed", report="x-report"),
        Past(id="../secrets/a", key="0", result="Passed", report="../secrets/a"),
        Past(id=own, key="0", result="Passed", report="../../kube-system/secrets/a"),
    )
    seen = replace(running("Finished", pods=Pods(), spec={**SPEC, "historyLimit": 0}))
    seen = replace(seen, status=msgspec.structs.replace(seen.status, history=past))
    dropped = [action for action in decide(seen, DEADLINES).actions if isinstance(action, DropReports)]
    assert dropped == [DropReports((f"{own}-report",))]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a?b", "a#b", "a%2fb", "a/../../x", "a\n"])
def test_no_name_leads_to_another_object(name: str) -> None:
    with pytest.raises(SquallError, match="is no name of an object"):
        named("configmaps", "default", name)
    assert named("configmaps", "default", "a.b-c") == "/api/v1/namespaces/default/configmaps/a.b-c"


@pytest.mark.parametrize("phase", ["Launching", "Starting", "Running", "Stopping"])
def test_deletion_stops_the_load_at_once(phase: RunPhase) -> None:
    decision = decide(running(phase, deleting=True), DEADLINES)
    assert kinds(decision) == [StopRun, CleanUp]
    assert [action.now for action in decision.actions if isinstance(action, StopRun)] == [True]


def test_deletion_of_what_does_not_run_needs_nothing() -> None:
    assert decide(observed(deleting=True), DEADLINES) == Decision()
    assert decide(running("Finished", deleting=True), DEADLINES) == Decision()


# -- what is kept ---------------------------------------------------------------------------------------------


def test_a_status_survives_the_api() -> None:
    status = status_of(decide(running("Running"), DEADLINES))
    assert read(write(status)) == status
    assert read({**write(status), "somethingNew": 1}) == status


@pytest.mark.parametrize("broken", [{"run": "mine"}, {"conditions": 5}, [], "x"])
def test_a_status_that_somebody_has_broken_counts_as_none(broken: Any) -> None:
    assert read(broken) == Status()


def test_names_fit_where_pods_take_theirs_from() -> None:
    for name in ("a", "nft-platform", "shop.eu", "x" * 63, "y" * 253):
        found = run_id(name, "uid", "key")
        assert len(f"{found}-99999") <= 63
        assert found.replace("-", "a").isalnum()
    assert run_id("a", "uid-1", "k") != run_id("a", "uid-2", "k")


def test_nobody_finds_a_run_that_has_the_id_of_anothers() -> None:
    stem, _, digest = run_id("shop", "uid", "key").rpartition("-")
    assert stem == "shop"
    assert len(digest) == 16, "of a hub's runs all tenants' are in one"


# -- what others write into the status ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forged",
    [
        Status(),
        Status(phase="Passed", run=RunStatus(id=ID, key=KEY, phase="Finished", hub=HUB)),
        Status(
            phase="Passed",
            run=RunStatus(id=ID, key=KEY, phase="Finished", hub=HUB),
            verdict=Verdict(result="Passed"),
        ),
        Status(phase="Running", run=RunStatus(id="another", key=KEY, phase="Running", hub=HUB)),
    ],
)
def test_a_status_that_somebody_forged_neither_ends_a_run_nor_makes_a_second(forged: Status) -> None:
    known = HubView(reachable=True, live=live("running"))
    decision = decide(running("Running", status=forged, hub=known), DEADLINES)
    run = status_of(decision).run
    assert run is not None
    assert (run.id, run.phase) == (ID, "Launching"), "what is there is found again under the same name"
    assert {StopRun, CleanUp, Mark}.isdisjoint(kinds(decision))


def test_a_result_that_somebody_changed_is_put_right_by_the_mark() -> None:
    failed = {DONE: f"{ID} Failed"}
    status = status_of(decide(running("Finished", annotations=failed), DEADLINES))
    assert (status.phase, status.verdict and status.verdict.result) == ("Failed", "Failed")
    assert condition(status, "Ready")[0] == "False"


@pytest.mark.parametrize("marked", [True, False])
def test_a_phase_that_somebody_changed_is_put_right_by_the_verdict(marked: bool) -> None:
    """Else it would look under way for good."""
    annotations = {} if marked else {DONE: ""}
    found = running("Finished", pods=Pods(), hub=HubView(), annotations=annotations)
    forged = msgspec.structs.replace(found.status, phase="Running")
    status = status_of(decide(replace(found, status=forged), DEADLINES))
    assert status.phase == "Passed"
    assert condition(status, "Ready")[0] == "True"
    assert condition(status, "Reconciling")[0] == "False"


def test_a_mark_that_somebody_removed_is_made_again_and_nothing_runs() -> None:
    decision = decide(running("Finished", annotations={DONE: ""}, pods=Pods(), hub=HubView()), DEADLINES)
    assert decision.actions == (Mark(f"{ID} Passed"),)
