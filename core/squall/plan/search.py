"""A search for capacity as a part of the plan: what is known before anybody knows which levels there will be.

The hub chooses the levels one by one; here is what a level is, for the whole fleet and for any shard of it. A level
begins at the moment that the hub names and goes on until the next: a constant rate whose arrivals are divided over the
shards as any other's are, or so many of the VUs, those with the lowest numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from squall.plan.arrivals import ArrivalSchedule
from squall.plan.rates import RateCurve, RateRamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.plan.share import Share

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a scenario searches; levels are whole numbers of VUs, or of arrivals per `unit_ns`.

    Attributes:
        by: What a level is a number of.
        start: The first level.
        maximum: The highest.
        growth: Share by which it is raised while it holds.
        precision: Share of the knee by which it may be missed.
        confirmations: How often levels that fail, and the knee, are repeated.
        settle: Slots at the beginning of a level that are not judged.
        hold: Slots for which it is judged.
        cooldown: Slots without load after a failed level, at most.
        unit_ns: What rates count per.
        kind: How arrivals are spaced.
        seed: What Poisson draws derive from.
    """

    by: Literal["rate", "vus"]
    start: int
    maximum: int
    growth: Fraction
    precision: Fraction
    confirmations: int
    settle: int
    hold: int
    cooldown: int
    unit_ns: int = _SECOND
    kind: Literal["uniform", "poisson"] = "uniform"
    seed: str = ""

    @property
    def slots(self) -> int:
        """How many slots a level takes."""
        return self.settle + self.hold

    def per_second(self, level: int) -> float:
        """The level as `ScenarioPlan.target` tells it: arrivals per second, or VUs."""
        return level * _SECOND / self.unit_ns if self.by == "rate" else float(level)

    def schedule(self, level: int, length_ns: int, name: object = "") -> ArrivalSchedule:
        """The arrivals of the whole fleet at a level that may go on for so long.

        Args:
            level: Arrivals per `unit_ns`.
            length_ns: How long at most.
            name: Tells apart the draws of levels that are repeated.
        """
        rate = Fraction(level, self.unit_ns)
        curve = RateCurve(rate, (RateRamp(length_ns, rate),))
        return ArrivalSchedule(curve, self.kind, at_once=True, seed=f"{self.seed}/{name}")

    def arrivals(
        self, level: int, share: Share, *, begin_ns: int, end_ns: int, from_ns: int = 0, number: int = 0
    ) -> Iterator[int]:
        """When a shard's iterations are due at a level, in order.

        Args:
            level: Arrivals per `unit_ns`; 0 for none.
            share: The shard's place among those that carry the scenario.
            begin_ns: When the level begins, in time of the run.
            end_ns: When the scenario ends at the latest, likewise.
            from_ns: Leave out what is due before.
            number: The level's, see `schedule`.
        """
        if level == 0 or begin_ns >= end_ns:
            return iter(())
        due = self.schedule(level, end_ns - begin_ns, number).arrivals(share, max(0, from_ns - begin_ns))
        return (begin_ns + t for t in due)
