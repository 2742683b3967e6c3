"""Retries, rate limits and circuits are no failures of their own, and yet a reader has to see them."""

from __future__ import annotations

import pytest
from support.summaries import histogram, summary, totals

from squall.metrics.names import Merge
from squall.metrics.series import Aggregate, Counter, Gauge, SeriesKey
from squall.report.findings import findings
from squall.report.model import HostSummary, RetrySummary

PLACE = {"scenario": "browse", "step": "cart"}


def texts(**series: Aggregate) -> list[str]:
    found = totals() | {key(name): value for name, value in series.items()}
    return [finding.text for finding in findings(summary(totals=found))]


def key(name: str) -> SeriesKey:
    metric, _, cause = name.partition("__")
    if metric.startswith("http_retries"):
        status = {"status": "503"} if cause == "http_5xx" else {}
        return SeriesKey.of(metric, error=cause, stage="hold", method="GET", **status, **PLACE)
    return SeriesKey.of(metric, host="shop:80")


def test_retries_are_told_with_their_cause_and_their_share() -> None:
    found = texts(
        http_retries__http_5xx=Counter(30),
        http_retries__timeout=Counter(18),
        http_retries__stale=Counter(4000),
        http_retries_denied__http_5xx=Counter(7),
    )
    (text,) = [text for text in found if "retries" in text]
    # Of 400 requests and 12 polls.
    assert text == (
        "11.65% of the requests were retries, 48 in all, most of them at browse/cart after http_5xx (status 503). "
        "7 more were not made, as the budget was spent."
    )


def test_requests_that_were_repeated_on_a_new_connection_are_no_retries_but_are_told() -> None:
    found = texts(http_retries__stale=Counter(103))
    assert not [text for text in found if "retries" in text]
    (text,) = [text for text in found if "sent again" in text]
    # Beside 400 requests and 12 polls.
    assert text.startswith(
        "103 requests (20% of all that were sent) were sent again because the server had closed the kept connection "
        "without an answer: its idle timeout is shorter than the pauses, or it drops requests."
    )


@pytest.mark.parametrize(("again", "told"), [(4, False), (5, True), (11, True)])
def test_a_few_repeated_requests_are_nothing_to_tell(again: int, *, told: bool) -> None:
    assert any("sent again" in text for text in texts(http_retries__stale=Counter(again))) is told


def test_one_in_a_great_many_is_told_from_eleven_on() -> None:
    for again in (10, 11):
        found = totals()
        many = {
            name: Counter(value.value * 100) for name, value in found.items() if isinstance(value, Counter)
        }
        found |= many | {key("http_retries__stale"): Counter(again)}
        told = [finding for finding in findings(summary(totals=found)) if "sent again" in finding.text]
        assert len(told) == (again > 10)


def test_an_open_circuit_is_told_with_its_share_of_the_run() -> None:
    found = texts(
        circuit_state=Gauge(0, 0, 2, Merge.MAX),
        circuit_opened=Counter(4),
        circuit_rejected=Counter(1234),
        circuit_open_time=Counter(36.0),
    )
    # Of two runners with sixty seconds each.
    assert (
        "The circuit of shop:80 was open for 30% of the run: it opened 4 times, and 1,234 requests were not sent."
        in found
    )


def test_a_circuit_that_stayed_closed_and_a_limit_that_held_nobody_up_are_not_told() -> None:
    found = texts(circuit_state=Gauge(0, 0, 0, Merge.MAX), rate_limit_wait=histogram(0.0, 0.0, 0.1))
    assert not [text for text in found if "shop:80" in text]


def test_a_limit_that_was_the_load_is_told() -> None:
    found = texts(rate_limit_wait=histogram(*[0.5] * 90, *[2.0] * 10))
    (text,) = [text for text in found if "shop:80" in text]
    assert "half of them for more than 500 ms, p95 1.99 s" in text


def test_the_summary_has_hosts_and_retries_in_figures() -> None:
    made = summary(
        totals=totals()
        | {
            key("http_retries__http_5xx"): Counter(30),
            key("http_retries_denied__timeout"): Counter(31),
            key("circuit_opened"): Counter(1),
            key("circuit_open_time"): Counter(1.5),
        }
    )
    assert made.hosts == (HostSummary(host="shop:80", circuit_opened=1, circuit_open_seconds=1.5),)
    assert made.retries == (
        RetrySummary(error="timeout", status="", count=0, denied=31, **PLACE),
        RetrySummary(error="http_5xx", status="503", count=30, denied=0, **PLACE),
    )
