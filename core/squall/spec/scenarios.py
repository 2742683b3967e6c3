"""Scenarios: which steps run, how many at a time or per second, when, and on which shards.

The words and their meaning are k6's where k6 has them. The fields of all executors stand side by side, as
in k6; `EXECUTOR_FIELDS` says which belong to which, for the model, the CEL rules and the messages alike.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from squall.spec.base import Count, Duration, Label, Model, Name, Percent, PositiveInt, Rule, Text
from squall.spec.steps import Steps, Tags

ExecutorName = Literal[
    "constant-vus",
    "ramping-vus",
    "per-vu-iterations",
    "shared-iterations",
    "constant-arrival-rate",
    "ramping-arrival-rate",
    "capacity",
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
    "capacity": ExecutorFields("search", "maxDuration timeUnit preAllocatedVUs maxVUs arrivals seed"),
}
ONLY_BY_RATE = ("timeUnit", "preAllocatedVUs", "maxVUs", "arrivals", "seed")
"""What a scenario with `search` may have only if it searches for a rate."""
_EXECUTOR_ONLY = sorted(set().union(*(fields.allowed for fields in EXECUTOR_FIELDS.values())))


class Stage(Model):
    """A step of a ramp: in `duration`, go in a straight line to `target`."""

    name: Label | None = None
    """The value of the tag `stage`; by default its place, from 1."""
    duration: Duration
    """How long the way to `target` takes; 0 jumps there."""
    target: Count
    """VUs, or iterations per `timeUnit`."""


class LevelThreshold(Model):
    """A condition that a level of a search has to meet."""

    metric: Text
    """The metric, with a selector if need be: `http_req_duration{scenario:find}`."""
    expression: Annotated[str, Field(min_length=1, max_length=128)]
    """As in `thresholds`, judged on what was measured while the level was held: `p(95)<200ms`."""


class CapacitySearch(Model):
    """Where to look for the highest load, and what it has to meet."""

    by: Literal["rate", "vus"]
    """What is searched for: iterations started per `timeUnit`, or VUs."""
    start: PositiveInt
    """The first level."""
    max: PositiveInt
    """The highest level; when it holds, the search ends there."""
    growth: Percent = "50%"
    """By how much the level is raised while it holds: `50%`, `100%`."""
    settle: Duration = "2s"
    """How long a level is left alone at its beginning, before it is judged."""
    hold: Duration = "10s"
    """How long a level is judged for."""
    confirmations: Annotated[int, Field(ge=0, le=10)] = 1
    """How often a level that fails, and the highest that holds, is repeated before it counts."""
    precision: Percent = "5%"
    """The search ends when the lowest level that fails is above the highest that holds by no more than this."""
    cooldown: Duration = "30s"
    """After a level that failed there is no load until its iterations have ended, but no longer than this."""
    thresholds: Annotated[list[LevelThreshold], Field(min_length=1, max_length=20)]
    """What a level has to meet; one without data does not."""


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
    return (*needed, *(_belongs(key) for key in _EXECUTOR_ONLY), _RATE_ONLY)


def _searches_by(scenario: Any) -> str:
    """What a scenario searches for, also one that is plain data; empty without a search."""
    search = getattr(scenario, "search", None)
    found = search.get("by", "") if isinstance(search, dict) else getattr(search, "by", "")
    return str(found)


_RATE_ONLY = Rule(
    f"!has(self.search) || self.search.by == 'rate' || "
    f"[{', '.join(f'has(self.{key})' for key in ONLY_BY_RATE)}].filter(given, given).size() == 0",
    f"a search by: vus takes no {', '.join(ONLY_BY_RATE)}",
    lambda scenario, given: given.isdisjoint(ONLY_BY_RATE) or _searches_by(scenario) != "vus",
    {
        "if": {
            "properties": {"search": {"properties": {"by": {"const": "vus"}}, "required": ["by"]}},
            "required": ["search"],
        },
        "then": {"properties": dict.fromkeys(ONLY_BY_RATE, False)},
    },
)


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
    """When iterations are not done, or a search has not ended, by then, no new one starts; 10m by default."""
    rate: PositiveInt | None = None
    """Iterations started per `timeUnit`, over all shards."""
    start_rate: Count | None = None
    """The rate at the beginning of the first stage; 0 by default."""
    time_unit: Duration | None = None
    """What `rate`, `startRate`, the stages' targets and a search by rate count per; 1s by default."""
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
    search: CapacitySearch | None = None
    """Where the highest load is looked for, and what it has to meet."""
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
