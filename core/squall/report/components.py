"""From the merged series of a run to its components: what each part of the system did, took and failed at.

A component is what the manifest calls one, by the tag `component` of steps or scenarios. All of it comes from series with
that tag; what a flow takes from end to end comes from the scenarios that have such steps.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from squall.metrics.histogram import Histogram
from squall.metrics.series import Aggregate, Counter, Rate, merge
from squall.report.figures import values_of
from squall.report.parts import ComponentSummary, FlowSummary, OwnMetric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.metrics.names import Catalogue
    from squall.metrics.series import SeriesKey, Tags

TAG: Final = "component"
_ENOUGH: Final = 20
"""Steps in a stage from which on its p95 is one."""
_REQUESTS: Final = ("http_reqs", "poll_reqs", "evm_rpc_reqs")
_FAILED_REQUESTS: Final = ("http_req_failed", "evm_rpc_failed")

Metrics = dict[str, Aggregate]


def component_summaries(
    totals: Mapping[SeriesKey, Aggregate],
    catalogue: Catalogue,
    seconds: float,
    places: Mapping[Tags, int],
) -> tuple[ComponentSummary, ...]:
    """Every component, the one that takes most of the time first.

    Args:
        totals: Every series of the run, merged over all runners.
        catalogue: The metrics of the run.
        seconds: How long the load lasted, for rates.
        places: Where the manifest has a scenario and a stage; stages are compared in that order.
    """
    merged = _merged(totals, TAG)
    durations = {
        name: found for name, metrics in merged.items() if (found := _trend(metrics, "component_duration"))
    }
    flows = _merged(totals, "scenario")
    whole = sum(
        found.sum for name in _scenarios(totals) if (found := _trend(flows[name], "iteration_duration"))
    )
    whole = max(whole, sum(found.sum for found in durations.values()))
    growth = _growth(totals, places)
    made = [
        _component(name, merged[name], duration, catalogue, seconds, whole, growth.get(name))
        for name, duration in durations.items()
    ]
    return tuple(sorted(made, key=lambda each: (-each.seconds, each.name)))


def _component(  # noqa: PLR0917 - one caller
    name: str,
    metrics: Metrics,
    duration: Histogram,
    catalogue: Catalogue,
    seconds: float,
    whole: float,
    growth: tuple[float, str] | None,
) -> ComponentSummary:
    p50, p95, p99 = duration.quantiles((0.5, 0.95, 0.99))
    return ComponentSummary(
        name=name,
        steps=duration.count,
        failed=_hits(metrics, "component_failed"),
        per_second=duration.count / seconds if seconds > 0 else 0.0,
        seconds=duration.sum,
        share=duration.sum / whole if whole > 0 else 0.0,
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
        requests=sum(int(counted(metrics, metric)) for metric in _REQUESTS),
        requests_failed=sum(_hits(metrics, metric) for metric in _FAILED_REQUESTS),
        transactions=int(counted(metrics, "evm_txs")),
        transactions_failed=_hits(metrics, "evm_tx_failed"),
        sent_bytes=counted(metrics, "data_sent"),
        received_bytes=counted(metrics, "data_received"),
        growth=growth[0] if growth else None,
        growth_stage=growth[1] if growth else "",
        own=tuple(_own(metrics, catalogue, seconds)),
    )


def flow_summaries(
    totals: Mapping[SeriesKey, Aggregate], seconds: Mapping[str, float], places: Mapping[Tags, int]
) -> tuple[FlowSummary, ...]:
    """End to end, each scenario that has components.

    Args:
        totals: Every series of the run, merged over all runners.
        seconds: How long the load of each scenario lasted.
        places: Where the manifest has them.
    """
    merged = _merged(totals, "scenario")
    names = sorted(_scenarios(totals), key=lambda name: places.get((("scenario", name),), len(places)))
    return tuple(_flow(name, merged[name], seconds.get(name, 0.0)) for name in names)


def _flow(name: str, metrics: Metrics, seconds: float) -> FlowSummary:
    completed, failed = (int(counted(metrics, metric)) for metric in ("iterations", "iterations_failed"))
    duration = _trend(metrics, "iteration_duration")
    p50, p95, p99 = duration.quantiles((0.5, 0.95, 0.99)) if duration else (None, None, None)
    return FlowSummary(
        scenario=name,
        begun=int(counted(metrics, "iterations_started")),
        completed=completed,
        failed=failed,
        per_second=completed / seconds if seconds > 0 else 0.0,
        success=completed / (completed + failed) if completed + failed else None,
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
    )


def _scenarios(totals: Mapping[SeriesKey, Aggregate]) -> set[str]:
    """The scenarios that have components."""
    return {
        dict(key.tags).get("scenario", "")
        for key in totals
        if key.metric == "component_duration" and any(name == TAG for name, _ in key.tags)
    }


def _merged(totals: Mapping[SeriesKey, Aggregate], tag: str) -> dict[str, Metrics]:
    """By value of a tag, each metric's series put together."""
    found: defaultdict[str, Metrics] = defaultdict(dict)
    for key, aggregate in totals.items():
        value = next((value for name, value in key.tags if name == tag), None)
        if value is not None:
            add(found[value], key.metric, aggregate)
    return found


