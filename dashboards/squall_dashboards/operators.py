"""*Operator*: how the operator and its hubs are, from what they tell of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import hubs
from squall_dashboards.frame import add_row, page, values_of
from squall_dashboards.look import (
    BAD,
    BYTES,
    COUNT,
    GOOD,
    PER_SECOND,
    SCRAPED,
    SECONDS,
    WARNING,
    Query,
    figure,
    quantiles,
    scraped_lines,
    steps,
)
from squall_dashboards.promql import quantile, rate, where

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from squall_dashboards.look import Panel

_JOB = 'job=~"$job"'
_UNDER_WAY = 'phase=~"Launching|Starting|Running|Stopping"'


def operator() -> Dashboard:
    """The dashboard."""
    made = page(
        "squall-operator",
        "Operator",
        "Operator and hubs: who leads, what is done and how long it takes, what fails, and how pushing goes.",
        variables=[
            values_of("job", "Operator", "The scrape job of the operator", "squall_operator_leader"),
            hubs.variable(),
        ],
        since="now-3h",
    )
    for panel in _overview():
        made.with_panel(panel)
    add_row(made, "Operator", _operator())
    add_row(made, "Queue", queue(_JOB))
    add_row(made, "Hubs", hubs.merging())
    add_row(made, "Remote write of the hubs", hubs.remote_write())
    add_row(made, "Processes", processes())
    return made


def _overview() -> list[Panel]:
    return [
        figure(
            "Leaders",
            "Processes that act; one of each installation, and for a moment none when it changes.",
            COUNT,
            Query(f"sum(squall_operator_leader{where(_JOB)})", "leaders"),
            colours=steps((1, GOOD), base=BAD),
            width=6,
        ),
        figure(
            "Hubs that answer",
            "As the operator that leads sees them.",
            COUNT,
            Query(f"sum(max by (hub) (squall_operator_hub_up{where(_JOB)}))", "answer"),
            Query(f"count(max by (hub) (squall_operator_hub_up{where(_JOB)}))", "of"),
            colours=steps((1, GOOD), base=BAD),
            width=6,
        ),
        figure(
            "LoadTests under way",
            "That run, start or stop.",
            COUNT,
            Query(
                f"sum(max by (phase) (squall_operator_runs{where(_JOB, _UNDER_WAY)}))",
                "runs",
            ),
            width=6,
        ).no_value("0"),
        figure(
            "Waiting to be looked at",
            "LoadTests and schedules in the operator's own queue; it is empty most of the time.",
            COUNT,
            Query(f"sum(squall_operator_queue_waiting{where(_JOB)})", "waiting"),
            colours=steps((50, WARNING), (500, BAD)),
            width=6,
        ),
    ]


def _operator() -> list[Panel]:
    action, call = "squall_operator_action_seconds", "squall_operator_api_seconds"
    return [
        scraped_lines(
            "Actions",
            "Done a second, by kind.",
            PER_SECOND,
            Query(rate(f"{action}_count", _JOB, by=["action"]), "{{action}}"),
            stacked=True,
        ),
        scraped_lines(
            "p95 of actions",
            "How long actions take, calls of the API server and of hubs included. The operator's clock.",
            SECONDS,
            Query(quantile(0.95, action, _JOB, by=["action"]), "{{action}}"),
        ),
        scraped_lines(
            "Failures",
            "Rounds a second that ended with an error and are tried again.",
            PER_SECOND,
            Query(rate("squall_operator_failures_total", _JOB, by=["error"]), "{{error}}"),
            stacked=True,
        ),
        scraped_lines(
            "Leader",
            "1 for the process that acts.",
            COUNT,
            Query(f"squall_operator_leader{where(_JOB)}", "{{instance}}"),
            most=1,
        ),
        scraped_lines(
            "Hubs",
            "1 while a hub answers.",
            COUNT,
            Query(f"max by (hub) (squall_operator_hub_up{where(_JOB)})", "{{hub}}"),
            most=1,
        ),
        quantiles(
            "Rounds",
            "How long it takes to look at a LoadTest and to do what follows. The operator's clock.",
            "squall_operator_round_seconds",
            _JOB,
            interval=SCRAPED,
        ),
        scraped_lines(
            "Calls of the API server",
            "A second, by method and status; 0 where there was no answer.",
            PER_SECOND,
            Query(rate(f"{call}_count", _JOB, by=["method", "status"]), "{{method}} {{status}}"),
            stacked=True,
        ),
        scraped_lines(
            "p95 of calls of the API server",
            "The operator's clock.",
            SECONDS,
            Query(quantile(0.95, call, _JOB, by=["method"]), "{{method}}"),
        ),
        scraped_lines(
            "Overdue",
            "By how much a run has outlasted what its phase may last, at most; the operator ends it, unless it cannot.",
            SECONDS,
            Query(f"max(squall_operator_overdue_seconds{where(_JOB)})", "overdue", BAD),
        ),
        scraped_lines(
            "Waiting to be looked at",
            "LoadTests and schedules in the operator's own queue.",
            COUNT,
            Query(f"sum(squall_operator_queue_waiting{where(_JOB)})", "waiting"),
        ),
    ]


def processes() -> list[Panel]:
    """What operator and hubs take of their machines."""
    names = (_JOB, hubs.JOB)

    def each(expression: str) -> list[Query]:
        return [Query(expression.format(where(job)), "{{job}} {{instance}}") for job in names]

    return [
        scraped_lines("CPU", "Cores.", COUNT, *each("rate(process_cpu_seconds_total{}[$__rate_interval])")),
        scraped_lines("Memory", "Resident memory.", BYTES, *each("process_resident_memory_bytes{}")),
        scraped_lines("Open files", "File descriptors.", COUNT, *each("process_open_fds{}")),
    ]


def queue(*matchers: str) -> list[Panel]:
    """What waits, as operators see it; who does not lead sees the same as who does."""

    def each(name: str, *by: str) -> str:
        seen = f"max by ({', '.join(('job', *by))}) ({name}{where(*matchers)})"
        return f"sum by ({', '.join(by)}) ({seen})" if by else f"sum({seen})"

    return [
        scraped_lines(
            "LoadTests by phase",
            "Those that wait are Queued.",
            COUNT,
            Query(each("squall_operator_runs", "phase"), "{{phase}}"),
            stacked=True,
        ),
        scraped_lines(
            "Held back",
            "LoadTests that a policy's limit of concurrent runs holds back, and for how many runs the last of them waits.",
            COUNT,
            Query(each("squall_operator_queue_held"), "held back", WARNING),
            Query(f"max(squall_operator_queue_ahead{where(*matchers)})", "ahead of the last"),
        ),
        scraped_lines(
            "Oldest in each phase",
            "For how long that LoadTest has been in a phase which has been so the longest.",
            SECONDS,
            Query(f"max by (phase) (squall_operator_phase_oldest_seconds{where(*matchers)})", "{{phase}}"),
        ),
    ]
