"""What was measured of requests: how long they took, which of them failed, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import promql
from squall_dashboards.look import (
    BAD,
    CIRCUIT_NAMES,
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    UP_NAMES,
    Query,
    heat,
    lines,
    quantiles,
    rows,
    states,
)
from squall_dashboards.promql import RUN, final, final_quantile, final_ratio, quantile, rate, ratio, where

if TYPE_CHECKING:
    from squall_dashboards.look import Panel

TOTAL, RESPONSE, SERVICE = (
    "squall_http_req_total_seconds",
    "squall_http_req_response_time_seconds",
    "squall_http_req_duration_seconds",
)
FAILED = ("squall_http_req_failed_total", "squall_http_req_failed_samples_total")
TOTAL_IS = "Total time: the whole call, from asking for a connection to the end of the last redirect."
RESPONSE_IS = "Response time: from the moment at which the plan wanted the request, so what a user would have waited, stalls included."
SERVICE_IS = "Service time: from the first byte sent to the last byte received, once a connection was there; k6's http_req_duration."
OF_ALL = "Of all runners together, over the last moments."


def latency() -> list[Panel]:
    """How long requests took, by each of the clocks."""

    def part(name: str) -> Query:
        return Query(quantile(0.95, f"squall_http_req_{name}_seconds", RUN), name.replace("_", " "))

    return [
        quantiles("Total time", f"{TOTAL_IS} {OF_ALL}", TOTAL, RUN),
        quantiles("Response time", f"{RESPONSE_IS} {OF_ALL}", RESPONSE, RUN),
        quantiles("Service time", f"{SERVICE_IS} {OF_ALL}", SERVICE, RUN),
        heat(
            "Total time, all of it",
            f"How many requests a second took how long. {TOTAL_IS}",
            SECONDS,
            Query(promql.buckets(TOTAL, RUN), "{{le}}"),
        ),
        lines(
            "Where the time goes",
            "p95 of each part of a request; parts do not add up to the p95 of the whole. Blocked is all waiting for a connection.",
            SECONDS,
            *(
                part(name)
                for name in ("blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving")
            ),
            width=12,
        ),
    ]


def errors() -> list[Panel]:
    """What failed, and how."""
    checks = ratio("squall_checks_passed_total", "squall_checks_total", RUN, by=["check"])
    return [
        lines(
            "Failed requests",
            "The share without a response or with an unexpected status; cancelled ones are left out.",
            SHARE,
            Query(ratio(*FAILED, RUN), "all", BAD),
            Query(ratio(*FAILED, RUN, by=["scenario"]), "{{scenario}}"),
            most=1,
        ),
        lines(
            "Errors by class",
            "Failed requests a second, by what went wrong.",
            PER_SECOND,
            Query(rate("squall_http_req_errors_total", RUN, by=["error"]), "{{error}}"),
            stacked=True,
        ),
        lines(
            "Responses by status",
            "Requests a second by status; those without a response have none.",
            PER_SECOND,
            Query(rate("squall_http_reqs_total", RUN, by=["status"]), "{{status}}"),
            stacked=True,
        ),
        lines(
            "Failed steps",
            "Steps that failed, a second: requests, extractions, conditions.",
            PER_SECOND,
            Query(rate("squall_step_failures_total", RUN, by=["step", "error"]), "{{step}}: {{error}}"),
            stacked=True,
        ),
        lines(
            "Checks that hold",
            "The share of each check that held.",
            SHARE,
            Query(checks, "{{check}}"),
            most=1,
        ),
        lines(
            "Retries",
            "Requests sent again a second, by what failed before; they hide no failure.",
            PER_SECOND,
            Query(rate("squall_http_retries_total", RUN, by=["error"]), "{{error}}"),
            stacked=True,
        ),
    ]


def parts() -> list[Panel]:
    """The same for each scenario, stage and step by itself."""
    made: list[Panel] = []
    for by, extra in ((["scenario"], ""), (["scenario", "stage"], 'stage!=""'), (["scenario", "step"], "")):
        what, legend = by[-1], " / ".join("{{" + each + "}}" for each in by)
        made += [
            lines(
                f"p95 total time by {what}",
                f"{TOTAL_IS} {OF_ALL}",
                SECONDS,
                Query(quantile(0.95, TOTAL, RUN, extra, by=by), legend),
            ),
            lines(
                f"Requests by {what}",
                f"Requests sent a second. {OF_ALL}",
                PER_SECOND,
                Query(rate("squall_http_reqs_total", RUN, extra, by=by), legend),
                stacked=True,
            ),
            lines(
                f"Failed requests by {what}",
                "The share without a response or with an unexpected status.",
                SHARE,
                Query(ratio(*FAILED, RUN, extra, by=by), legend),
                most=1,
            ),
        ]
    return [_table(), *made]


def _table() -> Panel:
    """One row for each step; steps of several scenarios may have one name, so it stands behind the scenario's."""
    by = ("scenario", "step")

    def column(expression: str) -> Query:
        return Query(f'max by (step) (label_join({expression}, "step", " / ", "scenario", "step"))')

    return rows(
        "Steps",
        "Each step over all of the run: requests, the share that failed, percentiles of total time, p95 of response time.",
        "step",
        {
            "requests": (column(final("squall_http_reqs_total", RUN, by=by)), COUNT),
            "failed": (column(final_ratio(*FAILED, RUN, by=by)), SHARE),
            "p50": (column(final_quantile(0.5, TOTAL, RUN, by=by)), SECONDS),
            "p95": (column(final_quantile(0.95, TOTAL, RUN, by=by)), SECONDS),
            "p99": (column(final_quantile(0.99, TOTAL, RUN, by=by)), SECONDS),
            "p95 response": (column(final_quantile(0.95, RESPONSE, RUN, by=by)), SECONDS),
        },
    )


def hosts() -> list[Panel]:
    """How hosts are treated: limits, circuits, fail-over."""
    by = ["host"]
    return [
        lines(
            "p95 of waiting for one's turn",
            "In the rate limit of a host; it is part of total time.",
            SECONDS,
            Query(quantile(0.95, "squall_rate_limit_wait_seconds", RUN, by=by), "{{host}}"),
            width=12,
        ),
        lines(
            "Not sent, as the circuit was open",
            "Requests a second; they count as failed, but not as requests.",
            PER_SECOND,
            Query(rate("squall_circuit_rejected_total", RUN, by=by), "{{host}}"),
            width=12,
            stacked=True,
        ),
        states(
            "Circuits",
            "The worst of all runners.",
            Query(f"max by (host) (squall_circuit_state{where(RUN)})", "{{host}}"),
            CIRCUIT_NAMES,
        ),
        states(
            "Base URLs",
            "Whether each gets its share of the load, with http.failover.",
            Query(f"min by (host) (squall_target_up{where(RUN)})", "{{host}}"),
            UP_NAMES,
        ),
    ]


def jobs() -> list[Panel]:
    """Of poll steps."""
    failed = ratio("squall_job_failed_total", "squall_job_failed_samples_total", RUN, by=["step"])
    return [
        quantiles(
            "Job latency",
            "From the first poll of a job to its end.",
            "squall_job_latency_seconds",
            RUN,
        ),
        lines(
            "Polls",
            "Requests sent by polling a second, which are in no other figure of requests.",
            PER_SECOND,
            Query(rate("squall_poll_reqs_total", RUN, by=["step"]), "{{step}}"),
            stacked=True,
        ),
        lines(
            "Failed jobs",
            "The share of jobs that failed or missed their deadline.",
            SHARE,
            Query(failed, "{{step}}"),
            most=1,
        ),
    ]
