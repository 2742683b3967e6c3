"""A tunnel through a proxy to a target: the CONNECT exchange (RFC 9110, section 9.3.6).

It happens once per connection, so it is written to be understood, not to be fast: what the proxy answers is read up to
the end of its header, within limits of size and time, and anything but a 2xx is an error that names the proxy. What
follows belongs to the target.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from squall.spec.secrets import shortened
from squall_runner.http.errors import CONNECT_TIMEOUT, PROTOCOL, PROXY, RequestError, lost

if TYPE_CHECKING:
    from squall_runner.http.origin import Origin
    from squall_runner.http.proxy import Proxy

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n")
_START = b"HTTP/1."
_MOST_SHOWN = 100


class Answer(asyncio.Protocol):
    """Reads what a proxy answers to CONNECT.

    Args:
        proxy: Who answers, for messages.
        limit: The most bytes of header, those of interim responses included.

    Attributes:
        status: Future of the final status and its reason; its exception is a RequestError.
    """

    def __init__(self, proxy: Proxy, limit: int) -> None:
        self._proxy = proxy
        self._limit = limit
        self._data = b""
        self._taken = 0
        self.status: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Takes in a piece of the answer."""
        self._data += data
        self._taken += len(data)
        try:
            self._read()
        except RequestError as error:
            self._fail(error)

    def _read(self) -> None:
        if self.status.done():
            return
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            line = _STATUS_LINE.match(self._data)
            if line is None:
                raise self._no_http()
            status, reason = int(line[1]), _readable(line[2] or b"")
            self._data = self._data[end + 4 :]
            if status >= 200:
                self._end(status, reason)
                return
        if not self._data.startswith(_START[: len(self._data)]):
            raise self._no_http()
        if self._taken > self._limit:
            raise RequestError(
                PROTOCOL, f"the header of {self._proxy.name} is larger than {self._limit} bytes"
            )

    def _no_http(self) -> RequestError:
        return RequestError(PROTOCOL, f"what {self._proxy.name} answered is not HTTP")

    def _end(self, status: int, reason: str) -> None:
        if 200 <= status < 300 and self._data:
            # In TLS the client speaks first: the target cannot have said anything yet.
            raise RequestError(PROTOCOL, f"{self._proxy.name} sent more than an answer to CONNECT")
        self.status.set_result((status, reason))

    def eof_received(self) -> bool:
        """Takes the end of the stream for the end of the connection."""
        self._fail(lost(None, "before it opened the tunnel", self._proxy.name))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the exchange."""
        self._fail(lost(exc, "before the tunnel was open", self._proxy.name))

    def _fail(self, error: RequestError) -> None:
        if not self.status.done():
            self.status.set_exception(error)


async def open_tunnel(
    transport: asyncio.Transport, proxy: Proxy, origin: Origin, *, seconds: float, limit: int
) -> None:
    """Asks a proxy for a tunnel; afterwards the connection leads to the target, and nobody reads from it.

    Args:
        transport: An open connection to the proxy, from which nobody reads.
        proxy: Whose it is.
        origin: The target; its name is the proxy's to resolve.
        seconds: How long it may take.
        limit: The most bytes of header that are read.

    Raises:
        RequestError: There is no tunnel; the connection is closed.
    """
    answer = Answer(proxy, limit)
    try:
        await _ask(transport, answer, proxy, origin.key.partition("://")[2], seconds)
    except BaseException:
        answer.status.cancel()  # nobody waits for it any more
        transport.abort()
        raise
    transport.pause_reading()


async def _ask(
    transport: asyncio.Transport, answer: Answer, proxy: Proxy, where: str, seconds: float
) -> None:
    transport.set_protocol(answer)
    transport.resume_reading()
    if transport.is_closing():  # nobody would ever be told
        raise lost(None, "before the tunnel was open", proxy.name)
    authority = where.encode("ascii")
    head = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n"
    transport.write(head % (authority, authority, proxy.authorization))
    try:
        async with asyncio.timeout(seconds):
            status, reason = await answer.status
    except TimeoutError as exc:
        text = f"{proxy.name} opened no tunnel to {where} within {seconds:.3g} s"
        raise RequestError(CONNECT_TIMEOUT, text) from exc
    if not 200 <= status < 300:
        raise _refused(proxy, where, status, reason)


def _refused(proxy: Proxy, where: str, status: int, reason: str) -> RequestError:
    text = f"{proxy.name} opened no tunnel to {where}: {status} {reason}".rstrip()
    return RequestError(PROXY, f"{text}: {proxy.unauthorized()}" if status == 407 else text)


def _readable(reason: bytes) -> str:
    text = shortened(reason.decode("latin-1"), _MOST_SHOWN)
    return "".join(c if c.isprintable() else "?" for c in text)
