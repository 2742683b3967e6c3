"""The row for the system under test: five queries of whoever looks, in text boxes.

Grafana puts variables into a text box's value no further, so each box holds a query as a whole. What they hold at first is what
kube-prometheus and the usual exporters call their series, for all namespaces and instances; `var-...` in an address replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from squall_dashboards.frame import text
from squall_dashboards.look import BYTES, COUNT, PER_SECOND, SCRAPED, Query, lines

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import TextBoxVariable

    from squall_dashboards.look import Panel


class _Box(NamedTuple):
    """A query that may be replaced."""

    name: str
    title: str
    unit: str
    source: str
    query: str


_BOXES = (
    _Box(
        "system_cpu",
        "CPU",
        "cores",
        "cAdvisor",
        'sum by (namespace) (rate(container_cpu_usage_seconds_total{container!=""}[$__rate_interval]))',
    ),
    _Box(
        "system_memory",
        "Memory",
        BYTES,
        "cAdvisor",
        'sum by (namespace) (container_memory_working_set_bytes{container!=""})',
    ),
    _Box(
        "system_database",
        "Database",
        COUNT,
        "postgres_exporter",
        "sum by (datname, state) (pg_stat_activity_count)",
    ),
    _Box(
        "system_redis",
        "Redis",
        PER_SECOND,
        "redis_exporter",
        "sum by (instance) (rate(redis_commands_processed_total[$__rate_interval]))",
    ),
    _Box("system_queue", "Queue depth", COUNT, "RabbitMQ", "sum by (queue) (rabbitmq_queue_messages)"),
)


def variables() -> list[TextBoxVariable]:
    """The text boxes."""
    return [
        text(
            box.name,
            f"Query: {box.title}",
            f"PromQL of the panel {box.title}; at first, series of {box.source}",
            box.query,
        )
        for box in _BOXES
    ]


def panels() -> list[Panel]:
    """A panel for each."""
    # Not escaped: it is a query, not a value in one.
    return [
        lines(
            box.title,
            f"What the text box 'Query: {box.title}' asks.",
            box.unit,
            Query("${" + box.name + ":raw}"),
            interval=SCRAPED,
        )
        for box in _BOXES
    ]
