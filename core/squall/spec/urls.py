"""URLs and hosts as a manifest writes them: what is certain to be refused when the run begins is told before it.

Where a `${...}` stands in a host, nothing is known yet, and nothing is said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from squall.spec.tree import find, items_at, text_at
from squall.spec.wording import show

if TYPE_CHECKING:
    from squall.spec.checks import Checks
    from squall.spec.tree import Path

PROTOCOLS: Final = ("http://", "https://")
_HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(?::([0-9]{1,5}))?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
)
"""A name, an address, or an IPv6 address in brackets, each with or without a port; or a bare IPv6 address."""
_LAST_PORT: Final = 65535
_END_OF_HOST: Final = re.compile(r"[/?#]")


def is_host(text: str) -> bool:
    """Whether a text is a host, or host:port with a port that there is."""
    found = _HOST.fullmatch(text)
    return found is not None and int(found[1] or 1) in range(1, _LAST_PORT + 1)


def check_url(checks: Checks, path: Path) -> None:
    """Report a URL that is neither absolute nor a path below a base URL."""
    url = _not_absolute(checks, path)
    if url is None:
        return
    if "://" in url:
        checks.report(path, f"{show(url)} has a protocol that is not spoken", "http and https are")
    elif find(checks.root, "spec", "http", "baseUrl") is None and not items_at(
        checks.root, "spec", "http", "baseUrls"
    ):
        message = f"{show(url)} is a path, but there is no base URL to put before it"
        checks.report(path, message, "set spec.http.baseUrl, or write http://host/path")


def check_base_url(checks: Checks, path: Path) -> None:
    """Report a base URL that is not absolute."""
    url = _not_absolute(checks, path)
    if url is not None:
        checks.report(path, f"{show(url)} is not an absolute URL", "begin it with http:// or https://")


def _not_absolute(checks: Checks, path: Path) -> str | None:
    """The URL at a path if it is not absolute; of one that is, the host is checked, and of one that nobody knows yet, nothing."""
    url = text_at(checks.root, *path)
    if url is None or url.startswith("${"):
        return None
    if not url.startswith(PROTOCOLS):
        return url
    _check_host(checks, path, url)
    return None


def _check_host(checks: Checks, path: Path, url: str) -> None:
    """Report an absolute URL whose host or port cannot be."""
    rest = url.partition("://")[2]
    host = _END_OF_HOST.split(rest, maxsplit=1)[0].rpartition("@")[2]
    if "${" not in rest.partition("/")[0] and not is_host(host):
        message = f"{show(url)} has no host" if not host else f"{show(host)} is neither a host nor host:port"
        checks.report(path, message, f"write for example http://shop.example:8080; ports end at {_LAST_PORT}")
