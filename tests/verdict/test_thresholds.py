from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measured import Runner

from squall.metrics.names import BUILT_IN
from squall.metrics.series import Selector
from squall.metrics.slots import SlotStore
from squall.verdict.grammar import compile_expression
from squall.verdict.thresholds import State, Threshold, Watch, anchors


def threshold(metric: str, expression: str, **options) -> Threshold:
    selector = Selector.parse(metric) if metric else None
    known = BUILT_IN[selector.metric] if selector else None
    reference = options.pop("relative_to", None)
    return Threshold(
        name="t",
        expression=compile_expression(expression, known, relative=reference is not None),
        selector=selector,
        kind=known.kind if known else None,
        query="" if selector else "up",
        relative_to=Selector.parse(reference) if reference else None,
        **options,
    )


def durations(*seconds: list[float], anchor: int = 0) -> SlotStore:
    """A store with the durations of each slot."""
    store, runner = SlotStore(keep=100, anchors=[anchor]), Runner()
    for slot, values in enumerate(seconds):
        store.add((runner.add("http_req_duration", *values) if values else runner).snapshot(slot))
    return store


def run(watch: Watch, store: SlotStore) -> str:
    """The states of all slots, by their initials (n for no data, - for pending)."""
    letters = {
        State.PENDING: "-",
        State.PASS: "p",
        State.VIOLATED: "v",
        State.FAILED: "F",
        State.NO_DATA: "n",
    }
    return "".join(letters[watch.step(slot, store).state] for slot in range(store.latest + 1))


OK, SLOW, NONE = [0.1], [0.9], []


@pytest.mark.parametrize(
    ("seconds", "options", "states", "end", "failed_at"),
    [
        # windowed: about every moment
        ([OK, OK, OK], {"over": 1}, "ppp", State.PASS, None),
        ([OK, SLOW, OK], {"over": 1}, "pFF", State.FAILED, 1),
        ([OK, SLOW, OK], {"over": 1, "hold": 2}, "pvp", State.PASS, None),
        ([OK, SLOW, SLOW, OK], {"over": 1, "hold": 2}, "pvFF", State.FAILED, 2),
        ([SLOW, OK, SLOW, OK, SLOW], {"over": 1, "hold": 2}, "vpvpv", State.PASS, None),
        ([SLOW, NONE, SLOW, OK], {"over": 1, "hold": 2}, "vnvp", State.PASS, None),
        ([SLOW, OK, OK], {"over": 2}, "-FF", State.FAILED, 1),
        ([SLOW, SLOW, OK, OK], {"over": 1, "after": 2}, "--pp", State.PASS, None),
        ([SLOW, SLOW, OK, OK], {"over": 2, "after": 1}, "--FF", State.FAILED, 2),
        ([SLOW, OK, OK, OK], {"over": 2, "after": 1}, "--pp", State.PASS, None),
        ([NONE, OK, SLOW], {"over": 1, "min_samples": 2}, "nnn", State.NO_DATA, None),
        ([NONE, NONE], {"over": 1}, "nn", State.NO_DATA, None),
        # a run shorter than the window is judged by what there is
        ([OK, OK], {"over": 9}, "--", State.PASS, None),
        ([SLOW, OK], {"over": 9}, "--", State.FAILED, 1),
        ([OK, OK], {"over": 9, "after": 5}, "--", State.NO_DATA, None),
        # unwindowed: about the run as a whole
        ([OK, OK, OK], {}, "ppp", State.PASS, None),
        ([SLOW, OK, OK], {}, "vvv", State.FAILED, 2),
        ([SLOW] + [OK] * 30, {}, "v" * 11 + "p" * 20, State.PASS, None),
        ([SLOW, OK, OK], {"after": 1}, "-pp", State.PASS, None),
        ([OK, SLOW, OK], {"after": 1}, "-vv", State.FAILED, 2),
        ([OK, SLOW, OK], {"abort_on_fail": True}, "pFF", State.FAILED, 1),
        ([OK, SLOW, OK], {"abort_on_fail": True, "hold": 2}, "pvF", State.FAILED, 2),
        ([SLOW] * 3, {"min_samples": 2}, "nvv", State.FAILED, 2),
        ([OK], {"after": 1}, "-", State.NO_DATA, None),
    ],
)
def test_how_a_threshold_stands_slot_by_slot_and_at_the_end(seconds, options, states, end, failed_at):
    watch = Watch(threshold("http_req_duration", "p(95)<500ms", **options))
    store = durations(*seconds, anchor=options.get("after", 1) - 1)
    assert run(watch, store) == states
    ended = watch.finish(store.latest, store)
    assert (ended.state, ended.failed_at) == (end, failed_at)
    assert watch.holds == (end is State.PASS)
    assert watch.aborts == (end is State.FAILED and options.get("abort_on_fail", False))


