"""Scenarios: which steps run, how many at a time or per second, when, and on which shards.

The words and their meaning are k6's where k6 has them. The fields of all executors stand side by side, as
in k6; `EXECUTOR_FIELDS` says which belong to which, for the model, the CEL rules and the messages alike.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from squall.spec.base import Count, Duration, Label, Model, Name, PositiveInt, Rule
from squall.spec.steps import Steps, Tags

ExecutorName = Literal[
    "constant-vus",
    "ramping-vus",
    "per-vu-iterations",
    "shared-iterations",
    "constant-arrival-rate",
    "ramping-arrival-rate",
]


class ExecutorFields:
    """Which fields an executor must have and may have, beside those of every scenario."""

    def __init__(self, required: str, optional: str = "") -> None:
        self.required = frozenset(required.split())
        self.allowed = self.required | frozenset(optional.split())


EXECUTOR_FIELDS: dict[str, ExecutorFields] = {
    "constant-vus": ExecutorFields("vus duration", "maxIterations"),
    "ramping-vus": ExecutorFields("stages", "startVUs gracefulRampDown maxIterations"),
    "per-vu-iterations": ExecutorFields("iterations", "vus maxDuration"),
    "shared-iterations": ExecutorFields("iterations", "vus maxDuration"),
    "constant-arrival-rate": ExecutorFields(
        "rate duration", "timeUnit preAllocatedVUs maxVUs arrivals whenSaturated maxIterations seed"
    ),
    "ramping-arrival-rate": ExecutorFields(
        "stages", "startRate timeUnit preAllocatedVUs maxVUs arrivals whenSaturated maxIterations seed"
    ),
}
_EXECUTOR_ONLY = sorted(set().union(*(fields.allowed for fields in EXECUTOR_FIELDS.values())))


class Stage(Model):
    """A step of a ramp: in `duration`, go in a straight line to `target`."""

    name: Label | None = None
    """The value of the tag `stage`; by default its place, from 1."""
    duration: Duration
    """How long the way to `target` takes; 0 jumps there."""
    target: Count
    """VUs, or iterations per `timeUnit`."""


class Placement(Model):
    """The shards that carry a scenario, so that shards can have roles."""

    shards: Annotated[str, Field(max_length=255, pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$")]
    """Counted from 1: `1-10`, or `1-5,11`."""


def _needs(executor: str, key: str) -> Rule:
    return Rule(
        f"self.executor != '{executor}' || has(self.{key})",
        f"{executor} needs {key}",
        lambda scenario, given: scenario.executor != executor or key in given,
    )


def _belongs(key: str) -> Rule:
    takers = [name for name, fields in EXECUTOR_FIELDS.items() if key in fields.allowed]
    return Rule(
        f"!has(self.{key}) || self.executor in {takers}",
        f"{key} belongs to {', '.join(takers)}",
        lambda scenario, given: key not in given or scenario.executor in takers,
    )


def _executor_rules() -> tuple[Rule, ...]:
    needed = [
        _needs(name, key) for name, fields in EXECUTOR_FIELDS.items() for key in sorted(fields.required)
    ]
    return (*needed, *(_belongs(key) for key in _EXECUTOR_ONLY))


class Scenario(Model):
    """One kind of user, and how many of them there are over time."""

    named_list: ClassVar[bool] = True

    rules = _executor_rules()

    name: Name
    """The value of the tag `scenario`."""
    executor: ExecutorName
    """How the load is made: so many VUs, so many iterations, or so many arrivals; see the table below."""
    vus: PositiveInt | None = None
    """VUs over all shards; for the iteration executors 1 by default."""
    duration: Duration | None = None
    """How long the load lasts."""
    stages: Annotated[list[Stage], Field(min_length=1, max_length=100)] | None = None
    start_vus: Annotated[Count | None, Field(alias="startVUs")] = None
    """VUs at the beginning of the first stage; 1 by default, as in k6."""
    iterations: PositiveInt | None = None
    """Per VU, or shared by all of them."""
    max_duration: Duration | None = None
    """When iterations are not done by then, no new one starts; 10m by default."""
    rate: PositiveInt | None = None
    """Iterations started per `timeUnit`, over all shards."""
    start_rate: Count | None = None
    """The rate at the beginning of the first stage; 0 by default."""
    time_unit: Duration | None = None
    """What `rate`, `startRate` and the stages' targets count per; 1s by default."""
    pre_allocated_vus: Annotated[PositiveInt | None, Field(alias="preAllocatedVUs")] = None
    """VUs made ready before the start; 1 by default."""
    max_vus: Annotated[PositiveInt | None, Field(alias="maxVUs")] = None
    """The most iterations at once over all shards; by default `preAllocatedVUs`, or 1000 without it."""
    arrivals: Literal["uniform", "poisson"] | None = None
    """Evenly spaced (the default), or a Poisson process at the same rate."""
    seed: Count | None = None
    """Seed of the Poisson process; the same seed gives the same arrivals."""
    when_saturated: Literal["drop", "queue"] | None = None
    """When all VUs are busy at an arrival: count it as dropped (the default), or let it wait for one."""
    max_iterations: PositiveInt | None = None
    """A cap beside the time, over all shards; whichever comes first."""

    start_time: Duration = "0s"
    """From the start of the run."""
    graceful_stop: Duration = "30s"
    """At the planned end, running iterations may take this long to finish."""
    graceful_ramp_down: Duration | None = None
    """When a ramp takes a VU away, its iteration may take this long to finish; 30s by default."""
    placement: Placement | None = None
    """By default every shard carries the scenario."""
    tags: Tags | None = None
    """Tags of the user's own on everything this scenario measures."""
    steps: Steps
    finally_steps: Annotated[Steps | None, Field(alias="finally")] = None
    """Run after every iteration, also after one that failed."""
