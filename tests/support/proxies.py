"""A forward proxy on loopback, over real sockets: tunnels, absolute URLs, credentials, and what proxies do wrong.

It runs in a thread with an event loop of its own, so that it serves a client of any kind, also one in another process. Names that
only the proxy knows are in `names`: whoever gets through to one has let the proxy resolve it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Fault = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ProxyServer:
    """What a running proxy is told and has seen.

    Attributes:
        user: Who may use it, as `name:password`; empty: anybody.
        names: Hosts that it resolves to 127.0.0.1 and nobody else does.
        fault: What it does with a request instead of serving it.
        heads: The heads of all requests to the proxy itself, CONNECT included.
        tunnels: How many tunnels it opened.
        connections: How many connections came.
        resumed: How many of them resumed a TLS session.
    """

    context: ssl.SSLContext | None = None
    user: str = ""
    names: set[str] = field(default_factory=set)
    fault: Fault | None = None
    heads: list[str] = field(default_factory=list)
    tunnels: int = 0
    connections: int = 0
    resumed: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        self.connections += 1
        wrapped = writer.get_extra_info("ssl_object")
        self.resumed += bool(wrapped and wrapped.session_reused)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                    self.heads.append(head)
                    if self.fault is not None:
                        await self.fault(reader, writer)
                        break
                    if not self._may(head):
                        writer.write(
                            b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                            b"Proxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
                        )
                        continue
                    if head.startswith("CONNECT "):
                        await self._tunnel(head, reader, writer)
                        break
                    await self._forward(head, reader, writer)
        finally:
            writer.close()  # also when it is cancelled
        with suppress(OSError):
            await writer.wait_closed()

    def _may(self, head: str) -> bool:
        wanted = f"\r\nProxy-Authorization: Basic {b64encode(self.user.encode()).decode()}\r\n"
        return not self.user or wanted in head

    async def _tunnel(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = urlsplit(f"//{head.split()[1]}")
        try:
            there, back = await self._to(where.hostname or "", where.port or 0)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        self.tunnels += 1
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.close()  # also when it is cancelled in the middle

    async def _forward(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes a request on, with one connection to the target for each, and the answer back."""
        line, _, fields = head.partition("\r\n")
        method, url, version = line.split(" ")
        where = urlsplit(url)
        assert where.scheme == "http", "an absolute URL is what a proxy is asked for"
        kept = [f for f in fields.split("\r\n")[:-2] if not f.lower().startswith("proxy-")]
        length = next((int(f.split(":")[1]) for f in kept if f.lower().startswith("content-length:")), 0)
        try:
            there, back = await self._to(where.hostname or "", where.port or 80)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            target = where.path + (f"?{where.query}" if where.query else "")
            back.write("\r\n".join([f"{method} {target} {version}", *kept, "", ""]).encode("latin-1"))
            back.write(await reader.readexactly(length))
            answer = await there.readuntil(b"\r\n\r\n")
            size = next(
                (
                    int(f.split(b":")[1])
                    for f in answer.split(b"\r\n")
                    if f.lower().startswith(b"content-length:")
                ),
                0,
            )
            writer.write(answer + await there.readexactly(size))
        finally:
            back.close()

    async def _to(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1" if host in self.names else host, port)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextmanager
def proxy_server(
    context: ssl.SSLContext | None = None,
    *,
    user: str = "",
    names: set[str] | None = None,
    fault: Fault | None = None,
) -> Iterator[ProxyServer]:
    """Runs a proxy."""
    server = ProxyServer(context, user=user, names=names or set(), fault=fault)
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()

    async def main() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context, limit=1 << 20)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listening.close()
        clients = asyncio.all_tasks() - {asyncio.current_task()}
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # closed transports let go of their sockets a round later

    def run() -> None:
        loop.set_exception_handler(lambda *_: None)  # clients vanish in every way here
        loop.run_until_complete(main())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(5.0)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5.0)


# -- what proxies do wrong ------------------------------------------------------------------------------------


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing until the client has gone."""
    del writer
    while await reader.read(1024):
        pass


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up without a word."""
    del reader
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST."""
    del reader
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def says(data: bytes) -> Fault:
    """Sends these bytes and waits for the client to go."""

    async def fault(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await hangs(reader, writer)

    return fault


async def never_ends_its_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends header fields until the client has had enough."""
    del reader
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # or nobody would notice that the client has gone
