"""The hub's own metrics: what they count, what they keep to themselves, and where they are served."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from support.agents import HubProcess, environment
from support.exposed import scraped, values_of
from support.fakerunner import FakeRunner, manifest
from support.hubbench import Bench
from support.promtool import promtool
from support.receiver import serving

from squall.export.model import Receiver, RemoteWrite
from squall.hub import protocol, telemetry
from squall.hub.hub import Hub
from squall.hub.limits import SECOND
from squall.hub.model import RunSpec
from squall.hub.tally import REFUSALS

RECEIVES = "squall_hub_remote_write_samples"


class Served:
    """A hub whose metrics are served."""

    def __init__(self, hub: Hub, url: str, metrics: str) -> None:
        self.hub = hub
        self.url = url
        self.metrics = metrics

    async def values(self) -> dict[str, float]:
        return values_of(await scraped(self.metrics))

    async def until(self, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        async with asyncio.timeout(15):
            while not holds(found := await self.values()):
                await asyncio.sleep(0.02)
        return found

    async def runner(self, run: str = "r1", index: int = 0) -> FakeRunner:
        """A runner that has begun its load."""
        made = FakeRunner(self.url, run, self.hub.token(run), index, shards=(index,))
        await made.connect()
        await made.send(protocol.Ready())
        return made


@asynccontextmanager
async def served(
    folder: Path | None = None, remote_write: RemoteWrite | None = None
) -> AsyncIterator[Served]:
    hub = Hub(b"k", folder=folder, remote_write=remote_write)
    url = await hub.start("127.0.0.1", 0)
    web, metrics = await telemetry.serve(telemetry.registry_of(hub), "127.0.0.1", 0)
    try:
        yield Served(hub, url, metrics)
    finally:
        await web.cleanup()
        await hub.close()


def spec(run: str = "r1", count: int = 1) -> RunSpec:
    made = manifest(shards=count)
    made["metadata"] = {"name": "checkout-of-a-tenant", "namespace": "team-of-a-tenant"}
    return RunSpec(run=run, manifest=made, runners=tuple((i,) for i in range(count)))


async def test_a_run_is_counted_from_its_first_runner_until_it_is_forgotten_and_counters_stay() -> None:
    async with served() as it:
        run = it.hub.add_run(spec("tenants-run"))
        made = await it.runner("tenants-run")
        await made.wait_for(protocol.Start)
        found = await it.values()
        assert found['squall_hub_runs{phase="running"}'] == 1
        assert found['squall_hub_runners{phase="running"}'] == 1
        assert found["squall_hub_connections"] == 1
        assert found["squall_hub_slots_judged_total"] == 0
        await made.until_slot_end(0)
        await made.send_slot(made.numbers.slot(0))
        found = await it.until(lambda found: found["squall_hub_slots_judged_total"] == 1)
        assert found["squall_hub_snapshots_received_total"] == 1
        assert found["squall_hub_received_bytes_total"] > 100
        await made.send(protocol.Finished(0))
        await run.finished()
        await made.close()
        found = await it.until(lambda found: found["squall_hub_connections"] == 0)
        assert found['squall_hub_runs{phase="finished"}'] == 1
        assert sum(value for name, value in found.items() if name.startswith("squall_hub_runners")) == 0
        it.hub.forget("tenants-run")
        found = await it.values()
        assert found['squall_hub_runs{phase="finished"}'] == 0
        assert found["squall_hub_slots_judged_total"] == 1
        assert "process_resident_memory_bytes" in found


@pytest.mark.prometheus
async def test_whoever_scrapes_learns_nothing_of_tenants_and_promtool_accepts_all() -> None:
    away = RemoteWrite(receiver=Receiver(url="http://127.0.0.1:1/write"))
    async with served(remote_write=away) as it:
        it.hub.add_run(spec("tenants-run"))
        made = await it.runner("tenants-run")
        await made.wait_for(protocol.Start)
        await made.until_slot_end(0)
        await made.send_slot(made.numbers.slot(0))
        await it.until(lambda found: found["squall_hub_slots_judged_total"] == 1)
        text = await scraped(it.metrics)
        await made.close()
    assert "tenant" not in text
    assert it.hub.token("tenants-run") not in text
    promtool("check", "metrics", text=text)


async def test_it_speaks_openmetrics_to_those_who_ask_for_it() -> None:
    async with served() as it, aiohttp.ClientSession() as session:
        wanted = {"Accept": "application/openmetrics-text;version=1.0.0"}
        answer = await session.get(it.metrics, headers=wanted)
        assert answer.content_type == "application/openmetrics-text"
        assert (await answer.text()).endswith("# EOF\n")
        assert (await session.get(it.metrics)).content_type == "text/plain"
        assert (await session.get(it.metrics.removesuffix("/metrics") + "/v1/runs")).status == 404


async def test_who_is_turned_away_is_counted_with_the_reason() -> None:
    async with served() as it, aiohttp.ClientSession() as session:
        it.hub.add_run(spec())
        assert (await session.get(f"{it.url}/v1/runs")).status == 401
        assert (await session.put(f"{it.url}/v1/runs/x")).status == 401
        assert (await session.get(f"{it.url}/v1/runs/r1")).status == 401
        stranger = FakeRunner(it.url, "r1", it.hub.token("r1"), 7, shards=(7,))
        await stranger.connect()
        await stranger.wait_closed()
        await stranger.close()
        token = {"Authorization": f"Bearer {it.hub.token('r1')}"}
        async with session.ws_connect(f"{it.url}/v1/runs/r1/runner", headers=token) as socket:
            await socket.send_str("good day")
            await socket.receive()
        for frame in (b"\xff", b"x" * (protocol.MAX_FRAME + 1)):
            made = await it.runner()
            with suppress(ConnectionError):
                await made.send_raw(frame)
            await made.wait_closed()
            await made.close()
        wanted = {"unauthorized": 3, "no_place": 1, "no_hello": 1, "malformed": 1, "too_large": 1}
        assert wanted.keys() == REFUSALS.keys()
        found = await it.values()
        assert {why: found[f'squall_hub_refused_total{{reason="{why}"}}'] for why in wanted} == wanted


async def test_a_receiver_that_is_away_is_seen_and_what_was_lost_stays_counted() -> None:
    away = RemoteWrite(receiver=Receiver(url="http://127.0.0.1:1/write"))
    async with served(remote_write=away) as it:
        run = it.hub.add_run(spec())
        made = await it.runner()
        await made.wait_for(protocol.Start)
        await made.until_slot_end(0)
        await made.send_slot(made.numbers.slot(0))
        found = await it.until(lambda found: found["squall_hub_remote_write_failing"] == 1)
        assert found[f"{RECEIVES}_pending"] > 0
        assert found["squall_hub_remote_write_pending_bytes"] > 0
        await it.until(lambda found: found["squall_hub_remote_write_lag_seconds"] > 0.5)
        await made.send(protocol.Finished(0))
        run.kill()
        await run.finished()
        await made.close()
        it.hub.forget("r1")
        found = await it.values()
        assert found[f"{RECEIVES}_dropped_total"] > 20
        assert found["squall_hub_remote_write_retries_total"] > 0
        assert found["squall_hub_remote_write_failing"] == found[f"{RECEIVES}_pending"] == 0


async def test_what_the_receiver_takes_and_refuses_is_counted() -> None:
    async with serving() as played, served(remote_write=RemoteWrite(receiver=Receiver(url=played.url))) as it:
        played.answers = [(400, {})]
        it.hub.add_run(spec())
        made = await it.runner()
        await made.wait_for(protocol.Start)
        await made.until_slot_end(0)
        await made.send_slot(made.numbers.slot(0))
        await it.until(lambda found: found[f"{RECEIVES}_refused_total"] > 0)
        await made.until_slot_end(1)
        await made.send_slot(made.numbers.slot(1))
        found = await it.until(lambda found: found[f"{RECEIVES}_sent_total"] > 0)
        assert found["squall_hub_remote_write_failing"] == 0
        await made.close()


async def test_without_a_receiver_nothing_is_told_of_pushing() -> None:
    async with served() as it:
        assert not [name for name in await it.values() if "remote_write" in name]


async def test_a_journal_that_the_disk_refuses_is_seen(tmp_path: Path) -> None:
    (tmp_path / "r1").write_text("in the way of the folder")
    async with served(tmp_path) as it:
        it.hub.add_run(spec())
        assert (await it.values())["squall_hub_journals_lost"] == 1


def test_what_a_live_runner_did_not_deliver_makes_a_second_late_and_then_incomplete() -> None:
    bench = Bench(2)
    bench.begin()
    assert bench.state.lag_ns(bench.now) == 0
    bench.slots(1)
    assert (bench.state.slots, bench.state.incomplete) == (1, 0)
    bench.to_end_of(1)
    bench.deliver(0, 1)
    bench.pass_time(1.2)
    assert bench.state.lag_ns(bench.now) == pytest.approx(1.2 * SECOND, abs=0.01 * SECOND)
    bench.pass_time(0.4)
    assert (bench.state.slots, bench.state.incomplete) == (2, 1)
    assert bench.state.lag_ns(bench.now) < SECOND
    bench.finish(0)
    bench.finish(1)
    assert bench.state.phase == "finished"
    assert bench.state.lag_ns(bench.now + 60 * SECOND) == 0


async def test_the_command_serves_them_where_it_is_told(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, "--metrics-listen", "127.0.0.1:0")
    try:
        await hub.start()
        assert hub.metrics != hub.url
        assert 'squall_hub_runs{phase="running"}' in values_of(await scraped(hub.metrics))
        async with aiohttp.ClientSession() as session:
            assert (await session.get(f"{hub.url}/metrics")).status == 404
        taken = ["--listen", "127.0.0.1:0", "--metrics-listen", hub.metrics.split("/")[2]]
        assert "cannot listen" in said(*taken)
    finally:
        await hub.end()
    assert "--metrics-listen is HOST:PORT, not here" in said("--metrics-listen", "here")


def test_where_the_client_is_not_installed_it_says_what_to_install() -> None:
    without = "import runpy, sys; sys.modules['prometheus_client'] = None; runpy.run_module('squall.hub', run_name='__main__')"
    said_then = said("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", command=["-c", without])
    assert "pip install 'squall[operator]'" in said_then


def said(*arguments: str, command: Sequence[str] = ("-m", "squall.hub")) -> str:
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr
