"""The catalogue of metrics: which exist, what they mean, and how they are named elsewhere.

A threshold on a metric that does not exist must be refused before the run, a gauge of many runners must be
merged the one right way, and k6's words must mean what k6's users expect. All three need one list.
Names and meaning are k6's where k6 has the metric; what k6 hides (whole call, response time from the intended
moment, the generator's own health) stands beside it. Base units only: seconds, bytes, 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Kind(StrEnum):
    """What a metric's values are, and so how they add up."""

    COUNTER = "counter"
    GAUGE = "gauge"
    RATE = "rate"
    TREND = "trend"


class Unit(StrEnum):
    """Base units, as in Prometheus."""

    SECONDS = "s"
    BYTES = "bytes"
    ONE = "1"


class Merge(StrEnum):
    """What a gauge's value for the whole fleet is, from the values of its runners."""

    SUM = "sum"
    MAX = "max"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the catalogue.

    Attributes:
        name: As in manifests and reports.
        kind: counter, gauge, rate or trend.
        unit: Of its values; `1` for plain numbers. A rate is always a fraction of 1.
        description: One sentence for people.
        merge: How a gauge's runners become one value; of no meaning for the other kinds, which add up.
        reported: Whether the default summary shows it.
        custom: Declared by the manifest.
    """

    name: str
    kind: Kind
    unit: Unit
    description: str
    merge: Merge = field(default=Merge.SUM, kw_only=True)
    reported: bool = field(default=False, kw_only=True)
    custom: bool = field(default=False, kw_only=True)


Catalogue = MappingProxyType[str, Metric]


def _counter(name: str, description: str, *, unit: Unit = Unit.ONE, reported: bool = False) -> Metric:
    return Metric(name, Kind.COUNTER, unit, description, reported=reported)


def _rate(name: str, description: str, *, reported: bool = False) -> Metric:
    return Metric(name, Kind.RATE, Unit.ONE, description, reported=reported)


def _trend(name: str, description: str, *, unit: Unit = Unit.SECONDS, reported: bool = False) -> Metric:
    return Metric(name, Kind.TREND, unit, description, reported=reported)


def _gauge(
    name: str, description: str, merge: Merge, *, unit: Unit = Unit.ONE, reported: bool = False
) -> Metric:
    return Metric(name, Kind.GAUGE, unit, description, merge=merge, reported=reported)


_REQUESTS: Final = (
    _counter(
        "http_reqs",
        "Requests sent, with or without a response; those that the generator itself cut off have `error: cancelled`.",
        reported=True,
    ),
    _trend("http_req_total", "The whole call: pool wait, DNS, connect, TLS and redirects.", reported=True),
    _trend(
        "http_req_response_time",
        "From the intended moment of the request to its end, so that a stalled generator or target is seen.",
        reported=True,
    ),
    _trend("http_req_duration", "Sending + waiting + receiving.", reported=True),
    _rate(
        "http_req_failed",
        "Fraction of requests without a response or with an unexpected status, leaving out cancelled ones.",
        reported=True,
    ),
    _counter(
        "http_req_errors", "Failed requests, by the tag `error` (class of the failure); no cancelled ones."
    ),
    _trend("http_req_blocked", "Waiting for a connection: free slot, DNS, connect and TLS."),
    _trend("http_req_connecting", "Establishing the TCP connection, DNS included."),
    _trend("http_req_tls_handshaking", "The TLS handshake."),
    _trend("http_req_sending", "Sending the request."),
    _trend("http_req_waiting", "From the last byte sent to the first byte received."),
    _trend("http_req_receiving", "Receiving the response."),
    _counter(
        "http_retries",
        "Requests sent again, by the class of the failure before; `stale`: a kept connection had been closed meanwhile.",
    ),
    _counter("http_retries_denied", "Retries that were not made, as the budget of their host was spent."),
    _trend("rate_limit_wait", "Waiting for one's turn in the rate limit of a host."),
    _gauge(
        "target_up",
        "Whether a base URL gets its share of the load (1) or is left out, as it cannot be reached (0); with `http.failover`.",
        Merge.MAX,
    ),
    _gauge("circuit_state", "The circuit of a host: 0 closed, 1 half open, 2 open.", Merge.MAX),
    _counter("circuit_opened", "How often the circuit of a host opened."),
    _counter("circuit_rejected", "Requests that were not sent, as the circuit of their host was open."),
    _counter(
        "circuit_open_time",
        "Time for which the circuit of a host was not closed, added up over the runners.",
        unit=Unit.SECONDS,
    ),
    _counter("http_connections", "Connections opened."),
    _counter(
        "auth_tokens",
        "Requests for an OAuth2 token, which are in no other metric; the tag `error` when they failed.",
    ),
    _counter("data_sent", "Bytes sent.", unit=Unit.BYTES, reported=True),
    _counter("data_received", "Bytes received.", unit=Unit.BYTES, reported=True),
)

_ITERATIONS: Final = (
    _rate("checks", "Fraction of checks that held; tag `check`.", reported=True),
    _counter("iterations_started", "Iterations begun."),
    _counter("iterations", "Iterations carried through to their end.", reported=True),
    _counter("iterations_failed", "Iterations ended early by a failed step.", reported=True),
    _counter("iterations_interrupted", "Iterations cut short by the end of the plan, a ramp or a stop."),
    _counter("step_failures", "Failed steps, by the tag `error` (class of the failure)."),
    _trend("iteration_duration", "One iteration, think time included.", reported=True),
    _trend("group_duration", "One pass through a group of steps; tag `step`."),
    _trend(
        "component_duration",
        "One step that has the tag `component`, or whose scenario has it, whatever its kind; each moment counts once.",
    ),
    _rate("component_failed", "Fraction of these steps that failed."),
    _counter(
        "dropped_iterations",
        "Iterations of the plan that were not started: no VU was free, or the time was up.",
        reported=True,
    ),
    _gauge(
        "failure_streak", "Longest run of failed iterations, one after the other, on one runner.", Merge.MAX
    ),
    _gauge(
        "capacity",
        "What a `capacity` scenario has found, once it has: the highest load that holds, VUs or arrivals per `timeUnit`.",
        Merge.LAST,
        reported=True,
    ),
    _gauge("vus", "VUs that are running.", Merge.SUM, reported=True),
    _gauge("vus_max", "VUs that have been set up.", Merge.SUM, reported=True),
    _trend("job_latency", "From the first poll of a job to its end.", reported=True),
    _trend("poll_count", "Polls per job until it ended.", unit=Unit.ONE),
    _counter("poll_reqs", "Requests sent by polling; they are no part of the request trends."),
    _rate("job_failed", "Fraction of polled jobs that failed or missed their deadline."),
)

_CHAIN: Final = (
    _counter("evm_rpc_reqs", "JSON-RPC calls, retries and those of the run itself included."),
    _trend("evm_rpc_duration", "One try of a call, answered or not.", reported=True),
    _rate("evm_rpc_failed", "Fraction of calls without an answer, or with an error in it.", reported=True),
    _counter("evm_rpc_errors", "Failed calls, by the tag `error` (what the error means)."),
    _counter("evm_txs", "Transactions sent, replacements not counted.", reported=True),
    _rate(
        "evm_tx_failed",
        "Fraction of transactions that were refused, reverted or in no block in time.",
        reported=True,
    ),
    _counter("evm_tx_errors", "Failed transactions, by the tag `error` (class of the failure)."),
    _trend("evm_tx_accept_duration", "From submitting a transaction until a node has taken it."),
    _trend(
        "evm_tx_inclusion_duration",
        "From submitting a transaction until a runner sees it in a block.",
        reported=True,
    ),
    _trend(
        "evm_tx_block_delay",
        "From submitting a transaction to the timestamp of its block, which has whole seconds and the clock of who made it; at least 0.",
    ),
    _trend("evm_tx_confirmation_duration", "From submitting a transaction until it has its confirmations."),
    _counter("evm_gas_used", "Gas used by transactions.", reported=True),
    _trend("evm_gas_used_per_tx", "Gas used by a transaction.", unit=Unit.ONE),
    _counter("evm_fees", "What transactions cost, in whole tokens of the chain.", reported=True),
    _counter("evm_tx_replaced", "Transactions sent again with higher fees."),
    _counter("evm_nonce_gaps", "Nonces that would have held up others, and were filled."),
    _trend(
        "evm_event_delay", "From the beginning of a `waitEvent` step until the event is seen.", reported=True
    ),
    _trend("evm_wallet_wait", "Waiting for a wallet to be funded."),
    _counter("evm_wallets_funded", "Wallets filled, first time or again."),
    _counter("evm_funding_spent", "What went into wallets, in whole tokens of the chain."),
    _counter(
        "evm_funding_fees",
        "What the gas of filling wallets and of giving back what is left has cost, in whole tokens of the chain.",
    ),
    _gauge("evm_endpoint_up", "Whether an endpoint is asked (1) or left out (0).", Merge.MAX),
    _gauge(
        "evm_head_lag",
        "How far an endpoint's head is behind that of the others.",
        Merge.MAX,
        unit=Unit.SECONDS,
    ),
    _gauge("evm_pending_txs", "Transactions that are on their way.", Merge.SUM),
)

_GENERATOR: Final = (
    _trend("schedule_lag", "How much later than planned an arrival was started.", reported=True),
    _counter("arrivals_planned", "Arrivals that the plan had until now (arrival-rate executors)."),
    _counter("arrivals_late", "Arrivals started more than 100 ms late."),
    _trend("loop_lag", "How late the runner's event loop answers.", reported=True),
    _gauge(
        "cpu_usage",
        "The runner's use of the core that it may use, or of its share of one; 1 is all of it.",
        Merge.MAX,
        reported=True,
    ),
    _counter(
        "cpu_wait", "Time in which the runner was ready to run and waited for a core.", unit=Unit.SECONDS
    ),
    _counter("cpu_throttled", "Time in which the runner was throttled by its CPU limit.", unit=Unit.SECONDS),
    _gauge(
        "cores_busy",
        "How busy the cores are that the runner may use, by whomever; 1 is all of them fully.",
        Merge.MAX,
    ),
    _trend("gc_pause", "Pauses of the runner by garbage collection."),
    _gauge("connections_open", "Open connections of the runner.", Merge.SUM),
    _gauge(
        "ports_used",
        "Share of the local ports that the runner's connections to one destination take at most, just closed ones included.",
        Merge.MAX,
    ),
    _trend("send_stall", "Times for which a connection could send nothing, as its peer did not take it."),
    _gauge("open_files", "Open file descriptors of the runner.", Merge.MAX),
    _gauge("files_used", "Open file descriptors of the runner as a share of its limit.", Merge.MAX),
    _gauge("memory_resident", "Resident memory of the runner.", Merge.MAX, unit=Unit.BYTES),
    _counter("clock_steps", "Steps of the machine's clock by more than a second."),
    _counter(
        "series_dropped",
        "Values counted without some of the manifest's tags, since the cap on series was reached.",
    ),
)

BUILT_IN: Final[Catalogue] = MappingProxyType(
    {metric.name: metric for metric in (*_REQUESTS, *_ITERATIONS, *_CHAIN, *_GENERATOR)}
)
"""The metrics that exist in each run, by name, in the order of a report."""

TAGS: Final = (
    "scenario", "stage", "step", "method", "status", "error", "check", "host", "endpoint", "rpc_method", "overflow",
)  # fmt: skip
"""Tags that Squall itself sets; a manifest adds its own. `overflow` is on what came after the cap on series."""

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")


def custom(name: str, kind: Kind, *, unit: Unit | None = None) -> Metric:
    """A metric declared by a manifest's `record`.

    Args:
        name: Letters, digits and underscores, not beginning with a digit.
        kind: What it is; trends are times unless another unit is given, as `record` takes durations.
        unit: Of its values.

    Raises:
        ValueError: The name is malformed or that of a built-in metric.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no metric name: use letters, digits and underscores, a letter first")
    if name in BUILT_IN:
        raise ValueError(f"{name!r} is a built-in metric")
    unit = unit or (Unit.SECONDS if kind is Kind.TREND else Unit.ONE)
    text = "Declared by the manifest."
    return Metric(name, kind, unit, text, merge=Merge.LAST, reported=True, custom=True)


