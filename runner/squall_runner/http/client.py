"""The client of one VU: its connections, its cookies, and what one `send` means.

`send` never raises because of the network or the peer: in a load test a failed request is a result like any other, so
it comes back as a response with an error class. Only cancellation is raised.

A VU that waits for one response at a time has one connection per origin; one that sends several requests at once has
as many. Everything is made on first use: a VU that has not sent anything costs a few hundred bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_runner.http.cookies import CookieJar
from squall_runner.http.errors import TOO_MANY_REDIRECTS, RequestError
from squall_runner.http.network import Network, Phases
from squall_runner.http.redirect import next_request
from squall_runner.http.response import Response, failed

if TYPE_CHECKING:
    from squall_runner.http.connection import Connection
    from squall_runner.http.origin import Origin
    from squall_runner.http.request import Request


_SETS_COOKIE = b"\nset-cookie:"
# Redirects and variables in URLs may lead to any number of hosts, and an idle connection is a file descriptor.
_MAX_ORIGINS = 64


class HttpClient:
    """Sends the requests of one VU.

    Args:
        network: What it shares with all the others.
        cookies: Whether cookies are kept and sent back.

    Attributes:
        jar: The cookies, None as long as none was ever set.
    """

    __slots__ = ("_clock", "_closed", "_cookies", "_idle", "_network", "jar")

    def __init__(self, network: Network, *, cookies: bool = True) -> None:
        self._network = network
        self._clock = network.clock
        self._cookies = cookies
        self._closed = False
        self._idle: dict[str, list[Connection]] = {}
        self.jar: CookieJar | None = None

    async def send(
        self,
        request: Request,
        *,
        timeout: float = 30.0,  # noqa: ASYNC109 - one timer watches the deadlines of all requests
        keep_body: bool = False,
        max_redirects: int | None = None,
    ) -> Response:
        """Sends a request and returns what came of it.

        A request is sent a second time, once, when a kept-alive connection turns out to have been closed before
        anything of the response came, and its method is idempotent (RFC 9110, section 9.2.2); the response tells so
        in `retries`.

        Args:
            request: May be sent by many clients at once.
            timeout: Seconds for everything: connecting, sending, redirects, the last byte of the body. Noticed at
                most 50 ms late.
            keep_body: Whether `body`, `text` and `json` of the response will be used; otherwise the body is counted
                and thrown away as it comes.
            max_redirects: How many redirects are followed; 0: a redirect is the response; None: as the network says.

        Returns:
            The response; on failure one with `error` and `error_message`.

        Raises:
            asyncio.CancelledError: The caller was cancelled; the connection is closed.
        """
        start = self._clock()
        deadline = start + timeout
        pool = self._idle.get(request.origin.key)
        connection = pool.pop() if pool else None
        if connection is None or connection.closed or request.wire is None:
            response = await self._send_slowly(request, connection, start, deadline, keep_body)
        else:
            wire = request.wire if self.jar is None else self._wire(request)
            future = connection.start(request, wire, keep_body, start, start, deadline)
            try:
                response = await future
            except BaseException:
                connection.abort()
                raise
            if connection.reusable and not self._closed:
                pool.append(connection)  # type: ignore[union-attr]  # the connection came from it
            elif connection.stale and request.idempotent:
                response = await self._repeat(request, start, deadline, keep_body)
            elif not connection.closed:
                connection.close()
        # `find` beats `in` here: on bytes, `in` looks for a number first, at twice the cost.
        if self._cookies and response.head.lower().find(_SETS_COOKIE) >= 0:
            self._store_cookies(response)
        if 300 <= response.status < 400 and max_redirects != 0:
            limit = self._network.options.max_redirects if max_redirects is None else max_redirects
            return await self._follow(response, deadline, keep_body, limit)
        return response

    def close(self) -> None:
        """Closes the idle connections and forgets the cookies.

        Requests in flight are their senders' to cancel; their connections, like those of any later request, are
        closed after one response.
        """
        self._closed = True
        for origin in self._idle:
            self._close_idle(origin)
        self.jar = None

    def clear_cookies(self) -> None:
        """Forgets all cookies, as a new visitor."""
        self.jar = None

    def set_cookie(self, name: str, value: str, origin: Origin) -> None:
        """Sets a session cookie for one host."""
        if self.jar is None:
            self.jar = CookieJar()
        self.jar.set(name, value, origin)

    # Everything below happens rarely.

    async def _send_slowly(
        self,
        request: Request,
        connection: Connection | None,
        start: float,
        deadline: float,
        keep: bool,  # noqa: FBT001
    ) -> Response:
        """Sends on a connection that may have to be opened, and a body that may have to be streamed."""
        phases = Phases()
        pool = self._pool(request.origin.key)
        while connection is not None and connection.closed:
            connection = pool.pop() if pool else None
        if connection is None:
            try:
                connection = await self._network.open(request.origin, deadline, phases)
            except RequestError as exc:
                return _with_phases(failed(request, start, self._clock(), exc), phases)
        fresh = phases.begun > 0
        begun = self._clock()
        head = request.wire if request.wire is not None else request.head + b"\r\n"
        wire = head if self.jar is None else self._wire(request)
        future = connection.start(request, wire, keep, start, begun, deadline)
        try:
            if request.wire is None:
                await connection.upload()
            response = await future
        except BaseException:
            connection.abort()
            raise
        if fresh:
            self._network.remember_session(connection)
        if connection.reusable and not self._closed:
            pool.append(connection)
        elif connection.stale and request.idempotent:
            return await self._repeat(request, start, deadline, keep)
        elif not connection.closed:
            connection.close()
        return _with_phases(response, phases)

    async def _repeat(self, request: Request, start: float, deadline: float, keep: bool) -> Response:  # noqa: FBT001
        """Sends once more, on a fresh connection: one that is open may be as stale as the first."""
        self._network.stats.stale_retries += 1
        self._close_idle(request.origin.key)
        response = await self._send_slowly(request, None, start, deadline, keep)
        response.retries = 1
        return response

    def _pool(self, origin: str) -> list[Connection]:
        """Returns the idle connections to an origin; the oldest origin has to go when there are too many."""
        pool = self._idle.get(origin)
        if pool is None:
            if len(self._idle) >= _MAX_ORIGINS:
                oldest = next(iter(self._idle))
                self._close_idle(oldest)
                del self._idle[oldest]
            pool = self._idle[origin] = []
        return pool

    def _close_idle(self, origin: str) -> None:
        pool = self._idle.get(origin)
        while pool:
            pool.pop().close()

    async def _follow(self, response: Response, deadline: float, keep: bool, limit: int) -> Response:  # noqa: FBT001
        hops: list[Response] = []
        while True:
            response.redirects = tuple(hops)
            try:
                request = next_request(response)
            except RequestError as exc:
                response.error, response.error_message = exc.error, exc.message
                return response
            if request is None:
                return response
            if len(hops) >= limit:
                response.error = TOO_MANY_REDIRECTS
                response.error_message = f"more than {limit} redirects, the last one to {request.url}"
                return response
            hops.append(response)
            pool = self._idle.get(request.origin.key)
            connection = pool.pop() if pool else None
            response = await self._send_slowly(request, connection, self._clock(), deadline, keep)
            if self._cookies and response.cookies:
                self._store_cookies(response)

    def _wire(self, request: Request) -> bytes:
        """Returns what goes out first, with the cookies that belong to the request.

        A Cookie header in the request itself takes the place of the jar's.
        """
        assert self.jar is not None
        line = self.jar.header(request.origin, request.path, self._network.wall())
        if line and b"\ncookie:" in request.headers.lower():
            line = b""
        if request.wire is None:
            return b"%b%b\r\n" % (request.head, line)
        if not line:
            return request.wire
        return b"".join((request.wire[: request.split], line, request.wire[request.split :]))

    def _store_cookies(self, response: Response) -> None:
        request = response.request
        if self.jar is None:
            self.jar = CookieJar()
        now = self._network.wall()
        for value in response.headers.all("set-cookie"):
            self.jar.store(value, request.origin, request.path, now)


def _with_phases(response: Response, phases: Phases) -> Response:
    if phases.begun:
        response.blocked = phases.begun - response.start
        response.dns = phases.dns
        response.connect = phases.connect
        response.tls = phases.tls
    return response
