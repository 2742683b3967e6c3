"""What is left of a run that a hub has forgotten: nothing, neither in its folder nor in its descriptors nor for the hub after it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest
from support.fakerunner import FakeRunner, manifest

from squall.hub import __main__ as standalone
from squall.hub import protocol
from squall.hub.hub import Hub, HubClock
from squall.hub.model import RunSpec


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_is_left_of_a_forgotten_run(tmp_path: Path) -> None:
    hub = Hub(b"key", folder=tmp_path)
    await hub.start("127.0.0.1", 0)
    try:
        before = descriptors()
        for name in ("kept", *(f"run-{number}" for number in range(5))):
            run = hub.add_run(RunSpec(run=name, manifest=manifest(shards=1), runners=((0,),)))
            run.stop()
            await run.finished()
            if name != "kept":
                assert hub.forget(name)
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]
        assert descriptors() <= before + 1
    finally:
        await hub.close()
    after = Hub(b"key", folder=tmp_path)
    await after.start("127.0.0.1", 0)
    assert list(after.runs) == ["kept"]
    await after.close()


async def test_what_has_not_finished_is_not_forgotten(tmp_path: Path) -> None:
    hub = Hub(b"key", folder=tmp_path)
    await hub.start("127.0.0.1", 0)
    try:
        hub.add_run(RunSpec(run="r1", manifest=manifest(shards=1), runners=((0,),)))
        assert not hub.forget("r1")
        assert (tmp_path / "r1" / "journal.jsonl").is_file()
    finally:
        await hub.close()


HOUR_NS = 3600 * 1_000_000_000


class Clock:
    """The hub's, which tests put forward."""

    def __init__(self) -> None:
        self.ahead_ns = 0
        self._clock = HubClock()

    def __call__(self) -> int:
        return self._clock() + self.ahead_ns


def spec(name: str) -> RunSpec:
    return RunSpec(run=name, manifest=manifest(shards=1), runners=((0,),), start_deadline_seconds=1e6)


async def test_what_nobody_forgets_is_forgotten_an_hour_after_its_end(tmp_path: Path) -> None:
    clock = Clock()
    hub = Hub(b"key", folder=tmp_path, clock=clock, keep_seconds=3600)
    await hub.start("127.0.0.1", 0)
    try:
        hub.add_run(spec("waiting"))
        run = hub.add_run(spec("old"))
        run.stop()
        await run.finished()
        clock.ahead_ns += HOUR_NS - 60 * 1_000_000_000
        assert hub.sweep() == ()
        late = hub.add_run(spec("late"))
        late.stop()
        await late.finished()
        clock.ahead_ns += 60 * 1_000_000_000
        async with asyncio.timeout(20):
            while "old" in hub.runs:  # without being asked
                await asyncio.sleep(0.05)
        assert sorted(hub.runs) == ["late", "waiting"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["late", "waiting"]
    finally:
        await hub.close()
    clock.ahead_ns += HOUR_NS
    after = Hub(b"key", folder=tmp_path, clock=clock, keep_seconds=3600)
    await after.start("127.0.0.1", 0)
    try:
        assert after.sweep() == ("late",), (
            "the hour counts from the end, however often the hub is started again"
        )
    finally:
        await after.close()


async def test_where_the_hub_does_not_stand_alone_nothing_is_forgotten() -> None:
    clock = Clock()
    hub = Hub(b"key", clock=clock)
    await hub.start("127.0.0.1", 0)
    try:
        run = hub.add_run(spec("r1"))
        run.stop()
        await run.finished()
        clock.ahead_ns += 1000 * HOUR_NS
        assert hub.sweep() == ()
    finally:
        await hub.close()


def test_a_hub_that_stands_alone_keeps_what_has_finished_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    class Made(Exception):
        pass

    def hub(*_: object, **options: object) -> None:
        assert options["keep_seconds"] == 24 * 3600
        raise Made

    monkeypatch.setattr(standalone, "Hub", hub)
    monkeypatch.setenv("SQUALL_HUB_KEY", "key")
    with pytest.raises(Made):
        standalone.main([])


async def test_a_run_that_is_deleted_while_it_ends_is_forgotten_at_its_end(tmp_path: Path) -> None:
    hub = Hub(b"key", folder=tmp_path)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(spec("r1"))
    runner = FakeRunner(url, "r1", hub.token("r1"))
    headers = {"Authorization": "Bearer key"}
    try:
        await runner.connect()
        await runner.send(protocol.Ready())
        await runner.wait_for(protocol.Start)
        async with aiohttp.ClientSession(url + "/v1/", headers=headers) as session, asyncio.timeout(20):
            async with session.delete("runs/r1") as response:
                assert response.status == 409
            async with session.post("runs/r1/stop") as response:
                assert (await response.json())["phase"] == "stopping"
            for _ in range(2):
                async with session.delete("runs/r1") as response:
                    assert (response.status, (await response.json())["phase"]) == (202, "stopping")
            async with session.get("runs") as response:
                assert [each["run"] for each in (await response.json())["runs"]] == ["r1"]
            again = {"run": "r1", "manifest": run.spec.manifest, "runners": [[0]]}
            async with session.put("runs/r1", json=again) as response:
                assert (response.status, "is ending" in await response.text()) == (400, True)
            await runner.send(protocol.Finished(0))
            await runner.wait_for(protocol.Goodbye)
            while hub.runs:
                await asyncio.sleep(0.05)
            assert list(tmp_path.iterdir()) == []
            async with session.put("runs/r1", json=again) as response:
                assert response.status == 201
    finally:
        await runner.close()
        await hub.close()
