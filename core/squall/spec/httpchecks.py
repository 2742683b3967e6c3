"""What retries, rate limits and circuit breakers can get wrong: times that would be none, and hosts that are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from squall.spec.base import nanoseconds
from squall.spec.checks import length_at
from squall.spec.steps import MIN_INTERVAL
from squall.spec.tree import find, items_at, text_at
from squall.spec.wording import show

if TYPE_CHECKING:
    from squall.spec.checks import Checks
    from squall.spec.tree import Path

_HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(?::([0-9]{1,5}))?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
)
"""A name, an address, or an IPv6 address in brackets, each with or without a port; or a bare IPv6 address."""
_LAST_PORT: Final = 65535


def check_http(checks: Checks) -> None:
    """Check what `spec.http` says about hosts."""
    http: Path = ("spec", "http")
    check_retry(checks, (*http, "retry"))
    for key in ("window", "openFor"):
        _not_zero(checks, (*http, "circuitBreaker", key))
    for index, _ in enumerate(items_at(checks.root, *http, "rateLimits")):
        limit: Path = (*http, "rateLimits", index)
        _not_zero(checks, (*limit, "timeUnit"))
        _host(checks, (*limit, "host"))


def check_retry(checks: Checks, path: Path) -> None:
    """Check a `retry`."""
    longest = length_at(checks.root, *path, "backoff", "max")
    if longest is not None and longest < nanoseconds(MIN_INTERVAL):
        message = f"the pause is shorter than {MIN_INTERVAL}"
        checks.report((*path, "backoff", "max"), message, f"write {MIN_INTERVAL} or more")


def check_request(checks: Checks, path: Path) -> None:
    """Check the `retry` and the statuses of the request at a path."""
    check_retry(checks, (*path, "retry"))
    if find(checks.root, *path, "retry", "budget") is not None:
        message = "the budget belongs to the host, whichever step sends: a step has none of its own"
        hint = "write it in spec.http.retry.budget, with maxRetries: 0 there if only some steps try again"
        checks.report((*path, "retry", "budget"), message, hint, key=True)


def _not_zero(checks: Checks, path: Path) -> None:
    if length_at(checks.root, *path) == 0:
        checks.report(path, "this cannot be 0", "write for example 1s")


def _host(checks: Checks, path: Path) -> None:
    text = text_at(checks.root, *path)
    if text is None:
        return
    found = _HOST.fullmatch(text)
    if found is None or int(found[1] or 1) not in range(1, _LAST_PORT + 1):
        message = f"{show(text)} is neither a host nor host:port"
        checks.report(path, message, "write for example shop.example or shop.example:8443")
