"""From a run's manifest to all that the hub needs to judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.hub.judging import Judge
from squall.hub.limits import Limits
from squall.hub.run import RunState
from squall.metrics.declared import catalogue_of
from squall.metrics.room import RUN_BYTES, RUNNER_BYTES, Room
from squall.metrics.slots import SlotStore
from squall.plan.compile import compile_plan
from squall.spec.loadtest import LoadTest

if TYPE_CHECKING:
    from squall.hub.model import RunSpec
    from squall.metrics.names import Catalogue
    from squall.plan.model import TestPlan


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can begin.

    Attributes:
        test: The manifest.
        plan: Its plan.
        catalogue: Its metrics.
        state: Its state machine.
    """

    test: LoadTest
    plan: TestPlan
    catalogue: Catalogue
    state: RunState


def prepare(spec: RunSpec, now_ns: int) -> Prepared:
    """Prepare a run.

    Raises:
        SquallError: The manifest cannot be run.
        ValueError: The manifest is not one.
    """
    test = LoadTest.model_validate(spec.manifest)
    plan, catalogue, limits = compile_plan(test.spec), catalogue_of(test.spec), Limits.of(test.spec)
    room = Room(RUN_BYTES + RUNNER_BYTES * len(spec.runners))
    store = SlotStore(catalogue, keep=limits.keep_slots, anchors=limits.anchors, room=room)
    judge = Judge(test.spec, plan, store)
    state = RunState(spec, manifest=test.spec, limits=limits, store=store, judge=judge, now_ns=now_ns)
    return Prepared(test, plan, catalogue, state)
