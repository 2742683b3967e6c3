"""The state machine of a run, when runners are lost, come back, or send nonsense."""

from __future__ import annotations

import pytest
from support.fakerunner import Numbers
from support.hubbench import Bench

from squall.hub import protocol
from squall.hub.members import MAX_ATTEMPTS, Refused

STEPS = {"steps": [{"name": "login", "http": {"url": "/login"}}]}


def test_a_broken_connection_may_come_back():
    bench = Bench(2)
    bench.begin()
    bench.slots(1)
    bench.state.disconnected(0, bench.now)
    bench.pass_time(4.9)
    bench.hello(0, started_ns=bench.state.start_ns)
    bench.pass_time(5)
    assert bench.state.phase == "running"
    assert bench.heard(0, protocol.Welcome)[-1].last_slot == 0


def test_a_connection_that_stays_broken_is_a_loss():
    bench = Bench(2)
    bench.begin()
    bench.slots(1)
    bench.state.disconnected(0, bench.now)
    bench.pass_time(5.1)
    assert bench.state.phase == "stopping"
    bench.finish(1)
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerLost")
    assert bench.summary().lost_runners == (0,)


def test_a_process_that_is_told_to_terminate_ends_the_run_as_a_person_does():
    bench = Bench(2)
    bench.begin()
    bench.slots(1)
    bench.say(0, protocol.Leaving("told to"))
    bench.finish()
    assert (bench.verdict.result, bench.verdict.cause) == ("Aborted", "user")


def test_a_pod_that_is_told_to_terminate_is_lost():
    bench = Bench(2, spec={"in_pods": True})
    bench.begin()
    bench.slots(1)
    bench.say(0, protocol.Leaving("told to"))
    bench.finish()
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerTerminated")
    assert bench.summary().lost_runners == (0,)


def test_without_a_pod_that_is_taken_away_the_run_may_go_on_and_its_successor_adds_to_it():
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


def test_a_process_that_ended_is_lost_at_once():
    bench = Bench(2)
    bench.begin()
    bench.slots(1)
    bench.state.exited(0, -9, bench.now)
    assert bench.state.phase == "stopping"


def test_a_process_that_ends_after_it_has_finished_is_none():
    bench = Bench(2)
    bench.begin()
    bench.slots(1)
    bench.finish(0)
    bench.state.exited(0, 0, bench.now)
    assert bench.state.phase == "running"


def test_silence_is_a_loss_after_lost_control():
    bench = Bench(2, safety={"lostControl": "10s"})
    bench.begin()
    bench.pass_time(9, alive=(1,))
    assert bench.state.phase == "running"
    bench.pass_time(3, alive=(1,))
    assert bench.state.phase == "stopping"


def test_the_others_go_on_when_told_to():
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


def test_a_new_attempt_adds_and_joins_at_the_current_moment():
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


def test_a_process_that_was_replaced_does_not_take_its_place_back():
    bench = Bench(1)
    bench.begin()
    bench.hello(0, "b")
    with pytest.raises(Refused, match="another process has taken the place of runner 0"):
        bench.hello(0, "a")
    bench.hello(0, "b")


def test_an_old_connection_of_a_process_that_comes_late_does_not_replace_its_newer_one():
    bench = Bench(1)
    bench.begin()
    late = bench.now + bench.offsets[0]
    bench.pass_time(1)
    bench.hello(0)
    with pytest.raises(Refused, match="runner 0 has a newer connection"):
        bench.hello(0, now_ns=late)
    bench.hello(0)


def test_a_place_is_filled_so_many_times_and_no_more():
    """Each attempt costs memory until the run is forgotten."""
    bench = Bench(2)
    bench.begin()
    for number in range(MAX_ATTEMPTS + 20):
        made = protocol.Hello(version=protocol.VERSION, runner=0, attempt=f"a{number}", shards=(0,), now_ns=0)
        if number < MAX_ATTEMPTS - 1:
            bench.state.check(made, bench.now)
            bench.hello(0, f"a{number}")
            continue
        with pytest.raises(Refused, match=f"replaced {MAX_ATTEMPTS - 1} times, more is not allowed"):
            bench.state.check(made, bench.now)
    assert [event.event for event in bench.state.timeline.events].count("TooManyAttempts") == 1
    bench.hello(0, f"a{MAX_ATTEMPTS - 2}")
    bench.hello(1, "b")


def test_when_all_are_lost_there_is_no_verdict_on_the_target():
    bench = Bench(2, safety={"onRunnerLoss": "continue"})
    bench.begin()
    bench.slots(1)
    for i in range(2):
        bench.state.exited(i, 1, bench.now)
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnersLost")


def test_a_lost_runner_that_returns_is_told_of_the_stop():
    bench = Bench(2)
    bench.begin()
    bench.state.disconnected(0, bench.now)
    bench.pass_time(5.1)
    bench.hello(0, started_ns=bench.state.start_ns)
    assert bench.heard(0, protocol.Stop)


def test_the_future_is_refused():
    bench = Bench(1)
    bench.begin()
    with pytest.raises(ValueError, match="has not begun"):
        bench.deliver(0, 10**9)


def test_another_runners_snapshot_is_refused():
    bench = Bench(2)
    bench.begin()
    with pytest.raises(ValueError, match="another runner"):
        bench.say(0, protocol.Measured(bench.numbers[1].slot(0)))


def test_numbers_that_shrink_are_refused_and_the_run_goes_on():
    bench = Bench(1)
    bench.begin()
    bench.slots(1)
    bench.numbers[0].requests = 3
    with pytest.raises(ValueError, match="only grow"):
        bench.deliver(0, 1, 0)
    assert bench.state.phase == "running"


def test_unknown_series_are_asked_for_again():
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


def test_events_that_are_repeated_do_no_harm():
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