def test_values_limits_and_the_worst_are_reported():
    store = durations([0.1], [0.7], [0.9], [0.6], [0.2])
    watch = Watch(threshold("http_req_duration", "max<500ms", over=1, hold=2))
    run(watch, store)
    last = watch.finish(4, store)
    assert (last.limit, last.since, last.failed_at) == (0.5, 1, 2)
    assert last.value == pytest.approx(0.2, rel=0.012)
    assert last.worst == pytest.approx(0.9, rel=0.012)
    less = Watch(threshold("http_req_duration", "min>500ms", over=1, hold=9))
    run(less, store)
    assert less.last.worst == pytest.approx(0.1, rel=0.012)


@pytest.mark.parametrize(
    ("metric", "expression", "holds", "state"),
    [
        ("iterations", "count<1", True, State.PASS),
        ("iterations", "count>=1", False, State.FAILED),
        ("http_req_errors{error:tls}", "count==0", True, State.PASS),
        ("http_req_failed", "rate<1%", False, State.NO_DATA),
        ("vus", "max>1", False, State.NO_DATA),
    ],
)
def test_what_never_happened_counts_zero_and_has_no_share(metric, expression, holds, state):
    store = durations(OK, OK)
    watch = Watch(threshold(metric, expression))
    run(watch, store)
    assert watch.finish(1, store).state is state
    assert watch.holds is holds


def test_no_data_means_what_the_threshold_says():
    store = durations(NONE, NONE)
    for meaning, holds in (("fail", False), ("pass", True)):
        watch = Watch(threshold("http_req_failed", "rate<1%", no_data=meaning))
        run(watch, store)
        assert watch.finish(1, store).state is State.NO_DATA
        assert watch.holds is holds
        assert watch.last.message


def counts(per_slot: list[int]) -> SlotStore:
    store, runner = SlotStore(), Runner()
    for slot, count in enumerate(per_slot):
        store.add(runner.add("http_reqs", float(count)).snapshot(slot))
    return store


@pytest.mark.parametrize(
    ("expression", "options", "states", "holds"),
    [
        ("count>=30", {"abort_on_fail": True}, "---", True),  # not aborted while it can still come true
        ("count>=31", {"abort_on_fail": True}, "---", False),
        ("count<15", {"abort_on_fail": True}, "pFF", False),  # can never hold again
        ("count==30", {}, "---", True),
        ("rate>=10/s", {}, "ppp", True),
        ("rate>10/s", {"over": 1}, "FFF", False),
        ("count>=20", {"over": 2}, "-pp", True),  # a window that is not full would be short
    ],
)
def test_counts_over_the_run_are_judged_when_they_can_be(expression, options, states, holds):
    store = counts([10, 10, 10])
    watch = Watch(threshold("http_reqs", expression, **options))
    assert run(watch, store) == states
    watch.finish(2, store)
    assert watch.holds is holds


@pytest.mark.parametrize(
    ("loaded", "after", "value"),
    [
        ((), 0, 10.0),  # nobody has said: all slots
        (((0.0, 1.5),), 0, 20.0),  # the rest was spent waiting for what was in flight
        (((0.0, 0.5), (2.0, 9.0)), 0, 20.0),  # several spans, and never beyond the last slot
        (((0.0, 2.5),), 1, 40 / 3),
        (((0.0, 0.5),), 1, 10.0),  # no load after `after`
    ],
)
def test_a_rate_over_the_run_is_over_the_time_in_which_there_was_load(loaded, after, value):
    store = SlotStore(keep=100, anchors=[after - 1])
    runner = Runner()
    for slot in range(3):
        store.add(runner.add("http_reqs", 10).snapshot(slot))
    watch = Watch(threshold("http_reqs", "rate>1/s", after=after))
    assert watch.finish(2, store, loaded).value == pytest.approx(value)


def test_a_stalled_target_breaks_a_rate_though_nothing_comes_in():
    store, runner = counts([10, 10]), Runner(1)
    for slot in range(4):
        store.add(runner.add("vus", 1.0).snapshot(slot))
    watch = Watch(threshold("http_reqs", "rate>5/s", over=1))
    assert run(watch, store) == "ppFF"


@pytest.mark.parametrize(
    ("per_slot", "states", "holds"),
    [
        ([0, 0, 10, 10, 10, 0, 0], "-nnppnn", True),
        ([0, 0, 10, 10, 4, 0, 0], "-nnpFFF", False),
        ([0, 0, 0], "-nn", False),
    ],
)
def test_a_rate_in_a_stage_is_not_broken_before_and_after_it(per_slot, states, holds):
    store, runner = SlotStore(), Runner()
    for slot, count in enumerate(per_slot):
        runner.add("http_reqs", 5.0, stage="other")
        if count:
            runner.add("http_reqs", float(count), stage="hold")
        store.add(runner.snapshot(slot))
    watch = Watch(threshold("http_reqs{stage:hold}", "rate>8/s", over=2))
    assert run(watch, store) == states
    watch.finish(store.latest, store)
    assert watch.holds is holds


