"""What is known of a run: while it goes on (`LiveState`) and at its end (`Summary`).

Every view - terminal, Markdown, JUnit, JSON, the page and the operator's status later - is drawn from these
two and from the series file, never from anything else, so that they cannot contradict each other. `Summary`
is a public format (summary.json): fields are added, never changed, within one `SCHEMA`. Units stand in the
names; times are seconds since the start of the load unless a name says otherwise.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from squall.report.parts import ChainState, ChainSummary, ComponentSummary, FlowSummary

SCHEMA = "squall.dev/summary/v1"
MAX_SUMMARY: Final = 64 << 20
"""Bytes of a summary as JSON that are read; the largest that a hub makes have some."""

Phase = Literal["connecting", "setup", "running", "stopping", "teardown", "finished"]
RunnerPhase = Literal["connecting", "ready", "running", "finished", "lost"]
Result = Literal["Passed", "Failed", "Invalid", "Aborted", "Error"]


class RunnerState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One runner process, or pod."""

    index: int
    shards: tuple[int, ...]
    phase: RunnerPhase
    slot: int
    """Last slot it has delivered, -1 before the first."""


class ScenarioState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One scenario at one moment, over all shards."""

    name: str
    executor: str
    unit: str
    """`VUs` or `iterations/s`."""
    stage: str
    progress: float
    """0 to 1, of its planned time or iterations, whichever is further."""
    target: float
    actual: float
    iterations: int
    dropped: int
    failed: int


class ThresholdState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One threshold as last evaluated."""

    name: str
    source: str
    """The metric with its selector, or the PromQL query."""
    expression: str
    state: Literal["pending", "pass", "violated", "failed", "noData"]
    value: float | None
    """In base units (seconds, bytes, a share from 0 to 1)."""
    limit: float | None
    unit: str
    severity: str = "fail"
    abort_on_fail: bool = False
    worst: float | None = None
    """The furthest value on the wrong side, when windowed."""
    failed_at_seconds: float | None = None
    message: str = ""
    """Why there was nothing to judge."""
    no_data: Literal["fail", "pass"] = "fail"
    """What it means when there was nothing to judge."""


class LiveState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run at one moment."""

    run: str
    name: str
    phase: Phase
    elapsed_seconds: float
    planned_seconds: float
    runners: tuple[RunnerState, ...] = ()
    scenarios: tuple[ScenarioState, ...] = ()
    thresholds: tuple[ThresholdState, ...] = ()
    requests_per_second: float = 0.0
    error_rate: float = 0.0
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    p99_seconds: float | None = None
    """Percentiles of `http_req_total` over the last ten seconds."""
    requests: int = 0
    vus: int = 0
    chain: ChainState | None = None
    """Null until there was a transaction."""
    warnings: tuple[str, ...] = ()
    stop_reason: str = ""


class VerdictSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The run's outcome and why."""

    result: Result
    cause: str = ""
    """For `Aborted`: threshold, user, deadline, safety, policy or scenario."""
    reason: str = ""
    """One CamelCase word, stable, for machines."""
    message: str = ""
    expression: str = ""
    observed: float | None = None
    at_seconds: float | None = None
    exit_code: int = 0


class TierSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tier, and whether it held."""

    name: str
    group: str = ""
    """What it grades; empty for the run as a whole."""
    held: bool
    thresholds: tuple[ThresholdState, ...]


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One metric over the run, or over the part of it that `tags` selects."""

    metric: str
    kind: str
    unit: str
    tags: dict[str, str]
    values: dict[str, float]
    """counter: count, rate (per second); gauge: value, min, max; rate: rate, passes, total; trend: count, avg, min,
    med, p90, p95, p99, max."""
    custom: bool = False
    """Declared by the manifest."""


class CheckSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One check."""

    name: str
    scenario: str
    step: str
    passes: int
    fails: int


class ErrorSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Failures of one class at one step."""

    error: str
    scenario: str
    step: str
    status: str
    count: int
    example: str = ""
    """One message, kept as an example."""


class RetrySummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Requests of one step that were sent again for one reason."""

    error: str
    """The class of the failure before; `stale` when the server had closed a kept connection in the meantime."""
    scenario: str
    step: str
    status: str
    count: int
    denied: int = 0
    """Those that were not sent again, as the budget was spent."""


class HostSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A host with a rate limit or a circuit breaker."""

    host: str
    wait_median_seconds: float | None = None
    """How long requests waited for their turn; null without a limit."""
    wait_p95_seconds: float | None = None
    circuit_opened: int = 0
    circuit_rejected: int = 0
    """Requests that were not sent."""
    circuit_open_seconds: float = 0.0
    """Added up over the runners."""


class LoadSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Planned against delivered load of one scenario."""

    scenario: str
    executor: str
    unit: str
    peak_target: float
    peak_actual: float
    iterations: int
    failed: int
    dropped: int
    interrupted: int
    planned: int | None = None
    """Planned iterations or arrivals, where the executor fixes them."""


class LevelResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of one level of a search for capacity; figures are of the time in which it was judged."""

    number: int
    target: int
    """In the search's unit."""
    at_seconds: float
    """When it began."""
    seconds: float
    """How long it was judged for."""
    purpose: str
    """`grow`, `bisect` or `confirm`."""
    outcome: str
    """`held`, `failed`, `limited` (it failed, and the generator may be to blame) or `unknown`."""
    limiting: str = ""
    """The first condition that was broken; `delivered` is Squall's own: 95 % of the level began."""
    observed: float | None = None
    observed_unit: str = ""
    counts: Literal["requests", "transactions"] = "requests"
    """What the next three are of: transactions where the scenario has sent nothing else."""
    p95_seconds: float | None = None
    """Of `http_req_response_time`, or of `evm_tx_inclusion_duration`."""
    error_rate: float | None = None
    requests_per_second: float = 0.0
    iterations_per_second: float = 0.0
    """Completed ones."""


class CapacitySummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a search for capacity has found."""

    scenario: str
    unit: str
    """Of the loads: `VUs`, or iterations per `timeUnit`, such as `iterations/s`."""
    knee: int
    """The highest load that held; 0 when none did."""
    confirmed: bool
    """Whether it held on every repetition that was asked for."""
    upper: int | None
    """The lowest load that failed; None when none did."""
    ended: str
    """`found`, `max`, `nothing`, `generator`, `noise`, `time` or `stopped`."""
    message: str
    limiting: str = ""
    """The condition that kept the knee from being higher."""
    observed: float | None = None
    observed_unit: str = ""
    levels: tuple[LevelResult, ...] = ()
    """In the order in which they were tried."""


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that happened, for the timeline."""

    at_seconds: float
    level: str
    event: str
    message: str


class Timings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the run itself went."""

    ready_seconds: float | None = None
    """From the launch until every runner was ready."""
    start_skew_seconds: float | None = None
    """Between the first and the last runner's start."""
    stop_to_last_request_seconds: float | None = None
    """From the end of the slot whose evaluation stopped the run to the last request anywhere; negative when the last
    request had been sent before."""
    load_seconds: float = 0.0
    """From the start to the last slot with load."""


class GeneratorSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the generator knows of itself."""

    loop_lag_p99_seconds: float | None = None
    schedule_lag_p99_seconds: float | None = None
    cpu_peak: float | None = None
    """The busiest runner's use of the core that it may use, at most; 1 is all of it."""
    cores_busy_peak: float | None = None
    """How busy the cores were that a runner may use, by whomever, at most."""
    cpu_wait_seconds: float = 0.0
    """Time in which runners were ready to run and waited for a core."""
    cpu_throttled_seconds: float = 0.0
    """Time in which runners were throttled by their CPU limit."""
    gc_pause_max_seconds: float | None = None
    """The longest pause by garbage collection."""
    memory_peak_bytes: float | None = None
    files_used_peak: float | None = None
    """Open files of a runner as a share of its limit, at most."""
    ports_used_peak: float | None = None
    """Share of the local ports that connections of a runner to one destination took, at most."""
    send_stall_seconds: float = 0.0
    """Time in which connections could send nothing, as their peers did not take it, over all connections."""
    clock_steps: int = 0
    """Steps of the clock by more than a second."""
    saturated_share: float = 0.0
    """Share of the run's seconds in which the generator was saturated."""
    saturation: str = ""
    """What was seen then, and what to change; empty when it never was."""
    series_dropped: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything that is reported of a run."""

    schema: str = SCHEMA
    squall_version: str
    run: str
    name: str
    started_at: str
    """ISO 8601, UTC."""
    ended_at: str
    planned_seconds: float
    shards: int
    runners: int
    manifest_hash: str
    """SHA-256 of the effective manifest."""
    options: dict[str, Any] = {}
    """What the command line changed, such as variant and time scale."""
    verdict: VerdictSummary
    grades: dict[str, str] = {}
    """By group of tiers (empty for the run as a whole): the best tier that held, empty when none did."""
    tiers: tuple[TierSummary, ...] = ()
    thresholds: tuple[ThresholdState, ...] = ()
    metrics: tuple[MetricSummary, ...] = ()
    """Whole run first, then by scenario, by scenario and stage, by scenario and step."""
    checks: tuple[CheckSummary, ...] = ()
    errors: tuple[ErrorSummary, ...] = ()
    retries: tuple[RetrySummary, ...] = ()
    hosts: tuple[HostSummary, ...] = ()
    """Those with a rate limit or a circuit breaker."""
    load: tuple[LoadSummary, ...] = ()
    capacity: tuple[CapacitySummary, ...] = ()
    """What searches for capacity have found."""
    components: tuple[ComponentSummary, ...] = ()
    """By the tag `component`, the one that takes most of the time first."""
    flows: tuple[FlowSummary, ...] = ()
    """From end to end, the scenarios that go through components."""
    chain: ChainSummary | None = None
    """What was done on an EVM chain; null when there was none."""
    events: tuple[Event, ...] = ()
    warnings: tuple[str, ...] = ()
    timings: Timings = Timings()
    generator: GeneratorSummary = GeneratorSummary()
    lost_runners: tuple[int, ...] = ()
