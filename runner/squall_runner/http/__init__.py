"""The HTTP client of the load engine: HTTP/1.1 on asyncio, fast per core and impossible to hang.

General clients serve one program that talks to many servers. Here thousands of VUs talk to one server, each request
has to cost microseconds, and a server that misbehaves in any way must end as a counted result. Hence a client of our
own. Who builds on it needs the names below; the life of a request:

    network = Network(NetworkOptions(...))          # one per process
    client = HttpClient(network)                    # one per VU
    request = build("GET", "http://127.0.0.1:8080/items")       # once
    response = await client.send(request, timeout=5.0)          # many times

From the bottom: `origin`, `request`, `multipart` (what is sent), `headers`, `decoding`, `cookies`, `response` (what
came), `deadlines`, `exchange` (what is asked of a connection), `receiving` and `http1` (HTTP/1.1), `pool`, `sharing`;
`resolver`, `tls`, `dialing` (one step of opening a connection each), `proxy`, `tunnel`, `network` (opening connections); `redirect`,
`client`. Another protocol would be another module beside `http1`, chosen in `Network._connection`.
"""

from squall_runner.http.client import HttpClient
from squall_runner.http.cookies import CookieJar
from squall_runner.http.errors import BodyError
from squall_runner.http.headers import Headers
from squall_runner.http.limits import Limits
from squall_runner.http.multipart import Field, FileBody, FilePart, Multipart
from squall_runner.http.network import Network, NetworkOptions, NetworkStats
from squall_runner.http.origin import Origin, encode_target, parse_url
from squall_runner.http.proxy import Proxy
from squall_runner.http.request import Request, StreamBody, Template, build, header_line, render_headers
from squall_runner.http.resolver import Resolver
from squall_runner.http.response import Response
from squall_runner.http.tls import TlsOptions

__all__ = [
    "BodyError",
    "CookieJar",
    "Field",
    "FileBody",
    "FilePart",
    "Headers",
    "HttpClient",
    "Limits",
    "Multipart",
    "Network",
    "NetworkOptions",
    "NetworkStats",
    "Origin",
    "Proxy",
    "Request",
    "Resolver",
    "Response",
    "StreamBody",
    "Template",
    "TlsOptions",
    "build",
    "encode_target",
    "header_line",
    "parse_url",
    "render_headers",
]
