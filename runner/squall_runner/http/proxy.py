"""A forward proxy: which requests take the way through it, and how a plain http request is written for it.

The proxy is the network's business alone. Requests, cookies and redirects know only the target, so nothing meant for
the proxy can reach the target: what a proxy needs is added where the bytes leave for it. Without a proxy none of
this is in the way.

Variables such as HTTP_PROXY are deliberately not read: where the load went would depend on who started it.
"""

from __future__ import annotations

import ipaddress
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squall_runner.http.errors import PROXY
from squall_runner.http.http1 import Connection
from squall_runner.http.origin import Origin, parse_url

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from squall_runner.http.request import Request
    from squall_runner.http.response import Response

    Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Bypass:
    """Hosts that are reached without the proxy.

    Attributes:
        hosts: Names and addresses, as origins write them.
        suffixes: Ends of names, each with its leading dot.
        networks: Networks; only hosts that are given as addresses can be in one, as names are left to the proxy to resolve.
    """

    hosts: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: Networks = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Bypass:
        """Reads names, addresses, `.suffix` and networks such as `10.0.0.0/8`.

        Raises:
            ValueError: One is none of these.
        """
        hosts, suffixes, networks = set(), [], []
        for pattern in patterns:
            if "/" in pattern:
                networks.append(ipaddress.ip_network(pattern.replace("[", "").replace("]", "")))
            elif "*" in pattern:
                raise ValueError(f"{pattern!r} is no host: for all names below a domain write `.example.com`")
            elif pattern.startswith("."):
                suffixes.append("." + Origin("http", pattern[1:]).host)
            else:
                hosts.add(Origin("http", pattern).host)
        return cls(frozenset(hosts), tuple(suffixes), tuple(networks))

    def __contains__(self, host: str) -> bool:
        if host in self.hosts or host.endswith(self.suffixes):
            return True
        if not self.networks:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and what it is used for.

    Attributes:
        origin: Where it is; with scheme `https`, TLS is spoken with the proxy itself.
        authorization: The header line with its credentials, CRLF included; empty without.
        bypass: Hosts that are reached directly. The loopback interface is none of them unless it is named.
    """

    origin: Origin
    authorization: bytes = field(default=b"", repr=False)
    bypass: Bypass = field(default_factory=Bypass)

    @classmethod
    def of(cls, url: str, credentials: tuple[str, str] | None = None, no_proxy: Iterable[str] = ()) -> Proxy:
        """A proxy from its URL, user name and password (RFC 7617), and what is reached without it.

        Raises:
            ValueError: One of them is not what it should be.
        """
        if "@" in url:
            raise ValueError("credentials belong in http.proxy.auth, not in the URL of the proxy")
        origin, target = parse_url(url)
        if target != b"/":
            raise ValueError(f"{url!r} is no proxy: write scheme, host and port, such as http://proxy:3128")
        line = b""
        if credentials is not None:
            user, password = credentials
            if ":" in user:
                raise ValueError("the user name of a proxy cannot hold a colon")
            token = b64encode(f"{user}:{password}".encode())
            line = b"Proxy-Authorization: Basic %b\r\n" % token
        return cls(origin, line, Bypass.of(no_proxy))

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"the proxy {self.origin.host}:{self.origin.port}"

    def serves(self, origin: Origin) -> bool:
        """Whether requests to that origin go through it."""
        return origin.host not in self.bypass

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User name and password; None: it wants none."""
        if not self.authorization:
            return None
        user, _, password = b64decode(self.authorization.split()[-1]).decode().partition(":")
        return user, password

    def unauthorized(self) -> str:
        """What a 407 says about the credentials."""
        if self.authorization:
            return "it does not accept the credentials in http.proxy.auth"
        return "it wants credentials: set http.proxy.auth"


class ForwardedConnection(Connection):
    """A connection to a proxy for requests to one http origin: each asks by absolute URL (RFC 9112, section 3.2.2)."""

    __slots__ = ("_prefix", "proxy")

    proxy: Proxy

    def forward_by(self, proxy: Proxy) -> None:
        """Says which proxy is at the other end; to be called once, before the first request."""
        self.proxy = proxy
        self._prefix = f"http://{self.origin.authority}".encode("ascii")

    def start(  # noqa: PLR0917 - as its parent
        self,
        request: Request,
        wire: bytes,
        keep: bool,  # noqa: FBT001 - as its parent
        start: float,
        sending: float,
        deadline: float,
    ) -> asyncio.Future[Response]:
        """Sends a request, see `Connection.start`, with the absolute URL and the proxy's credentials in its head."""
        target = wire.index(b" ") + 1
        after_host = wire.index(b"\r\n", wire.index(b"\r\n") + 2) + 2  # the Host line comes first
        pieces = (
            wire[:target],
            self._prefix,
            wire[target:after_host],
            self.proxy.authorization,
            wire[after_host:],
        )
        future = super().start(request, b"".join(pieces), keep, start, sending, deadline)
        future.add_done_callback(self._judge)
        return future

    def _judge(self, future: asyncio.Future[Response]) -> None:
        """Names the proxy where it may be at fault; runs before whoever waits for the response."""
        if future.cancelled():
            return
        response = future.result()
        if response.error:
            response.error_message += f" (through {self.proxy.name})"
        elif response.status == 407:
            response.error = PROXY
            answer = f"{self.proxy.name} answered with 407 {response.reason}".rstrip()
            response.error_message = f"{answer}: {self.proxy.unauthorized()}"
