"""A quick target that remembers every request, and whose manners a test can change while load goes on.

It runs in a thread of the test process with an event loop of its own, so it answers while the test waits for something.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when its head was complete (`time.time`), what it asked for, and all of its head."""

    at: float
    method: str
    path: str
    head: bytes


class CountingTarget:
    """A running target.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        seen: Every request, in order of arrival.
        status: What it answers with from now on.
        delay: How long an answer takes from now on, in seconds.
        slow: Paths whose answers take so long, whatever `delay` says.
        connections: How many are open.
    """

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self.status = 200
        self.delay = 0.0
        self.slow: dict[str, float] = {}
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Transport] = set()
        self._server: asyncio.Server
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(WAIT_SECONDS)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def count(self, path: str | None = None) -> int:
        """How many requests have come, of all or for one path."""
        return len(self.seen) if path is None else sum(each.path == path for each in self.seen)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that the target can see.

        Raises:
            AssertionError: It did not come about in time.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"the target waited in vain for {what}"
            time.sleep(_POLL_SECONDS)

    def vanish(self) -> None:
        """Stop to listen and reset all connections: from now on the target refuses."""
        self._loop.call_soon_threadsafe(self._vanish)

    def reappear(self) -> None:
        """Listen again, where it did before it vanished."""
        asyncio.run_coroutine_threadsafe(self._listen(self.port), self._loop).result(WAIT_SECONDS)

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen(0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._vanish()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self, port: int) -> None:
        self._server = await self._loop.create_server(
            lambda: _Connection(self, self._loop), "127.0.0.1", port, backlog=512
        )

    def _vanish(self) -> None:
        self._server.close()
        for transport in list(self._open):
            transport.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, target: CountingTarget, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._target._open.add(transport)
        self._target.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._target._open.discard(self._transport)
        self._target.connections -= 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            method, path, _ = head.split(b" ", 2)
            self._target.seen.append(Seen(time.time(), method.decode(), path.decode(), head))
            delay = self._target.slow.get(path.decode(), self._target.delay)
            if delay:
                self._loop.call_later(delay, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % self._target.status)


@contextmanager
def counting_target() -> Iterator[CountingTarget]:
    """Run a target."""
    target = CountingTarget()
    try:
        yield target
    finally:
        target.stop()
