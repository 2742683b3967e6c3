"""How the hubs are that carry runs on a cluster: merging, what they receive, and pushing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import generator
from squall_dashboards.frame import values_of
from squall_dashboards.look import (
    BAD,
    BYTES_PER_SECOND,
    COUNT,
    PER_SECOND,
    SECONDS,
    WARNING,
    Query,
    scraped_lines,
)
from squall_dashboards.promql import rate, where

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import QueryVariable

    from squall_dashboards.look import Panel

JOB = 'job=~"$hub"'


def variable() -> QueryVariable:
    """Which hubs are shown."""
    return values_of("hub", "Hub", "The scrape job of the hubs", "squall_hub_runs", of="job")


def merging() -> list[Panel]:
    """What hubs are there for."""
    return [
        scraped_lines(
            "Runs",
            "That hubs have, by phase.",
            COUNT,
            Query(f"sum by (phase) (squall_hub_runs{where(JOB)})", "{{phase}}"),
            stacked=True,
        ),
        scraped_lines(
            "Runners",
            "Of the runs that have not finished, by phase, and connections.",
            COUNT,
            Query(f"sum by (phase) (squall_hub_runners{where(JOB)})", "{{phase}}"),
            Query(f"sum(squall_hub_connections{where(JOB)})", "connected"),
        ),
        scraped_lines(
            "Merge lag",
            "How long ago the oldest second ended that is not judged yet; below 2 s while all is well. The hub's clock.",
            SECONDS,
            Query(f"squall_hub_merge_lag_seconds{where(JOB)}", "{{instance}}"),
        ),
        scraped_lines(
            "Seconds judged",
            "Seconds of runs that were judged in a second, and those of them without what a live runner should have delivered.",
            PER_SECOND,
            Query(rate("squall_hub_slots_judged_total", JOB), "judged"),
            Query(rate("squall_hub_slots_incomplete_total", JOB), "incomplete", WARNING),
        ),
        scraped_lines(
            "Snapshots",
            "Received from runners a second, and those that came after their second had been judged; they count in totals.",
            PER_SECOND,
            Query(rate("squall_hub_snapshots_received_total", JOB), "received"),
            Query(rate("squall_hub_snapshots_late_total", JOB), "too late", WARNING),
        ),
        scraped_lines(
            "Received",
            "All messages of runners.",
            BYTES_PER_SECOND,
            Query(rate("squall_hub_received_bytes_total", JOB), "bytes"),
        ),
        scraped_lines(
            "Turned away",
            "How often a second somebody was, and why.",
            PER_SECOND,
            Query(rate("squall_hub_refused_total", JOB, by=["reason"]), "{{reason}}"),
            stacked=True,
            width=12,
        ),
        scraped_lines(
            "Journals lost",
            "Runs that are not kept, as the disk refuses their journal.",
            COUNT,
            Query(f"sum(squall_hub_journals_lost{where(JOB)})", "journals lost", BAD),
            width=12,
        ),
    ]


def remote_write() -> list[Panel]:
    """Of all runs together, whether the receiver is there or not."""
    return [
        *generator.remote_write("squall_hub_remote_write_", JOB, make=scraped_lines),
        scraped_lines(
            "Runs that cannot push",
            "Whose metrics do not reach the receiver at the moment.",
            COUNT,
            Query(f"sum(squall_hub_remote_write_failing{where(JOB)})", "cannot push", BAD),
        ),
    ]
