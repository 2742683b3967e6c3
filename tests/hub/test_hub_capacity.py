"""A search for capacity through the hub, in a time of the test's own, against a target with a limit."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.searchbench import Fleet

from squall.hub import protocol
from squall.hub.limits import SECOND
from squall.hub.live import live_state
from squall.hub.model import Stopping
from squall.metrics.series import Selector


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("limit", [37, 500, 1237])
def test_it_finds_the_limit_within_its_precision(shards, limit):
    fleet = Fleet(shards, limit=limit)
    found = fleet.search()
    assert found.ended == "found"
    assert found.confirmed
    assert found.knee == pytest.approx(limit, rel=0.05)
    assert found.upper is not None
    assert found.knee < found.upper <= found.knee * 1.05
    assert found.limiting == "http_req_response_time{scenario:find} p(95)<200ms"
    assert found.observed is not None
    assert found.observed > 0.2
    assert fleet.verdict.result == "Passed"


def test_it_finds_a_number_of_vus():
    found = Fleet(2, by="vus", limit=40, search={"start": 4, "max": 500}).search()
    assert (found.ended, found.unit) == ("found", "VUs")
    assert found.knee == pytest.approx(400, rel=0.05)


def test_levels_last_as_long_as_asked_and_begin_on_slots():
    fleet = Fleet(2, search={"hold": "5s", "settle": "2s", "max": 200, "confirmations": 0})
    found = fleet.search()
    orders = fleet.heard(0, protocol.Level)
    assert [order.target for order in orders] == [100, 150, 200, 0]
    assert [order.at_ns % SECOND for order in orders] == [0, 0, 0, 0]
    begun = [order.at_ns // SECOND for order in orders]
    assert [b - a for a, b in itertools.pairwise(begun)] == [8, 8, 8]
    assert [level.seconds for level in found.levels] == [5.0, 5.0, 5.0]
    assert found.ended == "max"
    assert "lies above" in found.message


def test_all_runners_are_told_the_same_before_it_begins():
    fleet = Fleet(3)
    fleet.begin()
    for slot in range(60):
        before = [len(fleet.heard(i, protocol.Level)) for i in range(3)]
        fleet.live(1, slot)
        for i in range(3):
            for order in fleet.heard(i, protocol.Level)[before[i] :]:
                assert order.at_ns > fleet.now - (fleet.state.start_ns or 0)
    told = [fleet.heard(i, protocol.Level) for i in range(3)]
    assert told[0] == told[1] == told[2]
    assert [order.number for order in told[0]] == list(range(len(told[0])))


def test_orders_are_recorded_before_anybody_is_told():
    fleet = Fleet(1)
    fleet.begin()
    fleet.live(60)
    first = fleet.order.index("Level")
    assert fleet.order.index("record level") < first
    assert fleet.order.count("record level") == fleet.order.count("Level")
    assert all(record.durable for record in fleet.records if record.kind == "level")


def test_after_a_failed_level_nothing_is_sent_until_its_iterations_have_ended():
    fleet = Fleet(1, limit=500, search={"start": 900, "confirmations": 0})
    fleet.begin()
    fleet.live(40)
    targets = [target for _, target in fleet.levels]
    # 900 for five seconds (settle, hold, and the one in which it is judged) leave 2,000 for the target: four seconds.
    assert targets[:5] == [900] * 5
    rest = targets[5:].index(450)
    assert targets[5 : 5 + rest] == [0] * rest
    assert 4 <= rest <= 6


def test_a_rest_has_an_end():
    fleet = Fleet(1, limit=10, search={"start": 900, "confirmations": 0, "cooldown": "3s"})
    fleet.begin()
    fleet.live(14)
    assert [target for _, target in fleet.levels].count(0) <= 4
    assert 450 in [target for _, target in fleet.levels]


def test_without_a_rest_the_next_level_follows_at_once():
    fleet = Fleet(1, limit=500, search={"start": 900, "confirmations": 0, "cooldown": "0s"})
    fleet.begin()
    fleet.live(30)
    assert 0 not in [target for _, target in fleet.levels]


def test_dropped_arrivals_are_a_level_that_was_not_delivered():
    thresholds = [{"metric": "http_req_failed", "expression": "rate<1%"}]
    fleet = Fleet(1, limit=500, room=0, search={"thresholds": thresholds})
    found = fleet.search()
    assert found.ended == "found"
    assert found.limiting == "delivered"
    assert found.observed is not None
    assert found.observed < 0.95
    assert found.knee == pytest.approx(500 / 0.95, rel=0.06)


def test_a_level_without_data_does_not_hold():
    thresholds = [{"metric": "http_req_duration", "expression": "p(95)<1s"}]
    found = Fleet(1, search={"start": 1, "thresholds": thresholds}).search()
    assert (found.ended, found.knee, found.upper) == ("nothing", 0, 1)
    assert "nothing was measured" in found.message


def test_when_not_even_the_least_holds_the_run_has_failed():
    fleet = Fleet(1, limit=0.1, search={"start": 8})
    found = fleet.search()
    assert found.knee == 0
    assert (fleet.verdict.result, fleet.verdict.reason) == ("Failed", "NoCapacity")


def test_a_busy_generator_ends_the_search_and_makes_it_invalid():
    fleet = Fleet(2, limit=500)
    fleet.lag = lambda level: 0.5 if level > 300 else 0.001
    found = fleet.search()
    # What holds in spite of a busy generator holds; what fails then says nothing.
    assert found.ended == "generator"
    assert found.knee < 520
    assert [level.outcome for level in found.levels][-3:] == ["limited"] * 3
    assert (fleet.verdict.result, fleet.verdict.reason) == ("Invalid", "GeneratorSaturated")
    assert "shards: 2 -> 3" in fleet.verdict.message


def test_a_busy_second_does_not_hide_what_the_others_show():
    fleet = Fleet(1, limit=500)
    fleet.lag = lambda _: 0.5 if fleet.levels[-1][0] % 3 == 0 else 0.001
    found = fleet.search()
    assert found.ended == "found"
    assert found.knee == pytest.approx(500, rel=0.05)
    assert "limited" not in {level.outcome for level in found.levels}


def test_an_outage_during_both_tries_of_a_level_does_not_become_the_capacity():
    fleet = Fleet(1, limit=500)
    fleet.begin()
    slot = 0
    while fleet.state.phase == "running" and slot < 900:
        tries = [order for order in fleet.heard(0, protocol.Level) if order.target == 225]
        fleet.limit = 1 if tries and len(tries) <= 2 and fleet.levels[-1][1] == 225 else 500
        slot = fleet.live(1, slot)
    found = fleet.found()
    assert [level.outcome for level in found.levels if level.target == 225][:3] == [
        "failed",
        "failed",
        "held",
    ]
    assert (found.ended, found.confirmed) == ("found", True)
    assert found.knee == pytest.approx(500, rel=0.05)


@pytest.mark.parametrize("busy", [0, 3])
def test_a_level_shows_the_figure_that_it_was_judged_by(busy):
    fleet = Fleet(1, limit=500)
    fleet.lag = lambda _: 0.5 if busy and fleet.levels[-1][0] % busy == 0 else 0.001
    failed = [level for level in fleet.search().levels if level.outcome == "failed"]
    assert failed
    assert [level.p95_seconds for level in failed] == [level.observed for level in failed]


def test_a_failure_that_only_a_busy_generator_saw_is_tried_again():
    fleet = Fleet(1, limit=500)
    fleet.begin()
    fleet.live(1)
    fleet.lag = lambda _: 0.5
    fleet.queue = 5000
    fleet.live(3, 1)
    fleet.lag = lambda _: 0.001
    fleet.queue = 0
    fleet.live(600, 4)
    found = fleet.found()
    assert [level.outcome for level in found.levels][:3] == ["limited", "held", "held"]
    assert found.knee == pytest.approx(500, rel=0.05)


def test_a_lost_runner_takes_the_blame_for_what_was_not_brought():
    fleet = Fleet(2, limit=500, safety={"onRunnerLoss": "continue"})
    fleet.begin()
    fleet.live(7)
    fleet.state.exited(1, -9, fleet.now)
    fleet.act()
    fleet.away.add(1)
    fleet.live(100, 7)
    found = fleet.found()
    assert (found.ended, found.limiting) == ("generator", "delivered")
    assert found.knee in (100, 150)
    assert fleet.verdict.result == "Invalid"


def test_by_default_a_lost_runner_ends_the_run():
    fleet = Fleet(2)
    fleet.begin()
    fleet.live(7)
    fleet.state.exited(1, -9, fleet.now)
    fleet.act()
    fleet.finish(0)
    assert fleet.verdict.reason == "RunnerLost"
    assert fleet.found().ended == "stopped"


def test_a_stop_in_the_middle_keeps_what_is_known():
    fleet = Fleet(2)
    fleet.begin()
    fleet.live(12)
    fleet.state.stop(Stopping(cause="user", reason="Stopped", message="enough"), fleet.now)
    fleet.act()
    told = len(fleet.heard(0, protocol.Level))
    fleet.pass_time(0.3)
    fleet.finish()
    found = fleet.found()
    assert (found.ended, found.confirmed) == ("stopped", False)
    assert found.knee == max(level.target for level in found.levels) > 100
    assert len(fleet.heard(0, protocol.Level)) == told
    assert fleet.state.store.total(Selector("capacity")) is None


def test_when_time_is_up_the_best_until_then_is_the_result():
    fleet = Fleet(1, scenario={"maxDuration": "18s"})
    found = fleet.search()
    assert (found.ended, found.knee) == ("time", 225)
    assert "maxDuration" in found.message
    assert max(slot for slot, target in fleet.levels if target) < 18
    assert fleet.verdict.result == "Passed"


def test_a_search_begins_when_its_scenario_does():
    fleet = Fleet(1, scenario={"startTime": "4500ms"}, search={"max": 100})
    fleet.search()
    assert next(slot for slot, target in fleet.levels if target) == 5


def test_what_was_found_is_a_metric_for_thresholds():
    limit = {"metric": "capacity{scenario:find}", "expression": "value>=450"}
    assert Fleet(1, limit=500, thresholds=[limit]).search() is not None
    good, bad = Fleet(1, limit=500, thresholds=[limit]), Fleet(1, limit=300, thresholds=[limit])
    good.search(), bad.search()
    assert (good.verdict.result, bad.verdict.result) == ("Passed", "Failed")
    assert bad.verdict.observed == bad.found().knee


def test_the_live_view_and_the_summary_know_the_levels():
    fleet = Fleet(1, limit=500, search={"start": 900})
    fleet.begin()
    fleet.live(3)
    (shown,) = live_state(fleet.state, fleet.plan, "test", fleet.now).scenarios
    assert (shown.stage, shown.target) == ("900", 900)
    fleet.live(4, 3)
    (shown,) = live_state(fleet.state, fleet.plan, "test", fleet.now).scenarios
    assert (shown.stage, shown.target) == ("rest", 0)
    fleet.live(200, 7)
    summary = fleet.summary()
    (load,) = summary.load
    assert (load.peak_target, load.planned) == (900, None)
    level = summary.capacity[0].levels[0]
    assert level.p95_seconds is not None
    assert level.error_rate == 0
    assert level.iterations_per_second == pytest.approx(900, rel=0.01)


class TestRestart:
    @pytest.mark.parametrize("when", [2, 5, 9, 14, 30, 55])
    def test_another_hub_goes_on_where_the_first_was(self, when):
        plain = Fleet(2, limit=500)
        expected = plain.search()
        fleet = Fleet(2, limit=500)
        fleet.begin()
        fleet.live(when)
        fleet.restart()
        for i in range(2):
            fleet.replay(i)
        fleet.live(600, when)
        found = fleet.found()
        assert [(e.target, e.outcome) for e in found.levels] == [
            (e.target, e.outcome) for e in expected.levels
        ]
        assert (found.knee, found.ended) == (expected.knee, "found")
        assert fleet.state.store.total(Selector("capacity")).last == found.knee

    def test_a_level_that_nobody_saw_is_tried_again(self):
        fleet = Fleet(2, limit=500)
        fleet.begin()
        fleet.live(2)
        for member in fleet.state.members:
            member.leave(fleet.now)
        for slot in range(2, 30):
            fleet.slot(slot)
        fleet.now += 28 * SECOND
        fleet.restart()
        for i in range(2):
            # What happened slot by slot is kept for some time only, then folded into one snapshot.
            kept = fleet.parts[i].kept
            kept[:20] = [msgspec.structs.replace(kept[19], folded=True)]
            fleet.replay(i)
        fleet.live(600, 30)
        found = fleet.found()
        assert [level.outcome for level in found.levels][:2] == ["unknown", "held"]
        assert found.knee == pytest.approx(500, rel=0.05)

    def test_a_runner_that_comes_back_is_told_the_level(self):
        fleet = Fleet(2)
        fleet.begin()
        fleet.live(7)
        fleet.state.disconnected(0, fleet.now)
        before = len(fleet.heard(0, protocol.Level))
        fleet.hello(0, started_ns=(fleet.state.start_ns or 0))
        assert fleet.heard(0, protocol.Level)[before:] == [fleet.heard(1, protocol.Level)[-1]]

    def test_a_finished_search_is_still_known(self):
        fleet = Fleet(1, search={"max": 100, "confirmations": 0})
        fleet.begin()
        end = next(slot for slot in range(30) if fleet.live(1, slot) and fleet.ended)
        fleet.restart()
        fleet.replay(0)
        fleet.live(60, end + 1)
        assert fleet.found().ended == "max"
