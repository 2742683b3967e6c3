"""The same GET with less and less of Squall around it: each layer shows what the one above adds.

`layers.py LAYER PORT SECONDS` drives 100 connections and prints the CPU nanoseconds of one request. A script of its own, so
that it can be pinned to a core.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from httptools import HttpResponseParser

from squall_runner.http import Network, build
from squall_runner.http.client import HttpClient

CONNECTIONS = 100
WARM_SECONDS = 1.0

Ask = Callable[[], Awaitable[object]]


class Bare(asyncio.Protocol):
    """Sends the next request when anything has come: what the kernel and the event loop cost, and nothing else."""

    count = 0

    def __init__(self, wire: bytes) -> None:
        self.wire = wire

    def connection_made(self, transport: Any) -> None:
        self.write = transport.write

    def start(self) -> None:
        self.write(self.wire)

    def data_received(self, data: bytes) -> None:
        self.received(data)

    def received(self, _: bytes) -> None:
        Bare.count += 1
        self.write(self.wire)


class Parsing(Bare):
    """Understands the response as well."""

    def __init__(self, wire: bytes) -> None:
        super().__init__(wire)
        self.parser = HttpResponseParser(self)

    def received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        Bare.count += 1
        self.write(self.wire)


class Awaited(Parsing):
    """Hands it over to a task that waits for it."""

    future: asyncio.Future[None]

    def ask(self) -> asyncio.Future[None]:
        self.future = asyncio.get_running_loop().create_future()
        self.write(self.wire)
        return self.future

    def on_message_complete(self) -> None:
        self.future.set_result(None)


async def drive(layer: str, port: int, seconds: float) -> float:
    """CPU seconds of one request."""
    loop = asyncio.get_running_loop()
    url = f"http://127.0.0.1:{port}/item"
    request = build("GET", url)
    assert request.wire is not None, "the request has no body"
    tasks: list[asyncio.Task[None]] = []
    if layer in ("bare", "parser"):
        kind = Bare if layer == "bare" else Parsing
        for _ in range(CONNECTIONS):
            _, protocol = await loop.create_connection(lambda: kind(request.wire or b""), "127.0.0.1", port)
            protocol.start()
    elif layer == "task":
        for _ in range(CONNECTIONS):
            _, waited = await loop.create_connection(lambda: Awaited(request.wire or b""), "127.0.0.1", port)
            tasks.append(asyncio.create_task(_repeat(waited.ask)))
    else:
        network = Network()
        for _ in range(CONNECTIONS):
            client = HttpClient(network)
            tasks.append(asyncio.create_task(_repeat(lambda client=client: client.send(request))))  # type: ignore[misc]
    await asyncio.sleep(WARM_SECONDS)
    first, began = Bare.count, time.process_time()
    await asyncio.sleep(seconds)
    cost = (time.process_time() - began) / (Bare.count - first)
    for task in tasks:
        task.cancel()
    return cost


async def _repeat(ask: Ask) -> None:
    while True:
        await ask()
        Bare.count += 1


if __name__ == "__main__":
    print(round(uvloop.run(drive(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))) * 1e9))
