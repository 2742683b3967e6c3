"""What came back for one request, and how long each phase took.

A response is made for every request of the run, so making one must cost next to nothing: a Struct, which is filled in C
from what the connection knows anyway, takes a third of the time that a class of our own would take. Everything that needs
work (headers, cookies, decompression, text, JSON) is done on first use and kept. Nothing in a response leads back to it,
so the garbage collector need not know about responses.
"""

from __future__ import annotations

from http.client import responses as _reasons
from typing import Any

import msgspec

from squall.nesting import bounded
from squall_runner.http.cookies import parse_set_cookie
from squall_runner.http.decoding import decode, to_text
from squall_runner.http.errors import DECODE, BodyError, RequestError
from squall_runner.http.headers import Headers
from squall_runner.http.request import Request

_UNSET = object()
_decode_json = bounded(msgspec.json.Decoder().decode)


class Response(msgspec.Struct, eq=False, gc=False):
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
        settled: The client has nothing more to do with it: no error, no redirect, no cookie to keep.
    """

    request: Request
    status: int
    start: float
    end: float
    sending: float
    waiting: float
    receiving: float
    bytes_sent: int
    bytes_received: int
    size: int
    head: bytes
    _interim: int
    _body: bytes | None
    _limit: int
    reused: bool
    duration: float = 0.0
    settled: bool = False
    _encoded: bool = True
    error: str = ""
    error_message: str = ""
    blocked: float = 0.0
    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    redirects: tuple[Response, ...] = ()
    retries: int = 0
    _headers: Headers | None = None
    _decoded: bytes | None = None
    _text: str | None = None
    _json: Any = _UNSET
    _cookies: dict[str, str] | None = None

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
            encoding = self.header("content-encoding") if self._body and self._encoded else ""
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
            if not self.body:
                raise BodyError(
                    DECODE,
                    "the body is not JSON: there is none" if self.status else "no complete response came",
                )
            try:
                self._json = _decode_json(self.body)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise BodyError(DECODE, f"the body is not JSON: {exc}") from exc
        return self._json


def failed(request: Request, start: float, end: float, failure: RequestError) -> Response:
    """Returns the response of a request that was never sent."""
    response = Response(request, 0, start, end, 0.0, 0.0, 0.0, 0, 0, 0, b"", 0, b"", 0, reused=False)
    response.error = failure.error
    response.error_message = failure.message
    return response
