"""What the client asks of a connection, whatever protocol is spoken on it.

HTTP/1.1 is the module `http1`. Another protocol is another module with a class that does what stands here, and a line
in `Network._connection`, which is where the protocol is chosen; client, pools and steps do not change. This is an
interface of the type checker: at run time nothing stands between the client and the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import ssl

    from squall_runner.http.origin import Origin
    from squall_runner.http.pool import Pool
    from squall_runner.http.request import Request
    from squall_runner.http.response import Response


class Channel(Protocol):
    """An open connection to one origin that carries one exchange at a time.

    An exchange never raises because of the peer: what goes wrong is a response with an error class. When one has ended
    and the connection can carry another, it puts itself into its pool; otherwise it is closed.
    """

    origin: Origin
    """Where it leads; behind a proxy too, the target."""
    pool: Pool | None
    """Where it goes when it is free; None: nowhere, but it stays open."""
    future: asyncio.Future[Response] | None
    """Of the response that is waited for, if any."""
    closed: bool
    """No request may be sent any more."""
    stale: bool
    """The last exchange failed before anything of its response had come, on a connection that had served before."""

    def start(  # noqa: PLR0917 - positional calls are the cheapest
        self,
        request: Request,
        wire: bytes,
        keep: bool,  # noqa: FBT001
        start: float,
        sending: float,
        deadline: float,
    ) -> asyncio.Future[Response]:
        """Send a request, or its head when its body is uploaded apart; returns the future of its response.

        The future never gets an exception. Whoever stops waiting for it calls `abandon`.

        Args:
            request: What is sent, for the response.
            wire: The request as it is written, cookies included.
            keep: Whether the body of the response is kept.
            start: When the caller began to care about this request.
            sending: The time now.
            deadline: When the response has to be complete.
        """

    async def upload(self) -> None:
        """Send the body of the request that was started, as fast as the peer takes it."""

    def abandon(self, future: asyncio.Future[Response]) -> None:
        """End the exchange of a future for which nobody waits any more."""

    def abort(self) -> None:
        """Close at once and forget the exchange, if any."""

    def close(self) -> None:
        """Close politely; only while it is idle."""

    def tls_session(self) -> tuple[ssl.SSLSession | None, bool]:
        """The TLS session, for a later connection, and whether this one resumed an earlier session."""
