"""The summary of a run through several components - a chain, a storage, jobs - for tests of what is drawn from it."""

from __future__ import annotations

from typing import Any

from support.summaries import facts, histogram

from squall.metrics.names import Kind, Merge, catalogue, custom
from squall.metrics.series import Aggregate, Counter, Gauge, Rate, SeriesKey
from squall.plan.compile import compile_plan
from squall.report.model import Summary, Timings
from squall.report.summary import build_summary
from squall.spec.loadtest import LoadTest

FLOWS = 100
MANIFEST: dict[str, Any] = {
    "apiVersion": "squall.dev/v1alpha1",
    "kind": "LoadTest",
    "metadata": {"name": "portability"},
    "spec": {
        "http": {"baseUrl": "http://127.0.0.1:1"},
        "scenarios": [
            {
                "name": "user",
                "executor": "ramping-vus",
                "maxIterations": 12_500,
                "stages": [
                    {"name": "ramp", "duration": "20s", "target": 5},
                    {"name": "hold", "duration": "30s", "target": 5},
                ],
                "steps": [
                    {"name": "upload", "tags": {"component": "storage"}, "http": {"url": "/put"}},
                    {"name": "register", "tags": {"component": "chain"}, "http": {"url": "/rpc"}},
                    {"name": "infer", "tags": {"component": "ai"}, "http": {"url": "/infer"}},
                ],
            },
            {
                "name": "visit",
                "executor": "constant-vus",
                "vus": 1,
                "duration": "50s",
                "steps": [{"http": {"url": "/"}}],
            },
        ],
    },
}
OWN = (custom("queue_depth", Kind.GAUGE), custom("stored", Kind.COUNTER))


def series(metric: str, component: str = "", step: str = "", **tags: str) -> SeriesKey:
    return SeriesKey.of(metric, component=component, scenario="user", step=step, **tags)


def durations(component: str, step: str, ramp: float, hold: float) -> dict[SeriesKey, Aggregate]:
    """Fifty steps in each stage, all equally long."""
    return {
        series("component_duration", component, step, stage=stage): histogram(*[seconds] * (FLOWS // 2))
        for stage, seconds in (("ramp", ramp), ("hold", hold))
    }


def totals() -> dict[SeriesKey, Aggregate]:
    """A hundred flows of 10 s each in 50 s: 5 s on the chain, 1 s for storage, 3 s for jobs."""
    ai, storage, chain = ("ai", "infer"), ("storage", "upload"), ("chain", "register")
    return {
        **durations(*chain, 4.0, 6.0),
        **durations(*storage, 1.0, 1.0),
        **durations(*ai, 2.0, 4.0),
        series("component_failed", *chain): Rate(2, FLOWS),
        series("component_failed", *storage): Rate(0, FLOWS),
        series("component_failed", *ai): Rate(1, FLOWS),
        series("http_reqs", *storage, status="200"): Counter(FLOWS),
        series("data_sent", *storage, status="200"): Counter(FLOWS * 10_240),
        series("http_reqs", *ai, status="202"): Counter(FLOWS),
        series("poll_reqs", *ai, status="200"): Counter(300),
        series("http_req_failed", *ai, status="202"): Rate(4, FLOWS),
        series("queue_depth", *ai): Gauge(40, 2, 45, Merge.LAST),
        series("stored", *storage): Counter(FLOWS * 10_240),
        series("iteration_duration"): histogram(*[10.0] * 98),
        series("iterations_started"): Counter(FLOWS),
        series("iterations"): Counter(98),
        series("iterations_failed"): Counter(2),
        SeriesKey.of("iterations_started", scenario="visit"): Counter(50),
        SeriesKey.of("iteration_duration", scenario="visit"): histogram(*[1.0] * 50),
        **on_chain(chain),
        **calls("one", "eth_sendRawTransaction", 80, 1, 0.2),
        **calls("one", "eth_getBlockReceipts", 10, 0, 0.05),
        **calls("two", "eth_sendRawTransaction", 22, 2, 0.4),
    }


def on_chain(place: tuple[str, str]) -> dict[SeriesKey, Aggregate]:
    clocks = {
        "evm_tx_accept_duration": 0.25,
        "evm_tx_block_delay": 3.0,
        "evm_tx_inclusion_duration": 4.0,
        "evm_tx_confirmation_duration": 8.0,
    }
    return {
        series("evm_txs", *place): Counter(FLOWS),
        series("evm_tx_failed", *place): Rate(2, FLOWS),
        series("evm_gas_used", *place): Counter(FLOWS * 50_000),
        series("evm_gas_used_per_tx", *place): histogram(*[50_000.0] * FLOWS),
        series("evm_fees", *place): Counter(1.2),
        SeriesKey.of("evm_tx_replaced"): Counter(3),
        SeriesKey.of("evm_nonce_gaps"): Counter(1),
        SeriesKey.of("evm_wallets_funded"): Counter(250),
        SeriesKey.of("evm_funding_spent"): Counter(25.0),
        SeriesKey.of("evm_funding_fees"): Counter(0.25),
        SeriesKey.of("evm_wallet_wait", scenario="user"): histogram(2.0, 2.0),
        SeriesKey.of("evm_head_lag"): Gauge(1.0, 0.5, 45.0, Merge.MAX),
        **{series(metric, *place): histogram(*[value] * FLOWS) for metric, value in clocks.items()},
    }


def calls(endpoint: str, method: str, count: int, failed: int, seconds: float) -> dict[SeriesKey, Aggregate]:
    tags = {"endpoint": endpoint, "rpc_method": method}
    return {
        SeriesKey.of("evm_rpc_reqs", **tags): Counter(count),
        SeriesKey.of("evm_rpc_failed", **tags): Rate(failed, count),
        SeriesKey.of("evm_rpc_duration", **tags): histogram(*[seconds] * count),
    }


def summary(**changes: Any) -> Summary:
    given: dict[str, Any] = {
        "name": "portability",
        "manifest": MANIFEST,
        "plan": compile_plan(LoadTest.model_validate(MANIFEST).spec),
        "catalogue": catalogue(OWN),
        "totals": totals(),
        "timings": Timings(load_seconds=50.0),
        "examples": {},
    }
    return build_summary(facts(**(given | changes)))
