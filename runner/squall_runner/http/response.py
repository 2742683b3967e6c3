"""What came back for one request, and how long each phase took.

A response is made for every request of the run, so making one must cost next to nothing: plain slots that are filled
from what the connection knows anyway. Everything that needs work (headers, cookies, decompression, text, JSON) is done
on first use and kept.
"""

from __future__ import annotations

from http.client import responses as _reasons
from typing import TYPE_CHECKING, Any

import msgspec

from squall_runner.http.cookies import parse_set_cookie
from squall_runner.http.decoding import decode, to_text
from squall_runner.http.errors import DECODE, BodyError, RequestError
from squall_runner.http.headers import Headers

if TYPE_CHECKING:
    from squall_runner.http.request import Request

_UNSET = object()
_decode_json = msgspec.json.Decoder().decode


class Response:
    """One response, or the failure to get one.

    Times are seconds as floats. `start` and `end` are readings of the network's clock. The phases of a request on a
    connection that was already open have `blocked`, `dns`, `connect` and `tls` equal to 0.

    Attributes:
        request: What was sent (after a redirect: the last request).
        status: Status code, 0 when no complete response came.
        error: Empty, or an error class from `squall_runner.http.errors`. A status >= 400 is no error here.
        error_message: One sentence for the user, empty without an error.
        start: When `send` was called, or for a redirect when it was followed.
        end: When the last byte came or the failure was noticed.
        blocked: Waiting before the connection was begun, a failed attempt on a stale connection included.
        dns: Name resolution.
        connect: TCP connect, all addresses tried included.
        tls: TLS handshake.
        sending: From the first byte handed to the socket until the last one was (a small request: about 0).
        waiting: From then to the first byte of the response. The event loop writes at the end of its round and reads at
            the beginning of the next, so a busy generator adds its own loop lag here: that is why it is watched.
        receiving: From then to its last byte; exactly 0 when all came in one piece.
        duration: sending + waiting + receiving; for a failure, as much of it as happened.
        bytes_sent: Bytes handed to the connection, head included, TLS excluded.
        bytes_received: Bytes that came, head included, TLS excluded.
        size: Bytes of the body as received, before decompression.
        redirects: The responses that led here, oldest first; each one complete in itself.
        retries: How often the request was repeated because a kept-alive connection turned out to be closed.
        head: The bytes that came, from the first one to at least the end of the header.
        reused: Whether the connection had served a request before.
    """

    __slots__ = (
        "_body", "_cookies", "_decoded", "_headers", "_interim", "_json", "_limit", "_text",
        "blocked", "bytes_received", "bytes_sent", "connect", "dns", "duration", "end", "error", "error_message", "head",
        "receiving", "redirects", "request", "retries", "reused", "sending", "size", "start", "status", "tls", "waiting",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - positional calls are the cheapest
        self,
        request: Request,
        status: int,
        start: float,
        end: float,
        sending: float,
        waiting: float,
        receiving: float,
        bytes_sent: int,
        bytes_received: int,
        size: int,
        head: bytes,
        interim: int,
        body: bytes | None,
        limit: int,
        reused: bool,  # noqa: FBT001
    ) -> None:
        self.request = request
        self.status = status
        self.error = ""
        self.error_message = ""
        self.start = start
        self.end = end
        self.blocked = 0.0
        self.dns = 0.0
        self.connect = 0.0
        self.tls = 0.0
        self.sending = sending
        self.waiting = waiting
        self.receiving = receiving
        self.duration = sending + waiting + receiving
        self.bytes_sent = bytes_sent
        self.bytes_received = bytes_received
        self.size = size
        self.redirects: tuple[Response, ...] = ()
        self.retries = 0
        self.reused = reused
        self.head = head
        self._interim = interim
        self._body = body
        self._limit = limit
        self._headers: Headers | None = None
        self._decoded: bytes | None = None
        self._text: str | None = None
        self._json: Any = _UNSET
        self._cookies: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"Response({self.error or self.status}, {self.request!r})"

    @property
    def total(self) -> float:
        """From `start` to `end`: every phase, name resolution and connecting included."""
        return self.end - self.start

    @property
    def ok(self) -> bool:
        """Whether a complete response came with a status below 400."""
        return not self.error and self.status < 400

    @property
    def reason(self) -> str:
        """The usual words for the status code, empty for one that is not registered."""
        return _reasons.get(self.status, "")

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            self._headers = Headers(self.head, self._interim)
        return self._headers

    def header(self, name: str, default: str = "") -> str:
        """Returns the value of a header field, repeated ones joined with `, `."""
        return self.headers.get(name, default)

    @property
    def cookies(self) -> dict[str, str]:
        """Names and values of the cookies that this response sets."""
        if self._cookies is None:
            parsed = (parse_set_cookie(value, 0.0) for value in self.headers.all("set-cookie"))
            self._cookies = {cookie.name: cookie.value for cookie in parsed if cookie}
        return self._cookies

    @property
    def body(self) -> bytes:
        """The body, decompressed. Empty when the response failed.

        Raises:
            BodyError: The body cannot be decompressed (`decode`), or is too large then (`body_too_large`).
            RuntimeError: The request was sent without asking for the body.
        """
        if self._decoded is None:
            if self._body is None:
                raise RuntimeError("the body was discarded: send the request with keep_body=True")
            # Taking the header apart costs more than all the rest, and most responses are not encoded.
            encoded = self._body and b"\ncontent-encoding:" in self.head.lower()
            encoding = self.header("content-encoding") if encoded else ""
            self._decoded = decode(self._body, encoding, self._limit) if encoding else self._body
        return self._decoded

    @property
    def text(self) -> str:
        """The body as text, by the charset of Content-Type, else UTF-8; what does not fit becomes U+FFFD.

        Raises:
            BodyError: As `body`.
        """
        if self._text is None:
            self._text = to_text(self.body, self.header("content-type"))
        return self._text

    def json(self) -> Any:
        """Returns the body parsed as JSON; parsed once, so callers must not change it.

        Raises:
            BodyError: The body is not JSON (`decode`), or as `body`.
        """
        if self._json is _UNSET:
            try:
                self._json = _decode_json(self.body)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise BodyError(DECODE, f"the body is not JSON: {exc}") from exc
            except RecursionError as exc:
                raise BodyError(DECODE, "the body is JSON nested too deeply") from exc
        return self._json


def failed(request: Request, start: float, end: float, failure: RequestError) -> Response:
    """Returns the response of a request that was never sent."""
    response = Response(request, 0, start, end, 0.0, 0.0, 0.0, 0, 0, 0, b"", 0, b"", 0, reused=False)
    response.error = failure.error
    response.error_message = failure.message
    return response
