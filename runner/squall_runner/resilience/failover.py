"""Fail-over: which of several base URLs get their share of the load, and which are left out for now.

        enough failures in a row                    a request gets an answer
    up ---------------------------> out ------------------------------------------> up
                                     |  ^
                                     +--+  each period of `retryAfter`, one request tries it; a failure begins another period

Requests take time, so an answer may come when the machine has long moved on. Each request carries a ticket of the phase
in which it was begun, and what comes of a request of an earlier phase decides nothing.

When all are out there is nowhere else to go: then all get their share, and the first that answers is up again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from squall_runner.http.errors import (
    CLOSED,
    CONNECT_FAILED,
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    DNS,
    PROXY,
    RESET,
    TIMEOUT,
    TLS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall_runner.http import Response

_NO_CONNECTION: Final = frozenset({DNS, CONNECT_REFUSED, CONNECT_TIMEOUT, CONNECT_FAILED, TLS, PROXY})
_NO_RESPONSE: Final = frozenset({RESET, CLOSED, TIMEOUT})


def unreachable(response: Response) -> bool | None:
    """Whether what came of a request shows that nobody is there; None when it shows neither."""
    if response.redirects:  # it has answered; what comes behind may be another host's fault
        return False
    if response.error in _NO_CONNECTION:
        return True
    if response.bytes_received:
        return False
    return True if response.error in _NO_RESPONSE else None


@dataclass(slots=True)
class _Host:
    """What is known of one host and port.

    Attributes:
        name: Host and port.
        out: It is left out.
        failures: One after the other, while it is up.
        again: When it may be tried, while it is out.
        pending: Requests of this phase that have not ended.
        phase: Grows with each change between up and out.
    """

    name: str
    out: bool = False
    failures: int = 0
    again: float = 0.0
    pending: int = 0
    phase: int = 0


Ticket: TypeAlias = tuple[_Host, int]
"""A request to a host, and the phase in which it was begun."""


class Failover:
    """The base URLs of a runner.

    Args:
        hosts: Host and port of each base URL; those of the same host share its fate.
        failures: So many in a row take a host out.
        retry_after: How long it is left out before it is tried again, in seconds.
        clock: Seconds, monotonic.
        changed: Told of each change: the host, and whether it is up.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        failures: int,
        retry_after: float,
        clock: Callable[[], float],
        changed: Callable[[str, bool], None],
    ) -> None:
        self._hosts = {name: _Host(name) for name in hosts}
        self._of = [self._hosts[name] for name in hosts]
        self._all = self._up = tuple(range(len(hosts)))
        self._failures = failures
        self._retry_after = retry_after
        self._clock = clock
        self._changed = changed

    # -- whom to ask ------------------------------------------------------------------------------------------

    def choices(self) -> tuple[int, ...]:
        """The places of the base URLs among which the next request has the choice; never empty."""
        if len(self._up) == len(self._all):
            return self._all
        if not self._up:
            return self._all
        for at, host in enumerate(self._of):
            if host.out and self._claim(host):
                return (at,)
        return self._up

    def instead_of(self, own: int) -> int:
        """The place to go to for who keeps to one base URL: its own, or the next one that is up."""
        if own in self._up or not self._up or self._claim(self._of[own]):
            return own
        return next((at for at in self._up if at > own), self._up[0])

    def _claim(self, host: _Host) -> bool:
        """Whether it is time to try a host that is out; once per period, and not while a try is under way."""
        now = self._clock()
        if host.pending or now < host.again:
            return False
        host.again = now + self._retry_after
        return True

    # -- what came of it --------------------------------------------------------------------------------------

    def begin(self, name: str) -> Ticket | None:
        """A request to a host begins; None when it is no base URL's. Each ticket goes back, to `end`."""
        host = self._hosts.get(name)
        if host is None:
            return None
        host.pending += 1
        return host, host.phase

    def end(self, ticket: Ticket | None, *, failed: bool | None) -> None:
        """A request has ended; `failed` is what `unreachable` says, None also for one that was given up."""
        if ticket is None or ticket[0].phase != ticket[1]:
            return
        host = ticket[0]
        host.pending -= 1
        if failed is None:
            host.again = self._clock()  # another may try
        elif not failed:
            host.failures = 0
            if host.out:
                self._turn(host, out=False)
        elif host.out:
            host.again = self._clock() + self._retry_after
        else:
            host.failures += 1
            if host.failures >= self._failures:
                host.again = self._clock() + self._retry_after
                self._turn(host, out=True)

    def _turn(self, host: _Host, *, out: bool) -> None:
        host.out = out
        host.phase += 1
        host.failures = host.pending = 0
        self._up = tuple(at for at in self._all if not self._of[at].out)
        self._changed(host.name, not out)
