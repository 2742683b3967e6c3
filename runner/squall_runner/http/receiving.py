"""One exchange over a connection, from the first byte that comes to a response or to a failure.

This is the path of every response of the run, and what it costs decides how much load a core can give. The parser (llhttp)
lives as long as the connection and calls Python once per message; its other callbacks are methods of built-in lists,
which run without a Python frame. Header fields are not collected: the raw bytes are kept and taken apart when somebody asks.

How an exchange begins, and what else happens to a connection, is told in `http1`.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from squall_runner.http.deadlines import NEVER, Deadlines
from squall_runner.http.errors import BODY_TOO_LARGE, CLOSED, PROTOCOL, RESET, TIMEOUT, RequestError
from squall_runner.http.headers import Headers, head_end
from squall_runner.http.response import Response, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.http.limits import Limits
    from squall_runner.http.origin import Origin
    from squall_runner.http.pool import Pool
    from squall_runner.http.request import Request

# An upgrade that nobody asked for is an exception of its own, outside the tree.
_NOT_HTTP = (HttpParserError, HttpParserUpgrade)
# Up to here the raw bytes of a response are kept as they came; cutting off the body would cost more.
_KEEP_RAW = 1024
_SETS_COOKIE = b"\nset-cookie:"
_ENCODED = b"\ncontent-encoding:"
# No server sends more, and looking for the header behind them takes time for each.
_MAX_INTERIM = 100


class Receiving(asyncio.Protocol):
    """A connection to one origin, as far as receiving goes, and the exchange in flight on it.

    Attributes:
        origin: Where it leads.
        pool: Where it goes after an exchange that left it ready for another one; None: nowhere, but it stays open.
        future: Of the response that is waited for, if any.
        closed: No request may be sent any more.
        stale: The last exchange failed before a byte of its response had come, on a connection that had served before:
            most likely the server had closed it in the meantime (RFC 9112, section 9.3.1).
        deadline: When the exchange in flight has to be over; `NEVER` when there is none.
    """

    __slots__ = (
        "_bodies", "_clock", "_create_future", "_deadlines", "_drained", "_first", "_fresh", "_head", "_head_end",
        "_interim", "_keep", "_keep_alive", "_limits", "_on_lost", "_parser", "_parts", "_paused", "_permits",
        "_received", "_request", "_sending", "_sent", "_sent_bytes", "_served", "_size", "_start", "_status",
        "_transport", "_uploading", "closed", "deadline", "future", "on_body", "on_message_begin", "origin", "pool",
        "stale",
    )  # fmt: skip

    # Set when an exchange begins, by `Connection.start`.
    _request: Request
    _keep: bool
    _start: float
    _sending: float
    _sent: float
    _first: float
    _received: int
    _size: int
    _interim: int
    _head_end: int
    _sent_bytes: int
    _transport: asyncio.Transport

    def __init__(
        self,
        origin: Origin,
        clock: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits,
        on_lost: Callable[[], None],
    ) -> None:
        self.origin = origin
        self._clock = clock
        self._create_future = _future_maker(asyncio.get_running_loop())
        self._deadlines = deadlines
        self._limits = limits
        self._on_lost = on_lost
        self.pool: Pool | None = None
        self.future: asyncio.Future[Response] | None = None
        self.closed = False
        self.stale = False
        self.deadline = NEVER
        self._served = 0
        self._paused = False
        self._uploading = False
        self._drained: asyncio.Future[None] | None = None
        self._fresh = False
        self._bodies: list[bytes] = []
        self._parts: list[bytes] = []
        self.on_body = self._parts.append
        # A message may begin once per request: the list holds one permit then, and taking a second one is an
        # IndexError, which the parser reports. Without this, a second response behind the first one would be
        # taken for the answer to the next request.
        self._permits: list[None] = []
        self.on_message_begin = self._permits.pop
        self._parser: HttpResponseParser
        """Made with the transport: it holds this object, which nothing would free if it was never connected."""
        self._head = b""
        self._status = 0
        self._keep_alive = False

    def data_received(self, data: bytes) -> None:
        """Takes in what came; part of the event loop's interface."""
        now = self._clock()
        if self._fresh:  # nearly always, and nearly always this is all there is to come
            self._fresh = False
            self._received = len(data)
            self._first = now
            self._head = data
        elif not self._takes(data, now):
            return
        try:
            self._parser.feed_data(data)
        except _NOT_HTTP as exc:
            self._keep_alive = False
            if not self._status:
                self._fail(_not_http(exc), now)
                return
        if self._status:
            self._finish(now)
        else:
            self._progress(now)

    def _takes(self, data: bytes, now: float) -> bool:
        """Takes in what is not the beginning of a response with a body; returns whether it is for the parser."""
        if self.future is None:
            # Nothing was asked: the rest of an earlier answer, or a farewell such as 408.
            self.abort()
            return False
        if self._received:
            self._received += len(data)
            if self._head_end < 0:
                self._head += data
        else:
            self._received = len(data)
            self._first = now
            self._head = data
        if self._request.method == "HEAD":
            self._receive_head(now)
            return False
        return True

    def on_message_complete(self) -> None:
        """Notes the end of a message; called by the parser."""
        parser = self._parser
        status = parser.get_status_code()
        if status >= 200 or status == 101:
            self._status = status
            self._keep_alive = parser.should_keep_alive()
        elif status < 100:
            raise ValueError("status below 100")  # the parser turns it into an error of its own
        elif self._interim == _MAX_INTERIM:
            raise ValueError(f"more than {_MAX_INTERIM} interim responses")
        else:
            self._interim += 1
            self._permits.append(None)

    def _take_status(self, now: float) -> bool:
        """Takes the status of a response whose end the parser does not tell; fails when none can end with it."""
        status = self._parser.get_status_code()
        if status < 200 and status != 101:  # below 100, or an interim response that announces a body
            text = f"what the server sent is not HTTP: no response ends with status {status}"
            self._fail(RequestError(PROTOCOL, text), now)
            return False
        self._status = status
        return True

    def _receive_head(self, now: float) -> None:
        """Takes in a response that has no body whatever its header says (RFC 9110, section 9.3.2).

        The parser does not know of the method, so it gets the header alone and is replaced afterwards.
        """
        head, parser = self._head, self._parser
        while (end := head_end(head, self._interim)) >= 0:
            interim = self._interim
            begin = head_end(head, interim - 1) if interim else 0
            try:
                parser.feed_data(head[begin:end])
            except _NOT_HTTP as exc:
                self._fail(_not_http(exc), now)
                return
            if self._interim > interim:
                continue
            self._keep_alive = len(head) == end and Headers(head, interim).keep_alive()
            if not self._take_status(now):
                return
            self._parts.clear()
            self._parser = HttpResponseParser(self)
            self._finish(now)
            return
        self._check_head(len(head), now)

    def _progress(self, now: float) -> None:
        """Keeps an unfinished response within its limits."""
        if self._head_end < 0:
            self._head_end = head_end(self._head, self._interim)
            if self._head_end < 0:
                self._check_head(len(self._head), now)
                return
            if not self._check_head(self._head_end, now):
                return
            self._head = self._head[: self._head_end]
        self._size += sum(map(len, self._parts))
        if self._keep and self._parts:  # in one piece: chunks of two bytes would take thirty times their size
            self._bodies.append(b"".join(self._parts))
        self._parts.clear()
        self._check_body(now)

    def _check_head(self, size: int, now: float) -> bool:
        limit = self._limits.max_head_bytes
        if size > limit:
            self._fail(RequestError(PROTOCOL, f"the header is larger than {limit} bytes"), now)
        return size <= limit

    def _check_body(self, now: float) -> bool:
        limit = self._limits.max_body_bytes if self._keep else self._limits.max_discarded_bytes
        if limit is None or self._size <= limit:
            return True
        self._fail(RequestError(BODY_TOO_LARGE, f"the body is larger than {limit} bytes"), now)
        return False

    def _finish(self, now: float) -> None:
        """Hands over a complete response."""
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size += len(body)
        if self._bodies:
            self._bodies.append(body)
            body = b"".join(self._bodies)
            self._bodies.clear()
        if self._received > _KEEP_RAW and not self._fits(now):
            return
        future, self.future = self.future, None
        self.deadline = NEVER
        status, first, sent, pool = self._status, self._first, self._sent, self.pool
        sending = sent - self._sending
        waiting = first - sent if first > sent else 0.0
        receiving = now - first
        settled, encoded, keep = not 300 <= status < 400, False, self._keep
        cookies = pool is not None and pool.cookies
        if keep or cookies:
            # Taking the header apart would cost more than all the rest, and most responses have neither of these.
            # `find` beats `in` here: on bytes, `in` looks for a number first, at twice the cost.
            lowered = self._head.lower()
            encoded = keep and lowered.find(_ENCODED) >= 0
            if cookies and lowered.find(_SETS_COOKIE) >= 0:
                settled = False
        response = Response(
            self._request, status, self._start, now, sending, waiting, receiving, self._sent_bytes, self._received,
            self._size, self._head, self._interim, body if keep else None, self._limits.max_body_bytes,
            self._served > 0, sending + waiting + receiving, settled, encoded,
        )  # fmt: skip
        self._served += 1
        if future is not None and not future.done():
            future.set_result(response)
        # Back to the pool here and not by whoever waits: that is cheaper, and it happens also when nobody waits any more.
        if self._keep_alive and not self.closed and not self._uploading:
            if pool is not None:
                pool.put(self)  # type: ignore[arg-type]  # there are no exchanges but those of connections
        elif not self.closed:
            self.close()
        if self._uploading:
            self._wake()

    def _fits(self, now: float) -> bool:
        """Checks a large response that may have come in one piece, and keeps only its header."""
        end = self._head_end if self._head_end >= 0 else head_end(self._head, self._interim)
        if not self._check_head(end, now) or not self._check_body(now):
            return False
        self._head = self._head[:end]
        return True

    # Ways in which an exchange can end badly.

    def expire(self, now: float) -> None:
        """Ends the exchange because its time is over; called by the sweep."""
        allowed = self.deadline - self._start
        text = f"no complete response within {allowed:.3g} s: {self._how_far()}"
        self._fail(RequestError(TIMEOUT, text), now)

    def abandon(self, future: asyncio.Future[Response]) -> None:
        """Ends the exchange of a future for which nobody waits any more; what came after it is not touched."""
        if self.future is future:
            self.abort()

    def abort(self) -> None:
        """Closes the connection at once and forgets the exchange, if any."""
        self.closed = True
        self.deadline = NEVER
        self.future = None
        self._fresh = False
        self._transport.abort()
        self._wake()

    def close(self) -> None:
        """Closes an idle connection politely: TLS says goodbye."""
        self.closed = True
        self._transport.close()

    def _fail(self, failure: RequestError, now: float) -> None:
        future = self.future
        if future is not None and not future.done():
            sent = min(self._sent, now)
            first = self._first if self._received else now
            response = failed(self._request, self._start, now, failure)
            response.sending = sent - self._sending
            response.waiting = max(first - sent, 0.0)
            response.receiving = now - first
            response.duration = response.sending + response.waiting + response.receiving
            response.bytes_sent = self._sent_bytes
            response.bytes_received = self._received
            response.size = self._size
            response.reused = self._served > 0
            self.stale = self._served > 0 and not self._received and failure.error in (CLOSED, RESET)
            future.set_result(response)
        self.abort()

    def _how_far(self) -> str:
        if not self._received:
            return "nothing of it came"
        if self._head_end < 0:
            return f"{self._received} bytes of its header came"
        return f"the header and {self._size} bytes of the body came"

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


@lru_cache(maxsize=1)
def _future_maker(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[Any]]:
    """What `loop.create_future` does, at two thirds of its cost."""
    return partial(asyncio.Future, loop=loop)


def _not_http(exc: Exception) -> RequestError:
    """Names what the parser does not accept; an error of one of its callbacks says more than its own words."""
    why = exc.__context__ if isinstance(exc.__context__, ValueError) else exc
    return RequestError(PROTOCOL, f"what the server sent is not HTTP: {why}")
