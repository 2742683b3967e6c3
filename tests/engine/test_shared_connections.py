"""Connections as a test declares them: each VU's own, shared by all, or one for each request."""

import asyncio

import pytest
from aiohttp import web
from support.driving import Target, Told, drive, manifest, prepared, target

from squall_runner.http import parse_url

CALL = {"name": "call", "http": {"url": "/x"}}


def peers(server: Target) -> list[int]:
    """The client's port of each request from now on."""
    found: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        found.append(request.transport.get_extra_info("peername")[1])
        await asyncio.sleep(0.005)
        return web.Response(text="ok")

    server.answers["/x"] = answer
    return found


async def test_all_vus_of_a_runner_share_its_connections():
    async with target() as server:
        found = peers(server)
        test = manifest(server.url, [CALL], vus=12, iterations=5)
        test["spec"]["http"] |= {"sharedConnections": 3, "resetBetweenIterations": True}
        measured = await drive(test)
    assert len(found) == 60
    assert len(set(found)) == 3
    assert measured.count("http_connections") == 3
    assert measured.rate("http_req_failed") == (0, 60)
    blocked, total = measured.trend("http_req_blocked"), measured.trend("http_req_total")
    assert (blocked.count, total.count) == (60, 60)
    assert blocked.count - blocked.zero >= 12 - 3, "nobody has waited"
    assert total.max >= blocked.max > 0.005


@pytest.mark.parametrize(("shards", "share"), [((0,), 3), ((1, 2), 4), ((2,), 2), ((0, 1, 2), 7)])
async def test_a_runner_has_the_share_of_its_shards(shards, share):
    async with target() as server:
        test = manifest(server.url, [CALL], vus=3, spec={"shards": 3})
        test["spec"]["http"]["sharedConnections"] = 7
        async with prepared(test, Told(), shards=shards) as engine:
            assert engine._network is not None
            assert engine._network.options.shared_connections == share
            assert engine._network.shared_pool(parse_url(server.url)[0]) is not None


async def test_a_wait_that_is_too_long_is_a_timeout_that_says_so():
    told = Told()
    long = {"name": "long", "http": {"url": "/x"}}
    short = {"name": "short", "http": {"url": "/x", "timeout": "150ms"}, "onError": "continue"}
    branches = [{"name": "a", "steps": [long]}, {"name": "b", "steps": [short]}]
    async with target() as server:
        server.answer("/x", delay=0.4)
        test = manifest(server.url, [{"parallel": {"branches": branches}}])
        test["spec"]["http"] |= {"sharedConnections": 1}
        measured = await drive(test, told)
    assert measured.rate("http_req_failed", error="timeout", step="short") == (1, 1)
    assert measured.rate("http_req_failed", step="long") == (0, 1)
    assert measured.trend("http_req_blocked", step="short").min >= 0.15
    assert "for a free connection: all 1 to" in told.messages()
    assert len(server.seen) == 1


async def test_setup_and_the_load_do_not_wait_for_each_other():
    async with target() as server:
        once = {"steps": [{"http": {"url": "/setup"}}]}
        test = manifest(server.url, [CALL], vus=4, iterations=3, spec={"setup": once, "teardown": once})
        test["spec"]["http"] |= {"sharedConnections": 1}
        measured = await drive(test)
    assert measured.count("http_reqs") == 12
    assert measured.count("http_connections") == 1


async def test_each_request_has_a_connection_of_its_own_without_keep_alive():
    async with target() as server:
        found = peers(server)
        test = manifest(server.url, [CALL, CALL], vus=3, iterations=2)
        test["spec"]["scenarios"][0]["steps"][1] = {"name": "again", "http": {"url": "/x"}}
        test["spec"]["http"]["keepAlive"] = False
        measured = await drive(test)
    assert len(set(found)) == len(found) == 12
    assert measured.count("http_connections") == 12
    assert {seen.headers["Connection"] for seen in server.seen} == {"close"}
    connecting = measured.trend("http_req_connecting")
    assert (connecting.count, connecting.zero) == (12, 0)


async def test_without_keep_alive_shared_connections_are_a_bound_on_requests_at_once():
    now, most = 0, 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return web.Response(text="ok")

    async with target() as server:
        server.answers["/x"] = answer
        test = manifest(server.url, [CALL], vus=10, iterations=4)
        test["spec"]["http"] |= {"keepAlive": False, "sharedConnections": 2}
        measured = await drive(test)
    assert measured.rate("http_req_failed") == (0, 40)
    assert measured.count("http_connections") == 40
    assert most <= 2
