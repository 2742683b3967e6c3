"""*Run*: one run, from its verdict down to its runners, beside the system that it ran against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import chain, generator, judged, promql, requests, system
from squall_dashboards.frame import add_row, moments, page, resolution, values_of, which_run
from squall_dashboards.look import (
    BAD,
    COUNT,
    GOOD,
    PER_SECOND,
    RESULT_CODES,
    RESULT_NAMES,
    SECONDS,
    SHARE,
    WANTED,
    WARNING,
    Query,
    figure,
    lines,
    quantiles,
    steps,
    words,
)
from squall_dashboards.promql import (
    RUN,
    coded,
    final,
    final_quantile,
    final_ratio,
    last,
    or_zero,
    rate,
    where,
)
from squall_dashboards.requests import FAILED, OF_ALL, RESPONSE, RESPONSE_IS, TOTAL, TOTAL_IS

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from squall_dashboards.look import Panel


def run() -> Dashboard:
    """The dashboard."""
    thresholds = values_of(
        "threshold", "Threshold", "Which ones are shown one by one", "squall_threshold_info", RUN
    )
    made = page(
        "squall-run",
        "Run",
        "One run: what was asked of it, what came, what was judged.",
        variables=[*which_run(), thresholds.multi(True), *system.variables(), resolution()],
    )
    made.annotations(moments())
    for panel in _overview():
        made.with_panel(panel)
    add_row(made, "Load", _load())
    add_row(made, "Latency", requests.latency())
    add_row(made, "Errors", requests.errors())
    add_row(made, "Thresholds", judged.thresholds())
    add_row(made, "Thresholds, one by one", [judged.one_by_one()], folded=True)
    add_row(made, "By scenario, stage and step", requests.parts(), folded=True)
    add_row(made, "Components (steps with the tag component)", chain.components(), folded=True)
    add_row(made, "Chain (spec.evm)", chain.chain(), folded=True)
    add_row(made, "Generator", generator.generator())
    add_row(made, "Shards (with outputs.prometheus.perShard)", generator.shards(), folded=True)
    add_row(made, "Hosts (rate limits, circuits, fail-over)", requests.hosts(), folded=True)
    add_row(made, "Jobs (poll steps)", requests.jobs(), folded=True)
    add_row(made, "Pushing of these metrics", generator.pushing(), folded=True)
    add_row(made, "System under test", system.panels(), folded=True)
    return made


def _overview() -> list[Panel]:
    verdict = coded(RESULT_CODES, "squall_run_verdict", "result", RUN, over=promql.RANGE)
    so_far = f"(squall_run_phase{where(RUN)} == 1) * 0"
    verdict = f"({verdict})\nor on (run)\n({so_far})"
    share = final_ratio(*FAILED, RUN)
    whole = "Over all of the run."
    return [
        words(
            "Verdict",
            "What came of the run and why; its phase while it goes on.",
            Query(verdict, "{{result}} {{cause}} {{reason}} {{phase}}"),
            RESULT_NAMES,
            width=6,
        ),
        figure(
            "Under load",
            "How long there has been load, of how long it is planned.",
            SECONDS,
            Query(f"max({last('squall_run_elapsed_seconds', RUN)})", "is"),
            Query(f"max({last('squall_run_planned_seconds', RUN)})", "planned"),
            width=4,
        ),
        figure(
            "Requests",
            f"All requests. {whole}",
            COUNT,
            Query(final("squall_http_reqs_total", RUN), "requests"),
            width=2,
        ),
        figure(
            "Failed",
            f"The share of requests without a response or with an unexpected status. {whole}",
            SHARE,
            Query(share, "failed"),
            width=3,
            colours=steps((0.01, WARNING), (0.05, BAD)),
        ),
        figure(
            "p95 total time", f"{TOTAL_IS} {whole}", SECONDS, Query(final_quantile(0.95, TOTAL, RUN), "p95")
        ),
        figure(
            "p95 response time",
            f"{RESPONSE_IS} {whole}",
            SECONDS,
            Query(final_quantile(0.95, RESPONSE, RUN), "p95"),
        ),
        figure(
            "Warnings",
            "Each is in the report and in the log.",
            COUNT,
            Query(f"max({last('squall_run_warnings', RUN)})", "warnings"),
            colours=steps((1, WARNING)),
            width=3,
        ),
    ]


def _load() -> list[Panel]:
    def against_plan(title: str, unit: str, of: str) -> Panel:
        matchers = (RUN, f'unit="{unit}"')
        return lines(
            title,
            f"{of} that the plan wants, and that there were in the last second. The hub's clock.",
            COUNT if unit == "vus" else PER_SECOND,
            Query(f"squall_scenario_target{where(*matchers)}", "{{scenario}} wanted", WANTED, dashed=True),
            Query(f"squall_scenario_delivered{where(*matchers)}", "{{scenario}}"),
        )

    lag = "squall_schedule_lag_seconds"
    return [
        against_plan("Load: VUs", "vus", "VUs of closed models"),
        against_plan("Load: iterations", "iterations_per_second", "Iterations a second of open models"),
        lines(
            "Requests",
            f"Requests sent a second, by scenario. {OF_ALL}",
            PER_SECOND,
            Query(rate("squall_http_reqs_total", RUN, by=["scenario"]), "{{scenario}}"),
            stacked=True,
        ),
        lines(
            "Iterations",
            "Ended a second: carried through, ended early by a failed step, or cut short by the plan's end, a ramp or a stop.",
            PER_SECOND,
            Query(rate("squall_iterations_total", RUN), "carried through", GOOD),
            Query(or_zero(rate("squall_iterations_failed_total", RUN)), "failed", BAD),
            Query(or_zero(rate("squall_iterations_interrupted_total", RUN)), "cut short", WARNING),
            stacked=True,
        ),
        quantiles(
            "Schedule lag",
            "How much later than planned arrivals of open models began: the generator's own lateness, or VUs that were all busy.",
            lag,
            RUN,
        ),
        lines(
            "Arrivals late or dropped",
            "Arrivals a second that began more than 100 ms late, and iterations of the plan that were not started as no VU was free.",
            PER_SECOND,
            Query(rate("squall_arrivals_planned_total", RUN), "planned", WANTED, dashed=True),
            Query(or_zero(rate("squall_arrivals_late_total", RUN)), "late", WARNING),
            Query(or_zero(rate("squall_dropped_iterations_total", RUN)), "dropped", BAD),
        ),
    ]
