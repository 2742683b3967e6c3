"""What a compiled test is: each scenario's schedule, and what a given shard does of it.

Engine, hub, live view and report all ask the same values: when is VU 7 active, when is the next arrival due,
what should the load be now, which stage is this, how many iterations may this shard start. They must agree
to the nanosecond, so the answers exist once, here, as pure functions of the plan.

All times are whole nanoseconds since the start of the run (not of the scenario). VUs and arrivals are numbered
from 0 over the whole fleet; a shard is known by its index from 0. An executor uses a plan like this:

    for vu in scenario.vus_of(shard):                     # closed model: one task per VU
        for begin, end in scenario.vu_intervals(vu):      # iterate from `begin`, start none from `end` on,
            limit = scenario.interrupt_ns(end)            # interrupt what still runs at `limit`
    for due in scenario.arrivals_of(shard, from_ns=now):  # open model: an iteration is due at `due`
        ...
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from squall.plan.arrivals import ArrivalSchedule
from squall.plan.share import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.plan.search import SearchPlan
    from squall.plan.vus import Interval, VuCurve
    from squall.spec.scenarios import ExecutorName

SECOND = 1_000_000_000
"""Nanoseconds in a second."""


@dataclass(frozen=True, slots=True)
class StageSpan:
    """A stage of a scenario: results carry its name as the tag `stage`; a jump has no length.

    `name` is the stage's own or its place from "1"; executors without stages have one span named "".
    """

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class ScenarioPlan:
    """One scenario, compiled.

    Attributes:
        executor: The manifest's word for how load is made.
        load: VUs over time (closed model; for the iteration executors their VUs up to `maxDuration`), or the
            arrivals (open model), in time since the scenario's start: prefer the methods, in run time. For a search it
            is the most that there can be, at any time and for as long as the search may last.
        start_ns: When the scenario begins.
        graceful_stop_ns: How long iterations may go on after the scenario's end.
        graceful_ramp_down_ns: How long the iteration of a VU that is ramped down may go on.
        stages: The stages in order; together they cover the scenario.
        max_vus: VUs of the whole fleet at most; with arrivals, the bound on iterations in flight. The bound is
            split over shards like everything else, so how many arrivals find no free VU may depend on their
            number.
        pre_allocated_vus: VUs to prepare before the start.
        vu_base: Added to VU numbers so that ids are unique over all scenarios: see `vu_id`.
        iterations_per_vu: `per-vu-iterations`: how often each VU iterates.
        iterations: `shared-iterations`: how many iterations all VUs do together.
        max_iterations: A cap on the iterations of the whole fleet beside the time. In the open model it bounds
            the arrivals, so that it also counts those that were dropped.
        when_saturated: What becomes of an arrival that finds no free VU.
        shards: The shards on which the scenario is placed, sorted.
        search: `capacity`: how it searches; its levels are chosen while it runs.
    """

    name: str
    executor: ExecutorName
    load: VuCurve | ArrivalSchedule
    start_ns: int
    graceful_stop_ns: int
    graceful_ramp_down_ns: int
    stages: tuple[StageSpan, ...]
    max_vus: int
    pre_allocated_vus: int
    vu_base: int
    shards: tuple[int, ...]
    iterations_per_vu: int | None = None
    iterations: int | None = None
    max_iterations: int | None = None
    when_saturated: Literal["queue", "drop"] = "drop"
    search: SearchPlan | None = None

    @property
    def is_open(self) -> bool:
        """Whether iterations start by the clock (arrivals) rather than as VUs become free."""
        return isinstance(self.load, ArrivalSchedule)

    @property
    def is_random(self) -> bool:
        """Whether the number of arrivals varies with the seed, so that planned numbers are expectations."""
        return isinstance(self.load, ArrivalSchedule) and self.load.kind == "poisson"

    @property
    def end_ns(self) -> int:
        """The planned end: no iteration starts later."""
        return self.start_ns + self.load.end_ns

    @property
    def stop_ns(self) -> int:
        """The planned end including `gracefulStop`: nothing runs later."""
        return self.end_ns + self.graceful_stop_ns

    # What one shard does.

    @property
    def carriers(self) -> tuple[int, ...]:
        """The shards that carry the scenario: with fewer VUs than shards, as many as it has VUs."""
        return self.shards[: self.max_vus]

    def share_for(self, shard: int) -> Share | None:
        """The shard's place among those that carry the scenario; None if it has no part in it."""
        carriers = self.carriers
        return Share(carriers.index(shard), len(carriers)) if shard in carriers else None

    def vus_of(self, shard: int) -> range:
        """The numbers of the VUs that live on this shard."""
        share = self.share_for(shard)
        return range(share.index, self.max_vus, share.count) if share else range(0)

    def pre_allocated_vus_of(self, shard: int) -> int:
        """How many of the shard's VUs to prepare before the start."""
        share = self.share_for(shard)
        return share.of(self.pre_allocated_vus) if share else 0

    def iterations_of(self, shard: int) -> int | None:
        """How many iterations the VUs of this shard may start together; None when only time ends them.

        With arrivals the cap is part of `arrivals_of` and this is None. Otherwise iterations are dealt to VUs
        in rounds, so that the sum over shards is exact and a shard gets as many as its VUs can be expected to
        do.
        """
        cap = self.max_iterations if self.iterations is None else self.iterations
        if self.is_open or cap is None:
            return None
        share = self.share_for(shard)
        return share.of_rounds(cap, self.max_vus) if share else 0

    def arrivals_of(self, shard: int, from_ns: int = 0) -> Iterator[int]:
        """When this shard's iterations are due, in order, leaving out those before `from_ns`.

        Raises:
            TypeError: The scenario is a closed model.
        """
        if not isinstance(self.load, ArrivalSchedule):
            raise TypeError(f"{self.executor} has no arrivals")
        share = self.share_for(shard)
        if share is None:
            return iter(())
        due = self.load.arrivals(share, from_ns - self.start_ns)
        start = self.start_ns
        return (start + t for t in due) if start else due

    # What a VU does.

    def vu_id(self, vu: int) -> int:
        """The number that `${vu}` shows, from 1 and unique over scenarios and shards."""
        return self.vu_base + vu + 1

    def vu_intervals(self, vu: int) -> tuple[Interval, ...]:
        """When this VU iterates: intervals in order, end excluded. With arrivals: the whole scenario."""
        if isinstance(self.load, ArrivalSchedule):
            return ((self.start_ns, self.end_ns),)
        return tuple((self.start_ns + a, self.start_ns + b) for a, b in self.load.intervals(vu))

    def interrupt_ns(self, interval_end_ns: int) -> int:
        """When to interrupt an iteration that outlives its VU's interval.

        A VU that is ramped down has `gracefulRampDown`, at the scenario's end there is `gracefulStop`, and the
        latter bounds both.
        """
        if interval_end_ns >= self.end_ns:
            return self.stop_ns
        return min(interval_end_ns + self.graceful_ramp_down_ns, self.stop_ns)

    # What the whole fleet should be doing.

    def stage_at(self, t_ns: int) -> str:
        """The name of the stage at this moment; before the start the first, after the end the last."""
        starts, names = self._stage_index
        return names[max(0, bisect_right(starts, t_ns) - 1)]

    @cached_property
    def _stage_index(self) -> tuple[list[int], list[str]]:
        spans = [span for span in self.stages if span.end_ns > span.start_ns] or list(self.stages[:1])
        return [span.start_ns for span in spans], [span.name for span in spans]

    def target(self, t_ns: int) -> float:
        """VUs that should be active now (closed model), or arrivals per second (open model)."""
        t = t_ns - self.start_ns
        if isinstance(self.load, ArrivalSchedule):
            return float(self.load.curve.rate(t))
        return self.load.target(t)

    def target_before(self, t_ns: int) -> float:
        """The level the target comes from at this moment: a ramp's end, where `target` says what follows."""
        t = t_ns - self.start_ns
        if isinstance(self.load, ArrivalSchedule):
            return float(self.load.curve.rate_before(t))
        return self.load.target_before(t)

    @property
    def peak(self) -> float:
        """The highest target: VUs, or arrivals per second."""
        return float(self.load.curve.peak()) if isinstance(self.load, ArrivalSchedule) else self.load.max_vus

    @property
    def planned_iterations(self) -> int | None:
        """How many iterations the plan holds: arrivals, or what the iteration executors are told; else None.

        A cap beside the time is no plan: which of them comes first depends on the target. Nor is a search.
        """
        if self.search is not None:
            return None
        if isinstance(self.load, ArrivalSchedule):
            return self.load.total
        if self.iterations_per_vu is not None:
            return self.iterations_per_vu * self.max_vus
        return self.iterations

    def planned_iterations_of(self, shard: int) -> int | None:
        """This shard's part of `planned_iterations`; over all shards the sum is the whole."""
        share = self.share_for(shard)
        if share is None or self.search is not None:
            return None if self.planned_iterations is None else 0
        if isinstance(self.load, ArrivalSchedule):
            return share.of(self.load.total)
        if self.iterations_per_vu is not None:
            return self.iterations_per_vu * share.of(self.max_vus)
        return None if self.iterations is None else share.of_rounds(self.iterations, self.max_vus)


@dataclass(frozen=True)
class TestPlan:
    """A whole test, compiled for a number of shards.

    Attributes:
        scenarios: In the manifest's order.
        shards: Over how many shards the load is divided.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    scenarios: tuple[ScenarioPlan, ...]
    shards: int

    def scenario(self, name: str) -> ScenarioPlan:
        """The scenario with this name.

        Raises:
            KeyError: There is none.
        """
        for scenario in self.scenarios:
            if scenario.name == name:
                return scenario
        raise KeyError(name)

    @property
    def duration_ns(self) -> int:
        """The planned end of the last scenario, without any `gracefulStop`."""
        return max(scenario.end_ns for scenario in self.scenarios)

    @property
    def stop_ns(self) -> int:
        """When the last scenario has ended including its `gracefulStop`."""
        return max(scenario.stop_ns for scenario in self.scenarios)

    @property
    def max_vus(self) -> int:
        """The VUs of all scenarios; ids run from 1 to this number."""
        return sum(scenario.max_vus for scenario in self.scenarios)
