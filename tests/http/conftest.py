from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvloop
from support.hostile import Hostile, hostile, well_behaved
from support.networks import watched_network

from squall_runner.http import HttpClient, Network, build


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here runs on the loop of the product and on the one of platforms without it."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    async with watched_network() as network:
        yield network


@pytest.fixture
async def client(network: Network, good: Hostile) -> AsyncIterator[HttpClient]:
    """A client that must still be usable after whatever the test did to it."""
    client = HttpClient(network)
    yield client
    response = await client.send(build("GET", good.url), timeout=5.0, keep_body=True)
    assert (response.status, response.error, response.body) == (200, "", b"ok")
    client.close()


@pytest.fixture
def good() -> Iterator[Hostile]:
    with hostile(well_behaved) as server:
        yield server
