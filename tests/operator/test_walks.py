"""Whatever happens to a LoadTest, in whatever order, it comes to rest: nothing stuck, no load that nobody wants, no run twice, no verdict
that its hub has not given.

`decide` is asked in a model of a cluster, which hypothesis leads through what may happen there in orders that nobody has thought of.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.modelcluster import World

from squall.kube.runs import AGAIN, run_key
from squall_operator.status import Status

Event = tuple[Any, ...]
SPECS: list[dict[str, Any]] = [
    {"suspend": True},
    {"suspend": False},
    {"shards": 1},
    {"shards": 2},
    {"ttlSecondsAfterFinished": 1000},
    {"ttlSecondsAfterFinished": 0},
]
OPERATOR: list[Event] = [
    *[("looks",)] * 4,
    *[("dies", calls) for calls in range(7)],
    *[("passes", seconds) for seconds in (1, 1, 1, 2, 5, 20, 70, 400)],
]
"""What becomes of whoever acts, and time."""
OTHERS: list[Event] = [
    *[("races", spec) for spec in SPECS],
    *[("edits", spec) for spec in SPECS],
    *[("again", text) for text in "12"],
    *[("halts", halted) for halted in (True, False)],
    *[("hub comes", empty) for empty in (True, False)],
    ("hub goes",),
    ("job goes",),
    ("pod dies",),
]


def happens(world: World, event: Event) -> None:
    match event:
        case ("looks",):
            world.look()
        case ("dies", calls):
            world.look(dies_after=calls)
        case ("races", spec):
            world.look(meanwhile=spec)
        case ("edits", spec):
            world.edit(**spec)
        case ("again", text):
            world.annotations = {**world.annotations, AGAIN: text}
            world.version += 1
        case ("passes", seconds):
            world.passes(seconds)
        case ("halts", halted):
            world.halted = halted
        case ("hub goes",):
            world.hub_goes()
        case ("hub comes", empty):
            world.hub_comes(empty=empty)
        case ("job goes",):
            world.jobs.clear()
        case ("pod dies",):
            for job in world.jobs.values():
                job.dead = True
        case _:
            raise AssertionError(event)


def walked(events: list[Event], kept: int) -> Status:
    """What it comes to in the end, when all is well again and nobody does anything any more."""
    world = World(spec={"shards": 1, "ttlSecondsAfterFinished": kept})
    world.look()
    for event in events:
        happens(world, event)
    world.settle()
    status = world.status
    run = status.run
    assert run is None or run.phase == "Finished", "it is stuck"
    loaded = [each.id for each in world.runs.values() if each.phase != "finished" and each.id in world.jobs]
    assert not loaded, "load goes on that nobody looks after"
    world.passes(1 + world.spec["ttlSecondsAfterFinished"])
    world.look()
    assert not world.jobs, "something is left"
    assert set(world.starts.values()) <= {1}, "a run has begun twice"
    if run is None or run.key != run_key(world.spec, world.annotations):
        assert world.spec.get("suspend") or world.halted, "what is asked for has not run"
    elif status.verdict is not None and status.verdict.result == "Passed":
        assert "Passed" in world.said[run.id], "nobody has said so"
    return status


WALK = settings(max_examples=150, deadline=None)
KEPT = st.sampled_from([0, 1000])


@WALK
@given(st.lists(st.sampled_from(OPERATOR + OTHERS), max_size=14), KEPT)
def test_every_walk_comes_to_rest(events: list[Event], kept: int) -> None:
    walked(events, kept)


@WALK
@given(st.lists(st.sampled_from(OPERATOR), max_size=14), KEPT)
def test_an_operator_that_dies_again_and_again_changes_no_verdict(events: list[Event], kept: int) -> None:
    verdict = walked(events, kept).verdict
    assert verdict is not None
    # One that was away before there was a Job may have been away for too long.
    assert (verdict.result, verdict.reason) in {("Passed", ""), ("Error", "StartDeadline")}


@pytest.mark.parametrize(
    "events",
    [
        [("races", {"suspend": True})],
        [("races", {"suspend": True}), ("looks",), ("passes", 5)],
    ],
)
def test_a_stop_that_comes_while_it_is_launched_leaves_nothing_behind(events: list[Event]) -> None:
    assert walked(events, 1000).phase == "Aborted"


@pytest.mark.parametrize(
    "events",
    [
        [("passes", 400)],
        [("looks",), ("passes", 400)],
        [("dies", 2), ("passes", 400)],
    ],
    ids=["before the launch", "after the launch", "after the launch and before it is written down"],
)
def test_an_operator_that_comes_back_after_every_deadline_finds_the_run_well(events: list[Event]) -> None:
    assert walked(events, 0).phase == "Passed"
