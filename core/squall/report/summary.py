"""The end of a run: what the hub knows, made into the one `Summary` that everything is drawn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

import squall
from squall.metrics.series import Aggregate, Counter, Gauge, Selector, SeriesKey, Tags, merge
from squall.report.chain import chain_summary
from squall.report.components import component_summaries, flow_summaries
from squall.report.figures import check_summaries, error_summaries, find, metric_summaries
from squall.report.hosts import host_summaries, retry_summaries
from squall.report.model import (
    CapacitySummary,
    Event,
    GeneratorSummary,
    LoadSummary,
    Summary,
    ThresholdState,
    TierSummary,
    Timings,
    VerdictSummary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from squall.metrics.names import Catalogue
    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.verdict.thresholds import Spans

_NS = 1_000_000_000
_GENERATOR = frozenset(
    {
        *("loop_lag", "schedule_lag", "cpu_usage", "cores_busy", "cpu_wait", "cpu_throttled", "gc_pause"),
        *("memory_resident", "files_used", "ports_used", "send_stall", "clock_steps", "series_dropped"),
    }
)
"""The metrics by which a generator tells how it fared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the hub knows of a run when it has ended.

    Attributes:
        run: The run's id.
        name: The LoadTest's name.
        started_at: When the load began, or when the run was given up before that; UTC.
        ended_at: When all was over, teardown included; UTC.
        manifest: The effective manifest as plain data.
        options: What the command line changed, for the record.
        plan: What was planned, and which levels there were where they were searched for.
        runners: How many runners there were.
        catalogue: The run's metrics, its own included.
        totals: Every series, merged over runners and time.
        peaks: The most VUs, or iterations started in one second, that each scenario reached.
        verdict: The outcome.
        thresholds: The thresholds as last evaluated.
        tiers: The tiers, in the manifest's order.
        events: What happened, in order.
        warnings: What the user should know beside the verdict.
        examples: One error message by (error class, scenario, step).
        timings: How the run itself went.
        capacity: What searches for capacity have found.
        saturated_share: Share of the run's seconds in which the generator was saturated.
        saturation: What was seen then, and what to change.
        lost_runners: Runners that were lost.
    """

    run: str
    name: str
    started_at: datetime
    ended_at: datetime
    manifest: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    plan: TestPlan
    runners: int
    catalogue: Catalogue
    totals: Mapping[SeriesKey, Aggregate]
    peaks: Mapping[str, float] = field(default_factory=dict)
    verdict: VerdictSummary
    thresholds: tuple[ThresholdState, ...] = ()
    tiers: tuple[TierSummary, ...] = ()
    events: tuple[Event, ...] = ()
    warnings: tuple[str, ...] = ()
    examples: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    capacity: tuple[CapacitySummary, ...] = ()
    saturated_share: float = 0.0
    saturation: str = ""
    lost_runners: tuple[int, ...] = ()


def manifest_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 of a manifest, independent of the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()


def build_summary(facts: Facts) -> Summary:
    """All figures of the report."""
    places = _places(facts.manifest)
    for found in facts.capacity:
        for level in sorted({each.target for each in found.levels}):
            places[("scenario", found.scenario), ("stage", str(level))] = len(places)
    metrics = metric_summaries(facts.totals, facts.catalogue, partial(_seconds, facts), places)
    return Summary(
        squall_version=squall.__version__,
        run=facts.run,
        name=facts.name,
        started_at=iso(facts.started_at),
        ended_at=iso(facts.ended_at),
        planned_seconds=facts.plan.duration_ns / _NS,
        shards=facts.plan.shards,
        runners=facts.runners,
        manifest_hash=manifest_hash(facts.manifest),
        options=facts.options,
        verdict=facts.verdict,
        grades=_grades(facts.tiers),
        tiers=facts.tiers,
        thresholds=facts.thresholds,
        metrics=metrics,
        checks=check_summaries(facts.totals, places),
        errors=error_summaries(facts.totals, facts.examples),
        retries=retry_summaries(facts.totals),
        hosts=host_summaries(facts.totals),
        load=tuple(_load(facts, scenario) for scenario in facts.plan.scenarios),
        capacity=facts.capacity,
        components=component_summaries(facts.totals, facts.catalogue, facts.timings.load_seconds, places),
        flows=flow_summaries(facts.totals, _scenario_seconds(facts), places),
        chain=chain_summary(facts.totals, facts.plan),
        events=facts.events,
        warnings=facts.warnings,
        timings=facts.timings,
        generator=_generator(facts),
        lost_runners=facts.lost_runners,
    )


def _places(manifest: dict[str, Any]) -> dict[Tags, int]:
    """Numbers every scenario, stage and step in the order in which the manifest has them."""
    places: dict[Tags, int] = {}
    for scenario in manifest["spec"]["scenarios"]:
        own = ("scenario", scenario["name"])
        places[own,] = len(places)
        for number, stage in enumerate(scenario.get("stages", ()), 1):
            places[own, ("stage", stage.get("name", str(number)))] = len(places)
        for step in _named_steps(scenario):
            places[own, ("step", step)] = len(places)
    return places


def _named_steps(part: object) -> Iterator[str]:
    """The names of all steps below a part of the manifest, however deeply they stand."""
    if isinstance(part, list):
        for item in part:
            yield from _named_steps(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ("steps", "finally", "then", "else"):
                yield from (step["name"] for step in value if "name" in step)
            yield from _named_steps(value)


def _seconds(facts: Facts, tags: dict[str, str]) -> float:
    """How long the load lasted that the tags select: a counter's rate is over the time in which it could count."""
    return sum(last - first for first, last in loaded(facts.plan, facts.timings.load_seconds, tags))


