"""The hub over real sockets, with simulated runners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from support.fakerunner import FakeRunner, manifest

from squall.hub import protocol
from squall.hub.driver import Run
from squall.hub.hub import Hub
from squall.hub.model import RunSpec

KEY = b"installation-key"


@pytest.fixture
async def hub(tmp_path) -> AsyncIterator[tuple[Hub, str]]:
    hub = Hub(KEY, folder=tmp_path)
    url = await hub.start("127.0.0.1", 0)
    yield hub, url
    await hub.close()


@asynccontextmanager
async def runners(hub: Hub, url: str, run: Run, **options) -> AsyncIterator[list[FakeRunner]]:
    made = [
        FakeRunner(url, run.spec.run, hub.token(run.spec.run), i, shards=shards, **options)
        for i, shards in enumerate(run.spec.runners)
    ]
    try:
        for each in made:
            await each.connect()
        yield made
    finally:
        for each in made:
            await each.close()


def spec(run: str = "r1", count: int = 2, **parts) -> RunSpec:
    return RunSpec(
        run=run, manifest=manifest(shards=count, **parts), runners=tuple((i,) for i in range(count))
    )


async def start(made: list[FakeRunner]) -> None:
    for each in made:
        await each.send(protocol.Ready())
    for each in made:
        await each.wait_for(protocol.Start)
        await each.send(protocol.Started(each.start_ns or 0))


async def finish(made: list[FakeRunner], last_ns: int = 0) -> None:
    for each in made:
        await each.send(protocol.Finished(last_ns))
    for each in made:
        await each.wait_for(protocol.Goodbye)


async def test_a_run_from_connection_to_verdict(hub):
    hub, url = hub
    run = hub.add_run(spec(thresholds=[{"metric": "http_req_duration", "expression": "p(95)<500ms"}]))
    async with runners(hub, url, run, clock_offset_ns=10**15) as made:
        await start(made)
        assert abs(made[0].start_ns - made[1].start_ns) < 20_000_000
        for slot in range(2):
            await made[0].until_slot_end(slot)
            for each in made:
                await each.send_slot(each.numbers.slot(slot))
        await finish(made, made[0].clock())
        await run.finished()
    summary = run.outcome.summary
    assert summary.verdict.result == "Passed"
    reqs = next(row for row in summary.metrics if row.metric == "http_reqs" and not row.tags)
    assert reqs.values["count"] == 40
    assert summary.timings.start_skew_seconds < 0.02
    assert summary.runners == 2
