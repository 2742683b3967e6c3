"""From a name to an open socket, and from a socket to TLS: the steps of which every way to a target is made.

Each step is bounded in time, measured, and named when it fails. Who takes them in which order, with or without a proxy,
is the network's matter.
"""

from __future__ import annotations

import asyncio
from asyncio.sslproto import _SSLProtocolTransport
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from squall_runner.http.errors import (
    DNS,
    EXHAUSTED,
    TLS,
    RequestError,
    connect_failure,
    describe,
    tls_failure,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from squall_runner.http.origin import Origin
    from squall_runner.http.resolver import Address, Resolver

FAREWELL_SECONDS = 1.0
"""A peer has this long to take part in the farewell of TLS."""
_EXHAUSTED_SECONDS = 0.1


@dataclass(slots=True)
class Phases:
    """When the opening of a connection began and what its phases took, in seconds, as far as it came.

    Behind a proxy, `dns` and `connect` are those of the way to the proxy, and `connect` goes on until the way to the target is
    open; `tls` is always the handshake with the target.
    """

    begun: float = 0.0
    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0


class Paused(asyncio.Protocol):
    """Holds a connection still until somebody takes it over: what reads the socket before must not take a byte.

    Attributes:
        closed: The connection is lost.
    """

    closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reads nothing."""
        cast("asyncio.Transport", transport).pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes it."""
        del exc
        self.closed = True


async def dial(  # noqa: PLR0917 - two callers
    protocol: asyncio.Protocol,
    host: Origin,
    name: str,
    resolver: Resolver,
    clock: Callable[[], float],
    deadline: float,
    phases: Phases,
) -> asyncio.Transport:
    """Opens a TCP connection.

    Args:
        protocol: Who gets it.
        host: Where to.
        name: How messages call that, such as `the proxy proxy.example`.
        resolver: Knows addresses.
        clock: Seconds, monotonic.
        deadline: When it has to be open, in the clock's seconds.
        phases: `dns` and `connect` are filled in, also when it fails.

    Raises:
        RequestError: It was not possible.
    """
    begun = clock()
    try:
        async with asyncio.timeout(deadline - begun):
            addresses = await resolver.resolve(host.host, host.port)
    except TimeoutError as exc:
        raise RequestError(DNS, f"no address for {name} in time") from exc
    except (OSError, UnicodeError) as exc:
        raise RequestError(DNS, f"no address for {name}: {describe(exc)}") from exc
    finally:
        phases.dns = clock() - begun
    begun = clock()
    try:
        for tried, address in enumerate(addresses, 1):
            share = (deadline - clock()) / (len(addresses) - tried + 1)
            try:
                return await _connect(protocol, address, share)
            except OSError as exc:
                resolver.failed(host.host, host.port, address)
                failure = connect_failure(exc, f"{name}:{host.port} ({address[1][0]})")
                failure.__cause__ = exc
                exhausted = exc.errno in EXHAUSTED
        if exhausted:
            # Trying again at once would find nothing either, and take the core from those that have connections.
            await asyncio.sleep(max(0.0, min(_EXHAUSTED_SECONDS, deadline - clock())))
        try:
            raise failure
        finally:
            del failure  # it holds this frame, and would until a garbage collection
    finally:
        phases.connect = clock() - begun


async def _connect(protocol: asyncio.Protocol, address: Address, seconds: float) -> asyncio.Transport:
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


async def secure(  # noqa: PLR0917 - two callers
    transport: asyncio.Transport,
    protocol: Paused | asyncio.Protocol,
    context: ssl.SSLContext,
    server_name: str,
    where: str,
    seconds: float,
) -> asyncio.Transport:
    """Does the TLS handshake as a client and hands the connection over to a protocol.

    Args:
        transport: An open connection of which nobody reads.
        protocol: Who gets it afterwards; its `connection_made` is called.
        context: What is trusted and presented.
        server_name: Name to ask for and to verify.
        where: How messages call the peer.
        seconds: How long it may take.

    Raises:
        RequestError: It failed; the connection is closed.
    """
    below = transport.get_extra_info("ssl_object")
    try:
        async with asyncio.timeout(seconds):
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                context,
                server_hostname=server_name,
                ssl_shutdown_timeout=FAREWELL_SECONDS,
            )
        secured = _handshaken(secured, below)
    except TimeoutError as exc:
        transport.abort()
        raise RequestError(TLS, f"TLS handshake with {where} not finished in {seconds:.3g} s") from exc
    except OSError as exc:
        transport.abort()
        raise tls_failure(exc, where) from exc
    except BaseException:
        transport.abort()
        raise
    _make_stackable(secured)
    protocol.connection_made(secured)
    return secured


def _make_stackable(transport: asyncio.Transport) -> None:
    """Lets TLS within TLS be cut off: asyncio of Python 3.11 calls a method of its own with one argument too many."""
    if isinstance(transport, _SSLProtocolTransport):
        transport._force_close = lambda _: transport.abort()  # type: ignore[attr-defined]  # noqa: SLF001 - see above


def _handshaken(transport: asyncio.Transport | None, below: ssl.SSLObject | None) -> asyncio.Transport:
    """Makes sure that the handshake took place: a peer that hangs up at the wrong moment can pass for one that did it.

    Raises:
        ConnectionResetError: It did not.
    """
    if (
        transport is None
        or transport.is_closing()
        or transport.get_extra_info("ssl_object") is below
        or transport.get_extra_info("cipher") is None
    ):
        raise ConnectionResetError("the server closed the connection")
    return transport
