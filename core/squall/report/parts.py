"""What a summary says of the parts of a system under test: its components, whole flows through them, and its chain.

Part of the public format (see `squall.report.model`): fields are added, never changed.
"""

from __future__ import annotations

import msgspec


class OwnMetric(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A metric of the manifest's own, as the steps of one component recorded it."""

    metric: str
    kind: str
    unit: str
    values: dict[str, float]
    """As of any metric, by its kind."""


class ChainState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run does on an EVM chain, at one moment."""

    transactions: int
    per_second: float
    failed: float
    """Share of transactions over the last ten seconds."""
    p95_seconds: float | None = None
    """Until a transaction is seen in a block, over the last ten seconds."""


class ComponentSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything that steps with one value of the tag `component` did, as one part of the system."""

    name: str
    steps: int
    """Steps that were carried out and timed."""
    failed: int
    per_second: float
    """Steps per second of load."""
    seconds: float
    """What all of them took together."""
    share: float
    """Of the time of completed flows; where its steps, and those of the others, took longer as flows failed or steps ran side
    by side, of the time of all components."""
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    requests: int = 0
    """HTTP requests, those of polls included, and calls of a chain's nodes."""
    requests_failed: int = 0
    transactions: int = 0
    transactions_failed: int = 0
    sent_bytes: float = 0.0
    received_bytes: float = 0.0
    growth: float | None = None
    """p95 of the stage that was slowest for it, as a multiple of that of the scenario's first stage; null without stages."""
    growth_stage: str = ""
    """That stage, as scenario/stage."""
    own: tuple[OwnMetric, ...] = ()
    """Metrics of the manifest's own, such as the depth of a queue."""


class FlowSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Iterations of one scenario that go through components: what came of them from end to end."""

    scenario: str
    begun: int
    completed: int
    failed: int
    per_second: float
    """Completed ones per second of load."""
    success: float | None = None
    """Completed ones, of those that completed or failed."""
    p50_seconds: float | None = None
    """Of completed ones, pauses included."""
    p95_seconds: float | None = None
    p99_seconds: float | None = None


class RpcSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Calls of one method at one endpoint of a chain."""

    endpoint: str
    method: str
    requests: int
    failed: int
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    p99_seconds: float | None = None


class ChainCost(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What transactions cost: gas, and fees in the chain's native token."""

    gas: float
    fees: float
    gas_per_transaction: float
    fees_per_transaction: float
    flows: int = 0
    """Iterations that scenarios with transactions began."""
    gas_per_flow: float | None = None
    fees_per_flow: float | None = None
    planned_flows: int | None = None
    """Iterations that the plan has of these scenarios, or allows by `maxIterations`; null where only time ends one."""
    planned_gas: float | None = None
    """What `planned_flows` would use at that rate."""
    planned_fees: float | None = None


class ChainSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run did on an EVM chain."""

    transactions: int = 0
    transactions_failed: int = 0
    """Refused, dropped or reverted."""
    replaced: int = 0
    nonce_gaps: int = 0
    wallets_funded: int = 0
    funding_spent: float = 0.0
    """In the native token."""
    funding_fees: float = 0.0
    """The gas of that, and of giving back what is left, in the native token."""
    cost: ChainCost | None = None
    """Null when no transaction came into a block."""
    rpc: tuple[RpcSummary, ...] = ()
    """By endpoint and method, most frequent first."""
