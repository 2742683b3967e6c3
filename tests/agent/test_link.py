"""The runner's line to its hub, against servers that behave as hubs of machines that die do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.fakerunner import manifest

from squall.hub import protocol
from squall.hub.hub import Hub as RealHub
from squall.hub.model import RunSpec
from squall_runner.link import Link


class Hub:
    """Takes connections; says something now and then, or nothing at all, or closes at once with a code."""

    def __init__(self, every: float | None, code: int = 0) -> None:
        self._code = code
        self.connections = 0
        self.hellos: list[protocol.FromRunner] = []
        self._every = every

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.hellos.append(protocol.from_runner(await socket.receive_bytes()))
        if self._code:
            await socket.close(code=self._code)
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


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (protocol.CLOSE_REFUSED, "the hub refused this runner"),
        (protocol.CLOSE_REPLACED, "another process has taken this runner's place"),
    ],
)
async def test_who_has_no_place_any_more_does_not_come_back(code: int, why: str) -> None:
    hub = Hub(None, code)
    app = web.Application()
    app.router.add_get("/", hub.serve)
    hello = protocol.Hello(version=protocol.VERSION, runner=0, attempt="a", shards=(0,), now_ns=1)
    async with TestServer(app) as server, asyncio.timeout(20):
        link = Link(str(server.make_url("/")), "t", hello=lambda: hello, heard=lambda _: None)
        await link.run()
    assert (hub.connections, link.problem) == (1, why)


async def test_other_ends_of_a_connection_are_no_reason_to_leave() -> None:
    hub = Hub(None, protocol.CLOSE_MALFORMED)
    async with linked(hub, 10), asyncio.timeout(20):
        while hub.connections < 3:
            await asyncio.sleep(0.01)


class Network:
    """Between a runner and its hub; can swallow all that is said on the connections there are, their ends included."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.alive = 0
        """The first connection that is carried; earlier ones are there and lead nowhere."""
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        there, out = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [self._carry(number, reader, out), self._carry(number, there, writer)]
        try:
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            out.close()
            writer.close()

    async def _carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            if number >= self.alive:
                writer.write(piece)
                await writer.drain()
        if number < self.alive:
            await asyncio.sleep(1000)


async def test_one_whose_old_connection_is_replaced_by_its_own_new_one_stays() -> None:
    hub = RealHub(b"key")
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(shards=1), runners=((0,),)))
    network = Network(int(url.rpartition(":")[2]))
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    heard: list[protocol.FromHub] = []

    def hello() -> protocol.Hello:
        now = time.monotonic_ns()
        return protocol.Hello(version=protocol.VERSION, runner=0, attempt="a", shards=(0,), now_ns=now)

    through = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{protocol.PATH.format(run='r1')}"
    link = Link(through, hub.token("r1"), hello=hello, heard=heard.append, silence_seconds=2)
    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(30):
            while not heard:
                await asyncio.sleep(0.01)
            heard.clear()
            network.alive = 1
            while not any(isinstance(each, protocol.Welcome) for each in heard):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # what the hub says to the old connection would have come
        assert not task.done()
        assert run.state.members[0].connected
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
        await hub.close()
