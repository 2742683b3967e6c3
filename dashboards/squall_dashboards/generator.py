"""How those who drove the load were: runners, shards, and the pushing of what they measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards.look import (
    BAD,
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    GOOD,
    HAD,
    PER_SECOND,
    SECONDS,
    SHARE,
    WANTED,
    WARNING,
    Query,
    lines,
    quantiles,
)
from squall_dashboards.promql import RUN, equal, or_zero, quantile, rate, summed, total_per_second, where

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_dashboards.look import Panel

_PHASES = {"connecting": WANTED, "ready": "super-light-blue", "running": HAD, "finished": GOOD, "lost": BAD}


def generator() -> list[Panel]:
    """Of all runners together; where one figure stands for several runners, it is the highest."""

    def gauge(name: str, legend: str) -> Query:
        return Query(f"{name}{where(RUN)}", legend)

    return [
        lines(
            "Runners",
            "Runner processes by phase.",
            COUNT,
            *(
                Query(summed(f"squall_run_runners{where(RUN, equal('phase', phase))}"), phase, colour)
                for phase, colour in _PHASES.items()
            ),
            stacked=True,
        ),
        lines(
            "Saturated",
            "1 while the generator could not keep up, so that what it measured may be its own doing.",
            COUNT,
            Query(f"squall_generator_saturated{where(RUN)}", "saturated", BAD),
            most=1,
        ),
        quantiles(
            "Loop lag",
            "How late the runners' event loops answer; 50 ms at p99 count as saturated. The runners' clocks.",
            "squall_loop_lag_seconds",
            RUN,
        ),
        lines(
            "CPU",
            "Of the core that a runner may use: the busiest runner, and how busy its cores are by whomever.",
            SHARE,
            gauge("squall_cpu_usage", "runner"),
            gauge("squall_cores_busy", "cores"),
        ),
        lines(
            "CPU that was missing",
            "Seconds a second in which runners waited for a core, or were throttled by their limit, added up over the runners.",
            SECONDS,
            Query(rate("squall_cpu_wait_seconds_total", RUN), "waited", WARNING),
            Query(or_zero(rate("squall_cpu_throttled_seconds_total", RUN)), "throttled", BAD),
        ),
        lines(
            "Garbage collection",
            "Seconds a second in pauses, added up over the runners.",
            SECONDS,
            Query(or_zero(total_per_second("squall_gc_pause_seconds", RUN)), "pauses"),
        ),
        lines(
            "Memory",
            "Resident memory of the largest runner.",
            BYTES,
            gauge("squall_memory_resident_bytes", "memory"),
        ),
        lines(
            "Connections",
            "Open ones of all runners, and those opened a second.",
            COUNT,
            gauge("squall_connections_open", "open"),
            Query(rate("squall_http_connections_total", RUN), "opened a second"),
        ),
        lines(
            "Ports and files",
            "Of what a runner may have: local ports to one destination, and file descriptors.",
            SHARE,
            gauge("squall_ports_used", "ports"),
            gauge("squall_files_used", "files"),
            most=1,
        ),
        lines(
            "Data",
            "Bytes a second.",
            BYTES_PER_SECOND,
            Query(rate("squall_data_sent_bytes_total", RUN), "sent"),
            Query(rate("squall_data_received_bytes_total", RUN), "received"),
            width=12,
        ),
        lines(
            "VUs",
            "Running, and set up.",
            COUNT,
            Query(f"sum(squall_vus{where(RUN)})", "running", HAD),
            Query(f"sum(squall_vus_max{where(RUN)})", "set up", WANTED, dashed=True),
            width=12,
        ),
    ]


def shards() -> list[Panel]:
    """Each runner by itself, from the series that it pushes."""
    by = ["shard"]
    return [
        lines(
            "Requests by shard",
            "Sent a second by the runner that carries these shards.",
            PER_SECOND,
            Query(rate("squall_shard_http_reqs_total", RUN, by=by), "{{shard}}"),
        ),
        lines(
            "p95 total time by shard",
            "Of the requests of one runner; never to be averaged.",
            SECONDS,
            Query(quantile(0.95, "squall_shard_http_req_total_seconds", RUN, by=by), "{{shard}}"),
        ),
        lines(
            "p99 loop lag by shard",
            "How late the runner's event loop answers.",
            SECONDS,
            Query(quantile(0.99, "squall_shard_loop_lag_seconds", RUN, by=by), "{{shard}}"),
        ),
        lines(
            "CPU by shard",
            "Of the core that the runner may use.",
            SHARE,
            Query(f"squall_shard_cpu_usage{where(RUN)}", "{{shard}}"),
        ),
        lines(
            "Memory by shard",
            "Resident memory of the runner.",
            BYTES,
            Query(f"squall_shard_memory_resident_bytes{where(RUN)}", "{{shard}}"),
        ),
        lines(
            "VUs by shard",
            "That are running.",
            COUNT,
            Query(f"sum by (shard) (squall_shard_vus{where(RUN)})", "{{shard}}"),
        ),
    ]


def pushing() -> list[Panel]:
    """How the run's own pushing goes, as it tells itself by what it pushes."""
    fleet = equal("shard", "")
    series = [
        Query(f"squall_remote_write_series{where(RUN, fleet)}", "series"),
        Query(f"squall_remote_write_series_folded{where(RUN, fleet)}", "folded", WARNING),
    ]
    return [
        *remote_write("squall_remote_write_", RUN, fleet),
        lines(
            "Series",
            "That are pushed, and those that are counted with fewer labels as there were too many.",
            COUNT,
            *series,
        ),
    ]


def remote_write(prefix: str, *matchers: str, make: Callable[..., Panel] = lines) -> list[Panel]:
    """How it goes with remote write, by whoever tells."""

    def counter(what: str, legend: str, colour: str) -> Query:
        return Query(rate(f"{prefix}{what}_total", *matchers), legend, colour)

    return [
        make(
            "Samples",
            "Samples a second that the receiver has taken, has refused, and that had no room while it was away.",
            PER_SECOND,
            counter("samples_sent", "sent", GOOD),
            counter("samples_refused", "refused", WARNING),
            counter("samples_dropped", "dropped", BAD),
        ),
        make(
            "Waiting",
            "How old the oldest sample is that waits.",
            SECONDS,
            Query(f"max({prefix}lag_seconds{where(*matchers)})", "age"),
        ),
        make(
            "Buffer",
            "What the samples take that wait.",
            BYTES,
            Query(summed(f"{prefix}pending_bytes{where(*matchers)}"), "buffer"),
        ),
        make(
            "Requests sent again",
            "A second, as the receiver was away, slow or too busy.",
            PER_SECOND,
            counter("retries", "retries", WARNING),
        ),
    ]
