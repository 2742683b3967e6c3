"""One HTTP/1.1 connection: the path that every request of the run takes.

What a request costs here decides how much load a core can give. So: one write, one future, no task and no timer of its
own. What comes back is the matter of `receiving`.

A connection carries one exchange at a time, never pipelined. It belongs to one VU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from httptools import HttpResponseParser

from squall_runner.http.errors import PROTOCOL, RequestError, lost
from squall_runner.http.headers import Headers
from squall_runner.http.receiving import Receiving

if TYPE_CHECKING:
    import asyncio
    import ssl

    from squall_runner.http.request import Request
    from squall_runner.http.response import Response


class Connection(Receiving):
    """A connection to one origin; see `Receiving` for its attributes."""

    __slots__ = ()

    def start(  # noqa: PLR0917 - positional calls are the cheapest
        self,
        request: Request,
        wire: bytes,
        keep: bool,  # noqa: FBT001
        start: float,
        sending: float,
        deadline: float,
    ) -> asyncio.Future[Response]:
        """Sends a request, or its head when its body is uploaded apart; returns the future of its response.

        The future never gets an exception. Whoever stops waiting for it calls `abandon`.

        Args:
            request: What is sent, for the response.
            wire: The bytes.
            keep: Whether the body of the response is kept.
            start: When the caller began to care about this request.
            sending: The time now.
            deadline: When the response has to be complete.
        """
        self._request = request
        self._keep = keep
        self._start = start
        self._sending = sending
        self.deadline = deadline
        self._received = 0
        self._size = 0
        self._status = 0
        self._interim = 0
        self._head_end = -1
        self._sent_bytes = len(wire)
        self._permits.append(None)
        # The parser does not know that the answer to HEAD has no body.
        self._fresh = request.method != "HEAD"
        self.future = future = self._create_future()
        self._transport.write(wire)
        self._sent = self._clock()
        if deadline < self._deadlines.due:
            self._deadlines.expect(deadline)
        return future

    async def upload(self) -> None:
        """Sends the body of the request piece by piece, as fast as the peer takes it.

        Stops early when the exchange is over: the server may answer before it has read everything.
        """
        body = self._request.body
        self._uploading = True
        try:
            for piece in (body,) if isinstance(body, bytes) else body.chunks() if body else ():
                self._transport.write(piece)
                self._sent_bytes += len(piece)
                if self._paused:
                    self._drained = self._create_future()
                    await self._drained
                if self.future is None:
                    return
        except (OSError, ValueError) as exc:
            self._fail(
                RequestError(PROTOCOL, f"the body of the request cannot be read: {exc}"), self._clock()
            )
            return
        self._uploading = False
        self._sent = self._clock()

    # The rest of the event loop's interface.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport, and makes ready to read."""
        # uvloop's transports have the interface, not the base class.
        self._transport = cast("asyncio.Transport", transport)
        self._parser = HttpResponseParser(self)
        self._deadlines.members.add(self)

    def eof_received(self) -> bool:
        """Lets the transport close: nobody half-closes a connection to go on."""
        self.closed = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the exchange in flight and gives up what the connection held."""
        self.closed = True
        if self.future is not None:
            now = self._clock()
            if (
                exc is None
                and self._head_end >= 0
                and Headers(self._head, self._interim).end_with_connection()
            ):
                self._keep_alive = False
                if self._take_status(now):
                    self._finish(now)
            else:
                self._fail(lost(exc, f"({self._how_far()})"), now)
        self._deadlines.members.discard(self)
        del self._parser  # it holds this object
        self._wake()
        self._on_lost()

    def tls_session(self) -> tuple[ssl.SSLSession | None, bool]:
        """Returns the TLS session, for a later connection, and whether this one resumed an earlier session."""
        wrapped = self._transport.get_extra_info("ssl_object")
        return (wrapped.session, wrapped.session_reused) if wrapped else (None, False)

    def pause_writing(self) -> None:
        """Notes that the peer does not keep up."""
        self._paused = True
        self._deadlines.stall(self)

    def resume_writing(self) -> None:
        """Lets the upload go on."""
        self._paused = False
        self._deadlines.resume(self)
        self._wake()
