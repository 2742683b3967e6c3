"""A run in Prometheus beside its own report: what has to be the same."""

from __future__ import annotations

from datetime import datetime

from support.prometheus import Prometheus

from squall.export.names import families_of
from squall.metrics.names import BUILT_IN, Kind
from squall.report.model import Summary

_BUCKET = 2.0 ** (1 / 64)
"""How far the bounds of a bucket are apart."""


def unix(text: str) -> float:
    """A moment of a report, Unix time."""
    return datetime.fromisoformat(text).timestamp()


def at_end(summary: Summary) -> float:
    """A moment at which the last values stand: they are ended five seconds after the run."""
    return unix(summary.ended_at) + 2.0


def counters(prometheus: Prometheus, summary: Summary, at: float) -> dict[str, tuple[float, float]]:
    """By series: the exact counts of all that has a count, as Prometheus has them and as the report does."""
    found: dict[str, tuple[float, float]] = {}
    run = f'run="{summary.run}"'
    for metric in summary.metrics:
        if metric.tags or metric.metric not in BUILT_IN:
            continue
        names, values = [family.name for family in families_of(BUILT_IN[metric.metric])], metric.values
        queries: dict[str, float] = {}
        if metric.kind == Kind.COUNTER and metric.unit == "1":
            queries = {f"sum({names[0]}{{{run}}})": values["count"]}
        elif metric.kind == Kind.RATE:
            queries = {
                f"sum({name}{{{run}}})": values[key]
                for name, key in zip(names, ("passes", "total"), strict=True)
            }
        elif metric.kind == Kind.TREND and values["count"]:
            queries = {f"histogram_count(sum({names[0]}{{{run}}}))": values["count"]}
        found |= {query: (prometheus.value(query, at), told) for query, told in queries.items()}
    return found


def percentile_holds(prometheus: Prometheus, summary: Summary, name: str, q: float) -> bool:
    """Whether a percentile that the report tells of whole calls is that of the pushed histogram, but for the width of a bucket.

    Interpolated quantiles would not do: where samples are few, the next in rank may be far away.
    """
    told = next(each.values for each in summary.metrics if each.metric == "http_req_total" and not each.tags)
    every = f'sum(squall_http_req_total_seconds{{run="{summary.run}"}})'

    def share_below(seconds: float) -> float:
        return prometheus.value(f"histogram_fraction(0, {seconds!r}, {every})", at_end(summary))

    one = 1 / told["count"]  # ranks may be counted from zero or from one
    return share_below(told[name] / _BUCKET) <= q + one and share_below(told[name] * _BUCKET) >= q - one
