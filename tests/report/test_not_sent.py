"""The share of failures counts requests that were never sent; the number beside it does not: the difference is told."""

from __future__ import annotations

import io

from rich.console import Console
from support.summaries import summary, totals

from squall.metrics.series import Counter, Rate, SeriesKey
from squall.report import console
from squall.report.findings import findings
from squall.report.model import CapacitySummary


def shown(rejected: int) -> str:
    """A run's summary on a terminal, in which so many requests were not sent."""
    place = {"scenario": "browse", "stage": "hold", "step": "cart", "method": "GET"}
    found = totals()
    if rejected:
        failed = SeriesKey.of("http_req_failed", error="circuit_open", **place)
        found[failed] = Rate(rejected, rejected)
        found[SeriesKey.of("http_req_errors", error="circuit_open", **place)] = Counter(rejected)
    buffer = io.StringIO()
    console.show(summary(totals=found), Console(file=buffer, width=160))
    return buffer.getvalue()


def test_requests_that_were_not_sent_are_told_beside_the_share_of_failures() -> None:
    assert (
        "250 more requests were not sent (circuit_open): they are in the share of failures, of 650 in all,"
        in shown(250)
    )
    assert "1 more request was not sent (circuit_open)" in shown(1)
    assert "not sent" not in shown(0)


def test_levels_of_a_search_are_no_stages_of_which_the_one_before_was_carried() -> None:
    searched = CapacitySummary(
        scenario="browse", unit="iterations/s", knee=86, confirmed=True, upper=90, ended="found", message=""
    )
    assert any("began to break" in finding.text for finding in findings(summary()))
    assert not any("began to break" in finding.text for finding in findings(summary(capacity=(searched,))))
