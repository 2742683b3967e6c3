"""The state machine of a run, with a clock of the test's own: every order of events, and no waiting."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from support.fakerunner import Numbers, manifest
from support.hubbench import Bench

from squall.hub import protocol
from squall.hub.ending import CONFIRM_NS, LAST_WORD_NS
from squall.hub.limits import SECOND
from squall.hub.members import MAX_ATTEMPTS, Refused
from squall.hub.model import Stopping
from squall.hub.run import SLOTS_AT_ONCE
from squall.metrics.limit import SeriesLimit
from squall.metrics.names import Kind
from squall.metrics.series import Counter, Selector
from squall.metrics.snapshot import SeriesDef, Snapshot

STEPS = {"steps": [{"name": "login", "http": {"url": "/login"}}]}


def test_everybody_starts_at_the_same_moment_of_their_own_clocks():
    bench = Bench(3)
    bench.begin()
    starts = [bench.heard(i, protocol.Start)[0].at_ns - bench.offsets[i] for i in range(3)]
    assert starts == [bench.state.start_ns] * 3
    assert (
        bench.order.index("record starting") < bench.order.index("record start") < bench.order.index("Start")
    )


def test_nobody_starts_before_all_are_ready():
    bench = Bench(2)
    bench.hello(0)
    bench.say(0, protocol.Ready())
    bench.pass_time(10)
    bench.hello(1)
    assert bench.state.phase == "connecting"
    assert not bench.heard(0, protocol.Start)
    bench.say(1, protocol.Ready())
    assert bench.state.phase == "running"


def test_a_runner_that_never_comes_ends_the_run_by_name():
    bench = Bench(2)
    bench.hello(0)
    bench.say(0, protocol.Ready())
    bench.pass_time(61)
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", "StartDeadline")
    assert bench.verdict.message == "not ready within 60 s: runner 1"
    assert bench.heard(0, protocol.Goodbye)


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"version": 99}, "version"), ({"shards": (5,)}, "shards"), ({"index": 7}, "no runner 7")],
)
def test_who_does_not_belong_is_refused(fields, why):
    bench = Bench(1)
    hello = {"version": protocol.VERSION, "runner": fields.pop("index", 0), "shards": (0,)} | fields
    with pytest.raises(Refused, match=why):
        bench.state.hello(protocol.Hello(attempt="a", now_ns=0, **hello), bench.now)


def test_setup_runs_on_one_runner_before_anybody_starts():
    bench = Bench(2, setup=STEPS)
    bench.begin()
    assert bench.state.phase == "setup"
    assert [len(bench.heard(i, protocol.Setup)) for i in range(2)] == [1, 0]
    bench.say(1, protocol.SetupDone({"token": "not its business"}))
    bench.say(0, protocol.SetupDone({"token": "t"}))
    assert bench.state.phase == "running"
    for i in range(2):
        assert bench.heard(i, protocol.SetupValues) == [protocol.SetupValues({"token": "t"})]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (lambda b: b.say(0, protocol.SetupDone({}, "refused")), "SetupFailed"),
        (lambda b: b.say(0, protocol.SetupDone({}, "no money", "FunderShort")), "FunderShort"),
        (lambda b: b.pass_time(71), "SetupDeadline"),
        (lambda b: b.state.exited(0, -9, b.now), "RunnerExited"),
        (lambda b: (b.state.disconnected(0, b.now), b.hello(0, "b")), "SetupLost"),
        (lambda b: b.say(1, protocol.Failed("RunnerCrashed", "x")), "RunnerCrashed"),
    ],
)
def test_a_setup_that_goes_wrong_ends_the_run(event, reason):
    bench = Bench(2, setup=STEPS)
    bench.begin()
    event(bench)
    bench.act()
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", reason)
    assert not bench.heard(1, protocol.Start)


def test_a_manifest_may_allow_setup_and_teardown_more_time():
    bench = Bench(1, setup={**STEPS, "timeout": "10m"}, teardown={**STEPS, "timeout": "20m"})
    bench.begin()
    bench.pass_time(9 * 60)
    assert bench.state.phase == "setup"
    bench.say(0, protocol.SetupDone({}))
    bench.slots(1)
    bench.finish(0)
    bench.pass_time(19 * 60)
    assert bench.state.phase == "teardown"


def test_setup_is_asked_again_of_a_runner_that_reconnects():
    bench = Bench(2, setup=STEPS)
    bench.begin()
    bench.state.disconnected(0, bench.now)
    bench.hello(0)
    assert len(bench.heard(0, protocol.Setup)) == 2
    bench.say(0, protocol.Ready())
    bench.say(0, protocol.SetupDone({}))
    assert bench.state.phase == "running"


def test_a_run_ends_when_all_have_finished_and_torn_down():
    bench = Bench(2, teardown=STEPS)
    bench.begin()
    bench.slots(3)
    bench.finish(0)
    assert bench.state.phase == "running"
    bench.finish(1)
    assert bench.state.phase == "teardown"
    assert [len(bench.heard(i, protocol.Teardown)) for i in range(2)] == [1, 0]
    bench.say(0, protocol.TeardownDone())
    assert bench.verdict.result == "Passed"
    assert all(bench.heard(i, protocol.Goodbye) for i in range(2))


@pytest.mark.parametrize(
    ("event", "warning"),
    [
        (lambda b: b.say(0, protocol.TeardownDone("no")), "teardown failed: no"),
        (lambda b: b.pass_time(71), "teardown has not ended within 70 s"),
        (lambda b: b.state.exited(0, -9, b.now), "teardown failed: runner 0 was killed by signal 9"),
    ],
)
def test_a_teardown_that_goes_wrong_is_said_and_changes_no_verdict(event, warning):
    bench = Bench(1, teardown=STEPS)
    bench.begin()
    bench.slots(1)
    bench.finish()
    event(bench)
    bench.act()
    assert bench.verdict.result == "Passed"
    assert bench.summary().warnings == (warning,)


def test_a_slot_is_judged_as_soon_as_all_have_delivered_it():
    bench = Bench(2)
    bench.begin()
    bench.to_end_of(0)
    bench.deliver(0, 0)
    assert bench.state.judged == -1
    bench.deliver(1, 0)
    assert bench.state.judged == 0


def test_a_slot_is_judged_without_the_late_who_still_count():
    bench = Bench(2)
    bench.begin()
    bench.to_end_of(0)
    bench.deliver(0, 0)
    bench.pass_time(1.6)
    assert bench.state.judged == 0
    bench.deliver(1, 0)
    bench.finish()
    assert bench.state.late == 1
    row = next(row for row in bench.summary().metrics if row.metric == "http_reqs" and not row.tags)
    assert row.values["count"] == 20


ABORTING = {"metric": "http_req_duration", "expression": "p(95)<500ms", "abortOnFail": True, "over": "1s"}


def test_a_broken_threshold_stops_everybody_and_is_recorded_first():
    bench = Bench(2, thresholds=[ABORTING])
    bench.begin()
    bench.slots(2)
    bench.slots(1, first=2, seconds=0.9)
    assert bench.state.phase == "stopping"
    assert bench.order.index("record stop") < bench.order.index("Stop")
    for i in range(2):
        assert bench.heard(i, protocol.Stop) == [protocol.Stop("ThresholdFailed", 500_000_000)]
    bench.pass_time(0.3)
    bench.finish()
    verdict = bench.verdict
    assert (verdict.result, verdict.cause, verdict.at_seconds) == ("Aborted", "threshold", 3.0)
    assert verdict.observed == pytest.approx(0.9, rel=0.006)
    assert bench.summary().timings.stop_to_last_request_seconds == pytest.approx(0.3, abs=0.01)


def test_a_violation_has_to_last_as_long_as_for_says():
    bench = Bench(1, thresholds=[ABORTING | {"for": "3s"}])
    bench.begin()
    bench.slots(2, seconds=0.9)
    bench.slots(1, first=2)
    bench.slots(2, first=3, seconds=0.9)
    assert bench.state.phase == "running"
    bench.slots(1, first=5, seconds=0.9)
    assert bench.state.phase == "stopping"


def test_safety_warns_and_stops():
    limits = {"errorRate": {"warn": "5%", "stop": "50%"}, "window": "1s", "minSamples": 1}
    bench = Bench(1, safety=limits)
    bench.begin()
    bench.slots(1, failed=1)
    assert bench.state.phase == "running"
    assert any("10.0% of the requests failed" in text for text in bench.state.timeline.warnings)
    bench.slots(1, first=1, failed=9)
    bench.finish()
    assert (bench.verdict.result, bench.verdict.cause, bench.verdict.reason) == (
        "Aborted",
        "safety",
        "ErrorRate",
    )


def test_probes_that_fail_in_a_row_stop_the_run():
    bench = Bench(1, safety={"connectivity": {"url": "/health", "failures": 2}})
    bench.begin()
    for ok in (False, True, False):
        bench.say(0, protocol.Probe(ok, bench.now, "refused"))
    assert bench.state.phase == "running"
    bench.say(0, protocol.Probe(False, bench.now, "refused"))
    bench.finish()
    assert (bench.verdict.cause, bench.verdict.reason) == ("safety", "Connectivity")
    assert "2 times in a row: refused" in bench.verdict.message


def test_the_run_never_outlives_max_duration():
    bench = Bench(1, safety={"maxDuration": "3s"})
    bench.begin()
    bench.slots(2)
    bench.pass_time(1.5)
    assert bench.state.phase == "stopping"
    bench.finish()
    assert (bench.verdict.result, bench.verdict.cause) == ("Aborted", "deadline")


def test_who_does_not_confirm_a_stop_cannot_hold_up_the_run():
    bench = Bench(2)
    bench.begin()
    bench.slots(1)
    bench.state.stop(Stopping(cause="user", reason="Stopped", message="enough"), bench.now)
    bench.act()
    bench.finish(0)
    assert bench.state.phase == "stopping"
    bench.pass_time(0.5 + CONFIRM_NS / SECOND)
    assert (bench.verdict.result, bench.verdict.cause) == ("Aborted", "user")
    assert bench.summary().lost_runners == (1,)


@pytest.mark.parametrize("phase", ["connecting", "setup", "running", "stopping", "teardown", "finished"])
def test_kill_ends_every_phase_at_once(phase):
    bench = Bench(1, setup=STEPS, teardown=STEPS)
    if phase != "connecting":
        bench.begin()
    if phase in ("running", "stopping", "teardown", "finished"):
        bench.say(0, protocol.SetupDone({}))
        bench.slots(1)
    if phase in ("stopping", "finished"):
        bench.state.stop(Stopping(cause="user", reason="Stopped", message="enough"), bench.now)
    if phase in ("teardown", "finished"):
        bench.finish()
    if phase == "finished":
        bench.say(0, protocol.TeardownDone())
    assert bench.state.phase == phase
    bench.state.kill(bench.now)
    bench.act()
    if phase in ("running", "stopping"):
        bench.pass_time(LAST_WORD_NS / SECOND)
    assert bench.verdict.cause == "user"
    assert not bench.heard(0, protocol.Teardown) or phase in ("teardown", "finished")


def test_who_is_killed_at_once_may_still_say_what_was_measured():
    bench = Bench(2, teardown=STEPS)
    bench.begin()
    bench.slots(1)
    bench.state.kill(bench.now)
    bench.act()
    assert bench.state.phase == "stopping"
    bench.finish()
    assert (bench.verdict.result, bench.verdict.reason) == ("Aborted", "Killed")
    assert bench.summary().lost_runners == ()


def test_who_is_killed_twice_waits_for_nobody():
    bench = Bench(1)
    bench.begin()
    bench.slots(1)
    bench.state.kill(bench.now)
    bench.state.kill(bench.now)
    assert (bench.verdict.result, bench.verdict.reason) == ("Aborted", "Killed")


class TestLoss:
    def test_a_broken_connection_may_come_back(self):
        bench = Bench(2)
        bench.begin()
        bench.slots(1)
        bench.state.disconnected(0, bench.now)
        bench.pass_time(4.9)
        bench.hello(0, started_ns=bench.state.start_ns)
        bench.pass_time(5)
        assert bench.state.phase == "running"
        assert bench.heard(0, protocol.Welcome)[-1].last_slot == 0

    def test_a_connection_that_stays_broken_is_a_loss(self):
        bench = Bench(2)
        bench.begin()
        bench.slots(1)
        bench.state.disconnected(0, bench.now)
        bench.pass_time(5.1)
        assert bench.state.phase == "stopping"
        bench.finish(1)
        assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerLost")
        assert bench.summary().lost_runners == (0,)

    def test_a_process_that_is_told_to_terminate_ends_the_run_as_a_person_does(self):
        bench = Bench(2)
        bench.begin()
        bench.slots(1)
        bench.say(0, protocol.Leaving("told to"))
        bench.finish()
        assert (bench.verdict.result, bench.verdict.cause) == ("Aborted", "user")

    def test_a_pod_that_is_told_to_terminate_is_lost(self):
        bench = Bench(2, spec={"in_pods": True})
        bench.begin()
        bench.slots(1)
        bench.say(0, protocol.Leaving("told to"))
        bench.finish()
        assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerTerminated")
        assert bench.summary().lost_runners == (0,)

    def test_without_a_pod_that_is_taken_away_the_run_may_go_on_and_its_successor_adds_to_it(self):
        bench = Bench(2, spec={"in_pods": True}, safety={"onRunnerLoss": "continue"})
        bench.begin()
        bench.slots(2)
        bench.say(0, protocol.Leaving("told to"))
        bench.say(0, protocol.Finished(bench.now))
        assert bench.heard(0, protocol.Goodbye), "nobody keeps it waiting"
        bench.state.disconnected(0, bench.now)
        bench.pass_time(2, alive=(1,))
        assert bench.state.phase == "running"
        bench.hello(0, "b")
        assert bench.state.members[0].live

    def test_a_process_that_ended_is_lost_at_once(self):
        bench = Bench(2)
        bench.begin()
        bench.slots(1)
        bench.state.exited(0, -9, bench.now)
        assert bench.state.phase == "stopping"

    def test_a_process_that_ends_after_it_has_finished_is_none(self):
        bench = Bench(2)
        bench.begin()
        bench.slots(1)
        bench.finish(0)
        bench.state.exited(0, 0, bench.now)
        assert bench.state.phase == "running"

    def test_silence_is_a_loss_after_lost_control(self):
        bench = Bench(2, safety={"lostControl": "10s"})
        bench.begin()
        bench.pass_time(9, alive=(1,))
        assert bench.state.phase == "running"
        bench.pass_time(3, alive=(1,))
        assert bench.state.phase == "stopping"

    def test_the_others_go_on_when_told_to(self):
        bench = Bench(2, safety={"onRunnerLoss": "continue"})
        bench.begin()
        bench.slots(2)
        bench.state.exited(0, -9, bench.now)
        bench.act()
        bench.to_end_of(2)
        bench.deliver(1, 2)
        assert bench.state.judged == 2, "nobody waits for the lost"
        bench.finish(1)
        assert bench.verdict.result == "Passed"
        assert bench.summary().lost_runners == (0,)

    def test_a_new_attempt_adds_and_joins_at_the_current_moment(self):
        bench = Bench(2, safety={"onRunnerLoss": "continue"})
        bench.begin()
        bench.slots(2)
        bench.state.exited(0, -9, bench.now)
        bench.numbers[0] = Numbers(0, "b")
        bench.hello(0, "b")
        bench.say(0, protocol.Ready())
        assert bench.heard(0, protocol.Start)[-1].at_ns - bench.offsets[0] == bench.state.start_ns
        bench.slots(1, first=3)
        bench.finish()
        row = next(row for row in bench.summary().metrics if row.metric == "http_reqs" and not row.tags)
        assert row.values["count"] == 60

    def test_a_process_that_was_replaced_does_not_take_its_place_back(self):
        bench = Bench(1)
        bench.begin()
        bench.hello(0, "b")
        with pytest.raises(Refused, match="another process has taken the place of runner 0"):
            bench.hello(0, "a")
        bench.hello(0, "b")

    def test_an_old_connection_of_a_process_that_comes_late_does_not_replace_its_newer_one(self):
        bench = Bench(1)
        bench.begin()
        late = bench.now + bench.offsets[0]
        bench.pass_time(1)
        bench.hello(0)
        with pytest.raises(Refused, match="runner 0 has a newer connection"):
            bench.hello(0, now_ns=late)
        bench.hello(0)

    def test_a_place_is_filled_so_many_times_and_no_more(self):
        """Each attempt costs memory until the run is forgotten."""
        bench = Bench(2)
        bench.begin()
        for number in range(MAX_ATTEMPTS + 20):
            made = protocol.Hello(
                version=protocol.VERSION, runner=0, attempt=f"a{number}", shards=(0,), now_ns=0
            )
            if number < MAX_ATTEMPTS - 1:
                bench.state.check(made, bench.now)
                bench.hello(0, f"a{number}")
                continue
            with pytest.raises(Refused, match=f"replaced {MAX_ATTEMPTS - 1} times, more is not allowed"):
                bench.state.check(made, bench.now)
        assert [event.event for event in bench.state.timeline.events].count("TooManyAttempts") == 1
        bench.hello(0, f"a{MAX_ATTEMPTS - 2}")
        bench.hello(1, "b")

    def test_when_all_are_lost_there_is_no_verdict_on_the_target(self):
        bench = Bench(2, safety={"onRunnerLoss": "continue"})
        bench.begin()
        bench.slots(1)
        for i in range(2):
            bench.state.exited(i, 1, bench.now)
        assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnersLost")

    def test_a_lost_runner_that_returns_is_told_of_the_stop(self):
        bench = Bench(2)
        bench.begin()
        bench.state.disconnected(0, bench.now)
        bench.pass_time(5.1)
        bench.hello(0, started_ns=bench.state.start_ns)
        assert bench.heard(0, protocol.Stop)


class TestNonsense:
    def test_the_future_is_refused(self):
        bench = Bench(1)
        bench.begin()
        with pytest.raises(ValueError, match="has not begun"):
            bench.deliver(0, 10**9)

    def test_another_runners_snapshot_is_refused(self):
        bench = Bench(2)
        bench.begin()
        with pytest.raises(ValueError, match="another runner"):
            bench.say(0, protocol.Measured(bench.numbers[1].slot(0)))

    def test_numbers_that_shrink_are_refused_and_the_run_goes_on(self):
        bench = Bench(1)
        bench.begin()
        bench.slots(1)
        bench.numbers[0].requests = 3
        with pytest.raises(ValueError, match="only grow"):
            bench.deliver(0, 1, 0)
        assert bench.state.phase == "running"

    def test_unknown_series_are_asked_for_again(self):
        bench = Bench(1)
        bench.begin()
        bench.numbers[0].defined = True
        bench.to_end_of(0)
        bench.deliver(0, 0)
        assert bench.heard(0, protocol.Welcome)[-1].last_slot == -1
        bench.deliver(0, 0, 0, full=True)
        bench.finish()
        row = next(row for row in bench.summary().metrics if row.metric == "http_reqs" and not row.tags)
        assert row.values["count"] == 10

    def test_events_that_are_repeated_do_no_harm(self):
        bench = Bench(1, setup=STEPS, teardown=STEPS)
        bench.begin()
        for _ in range(2):
            bench.say(0, protocol.Ready())
            bench.say(0, protocol.SetupDone({}))
        bench.slots(2)
        for slot in (0, 1, 0):
            bench.deliver(0, slot, 0)
        for _ in range(2):
            bench.say(0, protocol.Finished(bench.now))
        for _ in range(2):
            bench.say(0, protocol.TeardownDone())
        row = next(row for row in bench.summary().metrics if row.metric == "http_reqs" and not row.tags)
        assert row.values["count"] == 20
        assert len([each for each in bench.order if each == "Start"]) == 1


class TestRestart:
    def replay(self, bench: Bench, index: int, slots: range) -> None:
        bench.hello(index, started_ns=(bench.state.start_ns or 0) + bench.offsets[index])
        numbers = bench.numbers[index] = Numbers(index, "a")
        for slot in slots:
            bench.say(index, protocol.Measured(numbers.slot(slot)))

    def test_what_runners_replay_is_judged_as_if_nothing_had_happened(self):
        bench = Bench(2, thresholds=[ABORTING])
        bench.begin()
        bench.slots(5)
        bench.restart()
        assert bench.state.phase == "running"
        for i in range(2):
            self.replay(bench, i, range(5))
        assert bench.state.judged == 4
        bench.slots(2, first=5)
        bench.finish()
        assert bench.verdict.result == "Passed"
        row = next(row for row in bench.summary().metrics if row.metric == "http_reqs" and not row.tags)
        assert row.values["count"] == 140

    def test_a_failure_of_long_ago_is_not_forgotten(self):
        bench = Bench(1, thresholds=[ABORTING | {"abortOnFail": False}])
        bench.begin()
        bench.slots(1, seconds=0.9)
        bench.slots(3, first=1)
        bench.restart()
        bench.hello(0, started_ns=bench.state.start_ns)
        bench.numbers[0] = Numbers(0, "a")
        bench.say(0, protocol.Measured(bench.numbers[0].slot(3, 40)))
        bench.slots(1, first=4)
        bench.finish()
        assert (bench.verdict.result, bench.verdict.at_seconds) == ("Failed", 1.0)

    def test_nobody_starts_twice(self):
        bench = Bench(2)
        bench.begin()
        before = bench.state.start_ns
        bench.restart()
        bench.hello(0, started_ns=(before or 0) + bench.offsets[0])
        bench.hello(1)  # it was never told
        bench.say(1, protocol.Ready())
        assert len(bench.heard(0, protocol.Start)) == 1
        again = bench.heard(1, protocol.Start)[-1].at_ns - bench.offsets[1]
        assert again == pytest.approx(before, abs=2_000_000)

    def test_a_runner_knows_a_start_that_was_lost_with_the_disk(self):
        bench = Bench(1)
        bench.begin()
        started = bench.state.start_ns
        bench.records = [each for each in bench.records if each.kind != "start"]
        bench.restart()
        assert bench.state.phase == "connecting"
        bench.hello(0, started_ns=started)
        assert bench.state.phase == "running"
        assert bench.state.start_ns == pytest.approx(started, abs=2_000_000)

    def test_an_hour_that_is_overdue_is_judged_in_pieces(self):
        """All runs of a hub share its loop: one that has much to catch up on lets the others do something in between."""
        bench = Bench(1)
        bench.now += 10_000 * SECOND
        bench.hello(0, started_ns=bench.now - 3600 * SECOND)
        bench.now += 10 * SECOND
        judged = [bench.state.judged]
        while bench.state.due_ns <= bench.now:
            bench.state.members[0].heard_ns = bench.now
            bench.state.tick(bench.now)
            bench.state.take()
            judged.append(bench.state.judged)
        assert max(later - before for before, later in pairwise(judged)) <= SLOTS_AT_ONCE
        assert judged[-1] > 3600

    def lose_the_disk(self, bench: Bench, replayed: Any) -> None:
        """Another hub, which was given the run anew, meets a runner that is under way."""
        started = bench.state.start_ns
        bench.records = []
        bench.restart()
        bench.hello(0, started_ns=started)
        bench.say(0, protocol.Measured(replayed))

    @pytest.mark.parametrize(
        ("thresholds", "verdict"),
        [
            ([ABORTING | {"abortOnFail": False}], ("Invalid", "HistoryLost")),
            ([{"metric": "http_reqs", "expression": "count>1"}], ("Passed", "ThresholdsHeld")),
            ([{"metric": "http_reqs", "expression": "count>1000000"}], ("Failed", "ThresholdFailed")),
        ],
    )
    def test_what_nobody_has_a_record_of_has_not_held(self, thresholds, verdict):
        bench = Bench(1, thresholds=thresholds)
        bench.begin()
        bench.slots(3)
        folded = msgspec.structs.replace(bench.numbers[0].slot(3, full=True), folded=True)
        self.lose_the_disk(bench, folded)
        bench.slots(2, first=4)
        bench.finish()
        assert (bench.verdict.result, bench.verdict.reason) == verdict

    def test_what_was_replayed_whole_is_judged_whole(self):
        bench = Bench(1, thresholds=[ABORTING | {"abortOnFail": False}])
        bench.begin()
        self.lose_the_disk(bench, bench.numbers[0].slot(0, full=True))
        bench.slots(2, first=1)
        bench.finish()
        assert bench.verdict.result == "Passed"

    def test_runners_that_do_not_come_to_a_hub_without_a_record_are_lost(self):
        bench = Bench(2)
        bench.begin()
        started = bench.state.start_ns
        bench.records = []
        bench.restart()
        bench.hello(0, started_ns=started)
        bench.pass_time(10, alive=(0,))
        bench.finish(0)
        assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerLost")

    def test_runners_that_do_not_return_are_lost(self):
        bench = Bench(1)
        bench.begin()
        bench.slots(2)
        bench.restart()
        bench.pass_time(10)
        assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerLost")

    def test_a_stop_is_carried_through(self):
        bench = Bench(1, teardown=STEPS)
        bench.begin()
        bench.slots(1)
        bench.state.stop(Stopping(cause="policy", reason="Halt", message="halted"), bench.now)
        bench.act()
        bench.restart()
        self.replay(bench, 0, range(1))
        assert bench.heard(0, protocol.Stop)[-1].reason == "Halt"
        bench.finish()
        bench.say(0, protocol.TeardownDone())
        assert (bench.verdict.result, bench.verdict.cause) == ("Aborted", "policy")

    def test_a_teardown_is_asked_for_again(self):
        bench = Bench(1, teardown=STEPS)
        bench.begin()
        bench.slots(1)
        bench.finish()
        bench.restart()
        assert bench.state.phase == "teardown"
        self.replay(bench, 0, range(1))
        assert len(bench.heard(0, protocol.Teardown)) == 2
        bench.say(0, protocol.TeardownDone())
        assert bench.verdict.result == "Passed"


ENOUGH = {"metric": "http_reqs", "expression": "rate>15", "over": "2s", "abortOnFail": True}


class TestTheEndOfTheLoad:
    """Where there is little because nobody asked for more, no limit is broken."""

    def test_the_slot_in_which_the_load_ends_breaks_no_limit(self):
        bench = Bench(2, thresholds=[ENOUGH], safety={"throughput": {"stop": 15}, "window": "2s"})
        bench.begin()
        bench.slots(4)
        bench.pass_time(0.1)
        for i in range(2):
            bench.deliver(i, 4, 1)
        bench.finish()
        assert bench.verdict.result == "Passed"

    def test_nor_do_those_after_the_planned_end(self):
        scenario = manifest()["spec"]["scenarios"][0] | {"duration": "3s"}
        bench = Bench(
            2,
            scenarios=[scenario],
            thresholds=[ENOUGH],
            safety={"throughput": {"stop": 15}, "window": "2s"},
        )
        bench.begin()
        bench.slots(3)
        bench.slots(5, first=3, requests=0)
        bench.finish()
        assert bench.verdict.result == "Passed"

    def test_nor_that_of_a_scenario_which_ends_before_the_others(self):
        scenario = manifest()["spec"]["scenarios"][0] | {"duration": "3s"}
        limit = ENOUGH | {"metric": "http_reqs{scenario:s}"}
        bench = Bench(
            2, scenarios=[scenario, scenario | {"name": "t", "duration": "60s"}], thresholds=[limit]
        )
        bench.begin()
        bench.slots(3)
        bench.slots(5, first=3, requests=0)
        bench.finish()
        assert bench.verdict.result == "Passed"

    def test_but_within_the_plan_it_is_broken(self):
        bench = Bench(2, thresholds=[ENOUGH])
        bench.begin()
        bench.slots(3)
        bench.slots(2, first=3, requests=0)
        assert (bench.state.stopping.slot, bench.state.stopping.observed) == (3, 10)


def test_tags_with_too_many_values_are_warned_of_once():
    bench = Bench(1)
    bench.begin()
    bench.state.store.limit = SeriesLimit(1)
    for slot in range(2):
        bench.to_end_of(slot)
        defs = [
            SeriesDef(n, "http_reqs", Kind.COUNTER, (("it", str(n)), ("scenario", "s"))) for n in range(5)
        ]
        counts = [(n, 1.0 + slot) for n in range(5)]
        bench.say(0, protocol.Measured(Snapshot(0, "a", slot, defs, counters=counts, trends=[])))
    bench.finish()
    bench.pass_time(1)
    (warning,) = [text for text in bench.summary().warnings if "different values" in text]
    assert "tag it:" in warning
    assert bench.state.store.total(Selector("http_reqs", (("scenario", "s"),))) == Counter(10.0)
