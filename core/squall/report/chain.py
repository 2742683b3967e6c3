"""From the merged series of a run to what it did on an EVM chain: transactions, their cost, and how nodes answered."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from squall.metrics.histogram import Histogram
from squall.metrics.series import Rate
from squall.report.components import add, counted
from squall.report.parts import ChainCost, ChainSummary, RpcSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.metrics.series import Aggregate, SeriesKey
    from squall.plan.model import TestPlan
    from squall.report.components import Metrics

_PREFIX: Final = "evm_"
_RPC: Final = frozenset({"evm_rpc_reqs", "evm_rpc_failed", "evm_rpc_duration"})


def chain_summary(totals: Mapping[SeriesKey, Aggregate], plan: TestPlan) -> ChainSummary | None:
    """What was done on the chain; None when the run had none.

    Args:
        totals: Every series of the run, merged over all runners.
        plan: What was planned, for what the whole of it would cost.
    """
    metrics: Metrics = {}
    for key, aggregate in totals.items():
        if key.metric.startswith(_PREFIX) and key.metric not in _RPC:
            add(metrics, key.metric, aggregate)
    rpc = _rpc(totals)
    if not metrics and not rpc:
        return None
    failed = metrics.get("evm_tx_failed")
    return ChainSummary(
        transactions=int(counted(metrics, "evm_txs")),
        transactions_failed=failed.hits if isinstance(failed, Rate) else 0,
        replaced=int(counted(metrics, "evm_tx_replaced")),
        nonce_gaps=int(counted(metrics, "evm_nonce_gaps")),
        wallets_funded=int(counted(metrics, "evm_wallets_funded")),
        funding_spent=counted(metrics, "evm_funding_spent"),
        funding_fees=counted(metrics, "evm_funding_fees"),
        cost=_cost(metrics, totals, plan),
        rpc=rpc,
    )


def _cost(metrics: Metrics, totals: Mapping[SeriesKey, Aggregate], plan: TestPlan) -> ChainCost | None:
    used, gas, fees = (
        metrics.get("evm_gas_used_per_tx"),
        counted(metrics, "evm_gas_used"),
        counted(metrics, "evm_fees"),
    )
    if not isinstance(used, Histogram) or not used.count:
        return None
    scenarios = {
        dict(key.tags).get("scenario", "") for key in totals if key.metric in ("evm_txs", "evm_gas_used")
    }
    begun: Metrics = {}
    for key, aggregate in totals.items():
        if key.metric == "iterations_started" and dict(key.tags).get("scenario", "") in scenarios:
            add(begun, key.metric, aggregate)
    flows = int(counted(begun, "iterations_started"))
    planned = _planned(plan, scenarios)
    return ChainCost(
        gas=gas,
        fees=fees,
        gas_per_transaction=gas / used.count,
        fees_per_transaction=fees / used.count,
        flows=flows,
        gas_per_flow=gas / flows if flows else None,
        fees_per_flow=fees / flows if flows else None,
        planned_flows=planned,
        planned_gas=gas / flows * planned if flows and planned is not None else None,
        planned_fees=fees / flows * planned if flows and planned is not None else None,
    )


def _planned(plan: TestPlan, scenarios: set[str]) -> int | None:
    """How many iterations these scenarios are to have; None when only time ends one of them."""
    planned = [
        each.max_iterations if each.planned_iterations is None else each.planned_iterations
        for each in plan.scenarios
        if each.name in scenarios
    ]
    known = [number for number in planned if number is not None]
    return sum(known) if known and len(known) == len(planned) else None


def _rpc(totals: Mapping[SeriesKey, Aggregate]) -> tuple[RpcSummary, ...]:
    found: defaultdict[tuple[str, str], Metrics] = defaultdict(dict)
    for key, aggregate in totals.items():
        if key.metric in _RPC:
            tags = dict(key.tags)
            place = tags.get("endpoint", ""), tags.get("rpc_method", "")
            add(found[place], key.metric, aggregate)
    rows = [_calls(*place, metrics) for place, metrics in found.items()]
    return tuple(sorted(rows, key=lambda row: (-row.requests, row.endpoint, row.method)))


def _calls(endpoint: str, method: str, metrics: Metrics) -> RpcSummary:
    failed, duration = metrics.get("evm_rpc_failed"), metrics.get("evm_rpc_duration")
    measured = isinstance(duration, Histogram) and duration.count
    p50, p95, p99 = duration.quantiles((0.5, 0.95, 0.99)) if measured else (None, None, None)  # type: ignore[union-attr]
    return RpcSummary(
        endpoint=endpoint,
        method=method,
        requests=int(counted(metrics, "evm_rpc_reqs")),
        failed=failed.hits if isinstance(failed, Rate) else 0,
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
    )
