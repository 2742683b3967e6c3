"""Connections that all share: never too many, in order, and nothing is ever lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from support.driving import target
from support.hostile import OK, Peer, hostile
from support.networks import watched_network

from squall_runner.http import HttpClient, Network, build
from squall_runner.http.dialing import Phases
from squall_runner.http.errors import RequestError
from squall_runner.http.sharing import SharedPool

# -- the pool alone, against a model ------------------------------------------------------------------------------


class Line:
    """What the pool knows of a connection."""

    def __init__(self, gone: Callable[[], None]) -> None:
        self.closed = False
        self.pool: Any = None
        self._gone = gone

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._gone)

    def abort(self) -> None:
        self.close()


@dataclass
class World:
    """A pool, those who want something of it, and what is true of them."""

    places: int
    pool: SharedPool
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    held: dict[int, Line] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    refuse: bool = False

    def open_ones(self) -> int:
        return sum(not line.closed for line in self.lines)

    async def open_one(self, gone: Callable[[], None]) -> Any:
        await asyncio.sleep(0)
        if self.refuse:
            raise RequestError("connect_refused", "no")
        line = Line(gone)
        self.lines.append(line)
        assert self.open_ones() <= self.places
        return line

    def ask(self, number: int, *, fresh: bool) -> None:
        async def wanted() -> None:
            before = len(self.lines)
            connection = await self.pool.acquire(self.open_one, 1e9, Phases(), fresh=fresh)
            line = cast("Line", connection)
            assert not line.closed
            assert not fresh or line in self.lines[before:]
            assert line not in self.held.values()
            self.held[number] = line
            self.served.append(number)

        self.tasks.append(asyncio.create_task(wanted()))

    def give_back(self, number: int, *, closed: bool) -> None:
        line = self.held.pop(number)
        if closed:
            line.close()
        elif not line.closed:
            self.pool.put(cast("Any", line))


async def settle() -> None:
    """Lets everything happen that can."""
    for _ in range(12):
        await asyncio.sleep(0)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "ask",
                "ask",
                "ask",
                "ask fresh",
                "done",
                "lost",
                "idle lost",
                "cancel",
                "done and cancel",
                "lost and cancel",
                "cancel and done",
                "fail",
            ]
        ),
        st.integers(0, 30),
        st.sampled_from([True, True, False]),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(st.integers(1, 3), ACTIONS)
def test_nothing_is_lost_whatever_happens(places: int, actions: list[tuple[str, int, bool]]) -> None:
    async def play() -> None:
        world = World(places, SharedPool("http://h", places, asyncio.get_running_loop().time))
        for number, (action, choice, calm) in enumerate(actions):
            await act(world, number, action, choice)
            if calm:
                await settle()
        world.refuse = False
        for _ in range(3 * len(world.tasks) + 3):
            await settle()
            for held in list(world.held):
                world.give_back(held, closed=False)
        assert all(task.done() for task in world.tasks), "somebody waits for nothing"
        await asyncio.gather(*world.tasks, return_exceptions=True)
        # All places are there again: so many can be had at once, and not one more.
        for number in range(places + 1):
            world.ask(1000 + number, fresh=False)
        await settle()
        assert sorted(world.held) == [1000 + number for number in range(places)]
        world.tasks[-1].cancel()
        await asyncio.gather(*world.tasks, return_exceptions=True)

    asyncio.run(play())


async def act(world: World, number: int, action: str, choice: int) -> None:
    """One thing that happens, if it can."""
    held = sorted(world.held)
    if action == "cancel and done":
        _cancel(world, 0)  # who waits first goes away, and nobody has noticed yet
    if action in {"ask", "ask fresh"}:
        world.ask(number, fresh=action == "ask fresh")
    elif action == "fail":
        world.refuse = not world.refuse
    elif action == "idle lost" and world.pool.idle:
        cast("Line", world.pool.idle[choice % len(world.pool.idle)]).close()
    elif ("done" in action or action.startswith("lost")) and held:
        world.give_back(held[choice % len(held)], closed=action.startswith("lost"))
    if action == "lost and cancel":
        await asyncio.sleep(0)  # the place has been handed on, and nobody has noticed yet
    if action.endswith("cancel"):
        _cancel(world, choice if action == "cancel" else 0)


def _cancel(world: World, choice: int) -> None:
    waiting = [task for task in world.tasks if not task.done()]
    if waiting:
        waiting[choice % len(waiting)].cancel()


async def test_those_who_wait_are_served_in_order() -> None:
    world = World(2, SharedPool("http://h", 2, asyncio.get_running_loop().time))
    for number in range(8):
        world.ask(number, fresh=False)
    await settle()
    assert world.served == [0, 1]
    world.tasks[4].cancel()
    world.give_back(0, closed=False)
    world.give_back(1, closed=True)
    await settle()
    assert world.served == [0, 1, 2, 3]
    world.give_back(2, closed=False)
    await settle()
    assert world.served == [0, 1, 2, 3, 5]
    for task in world.tasks:
        task.cancel()
    await asyncio.gather(*world.tasks, return_exceptions=True)


async def test_who_needs_a_fresh_connection_keeps_his_turn() -> None:
    world = World(1, SharedPool("http://h", 1, asyncio.get_running_loop().time))
    for number in range(3):
        world.ask(number, fresh=number == 1)
    await settle()
    for number in range(3):
        assert list(world.held) == [number]
        world.give_back(number, closed=False)
        await settle()
    assert len(world.lines) == 2
    await asyncio.gather(*world.tasks)


async def test_idle_connections_that_are_closed_are_forgotten() -> None:
    world = World(2, SharedPool("http://h", 2, asyncio.get_running_loop().time))
    for number in range(0, 100, 2):
        world.ask(number, fresh=False)
        world.ask(number + 1, fresh=False)
        await settle()
        lowest = world.held[number + 1]
        world.give_back(number + 1, closed=False)
        world.give_back(number, closed=False)
        lowest.close()
        await settle()
        assert len(world.pool.idle) <= 4
    assert len(world.lines) == 51


async def test_those_who_wait_no_longer_are_forgotten() -> None:
    world = World(1, SharedPool("http://h", 1, asyncio.get_running_loop().time))
    for number in range(50):
        world.ask(number, fresh=False)
    await settle()
    for task in world.tasks[1:]:
        task.cancel()
    await settle()
    assert len(world.pool._waiting) == 0


# -- real connections ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def sharing(connections: int) -> AsyncIterator[Network]:
    async with watched_network(shared=connections) as network:
        yield network


def slow(seconds: float) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.Response(text="ok")

    return answer


async def test_many_share_few_connections() -> None:
    async with sharing(3) as network, target() as server:
        clients = [HttpClient(network) for _ in range(20)]
        request = build("GET", f"{server.url}/")

        async def visit(client: HttpClient) -> None:
            for _ in range(10):
                response = await client.send(request, timeout=10, keep_body=True)
                assert (response.status, response.error) == (200, "")
                client.reset()

        await asyncio.gather(*(visit(client) for client in clients))
        assert network.stats.opened == 3
        assert len(server.seen) == 200
        for client in clients:
            client.close()
        assert network.stats.open_sockets == 3


async def test_the_wait_is_seen_and_counts_against_the_timeout() -> None:
    async with sharing(1) as network, target() as server:
        server.answers["/slow"] = slow(0.3)
        one, two, three = (HttpClient(network) for _ in range(3))
        request = build("GET", f"{server.url}/slow")
        first = asyncio.create_task(one.send(request, timeout=10))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(two.send(request, timeout=10))
        late = await three.send(request, timeout=0.1)
        assert late.error == "timeout"
        assert late.error_message.startswith("waited 0.1")
        assert f"all 1 to {server.url} were in use" in late.error_message
        assert 0.1 <= late.blocked <= late.total
        second = await waiting
        assert (second.status, second.reused) == (200, True)
        assert 0.2 < second.blocked < second.total
        assert second.total == pytest.approx(second.blocked + second.duration, abs=0.01)
        assert (await first).blocked < 0.1
        assert network.stats.opened == 1


async def test_cookies_stay_with_their_visitor() -> None:
    async def login(request: web.Request) -> web.Response:
        response = web.Response()
        response.set_cookie("who", request.query["who"])
        return response

    async def tell(request: web.Request) -> web.Response:
        return web.Response(text=request.cookies.get("who", "nobody"))

    async with sharing(1) as network, target() as server:
        server.answers |= {"/login": login, "/tell": tell}
        clients = [HttpClient(network) for _ in range(3)]
        for number, client in enumerate(clients[:2]):
            await client.send(build("GET", f"{server.url}/login?who=v{number}"), timeout=5)
        told = [
            (await client.send(build("GET", f"{server.url}/tell"), timeout=5, keep_body=True)).text
            for client in clients
        ]
        assert told == ["v0", "v1", "nobody"]
        assert network.stats.opened == 1


async def test_a_sender_that_is_cancelled_gives_its_place_to_the_next() -> None:
    async with sharing(1) as network, target() as server:
        server.answers["/slow"] = slow(3600)
        client = HttpClient(network)
        stuck = asyncio.create_task(client.send(build("GET", f"{server.url}/slow"), timeout=3600))
        while not server.seen:
            await asyncio.sleep(0.01)
        next_one = asyncio.create_task(client.send(build("GET", f"{server.url}/"), timeout=10))
        await asyncio.sleep(0.05)
        stuck.cancel()
        assert (await next_one).status == 200


async def test_openings_that_fail_hand_their_place_on(unused_tcp_port: int) -> None:
    async with sharing(2) as network:
        clients = [HttpClient(network) for _ in range(10)]
        request = build("GET", f"http://127.0.0.1:{unused_tcp_port}/")
        found = await asyncio.gather(*(client.send(request, timeout=5) for client in clients))
        assert {response.error for response in found} == {"connect_refused"}
        assert network.stats.failed == 10


async def test_a_stale_shared_connection_is_replaced() -> None:
    def script(peer: Peer) -> None:
        peer.answer(OK)
        if peer.index < 2:
            peer.request()
            peer.reset()
        while peer.request():
            peer.send(OK)

    async with sharing(2) as network:
        with hostile(script) as server:
            clients = [HttpClient(network) for _ in range(2)]
            request = build("GET", server.url)
            for _ in range(2):
                found = await asyncio.gather(*(client.send(request, timeout=5) for client in clients))
                assert [(response.status, response.error) for response in found] == [(200, ""), (200, "")]
            assert network.stats.stale_retries >= 1
            assert network.stats.opened <= 4


async def test_one_client_may_have_connections_of_its_own() -> None:
    async with sharing(1) as network, target() as server:
        server.answers["/slow"] = slow(3600)
        stuck = asyncio.create_task(
            HttpClient(network).send(build("GET", f"{server.url}/slow"), timeout=3600)
        )
        while not server.seen:
            await asyncio.sleep(0.01)
        own = HttpClient(network, private=True)
        assert (await own.send(build("GET", f"{server.url}/"), timeout=5)).status == 200
        own.close()
        stuck.cancel()


async def test_origins_are_bounded_in_number() -> None:
    async with sharing(2) as network, target() as server:
        client = HttpClient(network)
        for number in range(150):
            host = f"127.0.{number // 100}.{number % 100 + 1}"
            await client.send(build("GET", f"http://{host}:{server.port}/"), timeout=5)
        assert network.stats.open_sockets <= 130
