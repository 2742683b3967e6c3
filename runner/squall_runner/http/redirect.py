"""Which request follows a redirect (RFC 9110, section 15.4). Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from squall.spec.secrets import shortened
from squall_runner.http.errors import PROTOCOL, RequestError
from squall_runner.http.origin import parse_url
from squall_runner.http.request import Request

if TYPE_CHECKING:
    from squall_runner.http.response import Response

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What must not reach another server: it was meant for the first one.
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_ABOUT_BODY = (b"content-",)


def next_request(response: Response) -> Request | None:
    """Returns the request that a response redirects to, None when it redirects to nowhere.

    303 turns every method but HEAD into GET; 301 and 302 turn POST into GET, as all user agents do; 307 and 308 keep
    method and body. Credentials are dropped when the origin changes.

    Raises:
        RequestError: The Location cannot be followed (`protocol`).
    """
    location = response.header("location")
    if response.status not in REDIRECTS or not location:
        return None
    old = response.request
    try:
        # Header values are bytes; most servers mean UTF-8.
        readable = location.encode("latin-1").decode("utf-8", "replace")
        origin, target = parse_url(urljoin(old.url, readable))
    except ValueError as exc:
        raise RequestError(PROTOCOL, f"redirect to {shortened(location, 200)!r}: {exc}") from exc
    method = _next_method(response.status, old.method)
    keeps_body = method == old.method and response.status != 303
    lines = old.headers.split(b"\r\n")[1:-1]
    host = (
        b"Host: " + origin.authority.encode("ascii")
        if origin != old.origin
        else old.headers.split(b"\r\n", 1)[0]
    )
    kept = [line for line in lines if _stays(line, same_origin=origin == old.origin, keeps_body=keeps_body)]
    headers = b"".join(line + b"\r\n" for line in [host, *kept])
    return Request.render(origin, method, target, headers, old.body if keeps_body else None)


def _next_method(status: int, method: str) -> str:
    if status == 303:
        return "HEAD" if method == "HEAD" else "GET"
    if status in (301, 302) and method == "POST":
        return "GET"
    return method


def _stays(line: bytes, *, same_origin: bool, keeps_body: bool) -> bool:
    name = line.partition(b":")[0].lower()
    if not same_origin and name in _CREDENTIALS:
        return False
    return keeps_body or not name.startswith(_ABOUT_BODY)
