"""A network for tests that must leave nothing behind: no socket, no task, no connection under watch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from squall_runner.http import Limits, Network, NetworkOptions, Proxy, TlsOptions


def _sockets() -> int:
    """How many sockets this process has open; 0 where the system does not tell."""
    found = 0
    if not os.path.isdir("/proc/self/fd"):
        return found
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except OSError:
            continue
    return found


@asynccontextmanager
async def watched_network(
    tls: TlsOptions | None = None, proxy: Proxy | None = None, shared: int | None = None
) -> AsyncIterator[Network]:
    """Opens a network with short timeouts and small limits; whoever leaves it has closed his servers before."""
    before = _sockets()
    options = NetworkOptions(
        limits=Limits(max_head_bytes=65536, max_body_bytes=100_000),
        connect_timeout=1.0,
        tls=tls or TlsOptions(),
        proxy=proxy,
        shared_connections=shared,
    )
    network = Network(options)
    yield network
    await network.close()
    for _ in range(1000):  # event loops close sockets a few rounds later
        if _sockets() <= before:
            break
        await asyncio.sleep(0.001)
    assert network.stats.open_sockets == 0
    assert not network._deadlines.members
    assert [task for task in asyncio.all_tasks() if _is_ours(task)] == []
    assert _sockets() <= before  # counted, not compared: uvloop exchanges its own ones


def _is_ours(task: asyncio.Task[object]) -> bool:
    return "squall_runner" in str(task.get_coro().cr_code.co_filename)  # type: ignore[union-attr]
