"""What all VUs of a process share on the way to the target: addresses, TLS contexts, limits, deadlines, accounting.

Connections themselves are not shared, unless the options say so: each VU has its own, as visitors have. Opening one
happens here, phase by phase, so that each phase is measured, bounded in time and named when it fails. This is also the
place where another protocol than HTTP/1.1 would be chosen for a connection.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from squall_runner.http.deadlines import Deadlines
from squall_runner.http.dialing import FAREWELL_SECONDS, Paused, Phases, dial, secure
from squall_runner.http.errors import TIMEOUT, RequestError, lost
from squall_runner.http.guard import GuardedResolver
from squall_runner.http.http1 import Connection
from squall_runner.http.limits import Limits
from squall_runner.http.proxy import ForwardedConnection, Proxy
from squall_runner.http.resolver import Resolver
from squall_runner.http.sharing import SharedPool
from squall_runner.http.tls import ResumingContext, TlsOptions, make_context
from squall_runner.http.tunnel import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.http.exchange import Channel
    from squall_runner.http.origin import Origin
    from squall_runner.http.resolver import Address

__all__ = ["Network", "NetworkOptions", "NetworkStats", "Phases"]

_MAX_SHARED_ORIGINS = 64
"""As many as one client keeps connections to."""


@dataclass(slots=True)
class NetworkStats:
    """Counts since the network was made.

    Attributes:
        opened: Connections that became ready for a request.
        failed: Connections that did not.
        open_sockets: Connections open now, those being opened included.
        stale_retries: Requests repeated because a kept-alive connection had been closed by the server.
        sessions_resumed: TLS handshakes that resumed an earlier session.
    """

    opened: int = 0
    failed: int = 0
    open_sockets: int = 0
    stale_retries: int = 0
    sessions_resumed: int = 0


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Settings of a network; the defaults suit a load test.

    Attributes:
        limits: What one response may take.
        connect_timeout: Seconds for DNS, the TCP connection, a proxy and TLS together, also bounded by the request's own timeout.
        tls: How servers are verified, and how the generator shows who it is.
        dns_ttl: Seconds for which addresses are kept.
        max_redirects: How many are followed when a request does not say it.
        proxy: The way to all hosts that it serves; None: all are reached directly.
        shared_connections: All clients together have at most so many to an origin; None: each has its own.
        allowed_hosts: The patterns of each policy that says where load may go (`squall.spec.hosts`).
    """

    limits: Limits = field(default_factory=Limits)
    connect_timeout: float = 10.0
    tls: TlsOptions = field(default_factory=TlsOptions)
    dns_ttl: float = 60.0
    max_redirects: int = 10
    proxy: Proxy | None = None
    shared_connections: int | None = None
    allowed_hosts: tuple[tuple[str, ...], ...] = ()


