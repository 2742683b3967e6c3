"""Hubs as the operator sees them, against a real hub over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from support.fakerunner import manifest

from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall_operator.hubs import HubError, Hubs
from squall_operator.model import Lost
from squall_operator.status import Stop

KEY = b"installation-key"
STOP = Stop(cause="user", reason="Suspended", message="enough", at="2026-01-01T00:00:00Z")


def spec(run: str, count: int = 1) -> RunSpec:
    return RunSpec(run=run, manifest=manifest(shards=count), runners=tuple((i,) for i in range(count)))


@asynccontextmanager
async def following(*urls: str, key: bytes = KEY) -> AsyncIterator[tuple[Hubs, list[str]]]:
    changes: list[str] = []
    now = asyncio.get_running_loop().time
    hubs = Hubs(urls, key, "", now)
    hubs.start(changes.append)
    try:
        yield hubs, changes
    finally:
        await hubs.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask often: a second each time would only make the tests slow."""
    monkeypatch.setattr("squall_operator.hubs.EVERY", 0.05)


@asynccontextmanager
async def running(port: int = 0) -> AsyncIterator[tuple[Hub, str]]:
    hub = Hub(KEY)
    url = await hub.start("127.0.0.1", port)
    try:
        yield hub, url
    finally:
        await hub.close()


async def test_a_run_from_its_adding_to_its_forgetting() -> None:
    async with running() as (_, url), following(url) as (hubs, changes):
        await hubs.add(url, spec("r1", 2))
        await hubs.add(url, spec("r1", 2))  # again changes nothing
        await until(lambda: hubs.view(url, "r1").live)
        assert hubs.runs == {url: ("r1",)}
        assert "r1" in changes
        view = hubs.view(url, "r1")
        assert view.reachable
        assert view.summary is None
        with pytest.raises(HubError, match="not finished"):
            await hubs.forget(url, "r1")
        await hubs.stop(url, "r1", STOP, now=True)
        await until(lambda: hubs.view(url, "r1").summary)
        summary = hubs.view(url, "r1").summary
        assert summary is not None
        assert summary.verdict.result == "Aborted"
        await hubs.forget(url, "r1")
        await until(lambda: hubs.runs == {url: ()})
        assert hubs.view(url, "r1").summary is None


async def test_a_lost_runner_is_told() -> None:
    async with running() as (hub, url), following(url) as (hubs, _):
        await hubs.add(url, spec("r1"))
        await hubs.lost(url, "r1", 0, Lost("PodDisrupted", "pod r1-0 was evicted"))
        await until(lambda: hubs.view(url, "r1").summary)
        summary = hubs.view(url, "r1").summary
        assert summary is not None
        assert summary.verdict.result == "Error"
        assert "evicted" in summary.verdict.message
        assert hub.runs["r1"].outcome is not None


async def test_what_a_hub_does_not_know_needs_no_stop_and_no_forgetting() -> None:
    async with running() as (_, url), following(url) as (hubs, _):
        await hubs.stop(url, "nobody", STOP, now=False)
        await hubs.lost(url, "nobody", 0, Lost("PodDeleted", "gone"))
        await hubs.forget(url, "nobody")
        assert not hubs.view(url, "nobody").live


async def test_a_hub_goes_away_and_comes_back(unused_tcp_port: int) -> None:
    port = unused_tcp_port
    url = f"http://127.0.0.1:{port}"
    async with following(url) as (hubs, changes):
        await asyncio.sleep(0)
        assert not hubs.view(url, "r1").reachable
        with pytest.raises(HubError, match="does not answer"):
            await hubs.add(url, spec("r1"))
        async with running(port):
            await until(lambda: url in hubs.runs)
            await hubs.add(url, spec("r1"))
            await until(lambda: hubs.view(url, "r1").live)
        changes.clear()
        await until(lambda: not hubs.view(url, "r1").reachable)
        assert changes == ["r1"]
        async with running(port):
            await until(lambda: hubs.view(url, "r1").reachable)
            assert hubs.view(url, "r1").live is None  # it has forgotten, and says so


async def test_an_outcome_that_is_known_outlives_its_hub() -> None:
    async with running() as (hub, url), following(url) as (hubs, _):
        await hubs.add(url, spec("r1"))
        await hubs.stop(url, "r1", STOP, now=True)
        await until(lambda: hubs.view(url, "r1").summary)
        await hub.close()
        await until(lambda: not hubs.view(url, "r1").reachable)
        assert hubs.view(url, "r1").summary is not None


async def test_outcomes_that_no_hub_has_any_more_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (hub, url), following(url) as (hubs, _):
        await hubs.add(url, spec("r1"))
        await hubs.stop(url, "r1", STOP, now=True)
        await until(lambda: hubs.view(url, "r1").summary)
        monkeypatch.setattr("squall_operator.hubs.KEPT", 0.3)
        assert hub.forget("r1")  # another operator has asked for it
        await until(lambda: hubs.view(url, "r1").summary is None)


async def test_one_hub_that_is_away_hides_no_other(unused_tcp_port: int) -> None:
    away = f"http://127.0.0.1:{unused_tcp_port}"
    async with running() as (_, url), following(away, url) as (hubs, _):
        await until(lambda: url in hubs.runs)
        assert tuple(hubs.runs) == (url,)


async def test_a_wrong_key_is_told() -> None:
    async with running() as (_, url), following(url, key=b"wrong") as (hubs, _):
        with pytest.raises(HubError, match="no valid key"):
            await hubs.add(url, spec("r1"))
        assert hubs.runs == {}
        with suppress(HubError):
            await hubs.stop(url, "r1", STOP, now=True)


async def test_the_key_goes_to_the_installations_own_hubs_alone() -> None:
    asked: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.close()

    async with (
        running() as (_, url),
        following(url) as (hubs, _),
        await asyncio.start_server(note, "127.0.0.1", 0) as stranger,
    ):
        elsewhere = f"http://127.0.0.1:{stranger.sockets[0].getsockname()[1]}"
        with pytest.raises(HubError, match="no hub of this installation"):
            await hubs.stop(elsewhere, "r1", STOP, now=True)
    assert asked == []
