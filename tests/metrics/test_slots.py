from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measured import Runner

from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.retention import Retention
from squall.metrics.series import Counter, Gauge, Rate, Selector, SeriesKey
from squall.metrics.slots import SlotStore
from squall.metrics.snapshot import SeriesDef, Snapshot, TrendWire, decode, encode

DURATION = Selector("http_req_duration")
REQS = Selector("http_reqs")
FAILED = Selector("http_req_failed")
VUS = Selector("vus")


def two_runners() -> SlotStore:
    store, runners = SlotStore(keep=10), (Runner(0), Runner(1))
    for slot in range(3):
        for runner in runners:
            runner.add("http_reqs", 10.0, scenario="a").add("http_reqs", 1.0, scenario="b")
            runner.add("http_req_duration", 0.1 * (slot + 1), scenario="a", stage=str(slot))
            runner.add("http_req_failed", 1, 0, 0, 0).add("vus", 5.0 + slot)
            assert store.add(runner.snapshot(slot)) == 0
    return store


def test_the_fleet_is_the_sum_of_its_runners_in_each_slot_window_and_total():
    store = two_runners()
    assert store.window(REQS, 1, 1) == Counter(22.0)
    assert store.window(Selector.parse("http_reqs{scenario:a}"), 0, 2) == Counter(60.0)
    assert store.window(FAILED, 1, 2) == Rate(4, 16)
    assert store.window(DURATION, 0, 1) == Histogram.of([0.1, 0.1, 0.2, 0.2])
    assert store.total(REQS) == Counter(66.0)
    assert store.total(REQS, last=1) == Counter(44.0)
    assert store.total(DURATION, last=0) == Histogram.of([0.1, 0.1])
    assert store.totals("http_reqs", ["scenario"]) == {
        (("scenario", "a"),): Counter(60.0),
        (("scenario", "b"),): Counter(6.0),
    }
    assert store.totals("http_reqs", ["stage"]) == {}
    assert dict(store.view(2))[SeriesKey.of("http_req_duration", scenario="a", stage="2")].count == 2
    assert (store.latest, store.delivered(1), store.delivered(7)) == (2, 2, -1)


def test_gauges_add_over_runners_and_not_over_time():
    store = two_runners()
    assert store.window(VUS, 2, 2) == Gauge(14.0, 14.0, 14.0)
    assert store.window(VUS, 0, 2) == Gauge(14.0, 10.0, 14.0)
    assert store.total(VUS) == Gauge(14.0, 10.0, 14.0)
    assert store.total(VUS, last=0) == Gauge(10.0, 10.0, 10.0)


def test_a_runner_that_is_gone_has_no_vus_any_more():
    store, one, two = SlotStore(), Runner(0), Runner(1)
    store.add(one.add("vus", 5.0).snapshot(0))
    store.add(two.add("vus", 7.0).snapshot(0))
    store.add(two.add("vus", 7.0).snapshot(1))
    assert store.window(VUS, 1, 1) == Gauge(7.0, 7.0, 7.0)


def test_what_never_came_in_is_none_and_a_quiet_slot_too():
    store = two_runners()
    assert store.total(Selector("iterations")) is None
    assert store.window(REQS, 3, 9) is None
    assert store.window(Selector.parse("http_reqs{scenario:c}"), 0, 2) is None
    with pytest.raises(KeyError, match="no anchor"):
        store.total(REQS, after=1)


def test_a_repeated_or_older_snapshot_changes_nothing():
    store, runner = SlotStore(), Runner()
    first = runner.add("http_reqs", 1.0).add("vus", 1.0).snapshot(0)
    second = runner.add("http_reqs", 1.0).add("vus", 2.0).snapshot(1)
    for snapshot in (first, second, second, first, second):
        store.add(snapshot)
    assert store.total(REQS) == Counter(2.0)
    assert store.total(VUS) == Gauge(2.0, 1.0, 2.0)


