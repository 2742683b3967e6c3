"""From the merged series of a run to the figures of its report.

Percentiles are taken from merged histograms, never averaged. The same totals are cut four ways: the whole run,
by scenario, by scenario and stage, by scenario and step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from squall.metrics.names import Catalogue, Kind
from squall.metrics.series import Aggregate, Counter, Gauge, Rate, SeriesKey, Tags, merge
from squall.report.model import CheckSummary, ErrorSummary, MetricSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CUTS: Final = ((), ("scenario",), ("scenario", "stage"), ("scenario", "step"))
PERCENTILES: Final = {"med": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_FLEET_ONLY: Final = frozenset(
    {
        *(
            "loop_lag",
            "cpu_usage",
            "cpu_wait",
            "cpu_throttled",
            "cores_busy",
            "gc_pause",
            "send_stall",
            "clock_steps",
        ),
        *("open_files", "files_used", "ports_used", "memory_resident", "series_dropped"),
    }
)


def values_of(aggregate: Aggregate, seconds: float) -> dict[str, float]:
    """The figures of one aggregate; `seconds` is the length of time that counters' rates refer to."""
    if isinstance(aggregate, Counter):
        return {"count": aggregate.value, "rate": aggregate.value / seconds if seconds > 0 else 0.0}
    if isinstance(aggregate, Rate):
        return {"rate": aggregate.value, "passes": float(aggregate.hits), "total": float(aggregate.total)}
    if isinstance(aggregate, Gauge):
        return {"value": aggregate.last, "min": aggregate.min, "max": aggregate.max}
    quantiles = aggregate.quantiles(PERCENTILES.values())
    return {
        "count": float(aggregate.count),
        "avg": aggregate.mean,
        "min": aggregate.min,
        **dict(zip(PERCENTILES, quantiles, strict=True)),
        "max": aggregate.max,
    }


def metric_summaries(
    totals: Mapping[SeriesKey, Aggregate],
    catalogue: Catalogue,
    seconds: Callable[[dict[str, str]], float],
    places: Mapping[Tags, int],
) -> tuple[MetricSummary, ...]:
    """The figures of all metrics, cut as `CUTS` says, in the manifest's and the catalogue's order.

    Args:
        totals: Every series of the run, merged over all runners.
        catalogue: The metrics of the run, for order, kind and unit.
        seconds: How long the load lasted that these tags select (the run, a scenario, a stage), for rates.
        places: Where the manifest has a scenario, a stage or a step; what it does not name comes last.
    """
    rows = []
    order = {name: place for place, name in enumerate(catalogue)}
    for cut in CUTS:
        groups = _cut(totals, catalogue, cut)
        for (metric, tags), aggregate in sorted(
            groups.items(), key=lambda row: (_place(row[0][1], places), order[row[0][0]])
        ):
            known = catalogue[metric]
            unit = "share" if known.kind is Kind.RATE else known.unit.value
            rows.append(
                MetricSummary(
                    metric=metric,
                    kind=known.kind.value,
                    unit=unit,
                    tags=dict(tags),
                    values=values_of(aggregate, seconds(dict(tags))),
                    custom=known.custom,
                )
            )
    return tuple(rows)


def _place(tags: Tags, places: Mapping[Tags, int]) -> tuple[float, Tags]:
    return places.get(tags, math.inf), tags


_Group = tuple[str, tuple[tuple[str, str], ...]]


def _cut(
    totals: Mapping[SeriesKey, Aggregate], catalogue: Catalogue, names: tuple[str, ...]
) -> dict[_Group, Aggregate]:
    groups: dict[_Group, Aggregate] = {}
    for key, aggregate in totals.items():
        known = catalogue.get(key.metric)
        if known is None or (names and key.metric in _FLEET_ONLY):
            continue
        tags = dict(key.tags)
        if any(name not in tags for name in names):
            continue
        group = (key.metric, tuple((name, tags[name]) for name in names))
        if group in groups:
            merge(groups[group], aggregate)
        else:
            groups[group] = aggregate.copy()
    return groups


def check_summaries(
    totals: Mapping[SeriesKey, Aggregate], places: Mapping[Tags, int]
) -> tuple[CheckSummary, ...]:
    """Passes and fails of every check, over all stages, in the order of the steps (see `metric_summaries`)."""
    sums: dict[tuple[str, str, str], Rate] = defaultdict(Rate)
    for key, aggregate in totals.items():
        if key.metric == "checks" and isinstance(aggregate, Rate):
            tags = dict(key.tags)
            place = (tags.get("scenario", ""), tags.get("step", ""), tags.get("check", ""))
            sums[place].merge(aggregate)
    found = [
        CheckSummary(name=check, scenario=scenario, step=step, passes=rate.hits, fails=rate.total - rate.hits)
        for (scenario, step, check), rate in sums.items()
    ]
    found.sort(key=lambda row: _place((("scenario", row.scenario), ("step", row.step)), places))
    return tuple(found)


def _counted(totals: Mapping[SeriesKey, Aggregate], metric: str) -> dict[tuple[str, str, str, str], float]:
    """A counter of failures by error class, scenario, step and status."""
    counts: dict[tuple[str, str, str, str], float] = defaultdict(float)
    for key, aggregate in totals.items():
        if key.metric == metric and isinstance(aggregate, Counter):
            tags = dict(key.tags)
            error, scenario, step, status = (
                tags.get(name, "") for name in ("error", "scenario", "step", "status")
            )
            counts[error, scenario, step, status] += aggregate.value
    return dict(counts)


def error_summaries(
    totals: Mapping[SeriesKey, Aggregate], examples: Mapping[tuple[str, str, str], str]
) -> tuple[ErrorSummary, ...]:
    """Failures by class and step, most frequent first.

    Args:
        totals: Every series of the run.
        examples: One message by (error class, scenario, step).
    """
    counts = _counted(totals, "http_req_errors")
    of_requests = {place[:3] for place in counts}
    # A request that failed is a step that failed, too: it is told once, with its status.
    steps = _counted(totals, "step_failures").items()
    counts |= {place: count for place, count in steps if place[:3] not in of_requests}
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return tuple(
        ErrorSummary(
            error=error,
            scenario=scenario,
            step=step,
            status=status,
            count=int(count),
            example=examples.get((error, scenario, step), ""),
        )
        for (error, scenario, step, status), count in rows
    )


def find(rows: tuple[MetricSummary, ...], metric: str, **tags: str) -> MetricSummary | None:
    """The row of a metric with exactly these tags, if the run has it."""
    return next((row for row in rows if row.metric == metric and row.tags == tags), None)
