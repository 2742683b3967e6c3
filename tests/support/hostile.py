"""A server that misbehaves on purpose, byte by byte, over real sockets.

Each connection is served by a thread that runs a script: a function that gets the `Peer` and does what it likes with
it. Blocking sockets keep the scripts short and make them independent of the event loop under test; a time limit on
every call is the backstop, so that no script can outlive its test.
"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_BACKSTOP_SECONDS = 5.0

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """The server's end of one connection.

    Attributes:
        index: Number of the connection, from 0.
    """

    def __init__(self, sock: socket.socket, index: int, requests: list[bytes]) -> None:
        self.index = index
        self._sock = sock
        self._requests = requests
        self._buffer = b""

    def request(self) -> bytes:
        """Reads one request, with its body; empty when the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return b""
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(rest) < length:
            if not self._more():
                return b""
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        whole = head + b"\r\n\r\n" + rest[:length]
        self._requests.append(whole)
        return whole

    def some(self) -> None:
        """Reads whatever has come of a request."""
        self._more()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def answer(self, data: bytes) -> None:
        """Reads a request and sends these bytes."""
        self.request()
        self.send(data)

    def trickle(self, data: bytes, pause: threading.Event, seconds: float) -> None:
        """Sends byte after byte until the client has had enough."""
        for byte in data:
            self.send(bytes([byte]))
            if pause.wait(seconds):
                return

    def hang(self) -> None:
        """Says nothing until the client has gone."""
        while self._sock.recv(65536):
            pass

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _more(self) -> bool:
        data = self._sock.recv(65536)
        self._buffer += data
        return bool(data)


Script = Callable[[Peer], None]


class Hostile:
    """A running server.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        requests: Everything that was asked, in order.
        connections: How many connections came.
    """

    def __init__(self, script: Script, context: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._script = script
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._peers: list[Peer] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def url(self) -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass  # wakes the accepting thread
        self._accepting.join(_BACKSTOP_SECONDS)
        self._listener.close()
        for peer in self._peers:
            peer.close()
        for thread in self._threads:
            thread.join(_BACKSTOP_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                self.stopping.wait(0.01)  # a test has left this process no descriptors for the moment
                continue
            if self.stopping.is_set():
                sock.close()
                return
            sock.settimeout(_BACKSTOP_SECONDS)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections))
            self.connections += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, index: int) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        peer = Peer(sock, index, self.requests)
        self._peers.append(peer)
        with suppress(OSError):  # the client hung up, as it should
            self._script(peer)
        peer.close()


@contextmanager
def hostile(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Runs a server with a script for each connection."""
    server = Hostile(script, context)
    try:
        yield server
    finally:
        server.stop()


def answers(*responses: bytes) -> Script:
    """A script that answers each request of a connection with the next of these bytes, then hangs up."""

    def script(peer: Peer) -> None:
        for response in responses:
            if not peer.request():
                return
            peer.send(response)

    return script


def well_behaved(peer: Peer) -> None:
    """A script that answers every request with 200."""
    while peer.request():
        peer.send(OK)
