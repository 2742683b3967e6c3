"""A plan as a JSON document, for programs that ask before they run: `squall plan --json`.

Times are in seconds of the run, shards are numbered from 1 as `placement` numbers them (`index` is what
`${shard}` shows), and what cannot be known before the run is null rather than a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squall.plan.chain import chain_document
from squall.plan.curve import vertices
from squall.plan.model import SECOND
from squall.plan.sizing import suggest_shards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.plan.chain import ChainCost
    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.plan.search import SearchPlan
    from squall.plan.sizing import Requests

SCHEMA = "squall.dev/plan/v1"


@dataclass(frozen=True, slots=True)
class ShardLoad:
    """What one shard carries of the whole test.

    Attributes:
        index: The shard, from 0.
        vus: VUs that live on it, of all scenarios (in the open model: iterations in flight at most).
        iterations: Iterations it does, of the scenarios whose number is known; None when it is of none.
        scenarios: The names of the scenarios it has a part in.
    """

    index: int
    vus: int
    iterations: int | None
    scenarios: tuple[str, ...]


def shard_load(plan: TestPlan, shard: int) -> ShardLoad:
    """What this shard carries."""
    carried = [scenario for scenario in plan.scenarios if scenario.share_for(shard)]
    known = [n for scenario in carried if (n := scenario.planned_iterations_of(shard)) is not None]
    return ShardLoad(
        index=shard,
        vus=sum(len(scenario.vus_of(shard)) for scenario in carried),
        iterations=sum(known) if known else None,
        scenarios=tuple(scenario.name for scenario in carried),
    )


def plan_document(
    name: str, plan: TestPlan, requests: Sequence[Requests], chain: ChainCost | None = None
) -> dict[str, Any]:
    """The whole plan.

    Args:
        name: The test's name.
        plan: The compiled test.
        requests: Requests per iteration, for each scenario of the plan in order.
        chain: What it does on a chain, if it has one.
    """
    suggestion = suggest_shards(plan, requests)
    return {
        "schema": SCHEMA,
        "name": name,
        "durationSeconds": plan.duration_ns / SECOND,
        "stopSeconds": plan.stop_ns / SECOND,
        "maxVUs": plan.max_vus,
        "peakVUs": suggestion.peak_vus,
        "peakRequestsPerSecond": suggestion.peak_requests,
        "shards": plan.shards,
        "suggestedShards": suggestion.shards,
        "assumption": suggestion.assumption,
        "scenarios": [_scenario(s, each) for s, each in zip(plan.scenarios, requests, strict=True)],
        "shares": [_share(plan, shard) for shard in range(plan.shards)],
        "chain": None if chain is None else chain_document(chain),
    }


def _scenario(scenario: ScenarioPlan, requests: Requests) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "executor": scenario.executor,
        "unit": "iterations/s" if scenario.is_open else "VUs",
        "startSeconds": scenario.start_ns / SECOND,
        "endSeconds": scenario.end_ns / SECOND,
        "stopSeconds": scenario.stop_ns / SECOND,
        "peak": scenario.peak,
        "maxVUs": scenario.max_vus,
        "iterations": scenario.planned_iterations,
        "maxIterations": scenario.max_iterations,
        "requestsPerIteration": {"least": requests.least, "most": requests.most},
        "stages": [
            {"name": span.name, "startSeconds": span.start_ns / SECOND, "endSeconds": span.end_ns / SECOND}
            for span in scenario.stages
        ],
        "search": _search(scenario.search),
        "curve": [[t / SECOND, value] for t, value in vertices(scenario)],
        "shards": [shard + 1 for shard in scenario.shards],
    }


def _search(search: SearchPlan | None) -> dict[str, Any] | None:
    """How a scenario searches; its peak, end and curve are then the most that there can be."""
    if search is None:
        return None
    return {
        "by": search.by,
        "start": search.per_second(search.start),
        "max": search.per_second(search.maximum),
        "settleSeconds": search.settle,
        "holdSeconds": search.hold,
    }


def _share(plan: TestPlan, shard: int) -> dict[str, Any]:
    load = shard_load(plan, shard)
    return {
        "shard": shard + 1,
        "index": shard,
        "vus": load.vus,
        "iterations": load.iterations,
        "scenarios": {
            scenario.name: {
                "vus": len(scenario.vus_of(shard)),
                "iterations": scenario.planned_iterations_of(shard),
            }
            for scenario in plan.scenarios
            if scenario.share_for(shard)
        },
    }
