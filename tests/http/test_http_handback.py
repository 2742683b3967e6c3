"""Connections go back to their client by themselves: nothing is lost or used twice, whoever stops waiting and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.hostile import OK, hostile

from squall_runner.http import HttpClient, Network, build

if TYPE_CHECKING:
    from support.hostile import Hostile, Peer


async def test_a_sender_cancelled_behind_its_response_leaves_the_connection_to_the_next(
    network: Network, good: Hostile
) -> None:
    client, request = HttpClient(network), build("GET", good.url)
    await client.send(request)
    now = network.clock()
    connection = client.start(request, now, now + 5.0, keep=True)
    assert connection is not None
    future = connection.future
    assert future is not None
    assert client.start(request, now, now + 5.0, keep=True) is None  # its only connection is in use
    await future
    # It is the next one's now: whoever gives up late must not take it away.
    again = client.start(request, now, now + 5.0, keep=True)
    assert again is connection
    second = again.future
    assert second is not None
    connection.abandon(future)
    assert (await second).status == 200
    assert network.stats.opened == 1
    client.close()


def answering_once(peer: Peer) -> None:
    """Answers the first request of each connection, and reads what comes then until the client hangs up."""
    if peer.request():
        peer.send(OK)
        while peer.request():
            pass


async def test_a_sender_cancelled_before_its_response_closes_the_connection(network: Network) -> None:
    with hostile(answering_once) as server:
        client, request = HttpClient(network), build("GET", server.url)
        await client.send(request)
        sending = asyncio.create_task(client.send(request))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        now = network.clock()
        assert client.start(request, now, now + 5.0, keep=False) is None
        assert (await client.send(request)).status == 200
        assert network.stats.opened == 2
        client.close()


def last_words(peer: Peer) -> None:
    """Answers, says that it will close, and leaves that to the client."""
    while peer.request():
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


async def test_a_connection_that_is_to_be_closed_is_no_idle_one(network: Network) -> None:
    client = HttpClient(network)
    with hostile(last_words) as server:
        for opened in (1, 2):
            assert (await client.send(build("GET", server.url))).status == 200
            assert network.stats.opened == opened
        while network.stats.open_sockets:
            await asyncio.sleep(0.001)


async def test_a_new_visitor_keeps_its_new_connections(network: Network, good: Hostile) -> None:
    client, request = HttpClient(network), build("GET", good.url)
    for visit in (1, 2, 3):
        assert [(await client.send(request)).reused for _ in range(3)] == [False, True, True]
        assert network.stats.opened == visit
        client.reset()
    while network.stats.open_sockets:
        await asyncio.sleep(0.001)


async def test_a_reset_during_a_request_ends_its_connection_afterwards(
    network: Network, good: Hostile
) -> None:
    client, request = HttpClient(network), build("GET", good.url)
    await client.send(request)
    sending = asyncio.create_task(client.send(request))
    await asyncio.sleep(0)
    client.reset()
    assert (await sending).status == 200
    while network.stats.open_sockets:
        await asyncio.sleep(0.001)
