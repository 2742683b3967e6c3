"""Series about the run itself: what it was asked to do, how far it is, what is judged of it and what became of it.

All but the exporter's own counters are gauges, so that a dashboard can lay them over what was measured: the load that was wanted over the load that came, a limit over its
value. What happens at one moment is the time of it, for annotations. States are one series for each, 1 where it is the case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from squall.export.names import Family, Point
from squall.report.model import Phase, RunnerPhase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from squall.report.model import LiveState, Summary, ThresholdState

STATES: Final = ("pending", "pass", "violated", "failed", "noData")
RESULTS: Final = ("Passed", "Failed", "Invalid", "Aborted", "Error")


def _family(name: str, text: str, *labels: str) -> Family:
    return Family(f"squall_{name}", "gauge", text, labels)


def _counter(name: str, text: str) -> Family:
    return Family(f"squall_{name}", "counter", text)


INFO: Final = _family("run_info", "1; what the run is.", "version", "shards")
PHASE: Final = _family("run_phase", "Whether the run is in this phase.", "phase")
START: Final = _family("run_start_time_seconds", "When the load began, Unix time.")
END: Final = _family("run_end_time_seconds", "When all was over, Unix time; from then on.")
STOP: Final = _family(
    "run_stop_time_seconds",
    "When it was decided to stop the run, Unix time; from then on.",
    "cause",
    "reason",
)
ELAPSED: Final = _family("run_elapsed_seconds", "How long there has been load.")
PLANNED: Final = _family("run_planned_seconds", "Planned end of the last scenario, since the start.")
RUNNERS: Final = _family("run_runners", "Runner processes in this phase.", "phase")
WARNINGS: Final = _family("run_warnings", "Warnings until now.")
TARGET: Final = _family(
    "scenario_target", "The load that the plan wants now, VUs or iterations per second.", "scenario", "unit"
)
DELIVERED: Final = _family(
    "scenario_delivered", "The load that there was in the last second.", "scenario", "unit"
)
PROGRESS: Final = _family(
    "scenario_progress_ratio", "How much of the scenario is over, from 0 to 1.", "scenario"
)
STAGE: Final = _family("scenario_stage", "1 for the stage that a scenario is in.", "scenario", "stage")
THRESHOLD_INFO: Final = _family(
    "threshold_info", "1; what a threshold is.", "threshold", "source", "expression", "severity", "unit"
)
THRESHOLD_VALUE: Final = _family("threshold_value", "What is judged, in its base unit.", "threshold")
THRESHOLD_LIMIT: Final = _family("threshold_limit", "What it is compared with.", "threshold")
THRESHOLD_STATE: Final = _family(
    "threshold_state", "Whether the threshold is in this state.", "threshold", "state"
)
THRESHOLD_FAILED: Final = _family(
    "threshold_failed_time_seconds", "When it had failed for good, Unix time; from then on.", "threshold"
)
SATURATED: Final = _family("generator_saturated", "Whether the generator was saturated in the last second.")
VERDICT: Final = _family(
    "run_verdict", "Whether this is the result; at the end.", "result", "cause", "reason"
)
EXIT_CODE: Final = _family("run_exit_code", "What `squall run` ends with; at the end.")
TIER: Final = _family("tier_held", "Whether a tier held; at the end.", "tier", "group")

SENT: Final = _counter("remote_write_samples_sent_total", "Samples that the receiver has taken.")
REFUSED: Final = _counter("remote_write_samples_refused_total", "Samples that it has refused.")
DROPPED: Final = _counter("remote_write_samples_dropped_total", "Samples that had no room while it was away.")
RETRIES: Final = _counter("remote_write_retries_total", "Requests that were sent again.")
PENDING: Final = _family("remote_write_samples_pending", "Samples that wait.")
PENDING_BYTES: Final = _family("remote_write_pending_bytes", "What they take.")
LAG: Final = _family("remote_write_lag_seconds", "How old the oldest sample is that waits.")
SERIES: Final = _family("remote_write_series", "Series that are pushed.")
FOLDED: Final = _family(
    "remote_write_series_folded", "Series that are counted with fewer labels, as there were too many."
)
HEALTH: Final = (SENT, REFUSED, DROPPED, RETRIES, PENDING, PENDING_BYTES, LAG, SERIES, FOLDED)

FAMILIES: Final = (
    *(INFO, PHASE, START, END, STOP, ELAPSED, PLANNED, RUNNERS, WARNINGS),
    *(TARGET, DELIVERED, PROGRESS, STAGE),
    *(THRESHOLD_INFO, THRESHOLD_VALUE, THRESHOLD_LIMIT, THRESHOLD_STATE, THRESHOLD_FAILED),
    *(SATURATED, VERDICT, EXIT_CODE, TIER),
    *HEALTH,
)
"""Every family that is none of a metric, in the order of the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known beside the state.

    Attributes:
        version: Squall's.
        shards: Of the run.
        start_unix: When the load began; None when it has not.
        saturated: Whether the generator was, in the last slot.
        stop: When it was decided to stop, with cause and reason; None while it was not.
    """

    version: str
    shards: int
    start_unix: float | None
    saturated: bool = False
    stop: tuple[float, str, str] | None = None


def during(live: LiveState, facts: RunFacts) -> list[Point]:
    """The points of a run that goes on."""
    return [*_always(live, facts), *_load(live, facts), *_thresholds(live.thresholds, facts.start_unix)]


def at_end(live: LiveState, facts: RunFacts, summary: Summary, end_unix: float) -> list[Point]:
    """Those of one that is over, which stay until they are too old for Prometheus to show."""
    verdict = summary.verdict
    labels = (("cause", verdict.cause), ("reason", verdict.reason))
    points = [
        *_always(live, facts),
        *_thresholds(summary.thresholds, facts.start_unix),
        Point(END, (), end_unix),
        Point(EXIT_CODE, (), verdict.exit_code),
    ]
    points += [
        Point(
            VERDICT, (("result", each), *(labels if each == verdict.result else ())), each == verdict.result
        )
        for each in RESULTS
    ]
    points += [Point(TIER, (("tier", tier.name), ("group", tier.group)), tier.held) for tier in summary.tiers]
    return points


def _always(live: LiveState, facts: RunFacts) -> Iterator[Point]:
    yield Point(INFO, (("version", facts.version), ("shards", str(facts.shards))), 1)
    for phase in get_args(Phase):
        yield Point(PHASE, (("phase", phase),), live.phase == phase)
    if facts.start_unix is not None:
        yield Point(START, (), facts.start_unix)
    if facts.stop is not None:
        at, cause, reason = facts.stop
        yield Point(STOP, (("cause", cause), ("reason", reason)), at)
    yield Point(PLANNED, (), live.planned_seconds)
    yield Point(WARNINGS, (), len(live.warnings))


def _load(live: LiveState, facts: RunFacts) -> Iterator[Point]:
    yield Point(ELAPSED, (), live.elapsed_seconds)
    yield Point(SATURATED, (), facts.saturated)
    for phase in get_args(RunnerPhase):
        yield Point(RUNNERS, (("phase", phase),), sum(each.phase == phase for each in live.runners))
    for scenario in live.scenarios:
        name = ("scenario", scenario.name)
        unit = ("unit", "vus" if scenario.unit == "VUs" else "iterations_per_second")
        yield Point(TARGET, (name, unit), scenario.target)
        yield Point(DELIVERED, (name, unit), scenario.actual)
        yield Point(PROGRESS, (name,), scenario.progress)
        if scenario.stage:
            yield Point(STAGE, (name, ("stage", scenario.stage)), 1)


def _thresholds(thresholds: Sequence[ThresholdState], start_unix: float | None) -> Iterator[Point]:
    seen: dict[str, int] = {}
    for threshold in thresholds:
        seen[threshold.name] = seen.get(threshold.name, 0) + 1
        again = f" ({seen[threshold.name]})" if seen[threshold.name] > 1 else ""
        name = ("threshold", threshold.name + again)
        info = (
            *(name, ("source", threshold.source), ("expression", threshold.expression)),
            *(("severity", threshold.severity), ("unit", threshold.unit)),
        )
        yield Point(THRESHOLD_INFO, info, 1)
        if threshold.value is not None:
            yield Point(THRESHOLD_VALUE, (name,), threshold.value)
        if threshold.limit is not None:
            yield Point(THRESHOLD_LIMIT, (name,), threshold.limit)
        for state in STATES:
            yield Point(THRESHOLD_STATE, (name, ("state", state)), threshold.state == state)
        if threshold.failed_at_seconds is not None and start_unix is not None:
            yield Point(THRESHOLD_FAILED, (name,), start_unix + threshold.failed_at_seconds)
