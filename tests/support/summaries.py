"""A summary with something in every part, for tests of what is drawn from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind, Merge, catalogue, custom
from squall.metrics.series import Aggregate, Counter, Gauge, Rate, SeriesKey
from squall.plan.compile import compile_plan
from squall.report.model import (
    Event,
    Summary,
    ThresholdState,
    TierSummary,
    Timings,
    VerdictSummary,
)
from squall.report.summary import Facts, build_summary
from squall.spec.loadtest import LoadTest

MANIFEST: dict[str, Any] = {
    "apiVersion": "squall.dev/v1alpha1",
    "kind": "LoadTest",
    "metadata": {"name": "shop"},
    "spec": {
        "http": {"baseUrl": "http://127.0.0.1:1"},
        "scenarios": [
            {
                "name": "browse",
                "executor": "ramping-vus",
                "stages": [
                    {"duration": "10s", "target": 5},
                    {"name": "hold", "duration": "50s", "target": 5},
                ],
                "steps": [{"name": "home", "http": {"url": "/"}}, {"name": "cart", "http": {"url": "/cart"}}],
            }
        ],
    },
}


def histogram(*values: float) -> Histogram:
    return Histogram.of(values)


def totals() -> dict[SeriesKey, Aggregate]:
    found: dict[SeriesKey, Aggregate] = {}
    for stage, failures in (("1", 0), ("hold", 30)):
        for step, base in (("home", 0.010), ("cart", 0.200)):
            tags = {"scenario": "browse", "stage": stage, "step": step, "method": "GET"}
            found[SeriesKey.of("http_reqs", **tags)] = Counter(100)
            found[SeriesKey.of("http_req_failed", **tags)] = Rate(failures, 100)
            for metric in ("http_req_total", "http_req_response_time", "http_req_duration"):
                found[SeriesKey.of(metric, **tags)] = histogram(*(base * (1 + n / 100) for n in range(100)))
    place = {"scenario": "browse", "step": "cart"}
    found[SeriesKey.of("http_req_errors", error="timeout", **place)] = Counter(55)
    found[SeriesKey.of("http_req_errors", error="http_5xx", status="503", **place)] = Counter(5)
    found[SeriesKey.of("step_failures", error="extract", **place)] = Counter(7)
    found[SeriesKey.of("group_duration", scenario="browse", step="whole")] = histogram(0.2, 0.3)
    found[SeriesKey.of("job_latency", scenario="browse", step="render")] = histogram(1.0, 2.0, 3.0)
    found[SeriesKey.of("job_failed", scenario="browse", step="render")] = Rate(1, 4)
    found[SeriesKey.of("poll_reqs", scenario="browse", step="render")] = Counter(12)
    found[SeriesKey.of("iteration_duration", scenario="browse")] = histogram(0.5, 0.6)
    found[SeriesKey.of("checks", check="status is 200", **place)] = Rate(140, 200)
    found[SeriesKey.of("iterations", scenario="browse")] = Counter(140)
    found[SeriesKey.of("iterations_failed", scenario="browse")] = Counter(60)
    found[SeriesKey.of("vus", scenario="browse")] = Gauge(0, 0, 5, Merge.SUM)
    found[SeriesKey.of("cpu_usage")] = Gauge.at(0.4, Merge.MAX)
    found[SeriesKey.of("loop_lag")] = histogram(0.001, 0.002)
    found[SeriesKey.of("cart_time", scenario="browse")] = histogram(0.3, 0.4)
    return found


def threshold(state: Any = "failed", **changes: Any) -> ThresholdState:
    given = {
        "name": "",
        "source": "http_req_total{scenario:browse}",
        "expression": "p(95)<100ms",
        "state": state,
        "value": 0.38,
        "limit": 0.1,
        "unit": "s",
        "worst": 0.4,
    }
    return ThresholdState(**(given | changes))


def facts(**changes: Any) -> Facts:
    given: dict[str, Any] = {
        "run": "0123456789abcdef",
        "name": "shop",
        "started_at": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        "ended_at": datetime(2030, 1, 2, 3, 5, 6, tzinfo=UTC),
        "manifest": MANIFEST,
        "options": {"time scale": 0.5},
        "plan": compile_plan(LoadTest.model_validate(MANIFEST).spec),
        "runners": 2,
        "catalogue": catalogue([custom("cart_time", Kind.TREND)]),
        "totals": totals(),
        "verdict": VerdictSummary(
            result="Failed", reason="ThresholdsFailed", message="1 of 2 thresholds failed", exit_code=99
        ),
        "thresholds": (
            threshold(),
            threshold(
                "pass", source="http_req_failed", expression="rate<90%", unit="share", value=0.15, worst=None
            ),
        ),
        "tiers": (
            TierSummary(name="gold", held=False, thresholds=(threshold(),)),
            TierSummary(name="silver", held=True, thresholds=(threshold("pass"),)),
            TierSummary(name="cart.good", group="cart", held=False, thresholds=(threshold(),)),
        ),
        "events": (Event(at_seconds=0.0, level="info", event="Started", message="the load began"),),
        "warnings": ("error rate above 5%",),
        "examples": {("timeout", "browse", "cart"): "no answer within 30s"},
        "timings": Timings(load_seconds=60.0, ready_seconds=0.8, start_skew_seconds=0.001),
        "saturated_share": 0.02,
    }
    return Facts(**(given | changes))


def summary(**changes: Any) -> Summary:
    return build_summary(facts(**changes))
