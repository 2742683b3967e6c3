"""What requests and their hosts can get wrong: times that would be none, shares, statuses and tokens that cannot be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from squall.spec.checks import length_at, share_at
from squall.spec.language import MIN_INTERVAL
from squall.spec.quantities import nanoseconds
from squall.spec.tree import ListNode, MapNode, find, items_at, plain, text_at
from squall.spec.urls import is_host
from squall.spec.wording import show

if TYPE_CHECKING:
    from squall.spec.checks import Checks
    from squall.spec.tree import Path

_FACTOR: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_STATUSES: Final = re.compile("[0-9]{3}(?:-[0-9]{3})?")
_FIRST_STATUS: Final = 100
_LAST_STATUS: Final = 599
_TEMPLATE: Final = re.compile(r"\$\{[^}]*\}")
_HEADER: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token of RFC 9110."""
_OWN_HEADERS: Final = frozenset({"content-length", "transfer-encoding"})
_BREAKS: Final = frozenset("\r\n\0")


def check_http(checks: Checks) -> None:
    """Check what `spec.http` says about hosts."""
    http: Path = ("spec", "http")
    for key in ("timeout", "connectTimeout"):
        _not_zero(checks, (*http, key))
    _check_headers(checks, (*http, "headers"))
    check_retry(checks, (*http, "retry"))
    _check_oauth2(checks, http)
    for key in ("window", "openFor"):
        _not_zero(checks, (*http, "circuitBreaker", key))
    rate = share_at(checks.root, *http, "circuitBreaker", "errorRate")
    if rate is not None and not 0 < rate <= 1:
        message = "the circuit would open without a failure" if rate <= 0 else "no more than all can fail"
        checks.report((*http, "circuitBreaker", "errorRate"), message, "write for example 50%, at most 100%")
    _not_zero(checks, (*http, "failover", "retryAfter"))
    failover = find(checks.root, *http, "failover")
    if failover is not None and len(items_at(checks.root, *http, "baseUrls")) == 1:
        message = "there is only one base URL, so there is nowhere else to go"
        checks.report(
            (*http, "failover"), message, "add another to http.baseUrls, or leave failover out", key=True
        )
    for index, _ in enumerate(items_at(checks.root, *http, "rateLimits")):
        limit: Path = (*http, "rateLimits", index)
        _not_zero(checks, (*limit, "timeUnit"))
        _host(checks, (*limit, "host"))


def check_retry(checks: Checks, path: Path) -> None:
    """Check a `retry`."""
    _check_statuses(checks, (*path, "statuses"))
    check_backoff(checks, (*path, "backoff"))
    errors, methods = (find(checks.root, *path, key) for key in ("errors", "methods"))
    connects = errors is None or "connect" in plain(errors)
    if isinstance(methods, ListNode) and not methods.items and not connects:
        message = "nothing is ever tried again: without a method, only failures to connect could be"
        hint = "name methods, or write maxRetries: 0 when that is meant"
        checks.report((*path, "methods"), message, hint, key=True)
    longest = length_at(checks.root, *path, "backoff", "max")
    if longest is not None and longest < nanoseconds(MIN_INTERVAL):
        message = f"the pause is shorter than {MIN_INTERVAL}"
        checks.report((*path, "backoff", "max"), message, f"write {MIN_INTERVAL} or more")


def check_request(checks: Checks, path: Path) -> None:
    """Check what can be wrong with the request at a path beside its URL and its texts."""
    _not_zero(checks, (*path, "timeout"))
    _check_headers(checks, (*path, "headers"))
    _check_statuses(checks, (*path, "expectStatus"))
    _check_oauth2(checks, path)
    check_retry(checks, (*path, "retry"))
    if find(checks.root, *path, "retry", "budget") is not None:
        message = "the budget belongs to the host, whichever step sends: a step has none of its own"
        hint = "write it in spec.http.retry.budget, with maxRetries: 0 there if only some steps try again"
        checks.report((*path, "retry", "budget"), message, hint, key=True)


def check_backoff(checks: Checks, path: Path) -> None:
    """Check how the pauses between tries, or polls, grow."""
    factor = text_at(checks.root, *path, "factor")
    if factor is not None and _FACTOR.fullmatch(factor) and float(factor) < 1:
        message = f"{factor} makes each pause shorter than the one before"
        checks.report((*path, "factor"), message, 'write "1" for pauses that stay the same, or more')
    jitter = share_at(checks.root, *path, "jitter")
    if jitter is not None and jitter > 1:
        message = "no pause can be shorter by more than its length"
        checks.report((*path, "jitter"), message, "write 100% or less")


def _check_headers(checks: Checks, path: Path) -> None:
    """Report headers that no request can be sent with."""
    node = find(checks.root, *path)
    for name in node.items if isinstance(node, MapNode) else ():
        here: Path = (*path, name)
        if name.lower() in _OWN_HEADERS:
            message = f"{name} follows from the body, and is set by itself"
            checks.report(here, message, "leave it out", key=True)
        elif "${" not in name and not _HEADER.fullmatch(name):
            message = f"{show(name)} is not a header name"
            checks.report(here, message, "write letters, digits and -, as in Content-Type", key=True)
        elif _BREAKS & set(text_at(node, name) or ""):
            message = f"the value of header {name} holds a line break or a NUL"
            checks.report(here, message, "a header is one line")


def _check_statuses(checks: Checks, path: Path) -> None:
    for index, _ in enumerate(items_at(checks.root, *path)):
        text = text_at(checks.root, *path, index) or ""
        if not _STATUSES.fullmatch(text):
            continue
        first, _, last = text.partition("-")
        if not _FIRST_STATUS <= int(first) <= int(last or first) <= _LAST_STATUS:
            between = f"from {_FIRST_STATUS} to {_LAST_STATUS}, the lower first"
            message = f"{show(text)} is no status that can come"
            checks.report((*path, index), message, f"statuses are {between}: 429, or 500-504")


def _check_oauth2(checks: Checks, path: Path) -> None:
    oauth2: Path = (*path, "auth", "oauth2")
    url = text_at(checks.root, *oauth2, "tokenUrl")
    if url is not None and (not url or any(c.isspace() for c in _TEMPLATE.sub("", url))):
        message = f"{show(url)} is not a URL"
        checks.report((*oauth2, "tokenUrl"), message, "write for example https://auth.example/token")
    if text_at(checks.root, *oauth2, "clientId") == "":
        message = "the token is asked for in nobody's name"
        checks.report((*oauth2, "clientId"), message, "write what the server knows this test as")


def _not_zero(checks: Checks, path: Path) -> None:
    if length_at(checks.root, *path) == 0:
        checks.report(path, "this cannot be 0", "write for example 1s")


def _host(checks: Checks, path: Path) -> None:
    text = text_at(checks.root, *path)
    if text is not None and not is_host(text):
        message = f"{show(text)} is neither a host nor host:port"
        checks.report(path, message, "write for example shop.example or shop.example:8443")
