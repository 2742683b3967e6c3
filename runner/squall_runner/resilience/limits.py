"""Which of the declared rate limits hold for a host, and what part of them is a shard's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from squall.plan.share import Share
from squall.spec.quantities import seconds, whole
from squall_runner.http import Origin
from squall_runner.resilience.pace import Gate, Pace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.spec.structs import RateLimit


def address(origin: Origin) -> str:
    """Host and port of an origin, the port also where it is the scheme's own."""
    return origin.key.partition("://")[2]


def host_name(text: str) -> str:
    """A host or `host:port` of a manifest as `address` would write it.

    Raises:
        ValueError: It is neither.
    """
    if text.count(":") > 1 and "[" not in text:
        text = f"[{text}]"
    parts = urlsplit(f"//{text}")
    if parts.netloc != text or "@" in text:
        raise ValueError(f"{text!r} is neither a host nor host:port")
    written = address(Origin("http", parts.hostname or "", parts.port))
    return written if parts.port is not None else written.rpartition(":")[0]


class RateLimits:
    """The limits of a manifest.

    Of those that name a host and port, only a host, and nothing, the most precise that fit are taken; several that are
    equally precise hold together.

    Args:
        limits: As declared.
        shards: Over how many shards they are divided.

    Raises:
        ValueError: One names no possible host.
    """

    def __init__(self, limits: Sequence[RateLimit], shards: int) -> None:
        self._shards = shards
        self._named: dict[str, list[RateLimit]] = {}
        for limit in limits:
            self._named.setdefault(host_name(limit.host) if limit.host else "", []).append(limit)

    def name(self, origin: Origin) -> str | None:
        """What shares a limit with this origin: its host and port, or its host; None when it has no limit."""
        where = address(origin)
        if where in self._named:
            return where
        host = where.rpartition(":")[0]
        return host if host in self._named or "" in self._named else None

    def pace(self, name: str, shard: int) -> Pace:
        """The limits for what `name` has named, as one shard has to keep them."""
        gates = []
        for limit in self._named.get(name) or self._named[""]:
            gates += _gates(limit, Share(shard, self._shards))
        return Pace(*gates)


def _gates(limit: RateLimit, share: Share) -> list[Gate]:
    gates = []
    if limit.rate is not None:
        # A shard without a burst of its own could never send anything.
        burst = 1 if limit.burst is None else max(1, share.of(whole(limit.burst)))
        gates.append(Gate(seconds(limit.time_unit) * share.count / whole(limit.rate), burst))
    if limit.spacing is not None:
        gates.append(Gate(seconds(limit.spacing), strict=True))
    return gates