def test_a_gauge_counts_once_in_each_slot_whatever_the_order():
    store, snapshots = SlotStore(keep=20_000), {}
    for slot in (0, 3, 5, 4_090, 9_000, 9_001):
        snapshots[slot] = Runner().add("vus", float(slot)).snapshot(slot)
    for slot in (3, 0, 5, 3, 0, 5, 4_090, 0, 3, 5, 9_001, 9_000, 9_000, 9_001):
        store.add(snapshots[slot])
    for slot in snapshots:
        assert store.window(VUS, slot, slot) == Gauge(float(slot), float(slot), float(slot))


def test_a_late_snapshot_adds_to_its_own_slot_though_that_was_read_before():
    store, early, late = SlotStore(keep=5), Runner(0), Runner(1)
    for slot in range(3):
        store.add(early.add("http_reqs", 1.0).snapshot(slot))
    assert store.window(REQS, 0, 0) == Counter(1.0)
    assert not store.complete(0, [0, 1])
    store.add(late.add("http_reqs", 5.0).snapshot(0))
    assert store.window(REQS, 0, 0) == Counter(6.0)
    assert store.complete(0, [0, 1])
    for slot in range(3, 9):
        store.add(early.add("http_reqs", 1.0).snapshot(slot))
    store.add(late.add("http_reqs", 5.0).snapshot(1))  # slot 1 is kept no more
    assert store.total(REQS) == Counter(19.0)
    assert store.window(REQS, 0, 8) == Counter(5.0)


def test_a_new_attempt_adds_to_what_the_earlier_had_delivered():
    store = SlotStore()
    store.add(Runner(0, "first").add("http_reqs", 7.0).snapshot(3))
    store.add(Runner(0, "second").add("http_reqs", 2.0).snapshot(9))
    assert store.total(REQS) == Counter(9.0)
    assert (store.delivered(0), store.delivered(0, "first"), store.delivered(0, "third")) == (9, 3, -1)


def test_what_came_before_an_anchor_can_be_left_out():
    store, runner = SlotStore(keep=3, anchors=[1]), Runner()
    for slot in range(8):
        runner.add("http_reqs", 1.0).add("http_req_duration", 5.0 if slot < 2 else 0.1)
        store.add(runner.add("vus", 10.0 - slot).snapshot(slot))
    assert store.total(REQS, after=1) == Counter(6.0)
    assert store.total(REQS, after=1, last=6) == Counter(5.0)
    trend = store.total(DURATION, after=1)
    assert isinstance(trend, Histogram)
    assert trend.count == 6
    assert trend.max < 0.102
    assert store.total(VUS, after=1) == Gauge(3.0, 3.0, 8.0)
    assert store.total(VUS) == Gauge(3.0, 3.0, 10.0)


def test_series_beyond_the_cap_stay_in_the_total_of_their_metric():
    store, runner = SlotStore(max_series=3), Runner()
    for user in range(10):
        runner.add("http_reqs", 1.0, user=str(user), scenario="a")
    store.add(runner.snapshot(0))
    assert len(store.series()) == 7  # three as they are, three in the reserve, one without the tag
    assert store.total(REQS) == Counter(10.0)
    assert store.total(Selector("http_reqs", (("scenario", "a"),))) == Counter(10.0)
    assert SeriesKey("http_reqs", (("scenario", "a"),)) in store.series()
    assert "tag user:" in store.limit.warning()


def test_a_scenario_beyond_the_cap_takes_nothing_from_another():
    store, runner = SlotStore(max_series=300), Runner()
    for user in range(1_000):
        runner.add("http_reqs", 1.0, user=str(user), scenario="a").add("http_req_failed", 1.0, user=str(user))
    for status in ("200", "500"):
        runner.add("http_req_failed", 0.0, 1.0, scenario="b", status=status, team="x")
    store.add(runner.snapshot(0))
    assert store.total(Selector("http_req_failed", (("scenario", "b"), ("team", "x")))) == Rate(2, 4)


def test_series_that_are_not_in_the_catalogue_are_refused_and_counted():
    store = SlotStore()
    defs = [SeriesDef(0, "made_up", Kind.COUNTER), SeriesDef(1, "http_reqs", Kind.TREND)]
    assert store.add(Snapshot(0, "a", 0, defs, counters=[(0, 5.0)], trends=[])) == 0
    assert (store.refused, store.series()) == (2, [])


