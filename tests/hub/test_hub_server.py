"""The hub over real sockets, with simulated runners."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
import pytest
from support.fakerunner import FakeRunner, Numbers, manifest

from squall.errors import UsageError
from squall.hub import protocol, server
from squall.hub.driver import Run
from squall.hub.ending import MAX_REFUSED
from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall.metrics.snapshot import encode

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
    assert summary.timings.start_skew_seconds is not None
    assert summary.runners == 2


async def test_the_state_is_shown_while_it_runs_and_the_summary_after(hub):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    async with runners(hub, url, run) as made, client(hub.token("r1")) as session:
        await start(made)
        await made[0].until_slot_end(0)
        await made[0].send_slot(made[0].numbers.slot(0, 20, seconds=0.2))
        await made[0].wait_for(protocol.Ack)
        state = await (await session.get(f"{url}/v1/runs/r1")).json()
        assert (state["phase"], state["requests"], state["requestsPerSecond"]) == ("running", 20, 20.0)
        assert state["scenarios"][0]["name"] == "s"
        assert state["runners"] == [{"index": 0, "shards": [0], "phase": "running", "slot": 0}]
        assert (await session.get(f"{url}/v1/runs/r1/summary")).status == 409
        await finish(made)
        await run.finished()
        summary = await (await session.get(f"{url}/v1/runs/r1/summary")).json()
        assert summary["verdict"]["result"] == "Passed"


async def test_watching_shows_every_phase_and_ends_with_the_run(hub):
    hub, url = hub
    run = hub.add_run(spec(count=1))

    async def watch() -> list[str]:
        return [state.phase async for state in run.watch()]

    watching = asyncio.create_task(watch())
    async with runners(hub, url, run) as made:
        await start(made)
        await finish(made)
    phases = await asyncio.wait_for(watching, 10)
    assert phases[0] == "connecting"
    assert "running" in phases
    assert phases[-1] == "finished"


async def test_a_warning_is_shown_at_once_also_before_the_load(hub):
    hub, url = hub
    run = hub.add_run(spec(count=2))

    async def warned() -> str:
        return await anext(state.phase async for state in run.watch() if state.warnings)

    watching = asyncio.create_task(warned())
    async with runners(hub, url, run) as made:
        await made[0].send(protocol.Note("warning", "Word", {"message": "gas is dear"}, 0))
        assert await asyncio.wait_for(watching, 10) == "connecting"
    run.kill()


@asynccontextmanager
async def client(token: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield session


@pytest.mark.parametrize("token", ["", "wrong", "installation-kex", "other-run"])
async def test_who_has_no_token_learns_nothing(hub, token):
    hub, url = hub
    hub.add_run(spec())
    token = hub.token("r2") if token == "other-run" else token
    async with client(token) as session:
        for path in ("/v1/runs/r1", "/v1/runs/r1/summary", "/v1/runs/nowhere"):
            assert (await session.get(url + path)).status == 401
        assert (await session.post(f"{url}/v1/runs/r1/stop")).status == 401
        assert (await session.put(f"{url}/v1/runs/r3", data=b"{}")).status == 401
        assert (await session.delete(f"{url}/v1/runs/r1")).status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await session.ws_connect(f"{url}/v1/runs/r1/runner")
        assert (await session.get(f"{url}/healthz")).status == 200


async def test_a_runs_own_token_neither_stops_nor_adds(hub):
    hub, url = hub
    hub.add_run(spec())
    async with client(hub.token("r1")) as session:
        assert (await session.get(f"{url}/v1/runs/r1")).status == 200
        assert (await session.post(f"{url}/v1/runs/r1/stop")).status == 401
        assert (await session.put(f"{url}/v1/runs/r1", data=b"{}")).status == 401


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "truncated"),
        (b'{"run": "r9"}', "manifest"),
        (msgspec.json.encode({"run": "r8", "manifest": manifest(), "runners": [[0]]}), "another id"),
        (msgspec.json.encode({"run": "r9", "manifest": {}, "runners": [[0]]}), "metadata"),
        (msgspec.json.encode({"run": "r9", "manifest": manifest(), "runners": []}), "needs runners"),
    ],
)
async def test_a_run_that_makes_no_sense_is_refused_with_the_reason(hub, body, why):
    hub, url = hub
    async with client(KEY.decode()) as session:
        answer = await session.put(f"{url}/v1/runs/r9", data=body)
        assert answer.status == 400
        assert why in (await answer.json())["error"]
    assert not hub.runs


async def test_adding_a_run_twice_is_adding_it_once(hub):
    hub, _ = hub
    assert hub.add_run(spec()) is hub.add_run(spec())
    with pytest.raises(UsageError, match="is another"):
        hub.add_run(spec(count=3))


async def test_two_runs_do_not_mix(hub):
    hub, url = hub
    one, two = hub.add_run(spec("one", 1)), hub.add_run(spec("two", 1))
    async with runners(hub, url, one) as first, runners(hub, url, two) as second:
        await start(first)
        await start(second)
        for made, requests in ((first, 5), (second, 7)):
            await made[0].until_slot_end(0)
            await made[0].send_slot(made[0].numbers.slot(0, requests))
        one.stop()
        await first[0].wait_for(protocol.Stop)
        await finish(second)
        await finish(first)
    assert one.outcome.summary.verdict.result == "Aborted"
    assert two.outcome.summary.verdict.result == "Passed"
    counts = [
        next(row.values["count"] for row in run.outcome.summary.metrics if row.metric == "http_reqs")
        for run in (one, two)
    ]
    assert counts == [5, 7]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1garbage",
        msgspec.msgpack.encode({"type": "nonsense"}),
        msgspec.msgpack.encode({"type": "measured", "snapshot": {"runner": 0}}),
        msgspec.msgpack.encode({"type": "pong", "sent_ns": 2**62, "received_ns": 0}),
        protocol.encode(protocol.Hello(1, 0, "a", (0,), 0)),
        protocol.measured(encode(Numbers(0, "a").slot(999))),
        protocol.measured(encode(Numbers(1, "a").slot(0))),
    ],
)
async def test_garbage_costs_its_connection_and_nothing_else(hub, frame):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    async with runners(hub, url, run) as made:
        await start(made)
        await made[0].until_slot_end(0)
        await made[0].send_slot(made[0].numbers.slot(0))
        await made[0].send_raw(frame)
        assert await made[0].wait_closed() == protocol.CLOSE_MALFORMED
        again = FakeRunner(url, "r1", hub.token("r1"))
        again.start_ns = made[0].start_ns
        await again.connect()
        welcome = await again.wait_for(protocol.Welcome)
        assert welcome.last_slot == 0
        await again.send(protocol.Finished(0))
        await again.wait_for(protocol.Goodbye)
        await again.close()
    assert run.outcome.summary.verdict.result == "Passed"


async def test_a_runner_that_comes_back_with_the_same_garbage_ends_the_run(hub):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    async with runners(hub, url, run) as made:
        await start(made)
        await made[0].send_slot(made[0].numbers.slot(0))
        runner = made[0]
        for _ in range(MAX_REFUSED):
            assert run.live.phase == "running"
            await runner.send_raw(b"\xc1garbage")
            assert await runner.wait_closed() == protocol.CLOSE_MALFORMED
            again = FakeRunner(url, "r1", hub.token("r1"))
            again.start_ns = runner.start_ns
            await runner.close()
            runner = again
            await runner.connect()
        await run.finished()
        await runner.close()
    verdict = run.outcome.summary.verdict
    assert (verdict.result, verdict.reason) == ("Error", "RunnerMalformed")
    assert "runner 0 sends what makes no sense" in verdict.message


async def test_text_and_silence_are_no_hello(hub, monkeypatch):
    monkeypatch.setattr(server, "HELLO_SECONDS", 0.1)
    hub, url = hub
    hub.add_run(spec())
    async with client(hub.token("r1")) as session:
        for say in ("hello", None):
            async with session.ws_connect(f"{url}/v1/runs/r1/runner") as socket:
                if say:
                    await socket.send_str(say)
                await socket.receive()
                assert socket.close_code == protocol.CLOSE_MALFORMED


async def test_a_frame_that_is_too_large_costs_its_connection(hub):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    async with runners(hub, url, run) as made:
        await start(made)
        with suppress(ConnectionError):
            await made[0].send_raw(b"x" * (protocol.MAX_FRAME + 1))
        await made[0].wait_closed()
    assert run.live.phase == "running"


async def test_a_second_connection_of_a_runner_replaces_the_first(hub):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    async with runners(hub, url, run) as made:
        await start(made)
        again = FakeRunner(url, "r1", hub.token("r1"))
        again.start_ns = made[0].start_ns
        await again.connect()
        assert await made[0].wait_closed() == protocol.CLOSE_REPLACED
        await again.send(protocol.Finished(0))
        await again.wait_for(protocol.Goodbye)
        await again.close()


async def test_a_runner_of_another_version_is_sent_away_for_good(hub):
    hub, url = hub
    hub.add_run(spec(count=1))
    made = FakeRunner(url, "r1", hub.token("r1"))
    await made.connect(version=99)
    assert await made.wait_closed() == protocol.CLOSE_REFUSED
    await made.close()


async def test_who_comes_after_the_end_is_dismissed(hub):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    run.stop()
    await run.finished()
    made = FakeRunner(url, "r1", hub.token("r1"))
    await made.connect()
    await made.wait_for(protocol.Goodbye)
    await made.close()


async def test_a_finished_run_can_be_forgotten_and_no_other(hub):
    hub, url = hub
    run = hub.add_run(spec())
    async with client(KEY.decode()) as session:
        assert (await session.delete(f"{url}/v1/runs/r1")).status == 409
        assert (await session.post(f"{url}/v1/runs/r1/stop", data=b'{"now": true}')).status == 200
        await run.finished()
        assert (await session.delete(f"{url}/v1/runs/r1")).status == 204
        assert (await session.get(f"{url}/v1/runs/r1")).status == 404


async def test_a_folder_that_cannot_be_written_costs_files_and_not_the_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    summary = await run_in(tmp_path / "file")
    assert summary.verdict.result == "Passed"
    assert len([each for each in summary.warnings if "could not be written" in each]) == 2


async def test_a_full_disk_costs_files_and_not_the_run(tmp_path):
    (tmp_path / "r1").mkdir()
    for name in ("journal.jsonl", "series.jsonl.gz"):
        (tmp_path / "r1" / name).symlink_to("/dev/full")
    summary = await run_in(tmp_path)
    assert summary.verdict.result == "Passed"
    assert len([each for each in summary.warnings if "No space left" in each]) == 2


async def run_in(folder):
    """The summary of a run whose hub keeps its files there."""
    hub = Hub(KEY, folder=folder)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(msgspec.structs.replace(spec(count=1), folder=str(folder / "r1")))
    async with runners(hub, url, run) as made:
        await start(made)
        await made[0].until_slot_end(0)
        await made[0].send_slot(made[0].numbers.slot(0))
        await finish(made)
    await hub.close()
    return run.outcome.summary


async def test_an_address_that_is_taken_is_said(hub):
    _, url = hub
    with pytest.raises(UsageError, match="cannot listen"):
        await Hub(KEY).start("127.0.0.1", int(url.rpartition(":")[2]))


async def test_where_no_folder_is_given_nothing_but_the_journal_is_kept(hub, tmp_path):
    hub, url = hub
    run = hub.add_run(spec(count=1))
    async with runners(hub, url, run) as made:
        await start(made)
        await made[0].until_slot_end(0)
        await made[0].send_slot(made[0].numbers.slot(0))
        await finish(made)
    assert [path.name for path in (tmp_path / "r1").iterdir()] == ["journal.jsonl"]


async def test_rows_of_every_second_are_kept_where_a_folder_is_given(hub, tmp_path):
    hub, url = hub
    run = hub.add_run(msgspec.structs.replace(spec(count=1), folder=str(tmp_path / "results")))
    async with runners(hub, url, run) as made:
        await start(made)
        for slot in range(2):
            await made[0].until_slot_end(slot)
            await made[0].send_slot(made[0].numbers.slot(slot, 4, seconds=0.25))
        await finish(made)
    lines = gzip.decompress((tmp_path / "results" / "series.jsonl.gz").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["v"] for row in rows if row["m"] == "http_reqs"] == [4, 4]
    trend = next(row for row in rows if row["m"] == "http_req_duration" and row["t"] == 2)
    assert trend["g"] == {"scenario": "s"}
    assert (trend["n"], trend["sum"]) == (4, 1.0)
    assert trend["p95"] == pytest.approx(0.25, rel=0.006)
