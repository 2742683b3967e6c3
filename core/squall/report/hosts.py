"""What was done about hosts in trouble: requests sent again, held back, and not sent at all.

None of it is a failure of its own, so none of it stands among the errors; and yet a run in which a fifth of the requests
were retries, or a host was left alone half of the time, is another run than the one that was planned.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from squall.metrics.histogram import Histogram
from squall.metrics.series import Counter
from squall.report.model import HostSummary, RetrySummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.metrics.series import Aggregate, SeriesKey


def retry_summaries(totals: Mapping[SeriesKey, Aggregate]) -> tuple[RetrySummary, ...]:
    """Retries by cause and step, most frequent first."""
    made: dict[tuple[str, ...], float] = defaultdict(float)
    denied: dict[tuple[str, ...], float] = defaultdict(float)
    counts = {"http_retries": made, "http_retries_denied": denied}
    for key, aggregate in totals.items():
        if key.metric in counts and isinstance(aggregate, Counter):
            tags = dict(key.tags)
            place = tuple(tags.get(name, "") for name in ("error", "scenario", "step", "status"))
            counts[key.metric][place] += aggregate.value
    found = sorted(made.keys() | denied.keys(), key=lambda place: (-made[place] - denied[place], place))
    return tuple(
        RetrySummary(
            error=place[0],
            scenario=place[1],
            step=place[2],
            status=place[3],
            count=int(made[place]),
            denied=int(denied[place]),
        )
        for place in found
    )


def host_summaries(totals: Mapping[SeriesKey, Aggregate]) -> tuple[HostSummary, ...]:
    """Every host with a rate limit or a circuit breaker, in alphabetical order."""
    hosts: dict[str, dict[str, Aggregate]] = defaultdict(dict)
    for key, aggregate in totals.items():
        host = dict(key.tags).get("host")
        if host is not None and key.metric in _OF_HOSTS:
            hosts[host][key.metric] = aggregate
    return tuple(_host(host, hosts[host]) for host in sorted(hosts))


_OF_HOSTS = frozenset(
    {"rate_limit_wait", "circuit_state", "circuit_opened", "circuit_rejected", "circuit_open_time"}
)


def _host(host: str, metrics: Mapping[str, Aggregate]) -> HostSummary:
    def counted(metric: str) -> float:
        found = metrics.get(metric)
        return found.value if isinstance(found, Counter) else 0.0

    waits = metrics.get("rate_limit_wait")
    limited = isinstance(waits, Histogram) and waits.count > 0
    median, p95 = waits.quantiles((0.5, 0.95)) if isinstance(waits, Histogram) and limited else (None, None)
    return HostSummary(
        host=host,
        wait_median_seconds=median,
        wait_p95_seconds=p95,
        circuit_opened=int(counted("circuit_opened")),
        circuit_rejected=int(counted("circuit_rejected")),
        circuit_open_seconds=counted("circuit_open_time"),
    )
