"""What simulated runners say they have measured: twenty series a second, made once and said by all of them.

Whoever tries a hub with a thousand runners has two cores for both sides. So a simulated runner measures nothing and computes nothing:
the second N of a run looks the same for all, but for a handful of variants, and is packed when it is asked for the first time.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.snapshot import SeriesDef, Snapshot, TrendWire, pack

SCENARIO: Final = "s"
REQUESTS: Final = 100
"""Of one runner in a second."""
VARIANTS: Final = 8
NEVER: Final = 10**9
_TREND_SECONDS: Final = {
    "http_req_total": 0.050,
    "http_req_response_time": 0.052,
    "http_req_duration": 0.048,
    "http_req_waiting": 0.047,
    "http_req_receiving": 0.001,
    "iteration_duration": 0.060,
    "schedule_lag": 0.0005,
    "loop_lag": 0.0005,
}
"""Metrics that are trends, and their medians."""
_COUNTERS: Final = (
    *("http_reqs", "iterations", "iterations_started"),
    *("data_sent", "data_received", "http_connections"),
)
_RATES: Final = ("http_req_failed", "checks", "checks", "checks")
_GAUGES: Final = ("vus", "vus_max")


def manifest(name: str, *, shards: int, seconds: int, **spec: Any) -> dict[str, Any]:
    """A LoadTest whose runners may be simulated: one VU for each shard, and limits on failures and on time."""
    scenario = {
        "name": SCENARIO,
        "executor": "constant-vus",
        "vus": shards,
        "duration": f"{seconds}s",
        "steps": [{"name": "get", "http": {"url": "http://127.0.0.1:1/"}}],
    }
    limits = [
        {"metric": "http_req_duration", "expression": "p(95)<500ms", "over": "10s", "abortOnFail": True},
        {"metric": "http_req_failed", "expression": "rate<50%", "over": "3s", "abortOnFail": True},
    ]
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": name},
        "spec": {"shards": shards, "scenarios": [scenario], "thresholds": limits} | spec,
    }


def snapshot(runner: int, slot: int, fails_from: int = NEVER) -> Snapshot:
    """What a runner says at the end of a slot, when all of its requests have failed since some other slot."""
    requests = REQUESTS * (slot + 1)
    failed = max(0, slot + 1 - fails_from) * REQUESTS
    return Snapshot(
        runner=runner,
        attempt="a",
        slot=slot,
        defs=list(_definitions()) if slot == 0 else [],
        counters=[(len(_TREND_SECONDS) + i, float(requests)) for i in range(len(_COUNTERS))],
        rates=[
            (_FIRST_RATE + i, failed if i == 0 else requests - failed, requests) for i in range(len(_RATES))
        ],
        gauges=[(_FIRST_GAUGE + i, 1.0, 1.0, 1.0) for i in range(len(_GAUGES))],
        trends=_trends(runner % VARIANTS, slot),
    )


_FIRST_RATE: Final = len(_TREND_SECONDS) + len(_COUNTERS)
_FIRST_GAUGE: Final = _FIRST_RATE + len(_RATES)


@cache
def _definitions() -> tuple[SeriesDef, ...]:
    kinds = (
        *((name, Kind.TREND) for name in _TREND_SECONDS),
        *((name, Kind.COUNTER) for name in _COUNTERS),
        *((name, Kind.RATE) for name in _RATES),
        *((name, Kind.GAUGE) for name in _GAUGES),
    )
    own = (("scenario", SCENARIO),)
    return tuple(
        SeriesDef(number, name, kind, (("check", f"c{number}"), *own) if name == "checks" else own)
        for number, (name, kind) in enumerate(kinds)
    )


@cache
def _trends(variant: int, slot: int) -> list[tuple[int, TrendWire]]:
    return [(number, pack(trend)) for number, trend in enumerate(_recorded(variant, slot))]


@cache
def _recorded(variant: int, slot: int) -> tuple[Histogram, ...]:
    """All that a variant has recorded until the end of a slot."""
    if slot < 0:
        return tuple(Histogram() for _ in _TREND_SECONDS)
    chance = np.random.default_rng((variant, slot))
    recorded = tuple(each.copy() for each in _recorded(variant, slot - 1))
    for trend, median in zip(recorded, _TREND_SECONDS.values(), strict=True):
        trend.record_many(median * chance.lognormal(0.0, 0.5, REQUESTS))
    return recorded