REQ_DEF = [SeriesDef(0, "http_reqs", Kind.COUNTER)]
RATE_DEF = [SeriesDef(0, "checks", Kind.RATE)]
TREND_DEF = [SeriesDef(0, "http_req_duration", Kind.TREND)]
GAUGE_DEF = [SeriesDef(0, "vus", Kind.GAUGE)]


@pytest.mark.parametrize(
    "bad",
    [
        Snapshot(0, "a", -1),
        Snapshot(0, "a", 1, REQ_DEF, counters=[(0, -1.0)]),
        Snapshot(0, "a", 1, REQ_DEF, counters=[(0, math.nan)]),
        Snapshot(0, "a", 1, REQ_DEF, counters=[(0, math.inf)]),
        Snapshot(0, "a", 1, REQ_DEF, rates=[(0, 1, 1)]),
        Snapshot(0, "a", 1, RATE_DEF, rates=[(0, 2, 1)]),
        Snapshot(0, "a", 1, RATE_DEF, rates=[(0, -1, 1)]),
        Snapshot(0, "a", 1, TREND_DEF, trends=[(0, TrendWire(10**6, 1, b"\1", b"", 0, 1.0, 1.0, 1.0))]),
        Snapshot(0, "a", 1, GAUGE_DEF, gauges=[(0, 5.0, 6.0, 7.0)]),
        Snapshot(0, "a", 1, GAUGE_DEF, gauges=[(0, math.nan, 6.0, 7.0)]),
    ],
)
def test_malformed_values_are_refused_and_count_for_nothing(bad):
    store = SlotStore()
    with pytest.raises(ValueError):
        store.add(bad)
    assert all(store.total(selector) is None for selector in (REQS, DURATION, VUS))


def test_a_count_that_shrinks_is_refused():
    store, runner = SlotStore(), Runner()
    store.add(runner.add("http_reqs", 5.0).add("http_req_duration", 0.1, 0.2).snapshot(0))
    for bad in (
        Snapshot(0, "a", 1, counters=[(0, 4.0)]),
        Runner().add("http_reqs", 9.0).add("http_req_duration", 0.1).snapshot(2),
    ):
        with pytest.raises(ValueError):
            store.add(bad)


def test_values_without_a_definition_say_that_something_was_lost():
    runner = Runner()
    lost = runner.add("http_reqs", 1.0).snapshot(0)
    store = SlotStore()
    second = runner.add("http_reqs", 1.0).add("checks", 1).snapshot(1)
    assert store.add(second) == 1
    assert store.total(REQS) is None
    store.add(lost)
    store.add(second)
    assert store.total(REQS) == Counter(2.0)


# -- replay ------------------------------------------------------------------------------------------------

SECOND = st.fixed_dictionaries(
    {
        "a": st.lists(st.integers(1, 1000), max_size=3),
        "b": st.lists(st.integers(1, 1000), max_size=2),
        "vus": st.integers(0, 9),
    }
)


def everything(store: SlotStore, anchor: int) -> list[object]:
    selectors = [REQS, DURATION, FAILED, Selector.parse("http_reqs{scenario:b}")]
    found = [store.total(selector, after=after) for selector in selectors for after in (-1, anchor)]
    return [*found, store.total(VUS)]


