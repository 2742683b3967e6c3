"""What a compromised runner, or whoever reaches the hub's port, can do to a hub: harm its own run, and nothing else.

The hub is a process of its own here, as on a cluster, so that its memory can be looked at. Beside the hostile run there is another one, which
has to go on.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from support.agents import KEY, HubProcess
from support.fakerunner import SECOND, FakeRunner, manifest
from support.measured import WIDE
from yarl import URL

from squall.errors import UsageError
from squall.hub import hub as hub_module
from squall.hub import protocol
from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall.hub.run import MAX_NOTES
from squall.hub.starting import MAX_SETUP_BYTES
from squall.hub.timeline import MAX_MESSAGE
from squall.hub.tokens import run_token
from squall.metrics.attempt import MAX_DEFINED
from squall.metrics.names import Kind
from squall.metrics.room import RUN_BYTES
from squall.metrics.snapshot import SeriesDef, Snapshot, encode

MIB = 1 << 20
SETUP = {"steps": [{"http": {"url": "http://127.0.0.1:1/"}}]}


class Served:
    """A hub with runs that fake runners have begun."""

    def __init__(self, process: HubProcess) -> None:
        self.process = process
        self.made: list[FakeRunner] = []

    @property
    def memory(self) -> int:
        """Most that the process has had, in bytes."""
        assert self.process._process is not None
        status = Path(f"/proc/{self.process._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    async def add(self, run: str, count: int = 1, **parts) -> None:
        runners = tuple((index,) for index in range(count))
        spec = RunSpec(run=run, manifest=manifest(shards=count, **parts), runners=runners)
        assert (await self.process.ask("PUT", f"/v1/runs/{run}", spec))[0] == 201

    def runner(self, run: str, index: int = 0, **options) -> FakeRunner:
        made = FakeRunner(self.process.url, run, run_token(KEY, run), index, shards=(index,), **options)
        self.made.append(made)
        return made

    async def begin(self, run: str) -> FakeRunner:
        await self.add(run)
        made = self.runner(run)
        await made.connect()
        await made.send(protocol.Ready())
        await made.wait_for(protocol.Start)
        await made.send(protocol.Started(made.start_ns or 0))
        return made

    async def verdict(self, run: str) -> dict[str, str]:
        await self.process.wait_for_phase(run, "finished")
        return (await self.process.ask("GET", f"/v1/runs/{run}/summary"))[1]["verdict"]

    async def passes(self, runner: FakeRunner) -> None:
        """The other run goes on to its end, and nothing of it is lost."""
        await runner.until_slot_end(0)
        await runner.send_slot(runner.numbers.slot(0, 20))
        await runner.wait_for(protocol.Ack)
        await runner.send(protocol.Finished(0))
        await runner.wait_for(protocol.Goodbye)
        run = runner.url.split("/")[-2]
        assert (await self.verdict(run))["result"] == "Passed"
        summary = (await self.process.ask("GET", f"/v1/runs/{run}/summary"))[1]
        counts = [row["values"]["count"] for row in summary["metrics"] if row["metric"] == "http_reqs"]
        assert counts[0] == 20


@pytest.fixture
async def served(tmp_path) -> AsyncIterator[Served]:
    process = HubProcess(tmp_path)
    await process.start()
    made = Served(process)
    yield made
    for each in made.made:
        await each.close()
    await process.end()


async def flooded(served: Served, frames: list[bytes]) -> str:
    """Send frames from a run of their own until the run is ended; coming back each time."""
    runner = await served.begin("hostile")
    start_ns = runner.start_ns
    for _ in range(20):
        with suppress(ConnectionError, aiohttp.ClientError):
            for frame in frames:
                await runner.send_raw(frame)
        await runner.wait_closed(60)
        state = (await served.process.ask("GET", "/v1/runs/hostile"))[1]
        runner = served.runner("hostile")
        runner.start_ns = start_ns
        await runner.connect()
        if state["phase"] != "running":
            await runner.send(protocol.Finished(0))
            break
    return (await served.verdict("hostile"))["message"]


def snapshot(**parts) -> bytes:
    return protocol.measured(encode(Snapshot(0, "a", 0, **parts)))


def series(first: int, count: int, metric: str, kind: Kind) -> list[SeriesDef]:
    return [
        SeriesDef(number, metric, kind, (("scenario", "s"), ("x", str(number))))
        for number in range(first, first + count)
    ]


async def test_histograms_that_unfold_are_bounded(served):
    other = await served.begin("other")
    frames = [
        snapshot(
            defs=series(first, 20_000, "http_req_duration", Kind.TREND),
            trends=[(first + k, WIDE) for k in range(20_000)],
        )
        for first in (0, 20_000)
    ]
    assert sum(map(len, frames)) < 5 * MIB
    assert "of this run take more than" in await flooded(served, frames)
    # At the end all that is kept is there twice for a moment: as it was measured, and for the summary.
    assert served.memory < 2 * RUN_BYTES + 128 * MIB
    await served.passes(other)


async def test_series_without_number_are_bounded(served):
    other = await served.begin("other")
    frames = [snapshot(defs=series(0, MAX_DEFINED + 1, "http_reqs", Kind.COUNTER))]
    assert f"more than {MAX_DEFINED} series" in await flooded(served, frames)
    assert served.memory < 256 * MIB
    await served.passes(other)


async def test_a_nested_frame_is_malformed(served):
    deep = b"\x91" * 1_000_000 + b"\xc0"
    head = msgspec.msgpack.encode({"type": "setupDone", "values": {"a": None}})
    assert head.endswith(b"\xc0")
    runner = await served.begin("hostile")
    await runner.send_raw(head[:-1] + deep)
    assert await runner.wait_closed() == protocol.CLOSE_MALFORMED
    assert (await served.process.ask("GET", "/v1/runs/hostile"))[1]["phase"] == "running"


@pytest.mark.parametrize(
    "message",
    [
        protocol.Abort("not a word", "x"),
        protocol.Abort("Two\nLines", "x"),
        protocol.Abort("W" * 129, "x"),
        protocol.Failed("", "x"),
        protocol.Note("error", "a\x1b[2J", {}, 0),
        protocol.Note("shout", "Word", {}, 0),
        protocol.Note("error", "Word", {"f": ["not", "flat"]}, 0),
        protocol.Note("error", "Word", {str(k): k for k in range(65)}, 0),
    ],
)
def test_words_for_machines_are_words(message):
    with pytest.raises(msgspec.DecodeError):
        protocol.from_runner(protocol.encode(message))


async def test_a_name_of_a_process_is_short(served):
    await served.add("hostile")
    runner = served.runner("hostile", attempt="a" * 65)
    await runner.connect()
    assert await runner.wait_closed() == protocol.CLOSE_MALFORMED


async def test_what_a_runner_says_is_cut_before_it_is_kept(served):
    runner = await served.begin("hostile")
    await runner.send(protocol.Abort("Word", "x" * 10 * MIB))
    await runner.wait_for(protocol.Stop)
    await runner.send(protocol.Finished(0))
    verdict = await served.verdict("hostile")
    assert verdict["reason"] == "Word"
    assert len(verdict["message"]) <= MAX_MESSAGE
    assert (served.process.folder / "hostile/journal.jsonl").stat().st_size < MIB


async def test_a_log_takes_so_many_lines_of_a_runner(tmp_path):
    lines: list[tuple[str, str]] = []
    hub = Hub(KEY, log=lambda level, event, fields: lines.append((fields["run"], event)))
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    runner = FakeRunner(url, "r1", hub.token("r1"))
    try:
        await runner.connect()
        for _ in range(MAX_NOTES + 100):
            await runner.send(protocol.Note("info", "Word", {"run": "another"}, 0))
        await runner.send(protocol.Ready())
        await runner.wait_for(protocol.Start)
    finally:
        await runner.close()
        run.kill()
        await hub.close()
    assert lines.count(("r1", "Word")) == MAX_NOTES
    assert lines.count(("r1", "LogFull")) == 1
    assert {name for name, _ in lines} == {"r1"}


async def test_what_setup_hands_on_is_bounded(served):
    await served.add("hostile", 3, setup=SETUP)
    made = [served.runner("hostile", index) for index in range(3)]
    for each in made:
        await each.connect()
        await each.send(protocol.Ready())
    await made[0].wait_for(protocol.Setup)
    await made[0].send(protocol.SetupDone({"page": "x" * (MAX_SETUP_BYTES + 1)}))
    verdict = await served.verdict("hostile")
    assert (verdict["result"], verdict["reason"]) == ("Error", "SetupFailed")
    assert "extract only what is used later" in verdict["message"]


@pytest.mark.parametrize("ago", [10**17, -(10**11), 2**62])
async def test_nobody_can_claim_that_a_run_began_years_ago(served, ago):
    await served.add("hostile")
    runner = served.runner("hostile")
    await runner.connect(started_ns=runner.clock() - ago)
    assert await runner.wait_closed() == protocol.CLOSE_REFUSED


async def test_a_claimed_day_is_judged_without_holding_up_the_others(served):
    other = await served.begin("other")
    await served.add("hostile")
    runner = served.runner("hostile")
    await runner.connect(started_ns=runner.clock() - 86_000 * SECOND)
    await served.process.wait_for_phase("hostile", "running")
    await served.passes(other)


async def send_for_ever(runner: FakeRunner, frame: bytes) -> None:
    while True:
        await runner.send_raw(frame)


async def test_a_runner_that_takes_nothing_is_let_go(served):
    other = await served.begin("other")
    runner = await served.begin("hostile")
    runner.listen_no_more()
    await runner.until_slot_end(0)
    same = protocol.measured(encode(runner.numbers.slot(0)))
    async with asyncio.timeout(60):
        with pytest.raises((ConnectionError, aiohttp.ClientError)):
            await send_for_ever(runner, same)
    assert served.memory < 256 * MIB
    await served.passes(other)


def upgrade(run: str, token: str, *more: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return "\r\n".join(
        [
            f"GET /v1/runs/{run}/runner HTTP/1.1",
            "Host: hub",
            f"Authorization: Bearer {token}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *more,
            "",
            "",
        ]
    ).encode()


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_compression_is_not_spoken_so_no_frame_unfolds(served):
    await served.add("hostile")
    async with raw(served.process.url) as (reader, writer):
        writer.write(
            upgrade("hostile", run_token(KEY, "hostile"), "Sec-WebSocket-Extensions: permessage-deflate")
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"101" in head.split(b"\r\n")[0]
        assert b"deflate" not in head
        bomb = zlib.compress(bytes(100 * MIB), 9)[2:-4]
        writer.write(b"\xc2\xff" + len(bomb).to_bytes(8, "big") + b"\0\0\0\0" + bomb)
        with suppress(ConnectionError):
            await writer.drain()
            await asyncio.wait_for(reader.read(), 30)
    assert served.memory < 200 * MIB


GARBAGE = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    "line": b"GET /" + b"a" * MIB + b" HTTP/1.1\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "chunks": b"PUT /v1/runs/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"zz\r\n" * 1000,
    "length": b"PUT /v1/runs/x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n" + bytes(8 * MIB),
    "bomb": b"PUT /v1/runs/x HTTP/1.1\r\nHost: h\r\nContent-Encoding: deflate\r\nContent-Length: 101000\r\n\r\n"
    + zlib.compress(bytes(100 * MIB), 9)[:101_000],
    "bytes": bytes(range(256)) * 1000,
}


async def test_garbage_on_the_port_is_answered_or_dropped(served):
    other = await served.begin("other")
    for kind, garbage in GARBAGE.items():
        async with raw(served.process.url) as (reader, writer):
            with suppress(ConnectionError):
                writer.write(garbage)
                await writer.drain()
                with suppress(OSError):  # the hub may have hung up already
                    writer.write_eof()
                answer = await asyncio.wait_for(reader.read(), 60)
                assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), kind
    assert served.memory < 200 * MIB
    await served.passes(other)


@pytest.mark.parametrize(
    "run", ["..", "../../etc", "a/b", "a\0b", "a\r\nX: y", ".hidden", "-", "", "ä", "a" * 129, "%2e%2e"]
)
async def test_an_id_is_no_path(tmp_path, run):
    kept = tmp_path / "kept"
    hub = Hub(KEY, folder=kept)
    url = await hub.start("127.0.0.1", 0)
    try:
        with pytest.raises(UsageError, match="no id of a run"):
            hub.add_run(RunSpec(run=run, manifest=manifest(), runners=((0,),)))
        body = msgspec.json.encode(RunSpec(run=run, manifest=manifest(), runners=((0,),)))
        path = f"{url}/v1/runs/{quote(run, safe='')}"
        headers = {"Authorization": f"Bearer {KEY.decode()}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            answer = await session.put(URL(path, encoded=True), data=body)
            assert answer.status in (400, 404, 405)
    finally:
        await hub.close()
    assert [each.name for each in tmp_path.rglob("*")] == []


async def test_who_says_nothing_whole_is_sent_away(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_module, "IDLE_SECONDS", 0.2)
    hub = Hub(KEY)
    url = await hub.start("127.0.0.1", 0)
    try:
        for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: "):
            async with raw(url) as (reader, writer):
                writer.write(said)
                await writer.drain()
                assert await asyncio.wait_for(reader.read(), 20) == b""
    finally:
        await hub.close()


async def test_a_token_of_one_run_opens_no_other(served):
    await served.add("mine")
    await served.add("theirs")
    mine = run_token(KEY, "mine")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {mine}"}) as session:
        assert (await session.get(f"{served.process.url}/v1/runs/mine")).status == 200
        assert (await session.get(f"{served.process.url}/v1/runs/theirs")).status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await session.ws_connect(f"{served.process.url}/v1/runs/theirs/runner")


async def test_what_was_recorded_of_another_run_counts_for_nothing(served):
    """Replay: frames of one run, sent to another by somebody who may speak there."""
    first, second = await served.begin("first"), await served.begin("second")
    await first.until_slot_end(0)
    recorded = protocol.measured(encode(Snapshot(0, "somebody-else", 0)))
    await second.send_raw(recorded)
    assert await second.wait_closed() == protocol.CLOSE_MALFORMED
    await served.passes(first)
