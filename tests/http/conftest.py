from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvloop
from support.hostile import Hostile, hostile, well_behaved

from squall_runner.http import HttpClient, Limits, Network, NetworkOptions, Timeouts


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here runs on the loop of the product and on the one of platforms without it."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def _sockets() -> int:
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if name.startswith("socket:"):
            found += 1
    return found


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """A network that must leave nothing behind: no socket, no task, no connection under watch."""
    sockets = _sockets()
    options = NetworkOptions(
        limits=Limits(max_head_bytes=65536, max_body_bytes=100_000),
        timeouts=Timeouts(dns=0.3, connect=0.3, tls=0.3),
    )
    network = Network(options)
    yield network
    await network.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert network.stats.open_sockets == 0
    assert not network._deadlines.members
    assert asyncio.all_tasks() == {asyncio.current_task()}
    if os.path.isdir("/proc/self/fd"):
        assert _sockets() <= sockets  # counted: uvloop exchanges its own ones


@pytest.fixture
async def client(network: Network, good: Hostile) -> AsyncIterator[HttpClient]:
    """A client that must still be usable after whatever the test did to it."""
    from squall_runner.http import build

    client = HttpClient(network)
    yield client
    response = await client.send(build("GET", good.url), timeout=5.0, keep_body=True)
    assert (response.status, response.error, response.body) == (200, "", b"ok")
    client.close()


@pytest.fixture
def good() -> Iterator[Hostile]:
    with hostile(well_behaved) as server:
        yield server