@given(
    st.lists(SECOND, min_size=1, max_size=14),
    st.integers(1, 6),
    st.integers(0, 12),
    st.lists(st.integers(0, 13), max_size=25),
    st.integers(0, 3),
)
def test_a_replay_gives_the_same_totals_whatever_was_lost_repeated_or_disordered(
    seconds, kept, anchor, delivery, again
):
    runner, retention = Runner(), Retention(kept, [anchor])
    reference = SlotStore(keep=100, anchors=[anchor])
    sent = []
    for slot, second in enumerate(seconds):
        for scenario in ("a", "b"):
            for value in second[scenario]:
                runner.add("http_reqs", 1.0, scenario=scenario)
                runner.add("http_req_duration", value / 64, scenario=scenario)
                runner.add("http_req_failed", value % 2, scenario=scenario)
        runner.add("vus", float(second["vus"]))
        sent.append(retention.add(runner.snapshot(slot)))
        reference.add(decode(sent[-1]))

    hub = SlotStore(keep=100, anchors=[anchor])
    for slot in delivery:
        if slot < len(sent):
            hub.add(decode(sent[slot]))
    live = hub.total(REQS) is not None
    for data in retention.replay() * (again + 1):
        hub.add(decode(data))
    assert hub.delivered(0) == len(seconds) - 1
    whole, since = everything(reference, anchor)[::2], everything(reference, anchor)[1::2]
    assert everything(hub, anchor)[::2] == whole
    if not live:  # a fresh hub also knows what came before the anchor
        assert [summary(x) for x in everything(hub, anchor)[1::2]] == [summary(x) for x in since]
    recent = range(max(0, len(seconds) - kept), len(seconds))
    if not live:
        for slot in recent:
            assert hub.window(REQS, slot, slot) == reference.window(REQS, slot, slot)
            assert hub.window(VUS, slot, slot) == reference.window(VUS, slot, slot)


def summary(aggregate):
    return aggregate.count if isinstance(aggregate, Histogram) else aggregate


def test_a_hub_that_lacks_only_the_last_slots_is_sent_only_those():
    runner, retention = Runner(), Retention(3)
    sent = [retention.add(runner.add("http_reqs", 1.0).snapshot(slot)) for slot in range(6)]
    assert retention.replay(after=5) == []
    assert retention.replay(after=3) == sent[4:]
    assert retention.replay(after=2) == sent[3:]
    base, *rest = retention.replay(after=1)
    assert rest == sent[3:]
    assert decode(base).folded
    assert decode(base).counters == [(0, 3.0)]
    with pytest.raises(ValueError, match="at least one"):
        Retention(0)


def test_each_histogram_is_replayed_as_it_was_sent_whatever_form_it_had_before():
    runner, retention, sent = Runner(), Retention(4), []
    for slot, values in enumerate([[1.0], [1.0], [1.0] * 300, [0.001, 1.0], [], [1.0], [0.0], [2.0] * 9]):
        runner.add("http_reqs", 1.0)
        if values:
            runner.add("http_req_duration", *values, scenario="a").add("http_req_waiting", *values)
        sent.append(decode(retention.add(runner.snapshot(slot))))
        base, recent = [], [decode(data) for data in retention.replay()]
        if slot >= 4:
            base, recent = recent[:1], recent[1:]
        assert recent == sent[-4:]
        for frame in base:
            latest = {series: wire for each in sent[:-4] for series, wire in each.trends}
            assert dict(frame.trends) == latest
            assert frame.defs == [definition for each in sent[:-4] for definition in each.defs]
            assert frame.counters == [(0, slot - 3.0)]


def test_what_was_folded_is_in_no_window():
    runner, retention = Runner(), Retention(2)
    for slot in range(6):
        retention.add(runner.add("http_reqs", 1.0).add("vus", 9.0 - slot).snapshot(slot))
    hub = SlotStore()
    for data in retention.replay():
        hub.add(decode(data))
    assert hub.window(REQS, 0, 5) == Counter(2.0)
    assert hub.total(REQS) == Counter(6.0)
    assert hub.total(VUS) == Gauge(4.0, 4.0, 9.0)


def test_a_snapshot_survives_its_encoding():
    snapshot = Runner().add("http_reqs", 1.0, a="b").add("http_req_duration", 0.1).add("vus", 3.0).snapshot(4)
    assert decode(encode(snapshot)) == snapshot


def test_a_slot_takes_as_much_room_as_what_happened_in_it():
    """Not as much as all that ever happened: windows hold many slots, and a run becomes wider with every outlier."""
    store, runner = SlotStore(keep=10), Runner()
    for slot, outlier in enumerate((0.001, 1e-9, 1e6, 0.001)):
        runner.add("http_req_duration", 0.001, outlier)
        store.add(runner.snapshot(slot))
    widths = [histogram.counts.size for slot in (0, 3) for _, histogram in store.view(slot)]
    assert len(widths) == 2
    assert max(widths) < 200
    total = store.total(DURATION)
    assert isinstance(total, Histogram)
    assert total.counts.size > 2000
