"""What all VUs of a process share on the way to the target: addresses, TLS contexts, limits, deadlines, accounting.

Connections themselves are not shared: each VU has its own, as visitors have. Opening one happens here, phase by phase,
so that each phase is measured, bounded in time and named when it fails. This is also the place where another protocol
than HTTP/1.1 would be chosen for a connection.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from squall_runner.http.connection import Connection
from squall_runner.http.deadlines import Deadlines
from squall_runner.http.errors import (
    DNS,
    TIMEOUT,
    TLS,
    RequestError,
    connect_failure,
    describe,
    lost,
    tls_failure,
)
from squall_runner.http.limits import Limits
from squall_runner.http.resolver import Address, Resolver
from squall_runner.http.tls import ResumingContext, TlsOptions, make_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.http.origin import Origin

_FAREWELL_SECONDS = 1.0


@dataclass(slots=True)
class Phases:
    """When the opening of a connection began and what its phases took, in seconds, as far as it came."""

    begun: float = 0.0
    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0


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
        connect_timeout: Seconds for DNS, the TCP connection and TLS together, also bounded by the request's own timeout.
        tls: How servers are verified, and how the generator shows who it is.
        dns_ttl: Seconds for which addresses are kept.
        max_redirects: How many are followed when a request does not say it.
    """

    limits: Limits = field(default_factory=Limits)
    connect_timeout: float = 10.0
    tls: TlsOptions = field(default_factory=TlsOptions)
    dns_ttl: float = 60.0
    max_redirects: int = 10


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
        self._context: ResumingContext | None = None
        self._all_closed: asyncio.Future[None] | None = None

    def prepare_tls(self) -> None:
        """Reads certificates and keys now instead of at the first https request.

        Raises:
            InfrastructureError: A file cannot be read or does not hold what it should.
        """
        if self._context is None:
            self._context = make_context(self.options.tls)

    async def open(self, origin: Origin, deadline: float, phases: Phases) -> Connection:
        """Opens a connection.

        Args:
            origin: Where to.
            deadline: When the whole request has to be over, in the clock's seconds.
            phases: Filled in, also when it fails.

        Raises:
            RequestError: It was not possible; the class says in which phase.
        """
        phases.begun = self.clock()
        if phases.begun >= deadline:
            raise RequestError(TIMEOUT, "no time was left to connect")
        deadline = min(deadline, phases.begun + self.options.connect_timeout)
        if origin.tls:
            self.prepare_tls()
        release = self._count_socket()
        try:
            addresses = await self._resolve(origin, deadline, phases)
            connection = await self._connect(origin, addresses, deadline, phases, release)
        except BaseException as exc:
            release()
            self.stats.failed += isinstance(exc, RequestError)
            raise
        self.stats.opened += 1
        return connection

    def remember_session(self, connection: Connection) -> None:
        """Keeps the TLS session of a connection; to be called when its first response has come.

        TLS 1.3 servers send what is needed for resumption behind the handshake, together with the first response.
        """
        if self._context is not None and connection.origin.tls:
            session, _ = connection.tls_session()
            self._context.remember(self.options.tls.server_name or connection.origin.host, session)

    async def close(self) -> None:
        """Closes all connections, those of all clients included, and waits until the sockets are gone.

        Peers that do not take part in the farewell of TLS are cut off after a second.
        """
        await self._resolver.close()
        self._deadlines.close()
        for connection in tuple(self._deadlines.members):
            assert isinstance(connection, Connection)
            connection.close()
        await self._wait_closed(_FAREWELL_SECONDS)
        for connection in tuple(self._deadlines.members):
            assert isinstance(connection, Connection)
            connection.abort()
        await self._wait_closed(_FAREWELL_SECONDS)

    async def _wait_closed(self, seconds: float) -> None:
        if self.stats.open_sockets:
            self._all_closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_closed], timeout=seconds)

    def _socket_gone(self) -> None:
        self.stats.open_sockets -= 1
        if not self.stats.open_sockets and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    async def _resolve(self, origin: Origin, deadline: float, phases: Phases) -> list[Address]:
        begun = self.clock()
        try:
            async with asyncio.timeout(deadline - begun):
                return await self._resolver.resolve(origin.host, origin.port)
        except TimeoutError as exc:
            raise RequestError(DNS, f"no address for {origin.host} in time") from exc
        except (OSError, UnicodeError) as exc:
            raise RequestError(DNS, f"no address for {origin.host}: {describe(exc)}") from exc
        finally:
            phases.dns = self.clock() - begun

    async def _connect(
        self,
        origin: Origin,
        addresses: list[Address],
        deadline: float,
        phases: Phases,
        release: Callable[[], None],
    ) -> Connection:
        connection = Connection(origin, self.clock, self._deadlines, self.options.limits, release)
        if not origin.tls:
            await self._connect_any(connection, origin, addresses, deadline, phases)
            if connection.closed:  # nothing would ever end a request on it
                connection.abort()
                raise lost(None, "as soon as it was open")
            return connection
        # What reads the socket before TLS does must not take a byte.
        transport = await self._connect_any(_Paused(), origin, addresses, deadline, phases)
        await self._secure(transport, connection, deadline, phases)
        return connection

    async def _connect_any(
        self,
        protocol: asyncio.Protocol,
        origin: Origin,
        addresses: list[Address],
        deadline: float,
        phases: Phases,
    ) -> asyncio.Transport:
        """Tries the addresses one after the other; each gets its share of the time that is left."""
        begun = self.clock()
        try:
            for tried, address in enumerate(addresses, 1):
                share = (deadline - self.clock()) / (len(addresses) - tried + 1)
                try:
                    return await _connect_one(protocol, address, share)
                except OSError as exc:
                    self._resolver.failed(origin.host, origin.port, address)
                    failure = connect_failure(exc, f"{origin.host}:{origin.port} ({address[1][0]})")
                    failure.__cause__ = exc
            raise failure
        finally:
            phases.connect = self.clock() - begun

    async def _secure(
        self, transport: asyncio.Transport, connection: Connection, deadline: float, phases: Phases
    ) -> None:
        """Does the TLS handshake and hands the connection over to it."""
        origin, begun = connection.origin, self.clock()
        where = f"{origin.host}:{origin.port}"
        seconds = deadline - begun
        assert self._context is not None
        try:
            async with asyncio.timeout(seconds):
                secured = await asyncio.get_running_loop().start_tls(
                    transport,
                    connection,
                    self._context,
                    server_hostname=self.options.tls.server_name or origin.host,
                    ssl_shutdown_timeout=_FAREWELL_SECONDS,
                )
            secured = _handshaken(secured, connection)
        except TimeoutError as exc:
            transport.abort()
            raise RequestError(TLS, f"TLS handshake with {where} not finished in {seconds:.3g} s") from exc
        except OSError as exc:
            transport.abort()
            raise tls_failure(exc, where) from exc
        except BaseException:
            transport.abort()
            raise
        connection.connection_made(secured)
        phases.tls = self.clock() - begun
        self.stats.sessions_resumed += connection.tls_session()[1]

    def _count_socket(self) -> Callable[[], None]:
        """Counts a socket as open; returns what counts it as gone, however many of its owners say so."""
        self.stats.open_sockets += 1
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._socket_gone()

        return release


def _handshaken(transport: asyncio.Transport | None, connection: Connection) -> asyncio.Transport:
    """Makes sure that the handshake took place: a peer that hangs up at the wrong moment can pass for one that did it.

    Raises:
        ConnectionResetError: It did not.
    """
    if transport is None or connection.closed or transport.get_extra_info("cipher") is None:
        raise ConnectionResetError("the server closed the connection")
    return transport


class _Paused(asyncio.Protocol):
    """Holds a connection still until TLS takes it over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()


async def _connect_one(protocol: asyncio.Protocol, address: Address, seconds: float) -> asyncio.Transport:
    family, (host, port, *_) = address
    try:
        async with asyncio.timeout(seconds):
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: protocol, host, port, family=family)
            return transport
    except TimeoutError as exc:
        if exc.errno is not None:
            raise
        raise TimeoutError(f"no answer within {seconds:.3g} s") from exc
