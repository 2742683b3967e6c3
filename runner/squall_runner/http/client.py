"""The client of one VU: its connections, its cookies, and what one `send` means.

`send` never raises because of the network or the peer: in a load test a failed request is a result like any other, so
it comes back as a response with an error class. Only cancellation is raised.

A VU that waits for one response at a time has one connection per origin; one that sends several requests at once has
as many; where the network shares connections, it has none of its own. Everything is made on first use: a VU that has
not sent anything costs a few hundred bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.spec.secrets import shortened
from squall_runner.http.cookies import CookieJar
from squall_runner.http.errors import TOO_MANY_REDIRECTS, RequestError
from squall_runner.http.network import Network, Phases
from squall_runner.http.pool import Pool
from squall_runner.http.redirect import next_request
from squall_runner.http.response import Response, failed
from squall_runner.http.sharing import SharedPool

if TYPE_CHECKING:
    from squall_runner.http.exchange import Channel
    from squall_runner.http.origin import Origin
    from squall_runner.http.request import Request


# Redirects and variables in URLs may lead to any number of hosts, and an idle connection is a file descriptor.
_MAX_ORIGINS = 64


class HttpClient:
    """Sends the requests of one VU.

    Args:
        network: What it shares with all the others.
        cookies: Whether cookies are kept and sent back.
        private: Whether it has connections of its own even where the network shares them.

    Attributes:
        jar: The cookies, None as long as none was ever set.
    """

    __slots__ = ("_closed", "_cookies", "_network", "_pools", "_private", "jar")

    def __init__(self, network: Network, *, cookies: bool = True, private: bool = False) -> None:
        self._network = network
        self._private = private
        self._cookies = cookies
        self._closed = False
        self._pools: dict[str, Pool] = {}
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
        start = self._network.clock()
        deadline = start + timeout
        connection = self.start(request, start, deadline, keep_body)
        if connection is None:
            return await self.send_slowly(request, start, deadline, keep_body, max_redirects)
        future = connection.future
        assert future is not None, "it was started"
        try:
            response = await future
        except BaseException:
            connection.abandon(future)
            raise
        if response.settled:
            return response
        return await self.settle(response, connection, deadline, keep_body, max_redirects)

    # What `send` is made of. Whoever sends millions of requests does without its coroutine, and calls `start`: nearly
    # always there is an idle connection, and a response with which nothing more has to be done.

    def start(
        self,
        request: Request,
        start: float,
        deadline: float,
        keep: bool,  # noqa: FBT001 - positional calls are the cheapest
    ) -> Channel | None:
        """Sends a request on an idle connection, if there is one; otherwise nothing has happened.

        The response comes with the connection's `future`. Whoever stops waiting for it has to call `abandon`; a response
        that is not `settled` has to go through `settle`.

        Returns:
            The connection; None: `send_slowly` has to be called.
        """
        pool = self._pools.get(request.origin.key)
        wire = request.wire
        if pool is None or wire is None or not pool.idle:
            return None
        connection = pool.idle.pop()
        if connection.closed:
            return None
        connection.start(
            request, wire if self.jar is None else self._wire(request), keep, start, start, deadline
        )
        return connection

    async def send_slowly(
        self,
        request: Request,
        start: float,
        deadline: float,
        keep: bool,  # noqa: FBT001 - positional, as `start`
        max_redirects: int | None,
    ) -> Response:
        """Sends on a connection that may have to be opened, and a body that may have to be streamed; as `send`."""
        response = await self._exchange(request, self._idle(request), start, deadline, keep)
        if response.settled:
            return response
        return await self.settle(response, None, deadline, keep, max_redirects)

    async def settle(
        self,
        response: Response,
        connection: Channel | None,
        deadline: float,
        keep: bool,  # noqa: FBT001 - positional, as `start`
        max_redirects: int | None,
    ) -> Response:
        """Does what is left to do with a response: repeating, keeping its cookies, following it; as `send`.

        Args:
            response: What came.
            connection: The one from `start` over which it came, if it did.
            deadline: When all has to be over.
            keep: Whether bodies are kept.
            max_redirects: As for `send`.
        """
        request = response.request
        if connection is not None and connection.stale and request.idempotent:
            response = await self._repeat(request, response.start, deadline, keep)
        if self._cookies:
            self._store_cookies(response)
        if 300 <= response.status < 400 and max_redirects != 0:
            limit = self._network.options.max_redirects if max_redirects is None else max_redirects
            return await self._follow(response, deadline, keep, limit)
        return response

    def close(self) -> None:
        """Closes the idle connections, but for shared ones, and forgets the cookies.

        Requests in flight are their senders' to cancel; their connections, like those of any later request, are
        closed after one response.
        """
        self._closed = True
        self.reset()

    def reset(self) -> None:
        """Becomes a new visitor: without cookies and without open connections of its own.

        The connections of requests in flight are closed when these have ended.
        """
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self.jar = None

    # Everything below happens rarely.

    def _idle(self, request: Request) -> Channel | None:
        """Returns an idle connection that is still open."""
        pool = self._pools.get(request.origin.key)
        while pool is not None and pool.idle:
            connection = pool.idle.pop()
            if not connection.closed:
                return connection
        return None

    async def _exchange(
        self,
        request: Request,
        connection: Channel | None,
        start: float,
        deadline: float,
        keep: bool,  # noqa: FBT001
        *,
        fresh: bool = False,
    ) -> Response:
        """Sends a request, once more if need be, without regard to what its response asks for.

        Without a `connection` it waits for one or opens one; it has to open one when it must be `fresh`.
        """
        network, phases = self._network, Phases()
        if connection is None:
            try:
                connection = await self._connect(request.origin, deadline, phases, fresh=fresh)
            except RequestError as exc:
                return _with_phases(failed(request, start, network.clock(), exc), phases)
        begun = network.clock()
        head = request.wire if request.wire is not None else request.head + b"\r\n"
        wire = head if self.jar is None else self._wire(request)
        future = connection.start(request, wire, keep, start, begun, deadline)
        try:
            if request.wire is None:
                await connection.upload()
            response = await future
        except BaseException:
            connection.abandon(future)
            raise
        if phases.begun:
            network.remember_session(connection)
        if connection.stale and request.idempotent:
            return await self._repeat(request, start, deadline, keep)
        return _with_phases(response, phases)

    async def _connect(self, origin: Origin, deadline: float, phases: Phases, *, fresh: bool) -> Channel:
        """Returns a connection that will go to the pool of its origin; raises as `Network.open`."""
        network, pool = self._network, self._pool(origin)
        if isinstance(pool, SharedPool):
            return await pool.acquire(
                lambda gone: network.open(origin, deadline, phases, gone), deadline, phases, fresh=fresh
            )
        connection = await network.open(origin, deadline, phases)
        connection.pool = self._pool(origin)  # a reset in the meantime calls for another one
        return connection

    async def _repeat(self, request: Request, start: float, deadline: float, keep: bool) -> Response:  # noqa: FBT001
        """Sends once more, on a fresh connection: one that is open may be as stale as the first."""
        self._network.stats.stale_retries += 1
        pool = self._pools.get(request.origin.key)
        if pool is not None:
            pool.close_idle()
        response = await self._exchange(request, None, start, deadline, keep, fresh=True)
        response.retries = 1
        return response

    def _pool(self, origin: Origin) -> Pool:
        """Returns the pool of an origin; the oldest origin has to go when there are too many."""
        pool = self._pools.get(origin.key)
        if pool is None:
            if len(self._pools) >= _MAX_ORIGINS:
                self._pools.pop(next(iter(self._pools))).close()
            shared = None if self._private else self._network.shared_pool(origin)
            pool = self._pools[origin.key] = shared or Pool(cookies=self._cookies)
            if self._closed:
                pool.close()
        return pool

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
                response.error_message = (
                    f"more than {limit} redirects, the last one to {shortened(request.url, 200)}"
                )
                return response
            hops.append(response)
            start = self._network.clock()
            response = await self._exchange(request, self._idle(request), start, deadline, keep)
            if self._cookies:
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
        values = response.headers.all("set-cookie")
        if not values:
            return
        if self.jar is None:
            self.jar = CookieJar()
        request, now = response.request, self._network.wall()
        for value in values:
            self.jar.store(value, request.origin, request.path, now)


def _with_phases(response: Response, phases: Phases) -> Response:
    if phases.begun:
        response.blocked = phases.begun - response.start
        response.dns = phases.dns
        response.connect = phases.connect
        response.tls = phases.tls
    return response
