"""A target with a known capacity, in a process of its own: `python limitedtarget.py rate 500`, `... places 10 0.2`.

`rate R`: a token bucket of R requests per second; who comes when it is empty waits in a queue. `places C S`: C requests at
a time take S seconds each, the others queue. It prints its URL and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
BURST_SECONDS = 0.01
"""How much of a second's tokens the bucket holds."""


class RateLimit:
    """Says when the next request may be answered: a bucket that fills at `rate` tokens per second."""

    def __init__(self, rate: float) -> None:
        self._each = 1 / rate
        self._free = 0.0

    def answer_at(self, now: float) -> float:
        """When a request that comes now is answered."""
        self._free = max(self._free, now - BURST_SECONDS) + self._each
        return max(now, self._free)


class Places:
    """Says when the next request may be answered: so many at a time, each for its time."""

    def __init__(self, count: int, seconds: float) -> None:
        self._free = [0.0] * count
        self._seconds = seconds

    def answer_at(self, now: float) -> float:
        """When a request that comes now is answered."""
        place = min(range(len(self._free)), key=self._free.__getitem__)
        self._free[place] = max(self._free[place], now) + self._seconds
        return self._free[place]


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after the other; none has a body."""

    def __init__(self, limit: RateLimit | Places) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        while b"\r\n\r\n" in self._head:
            _, _, self._head = self._head.partition(b"\r\n\r\n")
            now = self._loop.time()
            due = self._limit.answer_at(now)
            if due <= now:
                self._answer()
            else:
                self._loop.call_at(due, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)


async def serve(limit: RateLimit | Places) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(limit), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - whoever started it waits for this line
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    kind, number, *seconds = sys.argv[1:]
    uvloop.run(serve(RateLimit(float(number)) if kind == "rate" else Places(int(number), float(*seconds))))
