"""*Operator*: how the operator and its hubs are, from what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import generator
from squall_dashboards.frame import add_row, page, values_of
from squall_dashboards.look import (
    BAD,
    COUNT,
    GOOD,
    PER_SECOND,
    SECONDS,
    WARNING,
    Query,
    figure,
    lines,
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
            values_of("job", "Installation", "The scrape job of the operator", "squall_operator_leader")
        ],
        since="now-3h",
    )
    for panel in _overview():
        made.with_panel(panel)
    add_row(made, "Operator", _operator())
    add_row(made, "Remote write of the hubs, by LoadTest", generator.pushing('shard=""', by=("loadtest",)))
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
    action = "squall_operator_action_seconds"
    return [
        lines(
            "Actions",
            "Done a second, by kind.",
            PER_SECOND,
            Query(rate(f"{action}_count", _JOB, by=["action"]), "{{action}}"),
            stacked=True,
        ),
        lines(
            "p95 of actions",
            "How long actions take, calls of the API server and of hubs included. The operator's clock.",
            SECONDS,
            Query(quantile(0.95, action, _JOB, by=["action"]), "{{action}}"),
        ),
        lines(
            "Failures",
            "Rounds a second that ended with an error and are tried again.",
            PER_SECOND,
            Query(rate("squall_operator_failures_total", _JOB, by=["error"]), "{{error}}"),
            stacked=True,
        ),
        lines(
            "LoadTests by phase",
            "As the operator that leads sees them.",
            COUNT,
            Query(f"max by (phase) (squall_operator_runs{where(_JOB)})", "{{phase}}"),
            stacked=True,
        ),
        lines(
            "Leader",
            "1 for the process that acts.",
            COUNT,
            Query(f"squall_operator_leader{where(_JOB)}", "{{instance}}"),
            most=1,
        ),
        lines(
            "Hubs",
            "1 while a hub answers.",
            COUNT,
            Query(f"max by (hub) (squall_operator_hub_up{where(_JOB)})", "{{hub}}"),
            most=1,
        ),
        lines(
            "Waiting to be looked at",
            "LoadTests and schedules in the operator's own queue.",
            COUNT,
            Query(f"sum(squall_operator_queue_waiting{where(_JOB)})", "waiting"),
            width=12,
        ),
        lines(
            "Waiting for their turn",
            "LoadTests that a policy's limit of concurrent runs holds back.",
            COUNT,
            Query(f"count(squall_operator_queue_position{where(_JOB)})", "waiting"),
            width=12,
        ),
    ]