def catalogue(own: Iterable[Metric] = ()) -> Catalogue:
    """The built-in metrics and the manifest's own.

    A metric that several steps record is in seconds as soon as one of them records its duration.

    Raises:
        ValueError: A name is declared twice, with different kinds.
    """
    names: dict[str, Metric] = dict(BUILT_IN)
    for metric in own:
        known = names.setdefault(metric.name, metric)
        if known.kind is not metric.kind:
            raise ValueError(f"{metric.name!r} is declared as {known.kind} and as {metric.kind}")
        if known.custom and metric.unit is Unit.SECONDS:
            names[metric.name] = metric
    return MappingProxyType(names)


_SUFFIX: Final[Mapping[Unit, str]] = MappingProxyType(
    {Unit.SECONDS: "_seconds", Unit.BYTES: "_bytes", Unit.ONE: ""}
)


_RATES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({"checks": ("checks_passed", "checks")})
"""Rates whose own name says what is counted, and not what a hit is: the names of the hits, and of all."""


def prometheus_name(metric: Metric) -> str:
    """The name in Prometheus: prefix `squall_`, the unit as suffix, `_total` for counters.

    `vus_max` becomes `squall_vus_max`, `http_req_duration` `squall_http_req_duration_seconds`, `data_sent`
    `squall_data_sent_bytes_total`. A rate is two counters in Prometheus, so that it can be added and taken over any
    time: this is the name of the one that counts what the rate is named after (`squall_http_req_failed_total`,
    `squall_checks_passed_total`), and `prometheus_rate_total` that of all.
    """
    if metric.kind is Kind.RATE:
        hits, _ = _RATES.get(metric.name, (metric.name, ""))
        return f"squall_{hits}_total"
    base = f"squall_{metric.name}"
    suffix = _SUFFIX[metric.unit]
    if suffix and not base.endswith(suffix):
        base += suffix
    return f"{base}_total" if metric.kind is Kind.COUNTER else base


def prometheus_rate_total(metric: Metric) -> str:
    """The Prometheus counter of all values of a rate: `squall_http_req_failed_samples_total`, `squall_checks_total`."""
    _, every = _RATES.get(metric.name, ("", f"{metric.name}_samples"))
    return f"squall_{every}_total"