def _scenario_seconds(facts: Facts) -> dict[str, float]:
    return {each.name: _seconds(facts, {"scenario": each.name}) for each in facts.plan.scenarios}


def loaded(plan: TestPlan, end: float, tags: Mapping[str, str]) -> Spans:
    """When there was load of the scenario and the stage that tags may select, in seconds since the start.

    Args:
        plan: What was planned.
        end: When the load ended.
        tags: Others than `scenario` and `stage` are of no matter.
    """
    if not {"scenario", "stage"} & tags.keys():
        return ((0.0, end),)
    scenarios = [each for each in plan.scenarios if tags.get("scenario") in (None, each.name)]
    stages = [stage for each in scenarios for stage in each.stages if stage.name == tags.get("stage")]
    parts = [(each.start_ns, each.end_ns) for each in (stages or scenarios)]
    spans: list[tuple[float, float]] = []
    for start_ns, end_ns in sorted(parts):
        first, last = start_ns / _NS, min(end_ns / _NS, end)
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        elif first < last:
            spans.append((first, last))
    return tuple(spans)


def _grades(tiers: tuple[TierSummary, ...]) -> dict[str, str]:
    """By group, the first tier that held; tiers stand from best to least."""
    grades: dict[str, str] = {}
    for tier in tiers:
        if not grades.get(tier.group):
            grades[tier.group] = tier.name if tier.held else ""
    return grades


def iso(moment: datetime) -> str:
    """A moment (UTC) as reports have it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def total(totals: Mapping[SeriesKey, Aggregate], metric: str, **tags: str) -> Aggregate | None:
    """All series of a metric with these tags, merged; None when there are none."""
    selector = Selector(metric, tuple(sorted(tags.items())))
    merged: Aggregate | None = None
    for key, aggregate in totals.items():
        if selector.matches(key):
            if merged is None:
                merged = aggregate.copy()
            else:
                merge(merged, aggregate)
    return merged


def _count(facts: Facts, metric: str, scenario: str) -> int:
    found = total(facts.totals, metric, scenario=scenario)
    return int(found.value) if isinstance(found, Counter) else 0


def _load(facts: Facts, scenario: ScenarioPlan) -> LoadSummary:
    name = scenario.name
    vus = total(facts.totals, "vus", scenario=name)
    peak_vus = vus.max if isinstance(vus, Gauge) else 0.0
    return LoadSummary(
        scenario=name,
        executor=scenario.executor,
        unit="iterations/s" if scenario.is_open else "VUs",
        peak_target=_peak_target(facts, scenario),
        peak_actual=facts.peaks.get(name, peak_vus),
        iterations=_count(facts, "iterations", name),
        failed=_count(facts, "iterations_failed", name),
        dropped=_count(facts, "dropped_iterations", name),
        interrupted=_count(facts, "iterations_interrupted", name),
        planned=None if scenario.is_random else scenario.planned_iterations,
    )


def _peak_target(facts: Facts, scenario: ScenarioPlan) -> float:
    """The highest load of the plan; of a search the highest that it has come to."""
    tried = [
        level.target for each in facts.capacity if each.scenario == scenario.name for level in each.levels
    ]
    if scenario.search is None:
        return scenario.peak
    return scenario.search.per_second(max(tried, default=0))


def _generator(facts: Facts) -> GeneratorSummary:
    metrics = metric_summaries(
        {key: aggregate for key, aggregate in facts.totals.items() if key.metric in _GENERATOR},
        facts.catalogue,
        partial(_seconds, facts),
        {},
    )

    def value(metric: str, figure: str) -> float | None:
        row = find(metrics, metric)
        return row.values[figure] if row else None

    stalls = value("send_stall", "count") or 0.0
    return GeneratorSummary(
        loop_lag_p99_seconds=value("loop_lag", "p99"),
        schedule_lag_p99_seconds=value("schedule_lag", "p99"),
        cpu_peak=value("cpu_usage", "max"),
        cores_busy_peak=value("cores_busy", "max"),
        cpu_wait_seconds=value("cpu_wait", "count") or 0.0,
        cpu_throttled_seconds=value("cpu_throttled", "count") or 0.0,
        gc_pause_max_seconds=value("gc_pause", "max"),
        memory_peak_bytes=value("memory_resident", "max"),
        files_used_peak=value("files_used", "max"),
        ports_used_peak=value("ports_used", "max"),
        send_stall_seconds=stalls * (value("send_stall", "avg") or 0.0),
        clock_steps=int(value("clock_steps", "count") or 0),
        saturated_share=facts.saturated_share,
        saturation=facts.saturation,
        series_dropped=int(value("series_dropped", "count") or 0),
    )