class Network:
    """The shared part of all clients of one event loop.

    Args:
        options: Settings.
        clock: Seconds, monotonic; all times in responses are its readings.
        wall: Seconds since the epoch, for the expiry of cookies.
        resolver: Who knows addresses; by default the system, with a cache.
    """

    def __init__(
        self,
        options: NetworkOptions | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], float] = time.time,
        resolver: Resolver | None = None,
    ) -> None:
        self.options = options or NetworkOptions()
        self.clock = clock
        self.wall = wall
        self.stats = NetworkStats()
        self._deadlines = Deadlines(clock)
        self._resolver = resolver or Resolver(clock, ttl=self.options.dns_ttl)
        self._guard: GuardedResolver | None = None
        if self.options.allowed_hosts:
            self._resolver = self._guard = GuardedResolver(self._resolver, self.options.allowed_hosts, clock)
        self._context: ResumingContext | None = None
        self._proxy_context: ResumingContext | None = None
        self._all_closed: asyncio.Future[None] | None = None
        self._shared: WeakValueDictionary[str, SharedPool] = WeakValueDictionary()

    def prepare_tls(self) -> None:
        """Reads certificates and keys now instead of at the first https request.

        Raises:
            InfrastructureError: A file cannot be read or does not hold what it should.
        """
        tls, proxy = self.options.tls, self.options.proxy
        if self._context is None:
            self._context = make_context(tls)
        if self._proxy_context is None and proxy is not None and proxy.origin.tls:
            # Name and certificate are for the target.
            own = replace(tls, server_name="", cert_file="", key_file="", key_password="")
            self._proxy_context = make_context(own)

    def _prepare_tls_for(self, origin: Origin) -> None:
        proxy = self.options.proxy
        if origin.tls or (proxy is not None and proxy.origin.tls):
            self.prepare_tls()

    def shared_pool(self, origin: Origin) -> SharedPool | None:
        """Returns the connections to an origin that all share; None when each client has its own.

        It lives as long as somebody uses it, or a connection of it is open.
        """
        places = self.options.shared_connections
        if places is None:
            return None
        pool = self._shared.get(origin.key)
        if pool is None:
            if len(self._shared) >= _MAX_SHARED_ORIGINS:
                for other in tuple(self._shared.values()):
                    other.close_idle()
            pool = self._shared[origin.key] = SharedPool(origin.key, places, self.clock)
        return pool

    async def open(
        self,
        origin: Origin,
        deadline: float,
        phases: Phases,
        gone: Callable[[], None] | None = None,
    ) -> Channel:
        """Opens a connection.

        Args:
            origin: Where to.
            deadline: When the whole request has to be over, in the clock's seconds.
            phases: Filled in, also when it fails.
            gone: Called when the socket of the connection is gone, also when it was never there.

        Raises:
            RequestError: It was not possible; the class says in which phase.
        """
        phases.begun = self.clock()
        if phases.begun >= deadline:
            raise RequestError(TIMEOUT, "no time was left to connect")
        deadline = min(deadline, phases.begun + self.options.connect_timeout)
        self._prepare_tls_for(origin)
        release = self._count_socket(gone)
        try:
            connection = await self._open(origin, deadline, phases, release)
        except BaseException as exc:
            release()
            self.stats.failed += isinstance(exc, RequestError)
            raise
        self.stats.opened += 1
        return connection

    async def reach(self, origin: Origin, seconds: float) -> None:
        """Sees whether there is a way to an origin, and lets go of it: a TCP connection, and a tunnel if a proxy needs one.

        Raises:
            RequestError: There is none.
        """
        self._prepare_tls_for(origin)
        release = self._count_socket()
        try:
            proxy, deadline = self.proxy_for(origin), self.clock() + seconds
            transport = await self._reach(Paused(), origin, proxy, deadline, Phases())
            transport.abort()
        finally:
            release()

    async def permit(self, origin: Origin) -> None:
        """Sees whether policies let load go to an origin, and to the proxy on the way there.

        Raises:
            RequestError: They do not (`forbidden`).
            OSError: A name has no address.
        """
        if self._guard is None:
            return
        proxy = self.proxy_for(origin)
        if proxy is not None:
            self._guard.permit_name(origin.host)
        first = origin if proxy is None else proxy.origin
        await self._guard.resolve(first.host, first.port)

    async def addresses(self, origin: Origin) -> list[Address]:
        """The addresses of an origin, for who opens a connection by other means: only those to which load may go.

        Raises:
            RequestError: A policy lets load go to none of them (`forbidden`).
            OSError: The name has no address.
        """
        return await self._resolver.resolve(origin.host, origin.port)

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy through which an origin is reached; None: it is reached directly."""
        proxy = self.options.proxy
        return proxy if proxy is not None and proxy.serves(origin) else None

    def remember_session(self, connection: Channel) -> None:
        """Keeps the TLS session of a connection; to be called when its first response has come.

        TLS 1.3 servers send what is needed for resumption behind the handshake, together with the first response.
        """
        session, _ = connection.tls_session()
        if session is None:
            return
        if connection.origin.tls:
            context, name = self._context, self.options.tls.server_name or connection.origin.host
        else:
            proxy = self.options.proxy
            assert proxy is not None, "only a proxy speaks TLS where the target does not"
            context, name = self._proxy_context, proxy.origin.host
        assert context is not None, "there was a handshake"
        context.remember(name, session)

    def destinations(self) -> list[str]:
        """Where each open connection leads: to the origin, or to the proxy that serves it."""
        found = []
        for connection in self._deadlines.members:
            assert isinstance(connection, Connection)
            proxy = self.proxy_for(connection.origin)
            found.append(proxy.name if proxy else connection.origin.key)
        return found

    def take_stalls(self) -> list[float]:
        """Returns how long connections could not send since their peers did not keep up; see `Deadlines.take_stalls`."""
        return self._deadlines.take_stalls()

    async def close(self) -> None:
        """Closes all connections, those of all clients included, and waits until the sockets are gone.

        Peers that do not take part in the farewell of TLS are cut off after a second.
        """
        await self._resolver.close()
        self._deadlines.close()
        for connection in tuple(self._deadlines.members):
            assert isinstance(connection, Connection)
            connection.close()
        await self._wait_closed(FAREWELL_SECONDS)
        for connection in tuple(self._deadlines.members):
            assert isinstance(connection, Connection)
            connection.abort()
        await self._wait_closed(FAREWELL_SECONDS)

    async def _wait_closed(self, seconds: float) -> None:
        if self.stats.open_sockets:
            self._all_closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_closed], timeout=seconds)

    def _socket_gone(self) -> None:
        self.stats.open_sockets -= 1
        if not self.stats.open_sockets and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    async def _open(
        self, origin: Origin, deadline: float, phases: Phases, release: Callable[[], None]
    ) -> Connection:
        proxy = self.proxy_for(origin)
        connection = self._connection(origin, proxy, release)
        if not origin.tls:
            try:
                await self._reach(connection, origin, proxy, deadline, phases)
            except BaseException:
                # Cancelled just after the connection was made: uvloop closes it and tells nobody.
                self._deadlines.members.discard(connection)
                raise
            if connection.closed:  # nothing would ever end a request on it
                connection.abort()
                raise lost(None, "as soon as it was open", proxy.name if proxy else "the server")
            return connection
        assert self._context is not None, "it was prepared"
        transport = await self._reach(Paused(), origin, proxy, deadline, phases)
        begun = self.clock()
        where = f"{origin.host}:{origin.port}" + (f" through {proxy.name}" if proxy else "")
        name = self.options.tls.server_name or origin.host
        await secure(transport, connection, self._context, name, where, deadline - begun)
        phases.tls = self.clock() - begun
        self.stats.sessions_resumed += connection.tls_session()[1]
        return connection

    def _connection(self, origin: Origin, proxy: Proxy | None, release: Callable[[], None]) -> Connection:
        """What will carry requests; the one place where a protocol is chosen."""
        limits = self.options.limits
        if proxy is None or origin.tls:
            return Connection(origin, self.clock, self._deadlines, limits, release)
        forwarded = ForwardedConnection(origin, self.clock, self._deadlines, limits, release)
        forwarded.forward_by(proxy)
        return forwarded

    async def _reach(
        self,
        protocol: asyncio.Protocol,
        origin: Origin,
        proxy: Proxy | None,
        deadline: float,
        phases: Phases,
    ) -> asyncio.Transport:
        """Opens the way to an origin up to where the origin's own TLS would begin, for whoever gets it then."""
        if proxy is None:
            return await dial(protocol, origin, origin.host, self._resolver, self.clock, deadline, phases)
        if self._guard is not None:
            self._guard.permit_name(origin.host)
        first = Paused() if proxy.origin.tls else protocol
        name = f"the proxy {proxy.origin.host}"
        transport = await dial(first, proxy.origin, name, self._resolver, self.clock, deadline, phases)
        begun = self.clock()
        try:
            if proxy.origin.tls:
                transport = await self._secure_proxy(transport, protocol, proxy, deadline)
            if origin.tls:
                limit, left = self.options.limits.max_head_bytes, deadline - self.clock()
                await open_tunnel(transport, proxy, origin, seconds=left, limit=limit)
                self._remember(transport, self._proxy_context, proxy.origin.host)
        finally:
            phases.connect += self.clock() - begun
        return transport

    async def _secure_proxy(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, proxy: Proxy, deadline: float
    ) -> asyncio.Transport:
        """Does the TLS handshake with the proxy itself."""
        assert self._proxy_context is not None, "it was prepared"
        host, left = proxy.origin.host, deadline - self.clock()
        secured = await secure(transport, protocol, self._proxy_context, host, proxy.name, left)
        self.stats.sessions_resumed += secured.get_extra_info("ssl_object").session_reused
        return secured

    def _remember(self, transport: asyncio.Transport, context: ResumingContext | None, name: str) -> None:
        wrapped = transport.get_extra_info("ssl_object")
        if wrapped is not None and context is not None:
            context.remember(name, wrapped.session)

    def _count_socket(self, gone: Callable[[], None] | None = None) -> Callable[[], None]:
        """Counts a socket as open; returns what counts it as gone, however many of its owners say so."""
        self.stats.open_sockets += 1
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._socket_gone()
                if gone is not None:
                    gone()

        return release
