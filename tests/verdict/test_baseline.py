from __future__ import annotations

import math

import pytest

from squall.verdict.baseline import Figure, FigureKey, RegressionLimit, compare

P95 = FigureKey("http_req_duration", "p95")
FAILED = FigureKey("http_req_failed", "rate")
RPS = FigureKey("http_reqs", "rate")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p95=10%", RegressionLimit("p95", 0.1)),
        (" avg = 2.5 % ", RegressionLimit("avg", 0.025)),
        ("http_req_failed:rate=0%", RegressionLimit("rate", 0.0, "http_req_failed")),
        (
            "http_req_duration{scenario:a}:p95=5%",
            RegressionLimit("p95", 0.05, "http_req_duration{scenario:a}"),
        ),
    ],
)
def test_limits_can_be_written(text, limit):
    assert RegressionLimit.parse(text) == limit
    assert RegressionLimit.parse(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "p95", "p95=10", "p95=-1%", "=10%", "p95<10%", "p95=10%,avg=1%"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(ValueError, match="p95=10%"):
        RegressionLimit.parse(text)


@pytest.mark.parametrize(
    ("key", "before", "after", "limit", "outcome"),
    [
        (P95, Figure(0.1), Figure(0.105), "p95=10%", (0.05, False)),
        (P95, Figure(0.1), Figure(0.11), "p95=10%", (0.1, False)),
        (P95, Figure(0.1), Figure(0.12), "p95=10%", (0.2, True)),
        (P95, Figure(0.1), Figure(0.12), "avg=10%", (0.2, False)),
        (P95, Figure(0.1), Figure(0.05), "p95=0%", (-0.5, False)),
        (P95, Figure(0.0), Figure(0.05), "p95=50%", (math.inf, True)),
        (P95, Figure(0.0), Figure(0.0), "p95=0%", (0.0, False)),
        (RPS, Figure(100, "higher"), Figure(80, "higher"), "rate=10%", (0.2, True)),
        (RPS, Figure(100, "higher"), Figure(120, "higher"), "rate=10%", (-0.2, False)),
        (
            FAILED,
            Figure(0.005, share=True),
            Figure(0.015, share=True),
            "http_req_failed:rate=1%",
            (0.01, False),
        ),
        (
            FAILED,
            Figure(0.005, share=True),
            Figure(0.02, share=True),
            "http_req_failed:rate=1%",
            (0.015, True),
        ),
        (FAILED, Figure(0.0, share=True), Figure(0.02, share=True), "http_reqs:rate=1%", (0.02, False)),
        (P95, Figure(0.1), None, "p95=1%", (None, False)),
        (P95, None, Figure(0.1), "p95=1%", (None, False)),
        (P95, Figure(math.nan), Figure(0.1), "p95=1%", (None, False)),
    ],
)
def test_differences_and_regressions(key, before, after, limit, outcome):
    worse, regression = outcome
    (found,) = compare(
        {key: before} if before else {}, {key: after} if after else {}, [RegressionLimit.parse(limit)]
    )
    assert found.worse == (None if worse is None else pytest.approx(worse))
    assert found.regression is regression
    assert str(key) in found.describe()


def test_a_limit_on_the_metric_goes_before_a_general_one():
    limits = [RegressionLimit.parse("p95=0%"), RegressionLimit.parse("http_req_duration:p95=50%")]
    (found,) = compare({P95: Figure(0.1)}, {P95: Figure(0.12)}, limits)
    assert (found.limit, found.regression) == (limits[1], False)


def test_all_figures_of_both_runs_are_listed_in_order():
    found = compare({RPS: Figure(1), P95: Figure(1)}, {FAILED: Figure(1), P95: Figure(1)})
    assert [each.key for each in found] == [P95, FAILED, RPS]
    assert not any(each.regression for each in found)
    assert [each.describe() for each in found] == [
        "http_req_duration:p95: 1, the same",
        "http_req_failed:rate: - -> 1",
        "http_reqs:rate: 1 -> -",
    ]
