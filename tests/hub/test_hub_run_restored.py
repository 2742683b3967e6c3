"""The state machine of a run that another process takes up: from its journal, and from what runners still know."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from support.fakerunner import Numbers
from support.hubbench import Bench

from squall.hub import protocol
from squall.hub.limits import SECOND
from squall.hub.model import Stopping
from squall.hub.run import SLOTS_AT_ONCE

STEPS = {"steps": [{"name": "login", "http": {"url": "/login"}}]}


ABORTING = {"metric": "http_req_duration", "expression": "p(95)<500ms", "abortOnFail": True, "over": "1s"}


def replay(bench: Bench, index: int, slots: range) -> None:
    bench.hello(index, started_ns=(bench.state.start_ns or 0) + bench.offsets[index])
    numbers = bench.numbers[index] = Numbers(index, "a")
    for slot in slots:
        bench.say(index, protocol.Measured(numbers.slot(slot)))


def test_what_runners_replay_is_judged_as_if_nothing_had_happened():
    bench = Bench(2, thresholds=[ABORTING])
    bench.begin()
    bench.slots(5)
    bench.restart()
    assert bench.state.phase == "running"
    for i in range(2):
        replay(bench, i, range(5))
    assert bench.state.judged == 4
    bench.slots(2, first=5)
    bench.finish()
    assert bench.verdict.result == "Passed"
    row = next(row for row in bench.summary().metrics if row.metric == "http_reqs" and not row.tags)
    assert row.values["count"] == 140


def test_a_failure_of_long_ago_is_not_forgotten():
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


def test_nobody_starts_twice():
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


def test_a_runner_knows_a_start_that_was_lost_with_the_disk():
    bench = Bench(1)
    bench.begin()
    started = bench.state.start_ns
    bench.records = [each for each in bench.records if each.kind != "start"]
    bench.restart()
    assert bench.state.phase == "connecting"
    bench.hello(0, started_ns=started)
    assert bench.state.phase == "running"
    assert bench.state.start_ns == pytest.approx(started, abs=2_000_000)


def test_an_hour_that_is_overdue_is_judged_in_pieces():
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


def lose_the_disk(bench: Bench, replayed: Any) -> None:
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
def test_what_nobody_has_a_record_of_has_not_held(thresholds, verdict):
    bench = Bench(1, thresholds=thresholds)
    bench.begin()
    bench.slots(3)
    folded = msgspec.structs.replace(bench.numbers[0].slot(3, full=True), folded=True)
    lose_the_disk(bench, folded)
    bench.slots(2, first=4)
    bench.finish()
    assert (bench.verdict.result, bench.verdict.reason) == verdict


def test_what_was_replayed_whole_is_judged_whole():
    bench = Bench(1, thresholds=[ABORTING | {"abortOnFail": False}])
    bench.begin()
    lose_the_disk(bench, bench.numbers[0].slot(0, full=True))
    bench.slots(2, first=1)
    bench.finish()
    assert bench.verdict.result == "Passed"


def test_runners_that_do_not_come_to_a_hub_without_a_record_are_lost():
    bench = Bench(2)
    bench.begin()
    started = bench.state.start_ns
    bench.records = []
    bench.restart()
    bench.hello(0, started_ns=started)
    bench.pass_time(10, alive=(0,))
    bench.finish(0)
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerLost")


def test_runners_that_do_not_return_are_lost():
    bench = Bench(1)
    bench.begin()
    bench.slots(2)
    bench.restart()
    bench.pass_time(10)
    assert (bench.verdict.result, bench.verdict.reason) == ("Error", "RunnerLost")


def test_a_stop_is_carried_through():
    bench = Bench(1, teardown=STEPS)
    bench.begin()
    bench.slots(1)
    bench.state.stop(Stopping(cause="policy", reason="Halt", message="halted"), bench.now)
    bench.act()
    bench.restart()
    replay(bench, 0, range(1))
    assert bench.heard(0, protocol.Stop)[-1].reason == "Halt"
    bench.finish()
    bench.say(0, protocol.TeardownDone())
    assert (bench.verdict.result, bench.verdict.cause) == ("Aborted", "policy")


def test_a_teardown_is_asked_for_again():
    bench = Bench(1, teardown=STEPS)
    bench.begin()
    bench.slots(1)
    bench.finish()
    bench.restart()
    assert bench.state.phase == "teardown"
    replay(bench, 0, range(1))
    assert len(bench.heard(0, protocol.Teardown)) == 2
    bench.say(0, protocol.TeardownDone())
    assert bench.verdict.result == "Passed"
