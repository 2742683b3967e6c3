"""A defect of the hub itself: the load stops, and who waits for the run hears of it instead of waiting for ever."""

from __future__ import annotations

import asyncio

import pytest
from support.fakerunner import FakeRunner, manifest

from squall.hub import protocol
from squall.hub.hub import Hub
from squall.hub.model import RunSpec


@pytest.mark.parametrize("where", ["received", "tick", "take"])
async def test_a_broken_hub_lets_go_of_its_runners_and_tells(tmp_path, monkeypatch, where):
    hub = Hub(b"key", folder=tmp_path)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    runner = FakeRunner(url, "r1", hub.token("r1"))
    try:
        await runner.connect()

        def broken(*_: object) -> None:
            raise AttributeError("no such thing")

        monkeypatch.setattr(run.state, where, broken)
        await runner.send(protocol.Ready())
        stop = await asyncio.wait_for(runner.wait_for(protocol.Stop), 30)
        assert (stop.reason, stop.grace_ns) == ("HubDefect", 0)
        await asyncio.wait_for(runner.wait_for(protocol.Goodbye), 30)
        with pytest.raises(AttributeError, match="no such thing"):
            await asyncio.wait_for(run.finished(), 30)
        assert [state async for state in run.watch()]
    finally:
        await runner.close()
        await hub.close()
