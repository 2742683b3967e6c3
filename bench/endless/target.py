"""A target that never says the same thing twice: new headers, cookies, statuses, hosts to go to, and ways to fail.

Whatever a generator remembers of what it is told - a cookie, a message, a host, a status - it remembers without end here.
`target.py PORT` serves; only this machine can reach it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import ClassVar, Final

import uvloop

_JSON = b"Content-Type: application/json\r\n"


def answer(path: bytes, number: int, port: int) -> bytes | None:
    """The bytes to answer with; None cuts the connection instead."""
    kind = path.split(b"/", 2)[1]
    return None if kind == b"cut" else _ANSWERS.get(kind, _vary)(number, port)


def _vary(number: int, _: int) -> bytes:
    headers = b"%bX-Request: %d\r\nX-Name-%d: %d\r\nETag: %d\r\n" % (_JSON, number, number, number, number)
    body = b'{"id": %d, "text": "text number %d"}' % (number, number)
    return _message(200, headers + _cookies(number), body)


def _status(number: int, _: int) -> bytes:
    return _message(200 + number % 400, _JSON, b'{"id": %d}' % number, b"Reason-%d" % number)


def _redirect(number: int, port: int) -> bytes:
    host = b"127.%d.%d.%d" % (1 + number % 250, number // 250 % 250, 1 + number // 62_500 % 250)
    location = b"Location: http://%b:%d/vary/%d?from=%d\r\n" % (host, port, number, number)
    lasting = b"Set-Cookie: lasting%d=1; Path=/\r\n" % number
    return _message(302, location + lasting, b"")


def _garbage(number: int, _: int) -> bytes:
    return b"HTTP/9.%d what-%d\r\n\r\n" % (number % 10, number)


def _broken(number: int, _: int) -> bytes:
    return _message(200, _JSON, b'{"id": %d, "text": "never closed %d' % (number, number))


def _fail(number: int, _: int) -> bytes:
    return _message(500, _JSON, b'{"error": "failure number %d"}' % number, b"Reason-%d" % number)


def _job(number: int, _: int) -> bytes:
    return _message(200, _JSON, b'{"state": "%b"}' % (b"running" if number % 3 else b"done"))


_ANSWERS: Final = {
    b"status": _status,
    b"redirect": _redirect,
    b"garbage": _garbage,
    b"broken": _broken,
    b"fail": _fail,
    b"job": _job,
}


def _cookies(number: int) -> bytes:
    """One cookie with a new value; now and then one with a new name, which expires soon."""
    session = b"Set-Cookie: session=%d; Path=/\r\n" % number
    return session if number % 16 else b"%bSet-Cookie: name%d=1; Max-Age=2\r\n" % (session, number)


def _message(status: int, headers: bytes, body: bytes, reason: bytes = b"OK") -> bytes:
    if status in {204, 304}:
        return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, headers)
    return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, reason, headers, len(body), body)


class Endless(asyncio.Protocol):
    """One connection; requests have no body and come one after the other."""

    count: ClassVar[int] = 0
    port: ClassVar[int] = 0

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            Endless.count += 1
            wire = answer(head.split(b" ", 2)[1], Endless.count, Endless.port)
            if wire is None:  # somewhere within the response, wherever that is
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nX-%d: " % Endless.count)  # type: ignore[attr-defined]
                self._transport.close()
                return
            self._transport.write(wire)  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Serve on every loopback address, 127.0.0.0/8, until the process is ended."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")  # nobody else reaches it
    listening.bind(("0.0.0.0", port))
    Endless.port = port
    server = await asyncio.get_running_loop().create_server(Endless, sock=listening, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
