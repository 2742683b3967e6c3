from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console
from support.summaries import MANIFEST, summary, totals

from squall.errors import UsageError
from squall.metrics.names import Merge
from squall.metrics.series import Counter, Gauge, Rate, SeriesKey
from squall.report.comparison import check_limits, figures, judged, parse_limits, show
from squall.report.model import MetricSummary, Summary, VerdictSummary
from squall.verdict.baseline import FigureKey


def changed(metric: str, figure: str, factor: float) -> Summary:
    """The sample run with one figure of the whole run changed."""

    def change(row: MetricSummary) -> MetricSummary:
        if row.metric != metric or row.tags:
            return row
        return msgspec.structs.replace(row, values=row.values | {figure: row.values[figure] * factor})

    return msgspec.structs.replace(summary(), metrics=tuple(map(change, summary().metrics)))


def compared(after: Summary, *limits: str) -> tuple[bool, str]:
    buffer = io.StringIO()
    regressed = show(summary(), after, parse_limits(limits), Console(file=buffer, width=160))
    return regressed, buffer.getvalue()


@pytest.mark.parametrize(
    ("metric", "figure", "factor", "limit", "regression"),
    [
        ("http_req_total", "p95", 1.2, "p95=10%", True),
        ("http_req_total", "p95", 1.05, "p95=10%", False),
        ("http_req_total", "p95", 0.5, "p95=10%", False),
        ("http_req_total", "p99", 1.2, "p95=10%", False),
        ("http_reqs", "rate", 0.8, "http_reqs:rate=10%", True),
        ("http_reqs", "rate", 1.5, "http_reqs:rate=10%", False),
        ("http_req_failed", "rate", 1.1, "http_req_failed:rate=1%", True),
        ("http_req_failed", "rate", 1.05, "http_req_failed:rate=1%", False),
        ("checks", "rate", 0.9, "checks:rate=5%", True),
    ],
)
def test_only_what_got_worse_beyond_its_limit_is_a_regression(
    metric: str, figure: str, factor: float, limit: str, regression: bool
) -> None:
    regressed, text = compared(changed(metric, figure, factor), limit)
    assert regressed is regression
    assert ("regression:" in text) is regression


def test_without_limits_nothing_is_a_regression() -> None:
    regressed, text = compared(changed("http_req_total", "p95", 9.0))
    assert not regressed
    assert "worse" in text


def test_a_limited_figure_that_is_gone_is_a_regression() -> None:
    regressed, text = compared(summary(totals={}), "http_req_total:p95=10%")
    assert regressed
    assert "not measured" in text


def test_a_limit_on_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="about nothing that was measured"):
        check_limits(summary(), parse_limits(["p42=10%"]))
    with pytest.raises(UsageError, match="is no limit"):
        parse_limits(["p95"])


@pytest.mark.parametrize(
    ("limit", "hint"),
    [
        ("http_req_failed=1%", "write http_req_failed:rate=1%"),
        ("http_req_total:rate=1%", "it has avg, med, p90, p95, p99, max"),
        ("http_req_totl:p95=1%", "did you mean 'http_req_total'?"),
        ("p42=1%", "there are avg,"),
    ],
)
def test_what_a_limit_could_be_about_is_told(limit: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_limits(summary(), parse_limits([limit]))
    assert hint in caught.value.hint


@pytest.mark.parametrize(("result", "told"), [("Invalid", True), ("Error", True), ("Failed", False)])
def test_a_run_whose_figures_say_little_is_pointed_out(result: Any, told: bool) -> None:
    other = msgspec.structs.replace(summary(), verdict=VerdictSummary(result=result, message="so it is"))
    assert (f"is {result}: its figures say little" in compared(other)[1]) is told


def test_other_manifests_are_pointed_out() -> None:
    other: dict[str, Any] = MANIFEST | {"metadata": {"name": "other"}}
    assert "different manifests" in compared(summary(manifest=other))[1]


def test_directions_of_figures() -> None:
    known = figures(summary())
    assert known[FigureKey("http_reqs", "rate")].better == "higher"
    assert known[FigureKey("checks{scenario:browse}", "rate")].better == "higher"
    assert known[FigureKey("http_req_failed", "rate")].better == "lower"
    assert known[FigureKey("iterations_failed", "rate")].better == "lower"
    kinds = {type(aggregate) for key, aggregate in totals().items() if key.metric in {"http_reqs", "checks"}}
    assert kinds == {Counter, Rate}


def test_a_run_that_got_worse_than_its_baseline_does_not_pass() -> None:
    passed = msgspec.structs.replace(
        summary(), verdict=VerdictSummary(result="Passed", message="every threshold held")
    )
    worse = msgspec.structs.replace(changed("http_req_total", "p95", 2.0), verdict=passed.verdict)
    limits = parse_limits(["http_req_total:p95=10%"])
    verdict = judged(passed, worse, limits).verdict
    assert (verdict.result, verdict.reason, verdict.exit_code) == ("Failed", "Regression", 110)
    assert judged(passed, passed, limits) == passed
    assert judged(passed, summary(), limits).verdict.exit_code == 99, "what failed already keeps its reason"


@pytest.mark.parametrize(("capacity", "regression"), [(450, True), (480, False), (700, False)])
def test_less_capacity_is_worse(capacity: float, regression: bool) -> None:
    def found(value: float) -> Summary:
        own = {SeriesKey.of("capacity", scenario="browse"): Gauge.at(value, Merge.LAST)}
        return summary(totals=totals() | own)

    buffer = io.StringIO()
    limits = parse_limits(["capacity:value=5%"])
    assert show(found(500), found(capacity), limits, Console(file=buffer, width=160)) is regression
    assert "capacity" in buffer.getvalue()
