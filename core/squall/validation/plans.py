"""The plan of a valid model: whether it can be carried out, and what about it its author should know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.plan.compile import compile_plan
from squall.plan.data import uses_data
from squall.plan.problems import PlanError
from squall.spec.modelcheck import problem_at
from squall.spec.quantities import format_duration, nanoseconds, whole
from squall.spec.tree import parse_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.plan.model import TestPlan
    from squall.spec.effective import Effective
    from squall.spec.loadtest import LoadTestSpec, Threshold
    from squall.spec.problems import Problem
    from squall.spec.tree import Node, Path


def check_plan(effective: Effective) -> tuple[list[Problem], list[str]]:
    """What makes the test impossible, and warnings; nothing of a test whose model is wrong."""
    if effective.model is None:
        return [], []
    spec = effective.model.spec
    try:
        plan = compile_plan(spec)
    except PlanError as error:
        found = [
            problem_at(effective.root, parse_path(problem.path), problem.message, problem.hint)
            for problem in error.problems
        ]
        return found, []
    except ValueError:
        return [], []  # a reference that nobody resolved, which has been reported
    problems, warnings = _times(effective.root, spec, plan)
    problems += _connections(effective.root, spec, plan)
    return problems, [*warnings, *_exhausted(effective, plan)]


def _times(root: Node, spec: LoadTestSpec, plan: TestPlan) -> tuple[list[Problem], list[str]]:
    problems: list[Problem] = []
    warnings: list[str] = []
    run = format_duration(plan.stop_ns)
    for path, threshold in _thresholds(spec):
        after, over, hold = (_length(text) for text in (threshold.after, threshold.over, threshold.for_time))
        name = threshold.name or f"{threshold.metric or threshold.query} {threshold.expression}"
        if after >= plan.stop_ns:
            message = f"leaves out the whole run, which is over after {run}"
            problems.append(problem_at(root, (*path, "after"), message, "make it shorter"))
        elif over > plan.stop_ns:
            warnings.append(
                f"threshold {name}: the window of {threshold.over} is longer than the run ({run})"
            )
        elif hold > plan.stop_ns:
            warnings.append(
                f"threshold {name}: the run ({run}) is too short to break it for {threshold.for_time}"
            )
    longest = _length(spec.safety.max_duration)
    if plan.duration_ns > longest:
        warnings.append(
            f"safety.maxDuration ({spec.safety.max_duration}) ends the run before its planned end "
            f"({format_duration(plan.duration_ns)})"
        )
    return problems, warnings


def _connections(root: Node, spec: LoadTestSpec, plan: TestPlan) -> Iterator[Problem]:
    """A shard without a connection could send nothing."""
    limit = spec.http.shared_connections
    if limit is not None and whole(limit) < plan.shards:
        message = f"{limit} connections cannot be shared by {plan.shards} shards: each needs one at least"
        hint = f"allow {plan.shards} or more, or use fewer shards"
        yield problem_at(root, ("spec", "http", "sharedConnections"), message, hint)


def _thresholds(spec: LoadTestSpec) -> Iterator[tuple[Path, Threshold]]:
    for index, threshold in enumerate(spec.thresholds):
        yield ("spec", "thresholds", index), threshold
    for number, tier in enumerate(spec.tiers):
        for index, threshold in enumerate(tier.thresholds):
            yield ("spec", "tiers", number, "thresholds", index), threshold


def _length(text: str | None) -> int:
    return nanoseconds(text) if text else 0


def _exhausted(effective: Effective, plan: TestPlan) -> Iterator[str]:
    """Data whose rows are used once, and of which there are fewer than iterations that will surely ask for one."""
    if effective.model is None:
        return
    for data in effective.model.spec.data:
        known = effective.data.get(data.name)
        if data.order != "unique" or known is None:
            continue
        users = [s for s in effective.model.spec.scenarios if uses_data(s, data.name)]
        counts = [plan.scenario(scenario.name).planned_iterations for scenario in users]
        wanted = sum(count for count in counts if count is not None)
        if wanted > known.rows:
            yield f"data {data.name} has {known.rows} rows, but {wanted} iterations are planned to use one each"
