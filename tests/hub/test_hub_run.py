"""The state machine of a run, with a clock of the test's own: every order of events, and no waiting."""

from __future__ import annotations

import pytest
from support.fakerunner import manifest
from support.hubbench import Bench

from squall.hub import protocol
from squall.hub.ending import CONFIRM_NS, LAST_WORD_NS
from squall.hub.limits import SECOND
from squall.hub.members import Refused
from squall.hub.model import Stopping
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
