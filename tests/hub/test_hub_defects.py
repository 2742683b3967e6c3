"""A defect of the hub itself: the load stops, and who waits for the run hears of it instead of waiting for ever."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from support.fakerunner import FakeRunner, manifest

from squall.errors import ExitCode
from squall.hub import outcome, protocol
from squall.hub.driver import Run
from squall.hub.hub import Hub
from squall.hub.model import RunSpec

KEY = b"key"


def broken(*_: object) -> None:
    raise AttributeError("no such thing")


def assert_ended(run: Run) -> None:
    assert run.live.phase == "finished"
    assert run.live.stop_reason == "AttributeError: no such thing"
    assert run.outcome is not None
    verdict = run.outcome.summary.verdict
    assert (verdict.result, verdict.reason, verdict.exit_code) == ("Error", "HubDefect", ExitCode.ERROR)
    assert verdict.message == "AttributeError: no such thing"


@pytest.mark.parametrize("where", ["received", "tick", "take"])
async def test_a_broken_hub_lets_go_of_its_runners_and_tells(tmp_path, monkeypatch, where):
    hub = Hub(b"key", folder=tmp_path)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    runner = FakeRunner(url, "r1", hub.token("r1"))
    try:
        await runner.connect()

        monkeypatch.setattr(run.state, where, broken)
        await runner.send(protocol.Ready())
        stop = await asyncio.wait_for(runner.wait_for(protocol.Stop), 30)
        assert (stop.reason, stop.grace_ns) == ("HubDefect", 0)
        await asyncio.wait_for(runner.wait_for(protocol.Goodbye), 30)
        with pytest.raises(AttributeError, match="no such thing"):
            await asyncio.wait_for(run.finished(), 30)
        assert [state.phase async for state in run.watch()][-1] == "finished"
        assert_ended(run)
        late = FakeRunner(url, "r1", hub.token("r1"))
        await late.connect()
        await asyncio.wait_for(late.wait_for(protocol.Goodbye), 30)
        await late.close()
    finally:
        await runner.close()
        await hub.close()


@pytest.mark.parametrize("where", ["stop", "kill", "gone"])
async def test_what_breaks_while_somebody_asks_ends_the_run_too(where, monkeypatch):
    hub = Hub(KEY)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    monkeypatch.setattr(run.state, where, broken)
    path, body = {
        "stop": ("stop", {}),
        "kill": ("stop", {"now": True}),
        "gone": ("runners/0/lost", {"message": "m"}),
    }[where]
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY.decode()}"}) as session,
            session.post(f"{url}/v1/runs/r1/{path}", json=body) as response,
        ):
            assert (response.status, (await response.json())["phase"]) == (200, "finished")
        if where != "kill":  # before that the stop has ended it
            assert_ended(run)
    finally:
        await hub.close()


async def test_a_run_that_a_defect_has_ended_can_be_asked_stopped_and_forgotten(tmp_path, monkeypatch):
    hub = Hub(KEY, folder=tmp_path)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    monkeypatch.setattr(run.state, "tick", broken)
    try:
        with pytest.raises(AttributeError):
            await asyncio.wait_for(run.finished(), 30)
        headers = {"Authorization": f"Bearer {KEY.decode()}"}
        async with aiohttp.ClientSession(url + "/v1/runs/", headers=headers) as session:
            async with session.get("r1/summary") as response:
                assert (await response.json())["verdict"]["reason"] == "HubDefect"
            async with session.post("r1/stop") as response:
                assert (response.status, (await response.json())["phase"]) == (200, "finished")
            async with session.post("r1/runners/0/lost", json={"message": "m"}) as response:
                assert response.status == 200
    finally:
        await hub.close()
    after = Hub(KEY, folder=tmp_path)
    await after.start("127.0.0.1", 0)
    try:
        assert after.runs["r1"].live.phase == "finished"
        assert after.runs["r1"].outcome == run.outcome
        assert after.forget("r1")
    finally:
        await after.close()


async def test_a_defect_in_what_the_outcome_is_made_of_ends_the_run(monkeypatch):
    hub = Hub(KEY)
    await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    monkeypatch.setattr(outcome, "conclude", broken)
    try:
        run.stop()
        with pytest.raises(AttributeError):
            await asyncio.wait_for(run.finished(), 30)
        assert_ended(run)
    finally:
        await hub.close()