def test_slots_that_other_runners_have_delivered_already_are_not_looked_at():
    store = durations(OK, OK, SLOW, SLOW)
    watch = Watch(threshold("http_req_duration", "max<500ms", abort_on_fail=True))
    assert watch.step(1, store).state is State.PASS
    assert watch.step(2, store).state is State.FAILED


def test_late_values_count_from_when_they_come():
    store, late = durations(OK, OK, OK), Runner(1)
    whole = Watch(threshold("http_req_duration", "p(95)<500ms"))
    window = Watch(threshold("http_req_duration", "max<500ms", over=3))
    for watch in (whole, window):
        assert watch.step(0, store).state in (State.PASS, State.PENDING)
    store.add(late.add("http_req_duration", *[0.9] * 5).snapshot(0))
    assert whole.step(1, store).state is State.VIOLATED
    window.step(1, store)
    assert window.step(2, store).state is State.FAILED


def stages(first: float, second: float) -> SlotStore:
    store, runner = SlotStore(), Runner()
    store.add(runner.add("http_req_duration", first, stage="1").snapshot(0))
    store.add(runner.add("http_req_duration", second, stage="2").snapshot(1))
    return store


@pytest.mark.parametrize(("second", "holds"), [(0.14, True), (0.16, False)])
def test_a_stage_is_compared_with_the_one_before(second, holds):
    asked = threshold(
        "http_req_duration{stage:2}", "p(95)<1.5x", relative_to="http_req_duration{stage:1}", over=None
    )
    watch, store = Watch(asked), stages(0.1, second)
    assert run(watch, store) == ("np" if holds else "nv")
    assert watch.finish(1, store).limit == pytest.approx(0.15, rel=0.01)
    assert watch.holds is holds


def test_without_the_other_stage_there_is_nothing_to_compare_with():
    asked = threshold("http_req_duration", "p(95)<1.5x", relative_to="http_req_duration{stage:9}")
    watch, store = Watch(asked), stages(0.1, 0.1)
    run(watch, store)
    ended = watch.finish(1, store)
    assert (ended.state, ended.limit) == (State.NO_DATA, None)
    assert "stage:9" in ended.message


@pytest.mark.parametrize(
    ("answers", "options", "states", "holds"),
    [
        ([1.0, 2.0, 3.0], {}, "ppp", True),
        ([1.0, 7.0, 3.0], {}, "pFF", False),  # every answer counts, not only the last
        ([1.0, 7.0, 3.0], {"hold": 2}, "pvp", True),
        ([7.0, None, 7.0], {"hold": 2}, "vnv", True),
        ([1.0, 7.0, 2.5], {"over": 2}, "ppp", True),  # the mean of the window
        ([None, None, None], {}, "nnn", False),
        ([float("nan"), None, 1.0], {}, "nnp", True),
        ([7.0, 1.0, 1.0], {"after": 1}, "-pp", True),
    ],
)
def test_queries_are_judged_by_each_answer(answers, options, states, holds):
    watch, store = Watch(threshold("", "value<5", **options)), SlotStore()
    letters = {
        State.PENDING: "-",
        State.PASS: "p",
        State.VIOLATED: "v",
        State.FAILED: "F",
        State.NO_DATA: "n",
    }
    found = "".join(letters[watch.step(slot, store, answer).state] for slot, answer in enumerate(answers))
    assert found == states
    watch.finish(len(answers) - 1, store)
    assert watch.holds is holds


@given(
    st.lists(st.sampled_from([OK, SLOW, NONE]), min_size=1, max_size=25),
    st.integers(1, 5),
    st.integers(0, 24),
)
def test_a_windowed_threshold_fails_exactly_when_violated_for_long_enough(seconds, hold, pause):
    store = durations(*seconds)
    watch = Watch(threshold("http_req_duration", "max<500ms", over=1, hold=hold))
    for slot in range(len(seconds)):
        if slot == pause:  # another hub goes on
            watch, before = Watch(watch.threshold), watch.last
            watch.resume(before)
        watch.step(slot, store)
    streaks = "".join("v" if s is SLOW else "." for s in seconds)
    ended = watch.finish(len(seconds) - 1, store)
    if "v" * hold in streaks:
        first = streaks.index("v" * hold)
        assert (ended.state, ended.failed_at, ended.since) == (State.FAILED, first + hold - 1, first)
    else:
        judged = any(s is not NONE for s in seconds)
        assert ended.state is (State.PASS if judged else State.NO_DATA)


def test_what_a_store_must_keep_for_them():
    some = [
        threshold("http_reqs", "count>1", after=30),
        threshold("http_reqs", "rate>1", over=10, after=20),
        threshold("http_reqs", "rate>1", over=60),
    ]
    assert anchors(some) == (29,)
    assert anchors([]) == ()