def add(metrics: Metrics, metric: str, aggregate: Aggregate) -> None:
    """Put one more series of a metric to the others; what is given stays as it is."""
    if metric in metrics:
        merge(metrics[metric], aggregate)
    else:
        metrics[metric] = aggregate.copy()


def _growth(
    totals: Mapping[SeriesKey, Aggregate], places: Mapping[Tags, int]
) -> dict[str, tuple[float, str]]:
    """By component, its slowest stage against the first one of the same scenario, by their p95."""
    stages: defaultdict[tuple[str, str], Metrics] = defaultdict(dict)
    for key, aggregate in totals.items():
        tags = dict(key.tags)
        if key.metric == "component_duration" and {TAG, "scenario", "stage"} <= tags.keys():
            add(stages[tags[TAG], tags["scenario"]], tags["stage"], aggregate)
    found: dict[str, tuple[float, str]] = {}
    for (name, scenario), by_stage in stages.items():
        if (growth := _slowest(scenario, by_stage, places)) and growth[0] > found.get(name, (0.0, ""))[0]:
            found[name] = growth
    return found


def _slowest(scenario: str, by_stage: Metrics, places: Mapping[Tags, int]) -> tuple[float, str] | None:
    enough = {
        stage: trend.quantile(0.95)
        for stage, trend in by_stage.items()
        if isinstance(trend, Histogram) and trend.count >= _ENOUGH
    }
    order = sorted(enough, key=lambda stage: places.get((("scenario", scenario), ("stage", stage)), 0))
    if len(order) < 2 or enough[order[0]] <= 0:
        return None
    slowest = max(order, key=lambda stage: enough[stage])
    return enough[slowest] / enough[order[0]], f"{scenario}/{slowest}"


def _own(metrics: Metrics, catalogue: Catalogue, seconds: float) -> list[OwnMetric]:
    known = ((catalogue[name], aggregate) for name, aggregate in metrics.items() if name in catalogue)
    return [
        OwnMetric(
            metric=metric.name,
            kind=metric.kind.value,
            unit="share" if isinstance(aggregate, Rate) else metric.unit.value,
            values=values_of(aggregate, seconds),
        )
        for metric, aggregate in sorted(known, key=lambda each: each[0].name)
        if metric.custom
    ]


def _trend(metrics: Metrics, metric: str) -> Histogram | None:
    found = metrics.get(metric)
    return found if isinstance(found, Histogram) and found.count else None


def counted(metrics: Metrics, metric: str) -> float:
    """The value of a counter; 0 where nothing counted."""
    found = metrics.get(metric)
    return found.value if isinstance(found, Counter) else 0.0


def _hits(metrics: Metrics, metric: str) -> int:
    found = metrics.get(metric)
    return found.hits if isinstance(found, Rate) else 0
