"""Hosts that a manifest names and never sends to: a limit with a typing error in its host limits nothing, silently.

Only a manifest all of whose hosts are written down can be checked, so whatever is computed while it runs ends the check; and
since a redirect may lead anywhere, it only warns.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from squall.spec.tree import format_path, items_at, leaves, text_at
from squall.spec.wording import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.spec.checks import Checks
    from squall.spec.tree import Path

_VARIABLE: Final = re.compile(r"\$\{\s*var\.(\w+)\s*\}")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ENDPOINT: Final = ("url", "webSocket")
_SHOWN: Final = 5


def check_hosts(checks: Checks) -> None:
    """Warn of `rateLimits` and `noProxy` that name a host to which nothing is sent, and of targets that are there twice."""
    _twice(checks)
    hosts = _hosts(checks)
    if not hosts:
        return
    known = ", ".join(sorted({host for host, _ in hosts})[:_SHOWN])
    for path, text in _named(checks):
        if not any(_means(text, host, port) for host, port in hosts):
            checks.warnings.append(
                f"{format_path(path)}: no URL of this test leads to {show(text)}, so it does nothing; they lead to {known}"
            )


def _twice(checks: Checks) -> None:
    first: dict[str, int] = {}
    for index in range(len(items_at(checks.root, "spec", "http", "baseUrls"))):
        url = text_at(checks.root, "spec", "http", "baseUrls", index)
        if url is None:
            continue
        if first.setdefault(url.rstrip("/"), index) != index:
            checks.warnings.append(
                f"spec.http.baseUrls[{index}] is the same as [{first[url.rstrip('/')]}]: {show(url)} has a double share of the load"
            )


def _named(checks: Checks) -> Iterator[tuple[Path, str]]:
    """The hosts that are named; networks, which are written for more than one test, are not among them."""
    for index, _ in enumerate(items_at(checks.root, "spec", "http", "rateLimits")):
        path: Path = ("spec", "http", "rateLimits", index, "host")
        if text := text_at(checks.root, *path):
            yield path, text
    for index, _ in enumerate(items_at(checks.root, "spec", "http", "proxy", "noProxy")):
        path = ("spec", "http", "proxy", "noProxy", index)
        if (text := text_at(checks.root, *path)) and "/" not in text:
            yield path, text


def _hosts(checks: Checks) -> set[tuple[str, int]]:
    """Where all URLs of a test lead, with ports; empty when that is not known."""
    found: set[tuple[str, int]] = set()
    for path, leaf in leaves(checks.root):
        if "python" in path:
            return set()  # it may send anywhere
        if not (isinstance(leaf.value, str) and _is_url(path)):
            continue
        text = _VARIABLE.sub(lambda match: str(checks.variables.values.get(match[1], match[0])), leaf.value)
        parts = _split(text)
        if text.startswith("${") or parts is None or "${" in parts.netloc:
            return set()
        if parts.hostname:
            found.add((parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)))
    return found


def _is_url(path: Path) -> bool:
    return path[-1] == "tokenUrl" or path[-2:] in {
        ("http", "baseUrl"),
        ("http", "url"),
        ("connectivity", "url"),
    } or path[-3:-1] == ("http", "baseUrls") or (path[:3] == ("spec", "evm", "endpoints") and path[-1] in _ENDPOINT)  # fmt: skip


def _means(text: str, host: str, port: int) -> bool:
    """Whether a text means a host: by name, all names below it, or with this port."""
    if text.startswith("."):
        return host.endswith(text.lower()) or host == text[1:].lower()
    parts = _split(f"//[{text}]" if text.count(":") > 1 and "[" not in text else f"//{text}")
    return parts is None or (parts.hostname == host and parts.port in {None, port})


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
