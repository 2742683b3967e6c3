"""Requests, rendered as far as possible before anybody sends them.

A load test sends the same few requests millions of times. What is constant in them is rendered once: a `Template`
holds the request line's method and the block of header lines, a `Request` holds the finished head. A request without
variable parts is built once and sent many times, by many VUs at once: it is never changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import msgspec

from squall import __version__
from squall_runner.http.origin import Origin, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, section 9.2.2: sending these twice has the effect of sending them once.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# RFC 9110, section 8.6: these announce an empty body as `Content-Length: 0`.
_EXPECT_BODY = frozenset({"POST", "PUT", "PATCH"})
_STARTS = {m: m.encode() + b" " for m in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}
_VERSION = b" HTTP/1.1\r\n"
_OURS = frozenset({"content-length", "transfer-encoding"})
_USER_AGENT = f"squall/{__version__}"
# Larger bodies are not copied together with the head into one piece.
_ONE_WRITE = 65536


class StreamBody(Protocol):
    """A body that is read while it is sent, and can be read again from its beginning."""

    @property
    def length(self) -> int:
        """Exact number of bytes of the body."""

    def chunks(self) -> Iterator[bytes]:
        """Yields the body from its beginning.

        Raises:
            OSError: The source cannot be read.
            ValueError: The source no longer has the announced length.
        """


class Request(msgspec.Struct, eq=False, gc=False):
    """One request, ready to be sent any number of times; see `render`. Immutable by convention.

    Attributes:
        origin: Where it goes.
        method: The method, upper case as given.
        target: Path and query, encoded.
        headers: Rendered header lines, the Host line first, each ending in CRLF.
        body: Bytes, something that is streamed, or nothing.
        wire: Head and body in one piece, or None when the body is too large for that or streamed.
        split: Where in `wire` another header line can be put in.
    """

    origin: Origin
    method: str
    target: bytes
    headers: bytes
    body: bytes | StreamBody | None
    wire: bytes | None
    split: int

    @classmethod
    def render(
        cls,
        origin: Origin,
        method: str,
        target: bytes,
        headers: bytes,
        body: bytes | StreamBody | None = None,
    ) -> Request:
        """Renders a request; the arguments are its attributes."""
        start = _STARTS.get(method) or method.encode("ascii") + b" "
        if body is None:
            end = b"Content-Length: 0\r\n\r\n" if method in _EXPECT_BODY else b"\r\n"
            wire = b"".join((start, target, _VERSION, headers, end))
            return cls(origin, method, target, headers, body, wire, len(wire) - 2)
        if isinstance(body, bytes) and len(body) <= _ONE_WRITE:
            end = b"Content-Length: %d\r\n\r\n" % len(body)
            wire = b"".join((start, target, _VERSION, headers, end, body))
            return cls(origin, method, target, headers, body, wire, len(wire) - len(body) - 2)
        return cls(origin, method, target, headers, body, None, 0)

    def __repr__(self) -> str:
        return f"Request({self.method} {self.url})"

    @property
    def head(self) -> bytes:
        """Request line and all header lines, without the empty line that ends them."""
        if self.wire is not None:
            return self.wire[: self.split]
        length = len(self.body) if isinstance(self.body, bytes) else self.body.length if self.body else 0
        start = b"%b %b%b%b" % (self.method.encode("ascii"), self.target, _VERSION, self.headers)
        return b"%bContent-Length: %d\r\n" % (start, length)

    @property
    def idempotent(self) -> bool:
        """Whether it may be sent again without asking (RFC 9110, section 9.2.2)."""
        return self.method in _IDEMPOTENT

    @property
    def url(self) -> str:
        """The absolute URL, without a port that the scheme implies."""
        return f"{self.origin.scheme}://{self.origin.authority}{self.target.decode('ascii')}"

    @property
    def path(self) -> str:
        """The path of the target, without its query."""
        return self.target.partition(b"?")[0].decode("ascii")


class Template:
    """The constant parts of a request, checked and rendered once.

    Args:
        origin: Where the requests go.
        method: An HTTP method.
        headers: What `render_headers` returned for that origin.

    Raises:
        ValueError: The method is not a token (RFC 9110, section 9.1).
    """

    __slots__ = ("_behind_target", "_start", "headers", "method", "origin")

    def __init__(self, origin: Origin, method: str, headers: bytes) -> None:
        if not _TOKEN.fullmatch(method):
            raise ValueError(f"{method!r} is not an HTTP method")
        self.origin = origin
        self.method = method
        self.headers = headers
        self._start = method.encode("ascii") + b" "
        self._behind_target = _VERSION + headers

    def request(self, target: bytes, body: bytes | StreamBody | None = None, extra: bytes = b"") -> Request:
        """Returns a request with its variable parts filled in.

        Args:
            target: What `encode_target` returned.
            body: The body, if any.
            extra: Header lines whose values vary, each from `header_line`.
        """
        headers = self.headers + extra if extra else self.headers
        if type(body) is bytes and len(body) <= _ONE_WRITE:
            # As `Request.render` does, with what is constant in one piece already.
            end = b"%bContent-Length: %d\r\n\r\n" % (extra, len(body))
            wire = b"".join((self._start, target, self._behind_target, end, body))
            split = len(wire) - len(body) - 2
            return Request(self.origin, self.method, target, headers, body, wire, split)
        return Request.render(self.origin, self.method, target, headers, body)


def header_line(name: str, value: str) -> bytes:
    """Renders one header line, CRLF included.

    Raises:
        ValueError: The name is not a token, is one that the client sets by itself (Content-Length,
            Transfer-Encoding), or the value holds a line break or a NUL: a value from test data must never be able
            to add headers.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if name.lower() in _OURS:
        raise ValueError(f"{name} is set by the client, from the body")
    if "\r" in value or "\n" in value or "\0" in value:
        raise ValueError(f"the value of header {name} holds a line break or a NUL")
    return f"{name}: {value.strip()}\r\n".encode()


def render_headers(origin: Origin, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Renders a block of header lines for an origin.

    The Host line comes first, a User-Agent is added when none is given. Names keep their spelling, repeated names
    their order.

    Raises:
        ValueError: As `header_line`.
    """
    host, agent, lines = header_line("Host", origin.authority), True, []
    for name, value in headers:
        lowered = name.lower()
        if lowered == "host":
            host = header_line(name, value)
            continue
        agent = agent and lowered != "user-agent"
        lines.append(header_line(name, value))
    if agent:
        lines.insert(0, header_line("User-Agent", _USER_AGENT))
    return host + b"".join(lines)


def build(
    method: str, url: str, headers: Iterable[tuple[str, str]] = (), body: bytes | StreamBody | None = None
) -> Request:
    """Builds a request from scratch: the short way where speed does not matter.

    Raises:
        ValueError: The URL, the method or a header is not valid.
    """
    origin, target = parse_url(url)
    return Template(origin, method, render_headers(origin, headers)).request(target, body)
