"""The runner's line to its hub, which may break at any time and is then made again.

What must not be lost (snapshots, and facts such as "finished") is kept by the agent and told again on each new connection;
here is only what happens on one: hello, welcome, then frames both ways. Sending never blocks the load: frames wait in a
bounded queue, and a hub that takes them too slowly is left and met again, which costs nothing as snapshots are cumulative.

The hub itself is written with aiohttp. A runner is not: loading that takes a quarter of what a start takes in all.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State

from squall.hub import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 2.0
QUEUE_FRAMES: Final = 4096
CONNECT_SECONDS: Final = 5.0
FLUSH_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 5.0
"""A hub is heard every second. One that says nothing for this long may be gone without having closed its connections, as the machine that
it ran on: then it is met again, perhaps elsewhere, long before its silence counts as lost control."""
_FINAL: Final = {
    protocol.CLOSE_REFUSED: "the hub refused this runner",
    protocol.CLOSE_REPLACED: "another process has taken this runner's place",
}
"""Codes after which nobody comes back, and what they mean. A connection is left before the next is made, so one that is replaced while it
is the current one has been replaced by somebody else: coming back would take the place from that process in turn, and both would send load."""


class Link:
    """Connects, and keeps connecting, until it is cancelled.

    Args:
        url: The WebSocket's address, with http or https.
        token: The run's token.
        hello: Makes the first message of a connection.
        heard: Called with each message of the hub.
        certificates: A file with the certificates, in PEM, that alone vouch for the hub; empty for those that the machine trusts. It is
            read for each connection: where it is replaced, before the hub's own certificate is, the run goes on.
        silence_seconds: How long nothing may be heard before the connection is given up for another one.
        jitter: A number from 0 to 1, for the pauses between attempts.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        hello: Callable[[], protocol.Hello],
        heard: Callable[[protocol.FromHub], None],
        certificates: str = "",
        silence_seconds: float = SILENCE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = "ws" + url.removeprefix("http")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._hello = hello
        self._heard = heard
        self._certificates = certificates
        self._silence = silence_seconds
        self._jitter = jitter
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._socket: ClientConnection | None = None
        self.problem = "not connected yet"
        """Why there is no connection, for a message to people."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as anybody knows."""
        return self._socket is not None and self._socket.state is State.OPEN

    def send(self, frame: bytes) -> None:
        """Queue a frame; it is dropped when there is no connection."""
        if not self.connected:
            return
        if len(self._queue) >= QUEUE_FRAMES:
            self.problem = "the hub takes too slowly what it is sent"
            self._queue.clear()
            asyncio.ensure_future(self._leave())  # noqa: RUF006 - closing needs nobody to wait for it
            return
        self._queue.append(frame)
        self._empty.clear()
        self._wake.set()

    async def _leave(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def run(self) -> None:
        """Keep a connection; returns when this runner has no place with the hub any more; `problem` says why."""
        pause = FIRST_RETRY_SECONDS
        while True:
            met = False
            try:
                socket = await self._open()
                met = True
                code = await self._talk(socket)
                if code in _FINAL:
                    self.problem = _FINAL[code]
                    return
            except (WebSocketException, OSError, TimeoutError) as error:
                self.problem = str(error) or type(error).__name__
            pause = FIRST_RETRY_SECONDS if met else min(pause * 2, LAST_RETRY_SECONDS)
            await asyncio.sleep(pause * (0.5 + self._jitter() / 2))

    async def _open(self) -> ClientConnection:
        """A new connection.

        Raises:
            WebSocketException: Who was reached is no hub, or wants nothing to do with this runner.
            OSError: Nobody was reached; or the certificates cannot be read.
            TimeoutError: It has taken too long.
        """
        trust: dict[str, Any] = {}  # what the machine trusts
        if self._certificates:
            trust["ssl"] = ssl.create_default_context(cafile=self._certificates)
        return await _Connect(
            self._url,
            additional_headers=self._headers,
            compression=None,
            proxy=None,
            open_timeout=CONNECT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,  # the hub says something each second
            max_size=protocol.MAX_FRAME,
            **trust,
        )

    async def _talk(self, socket: ClientConnection) -> int:
        """One connection from hello to its end; returns the code with which it was closed."""
        self._socket = socket
        self._queue.clear()
        self.send(protocol.encode(self._hello()))
        sender = asyncio.create_task(self._pump(socket))
        problem = ""
        try:
            await self._listen(socket)
        except msgspec.DecodeError as error:
            problem = f"the hub said what cannot be understood: {error}"
        except TimeoutError:
            problem = f"nothing was heard from the hub for {self._silence:g} s"
        finally:
            self._socket = None
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await socket.close()
        self.problem = problem or f"the hub closed the connection (code {socket.close_code})"
        return socket.close_code or 0

    async def _listen(self, socket: ClientConnection) -> None:
        """Hear messages until the connection is closed.

        Raises:
            msgspec.DecodeError: One makes no sense.
            TimeoutError: None has come for too long.
        """
        while True:
            try:
                async with asyncio.timeout(self._silence):
                    message = await socket.recv()
            except ConnectionClosed:
                return
            if isinstance(message, bytes):
                self._heard(protocol.from_hub(message))

    async def _pump(self, socket: ClientConnection) -> None:
        while True:
            while self._queue:
                await socket.send(self._queue.popleft())
            self._empty.set()
            self._wake.clear()
            await self._wake.wait()

    async def flush(self) -> None:
        """Wait, but not for long, until what was queued has been sent."""
        if self.connected:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._empty.wait()
            except TimeoutError:
                return


class _Connect(connect):
    """Follows nobody elsewhere: who answers there has not proved to be the hub, and may not even be asked to."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Take an answer that leads elsewhere for the failure that it is."""
        return exc
