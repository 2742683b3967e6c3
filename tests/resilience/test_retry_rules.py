"""Which failures are tried again, how long is waited before it, and how many of them a host is given."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec.http import Retry
from squall_runner.resilience.backoff import asked_pause, growing
from squall_runner.resilience.budget import RESERVE, TOKEN, RetryBudget
from squall_runner.resilience.retry import RetryPolicy


def policy(**given: object) -> RetryPolicy:
    return RetryPolicy.of(Retry.model_validate(given), None, longest=30.0)


def test_what_is_tried_again_by_default():
    usual = policy()
    assert usual.most == 2
    for error in (
        "dns", "connect_refused", "connect_timeout", "connect_failed", "tls", "proxy", "reset", "closed", "timeout",
    ):  # fmt: skip
        assert usual.cause("GET", 0, error, moved=False) == error
    for error in (
        "protocol",
        "body_too_large",
        "too_many_redirects",
        "decode",
        "rate_limited",
        "circuit_open",
    ):
        assert not usual.cause("GET", 0, error, moved=False)
    causes = {
        status: usual.cause("PUT", status, "", moved=False) for status in (200, 404, 429, 500, 502, 503, 504)
    }
    assert causes == {
        200: "", 404: "", 429: "http_4xx", 500: "", 502: "http_5xx", 503: "http_5xx", 504: "http_5xx",
    }  # fmt: skip


def test_what_is_not_idempotent_is_tried_again_only_when_nothing_was_sent():
    usual = policy()
    assert usual.cause("POST", 0, "connect_refused", moved=False) == "connect_refused"
    assert not usual.cause("POST", 0, "connect_refused", moved=True)
    assert not usual.cause("POST", 0, "reset", moved=False)
    assert not usual.cause("POST", 0, "timeout", moved=False)
    assert not usual.cause("PATCH", 503, "", moved=False)
    posting = policy(methods=["POST"])
    assert posting.cause("POST", 503, "", moved=False) == "http_5xx"
    assert not posting.cause("GET", 503, "", moved=False)


def test_the_manifest_chooses():
    chosen = RetryPolicy.of(
        Retry.model_validate({"errors": ["protocol"]}), frozenset({500, 202}), longest=30.0
    )
    assert chosen.cause("GET", 0, "protocol", moved=False) == "protocol"
    assert not chosen.cause("GET", 0, "connect_refused", moved=False)
    assert chosen.cause("GET", 202, "", moved=False) == "http_2xx"
    assert not chosen.cause("GET", 503, "", moved=False)


@given(
    st.integers(1, 10**6),
    st.tuples(st.floats(0, 60), st.floats(0, 5), st.floats(0, 60), st.floats(0, 1)),
    st.integers(),
)
def test_a_pause_is_bounded_whatever_was_declared(number, declared, seed):
    first, factor, most, jitter = declared
    draw = growing(first, factor=factor, most=most, jitter=jitter, least=0.01)
    assert 0.01 <= draw(number, Random(seed)) <= max(0.01, most * (1 + jitter) + 1e-9)


def test_pauses_double_and_scatter_by_default():
    pause = policy().pause
    for number, plain in enumerate((0.1, 0.2, 0.4, 0.8), 1):
        drawn = [pause(number, Random(seed)) for seed in range(200)]
        assert plain * 0.5 <= min(drawn) < plain * 0.6
        assert plain * 1.4 < max(drawn) <= plain * 1.5


def test_retry_after_in_seconds_and_as_a_date():
    def now() -> datetime:
        return datetime(2015, 10, 21, 7, 27, tzinfo=UTC)

    assert asked_pause("120", now) == 120
    assert asked_pause("Wed, 21 Oct 2015 07:28:00 GMT", now) == 60
    assert asked_pause("Wed, 21 Oct 2015 07:00:00 GMT", now) == 0
    assert [asked_pause(text, now) for text in ("", "soon", "-5", "9" * 400)] == [0, 0, 0, 0]


@given(st.integers(0, TOKEN), st.lists(st.booleans(), max_size=300))
def test_retries_are_a_share_of_the_requests_and_ten_in_any_stretch(share, events):
    """True is a request, false somebody who wants a retry."""
    budget = RetryBudget()
    granted = [
        False if event else budget.spend() for event in events if not event or budget.deposit(share) is None
    ]
    sums = [(0, 0)]
    for event, grant in zip(events, granted, strict=True):
        requests, retries = sums[-1]
        sums.append((requests + event, retries + grant))
    for i, (requests, retries) in enumerate(sums):
        for later_requests, later_retries in sums[i:]:
            assert (later_retries - retries) * TOKEN <= share * (later_requests - requests) + RESERVE * TOKEN


@pytest.mark.parametrize(("share", "requests"), [(200_000, 1000), (1_000_000, 50), (0, 1000), (333_333, 999)])
def test_the_budget_is_given_out_in_full(share, requests):
    budget = RetryBudget()
    retries = 0
    for _ in range(requests):
        budget.deposit(share)
        retries += budget.spend()
    while budget.spend():
        retries += 1
    assert retries >= share * requests // TOKEN
    assert retries <= share * requests / TOKEN + RESERVE
