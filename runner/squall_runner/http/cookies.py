"""Cookies of one VU, as RFC 6265 asks of a user agent.

Every VU is a visitor of its own, so every VU has a jar of its own, and most never need one. Jars are therefore small,
made on the first Set-Cookie, and keep the rendered Cookie header as long as nothing can have changed it: after a login
a cookie goes with every request of the hot path.

There is no list of public suffixes: a cookie for a domain without a dot is accepted only from that very host.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http.cookiejar import http2time  # type: ignore[attr-defined]
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squall_runner.http.origin import Origin

_MAX_COOKIE = 4096
_MAX_COOKIES = 300
# All formats of dates are shorter. A year of thousands of digits is no number that Python would convert.
_MAX_DATE = 64
_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class SetCookie:
    """One Set-Cookie field, parsed (RFC 6265, section 5.2).

    Attributes:
        name: Name, never empty.
        value: Value, quotes included.
        expires: When it ends, in the clock's seconds; infinite for the session; past for a removal.
        domain: Domain attribute, lower case, without a leading dot; empty when absent.
        path: Path attribute; empty when absent or not absolute.
        secure: Only over https.
    """

    name: str
    value: str
    expires: float = _FOREVER
    domain: str = ""
    path: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class _Stored:
    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool
    expires: float


def parse_set_cookie(line: str, now: float) -> SetCookie | None:
    """Parses the value of a Set-Cookie field; None when it must be ignored.

    Args:
        line: The field's value.
        now: Seconds since the epoch, for Max-Age.
    """
    pair, _, rest = line.partition(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or len(name) + len(value) > _MAX_COOKIE or not (name + value).isprintable():
        return None
    expires: float | None = None
    max_age: float | None = None
    domain, path, secure = "", "", False
    for attribute in rest.split(";"):
        key, _, raw = attribute.partition("=")
        key, raw = key.strip().lower(), raw.strip()
        if key == "expires":
            expires = _date(raw, expires)
        elif key == "max-age":
            max_age = _max_age(raw, now) if _is_integer(raw) else max_age
        elif key == "domain" and raw:
            domain = raw.removeprefix(".").lower()
        elif key == "path":
            path = raw if raw.startswith("/") else ""
        elif key == "secure":
            secure = True
    end = max_age if max_age is not None else expires
    return SetCookie(name, value, _FOREVER if end is None else end, domain, path, secure)


def _date(raw: str, otherwise: float | None) -> float | None:
    """Reads a date, in seconds since the epoch; what is none, or no year that exists, is `otherwise`."""
    if len(raw) > _MAX_DATE:
        return otherwise
    try:
        found: float | None = http2time(raw)
    except (ValueError, OverflowError):
        return otherwise
    return otherwise if found is None else found


def _is_integer(raw: str) -> bool:
    return raw.isascii() and raw.removeprefix("-").isdigit()


def _max_age(raw: str, now: float) -> float:
    # Twelve digits are 30,000 years; more would only cost time.
    seconds = int(raw[:12])
    return now + seconds if seconds > 0 else float("-inf")


def domain_match(host: str, domain: str) -> bool:
    """Whether a host lies within a domain (RFC 6265, section 5.1.3)."""
    if host == domain:
        return True
    return host.endswith("." + domain) and "." in domain and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def default_path(path: str) -> str:
    """Returns the path of a cookie that names none (RFC 6265, section 5.1.4)."""
    return path[: path.rfind("/")] or "/" if path.startswith("/") else "/"


def path_match(path: str, cookie_path: str) -> bool:
    """Whether a request's path lies within a cookie's (RFC 6265, section 5.1.4)."""
    if path == cookie_path:
        return True
    return path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")


class CookieJar:
    """The cookies of one VU (RFC 6265, sections 5.3 and 5.4).

    Bounded: 300 cookies of 4 KiB; what was set first leaves first.
    """

    __slots__ = ("_any_path", "_cache", "_changed", "_cookies", "_valid_until")

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Stored] = {}
        self._cache: dict[str, bytes] = {}
        self._valid_until = _FOREVER
        self._any_path = True
        self._changed = False

    def __len__(self) -> int:
        return len(self._cookies)

    def store(self, line: str, origin: Origin, path: str, now: float) -> None:
        """Takes in one Set-Cookie value from a response.

        Args:
            line: The field's value.
            origin: Where the response came from.
            path: Path of the request.
            now: Seconds since the epoch.
        """
        cookie = parse_set_cookie(line, now)
        if cookie is None or (cookie.domain and not domain_match(origin.host, cookie.domain)):
            return
        domain = cookie.domain or origin.host
        key = (domain, cookie.path or default_path(path), cookie.name)
        if cookie.expires <= now:
            self._cookies.pop(key, None)
        else:
            host_only = not cookie.domain
            self._cookies[key] = _Stored(
                cookie.name, cookie.value, domain, host_only, key[1], cookie.secure, cookie.expires
            )
            if len(self._cookies) > _MAX_COOKIES:
                del self._cookies[next(iter(self._cookies))]
        self._changed = True

    def set(self, name: str, value: str, origin: Origin) -> None:
        """Sets a session cookie for the whole of one host, as a manifest may ask."""
        self._cookies[origin.host, "/", name] = _Stored(name, value, origin.host, True, "/", False, _FOREVER)
        self._changed = True

    def header(self, origin: Origin, path: str, now: float) -> bytes:
        """Returns the whole Cookie header line for a request, CRLF included; empty when none applies."""
        if self._changed:
            self._refresh()
        if now >= self._valid_until:
            self._cookies = {key: cookie for key, cookie in self._cookies.items() if cookie.expires > now}
            self._refresh()
        if not self._any_path:
            return self._render(origin, path)
        line = self._cache.get(origin.key)
        if line is None:
            line = self._cache[origin.key] = self._render(origin, "/")
        return line

    def _render(self, origin: Origin, path: str) -> bytes:
        host = origin.host
        found = [
            cookie
            for cookie in self._cookies.values()
            if (host == cookie.domain if cookie.host_only else domain_match(host, cookie.domain))
            and (origin.tls or not cookie.secure)
            and path_match(path, cookie.path)
        ]
        found.sort(key=lambda cookie: -len(cookie.path))
        pairs = "; ".join(f"{cookie.name}={cookie.value}" for cookie in found)
        return f"Cookie: {pairs}\r\n".encode("latin-1", "replace") if pairs else b""

    def _refresh(self) -> None:
        """Works out anew what holds for all cookies: once per request, however many of them a response has set."""
        self._changed = False
        self._cache.clear()
        self._any_path = all(cookie.path == "/" for cookie in self._cookies.values())
        self._valid_until = min((cookie.expires for cookie in self._cookies.values()), default=_FOREVER)
