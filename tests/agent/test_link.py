"""The runner's line to its hub, against servers that behave as hubs of machines that die do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.test_utils import TestServer

from squall.hub import protocol
from squall_runner.link import Link


class Hub:
    """Takes connections; says something now and then, or nothing at all."""

    def __init__(self, every: float | None) -> None:
        self.connections = 0
        self.hellos: list[protocol.FromRunner] = []
        self._every = every

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.hellos.append(protocol.from_runner(await socket.receive_bytes()))
        while not socket.closed:
            if self._every is None:
                await socket.receive()
                continue
            await socket.send_bytes(protocol.encode(protocol.Ping(1)))
            await asyncio.sleep(self._every)
        return socket


@contextlib.asynccontextmanager
async def linked(hub: Hub, silence: float) -> AsyncIterator[tuple[Link, list[protocol.FromHub]]]:
    app = web.Application()
    app.router.add_get("/", hub.serve)
    heard: list[protocol.FromHub] = []
    hello = protocol.Hello(version=protocol.VERSION, runner=0, attempt="a", shards=(0,), now_ns=1)
    async with TestServer(app) as server:
        link = Link(
            str(server.make_url("/")), "t", hello=lambda: hello, heard=heard.append, silence_seconds=silence
        )
        task = asyncio.create_task(link.run())
        try:
            yield link, heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_hub_that_says_nothing_is_met_again() -> None:
    """As when its machine is gone: nobody has closed the connection."""
    hub = Hub(None)
    async with linked(hub, 0.05) as (link, _), asyncio.timeout(20):
        while hub.connections < 3:
            await asyncio.sleep(0.01)
        while "nothing was heard from the hub for 0.05 s" not in link.problem:
            await asyncio.sleep(0.01)
    assert len(hub.hellos) >= 2


async def test_one_that_speaks_in_time_is_kept() -> None:
    hub = Hub(0.01)
    async with linked(hub, 10) as (_, heard), asyncio.timeout(20):
        while len(heard) < 20:
            await asyncio.sleep(0.01)
    assert hub.connections == 1
