"""What can go wrong with one request, in a small fixed set of words.

Thousands of distinct texts of the operating system, OpenSSL and parsers would make an error metric unreadable
and its series unbounded. So every failure lands in one of these classes, and its text is kept only as an
example beside it. The classes are values of the metric tag `error`.
"""

from __future__ import annotations

import errno
import ssl
from typing import Final

from squall.spec.secrets import shortened

DNS: Final = "dns"
"""The host name has no address, or no answer came in time."""
FORBIDDEN: Final = "forbidden"
"""A policy does not let load go there."""
CONNECT_REFUSED: Final = "connect_refused"
"""Nothing listens on the port."""
CONNECT_TIMEOUT: Final = "connect_timeout"
"""No TCP connection within the time allowed."""
CONNECT_FAILED: Final = "connect_failed"
"""No TCP connection for another reason: no route, no free port, no free file descriptor."""
TLS: Final = "tls"
"""The handshake failed: certificate, version, garbage, or too slow."""
PROXY: Final = "proxy"
"""The proxy did not do what it was asked: it opened no tunnel, or wants credentials."""
RESET: Final = "reset"
"""The peer reset the connection."""
CLOSED: Final = "closed"
"""The peer closed the connection before the response was complete."""
TIMEOUT: Final = "timeout"
"""The response was not complete within the time allowed."""
PROTOCOL: Final = "protocol"
"""What came is not HTTP, or what would be sent is not possible."""
BODY_TOO_LARGE: Final = "body_too_large"
"""The body, as received or as decompressed, is larger than allowed."""
TOO_MANY_REDIRECTS: Final = "too_many_redirects"
"""More redirects than allowed; loops end here."""
DECODE: Final = "decode"
"""The body cannot be decompressed, or is not the JSON that was asked of it."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL})
"""Why no connection can be tried at all: this machine has no file descriptor or local port left."""
_FD_HINT = "; no file descriptor is left: raise `ulimit -n` or use more runners"
_CONNECT_HINTS = {
    errno.EMFILE: _FD_HINT,
    errno.ENFILE: _FD_HINT,
    errno.EADDRNOTAVAIL: "; no local port is left: widen net.ipv4.ip_local_port_range or use more runners",
}
_RESETS = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class RequestError(Exception):
    """A request failed; never leaves this package except as the `error` of a response.

    Args:
        error: One of the classes above.
        message: One sentence for the user.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


class BodyError(ValueError):
    """A body was asked for in a form it does not have (see `Response.body` and `Response.json`).

    Attributes:
        error: `decode` or `body_too_large`.
        message: One sentence for the user.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


def describe(exc: BaseException) -> str:
    """Returns the text of an exception on one line of bounded length."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {exc.verify_message}"
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return shortened(" ".join((text or type(exc).__name__).split()), 200)


def connect_failure(exc: OSError, where: str) -> RequestError:
    """Names the failure of a TCP connect to `where` (an address and port, for the message)."""
    if isinstance(exc, ConnectionRefusedError):
        return RequestError(CONNECT_REFUSED, f"{where} refused the connection")
    if isinstance(exc, ConnectionResetError):
        return RequestError(RESET, f"{where} reset the connection as soon as it was open")
    if isinstance(exc, TimeoutError):
        return RequestError(CONNECT_TIMEOUT, f"no connection to {where}: {describe(exc)}")
    hint = _CONNECT_HINTS.get(exc.errno or 0, "")
    return RequestError(CONNECT_FAILED, f"no connection to {where}: {describe(exc)}{hint}")


def tls_failure(exc: Exception, where: str) -> RequestError:
    """Names the failure of a TLS handshake with `where`.

    Garbage instead of a handshake, a refused certificate and a peer that hangs up in the middle of the handshake
    are all `tls`: for the user the handshake is what failed.
    """
    return RequestError(TLS, f"TLS handshake with {where} failed: {describe(exc)}")


def lost(exc: BaseException | None, progress: str, peer: str = "the server") -> RequestError:
    """Names the loss of a connection to `peer` during an exchange; `progress` says how far the response had come."""
    if exc is None:
        return RequestError(CLOSED, f"{peer} closed the connection {progress}")
    if isinstance(exc, _RESETS):
        return RequestError(RESET, f"{peer} reset the connection {progress}")
    if isinstance(exc, ssl.SSLError):
        return RequestError(TLS, f"TLS failed {progress}: {describe(exc)}")
    if isinstance(exc, TimeoutError):
        return RequestError(TIMEOUT, f"the connection timed out {progress}: {describe(exc)}")
    return RequestError(CLOSED, f"the connection was lost {progress}: {describe(exc)}")
