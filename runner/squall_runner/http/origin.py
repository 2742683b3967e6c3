"""Where a request goes: scheme, host and port, and the part of the URL that stands in the request line.

Both are worked out once per URL, not once per request. An origin is also what connections are pooled by, so it
carries a ready-made key.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import quote, urlsplit

_PORTS = {"http": 80, "https": 443}
# Everything RFC 3986 allows in path and query, and `%` so that what is encoded stays as it is.
_SAFE = "/?:@!$&'()*+,;=-._~%[]|^`{}\\\"<>"
_ENCODE_ANYWAY = str.maketrans({c: f"%{ord(c):02X}" for c in '\\"<>^`{}|'})


class Origin:
    """Scheme, host and port of a server (RFC 9110, section 4.3.1).

    Attributes:
        scheme: `http` or `https`.
        host: Host name (IDNA-encoded, lower case) or address without brackets.
        port: TCP port.
        tls: Whether the scheme asks for TLS.
        authority: Value for the Host header: the port is left out when it is the scheme's own.
        key: Unique text of the origin, `scheme://host:port`.
    """

    __slots__ = ("authority", "host", "key", "port", "scheme", "tls")

    def __init__(self, scheme: str, host: str, port: int | None = None) -> None:
        """Builds an origin.

        Raises:
            ValueError: The scheme is not http or https, the host is empty or invalid, or the port is out of range.
        """
        if scheme not in _PORTS:
            raise ValueError(f"scheme {scheme!r} is not http or https")
        if port is not None and not 0 < port < 65536:
            raise ValueError(f"port {port} is not between 1 and 65535")
        self.scheme = scheme
        self.host = _host(host)
        self.port = _PORTS[scheme] if port is None else port
        self.tls = scheme == "https"
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = shown if self.port == _PORTS[scheme] else f"{shown}:{self.port}"
        self.key = f"{scheme}://{shown}:{self.port}"

    def __repr__(self) -> str:
        return f"Origin({self.key})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def _host(host: str) -> str:
    host = host.strip("[]").lower()
    if not host or any(c.isspace() or not c.isprintable() or c in "/?#@\\" for c in host):
        raise ValueError(f"host {host!r} is not a host name or an address")
    if ":" in host:
        if not host.isascii():  # the zone may be anything else
            raise ValueError(f"host {host!r} is not an address")
        address, _, zone = host.partition("%")
        ipaddress.IPv6Address(address)
        return f"{ipaddress.IPv6Address(address).compressed}%{zone}" if zone else address
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise ValueError(f"host {host!r} has no ASCII form: {exc}") from exc


def encode_target(target: str) -> bytes:
    """Returns path and query as they stand in the request line: percent-encoded, without a fragment.

    What is already encoded stays as it is. An empty path becomes `/`. The common case (plain ASCII) costs four
    C calls; anything else takes the long way.
    """
    if (
        target.isascii()
        and target.isprintable()
        and " " not in target
        and "#" not in target
        and target[:1] == "/"
    ):
        return target.encode("ascii")
    target = target.partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    return quote(target, safe=_SAFE).translate(_ENCODE_ANYWAY).encode("ascii")


@lru_cache(maxsize=1024)
def parse_url(url: str) -> tuple[Origin, bytes]:
    """Splits an absolute URL into its origin and the encoded target of the request line.

    Raises:
        ValueError: The URL is not an absolute http(s) URL, or carries credentials (these belong into an
            Authorization header, where they are masked in logs).
    """
    parts = urlsplit(url.strip())
    if not parts.netloc:
        raise ValueError(f"{url!r} is not an absolute URL: it must start with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("credentials in a URL are not sent: use an Authorization header")
    origin = Origin(parts.scheme, parts.hostname or "", parts.port)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return origin, encode_target(target)
