"""How much work a plan is: requests in an iteration as far as the steps tell, and a number of shards for it.

Neither is a measurement. How many requests a closed model makes depends on how fast the target answers, and how
many a shard can send depends on the machine, on TLS and on the size of the answers. So the rule is a plain one, well below
what docs/performance.md has measured, and whoever prints its result prints its assumption too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from squall.plan.curve import peak

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from squall.plan.model import TestPlan
    from squall.spec.scenarios import Scenario
    from squall.spec.steps import Repeat, Step

VUS_PER_SHARD = 5_000
"""Closed-model VUs that one shard (one event loop on one CPU) is assumed to carry."""
REQUESTS_PER_SHARD = 10_000
"""Requests a second that one shard is assumed to send."""


@dataclass(frozen=True, slots=True)
class Requests:
    """How many requests something sends if all goes well: at least, and at most (None: not known before)."""

    least: int
    most: int | None

    def __add__(self, other: Requests) -> Requests:
        most = None if self.most is None or other.most is None else self.most + other.most
        return Requests(self.least + other.least, most)

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.least} or more"
        return str(self.least) if self.most == self.least else f"{self.least} to {self.most}"


NO_REQUESTS = Requests(0, 0)


def requests_per_iteration(scenario: Scenario) -> Requests:
    """The requests of an iteration that goes through all its steps, its `finally` included.

    Redirects are not counted; how often a `poll` asks, what a Python step sends and how long a `while` goes on
    cannot be known.
    """
    return _of_steps(scenario.steps) + _of_steps(scenario.finally_steps or ())


def _of_steps(steps: Iterable[Step]) -> Requests:
    return sum((_of_step(step) for step in steps), NO_REQUESTS)


def _of_step(step: Step) -> Requests:
    if step.http or step.poll or step.python:
        return Requests(0 if step.python else 1, 1 if step.http else None)
    if step.group:
        return _of_steps(step.group.steps)
    if step.parallel:
        return sum((_of_steps(branch.steps) for branch in step.parallel.branches), NO_REQUESTS)
    if step.if_step:
        return _either([_of_steps(step.if_step.then), _of_steps(step.if_step.else_steps or ())])
    if step.choose:
        return _either([_of_steps(choice.steps) for choice in step.choose])
    return _of_repeat(step.repeat) if step.repeat else NO_REQUESTS


def _either(ways: Sequence[Requests]) -> Requests:
    mosts = [way.most for way in ways if way.most is not None]
    return Requests(min(way.least for way in ways), max(mosts) if len(mosts) == len(ways) else None)


def _of_repeat(repeat: Repeat) -> Requests:
    once = _of_steps(repeat.steps)
    if once.most == 0:
        return NO_REQUESTS
    if not isinstance(repeat.times, int):
        return Requests(0, None)
    return Requests(once.least * repeat.times, None if once.most is None else once.most * repeat.times)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A number of shards, with what it was derived from.

    Attributes:
        shards: The suggestion.
        peak_vus: The closed model's highest number of VUs at once.
        peak_requests: The open model's highest requests per second; an unknown number of requests in an
            iteration counts as the least there can be.
        placed: The highest shard, from 1, that a scenario is placed on by name; 0 without placements.
    """

    shards: int
    peak_vus: float
    peak_requests: float
    placed: int

    @property
    def peak(self) -> str:
        """The peaks in words."""
        parts = [f"{self.peak_vus:,.0f} VUs"] if self.peak_vus else []
        parts += [f"{self.peak_requests:,.0f} requests/s by the clock"] if self.peak_requests else []
        return " and ".join(parts) or "no load that is known before"

    @property
    def assumption(self) -> str:
        """The rule in words."""
        return (
            f"assumes that a shard (one CPU) carries {VUS_PER_SHARD:,} VUs and sends "
            f"{REQUESTS_PER_SHARD:,} requests/s; a run that cannot deliver its load ends as Invalid"
        )


def suggest_shards(plan: TestPlan, requests: Sequence[Requests]) -> Suggestion:
    """The smallest number of shards within the assumed capacity of each, and enough for every placement.

    Args:
        plan: The compiled test.
        requests: Requests per iteration, for each scenario of the plan in order.
    """
    closed = {scenario: 1 for scenario in plan.scenarios if not scenario.is_open}
    opened = {
        scenario: each.most or each.least
        for scenario, each in zip(plan.scenarios, requests, strict=True)
        if scenario.is_open
    }
    peak_vus, peak_requests = peak(closed), peak(opened)
    placed = max(
        (s.shards[-1] + 1 for s in plan.scenarios if len(s.shards) < plan.shards),
        default=0,
    )
    needed = max(ceil(peak_vus / VUS_PER_SHARD), ceil(peak_requests / REQUESTS_PER_SHARD), placed, 1)
    return Suggestion(needed, peak_vus, peak_requests, placed)
