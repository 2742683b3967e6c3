"""What a runner records of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from typing import Any

import pytest
from support.driving import Measured

from squall_runner.engine import machine
from squall_runner.engine.control import Control
from squall_runner.engine.observe import SelfObservation
from squall_runner.http import HttpClient, Network, build
from squall_runner.recording import Recorder


class Clocks:
    """A monotonic and a wall clock that a test moves."""

    def __init__(self) -> None:
        self.now, self.wall = 100.0, 1_700_000_000.0

    def pass_by(self, seconds: float, *, step: float = 0.0) -> None:
        self.now += seconds
        self.wall += seconds + step


async def observation(clocks: Clocks, notes: list[Any]) -> tuple[SelfObservation, Recorder, Network]:
    recorder, network = Recorder(0, "a"), Network()
    watch = SelfObservation(
        recorder,
        network,
        Control(),
        note=lambda level, event, **fields: notes.append((level, event, fields["message"])),
        wall=lambda: clocks.wall,
        clock=lambda: clocks.now,
    )
    return watch, recorder, network


async def test_a_tick_from_before_a_standstill_is_no_sign_that_the_loop_turns() -> None:
    """A process can be frozen when the ticker has been woken and not yet run: a stop may still be waiting then."""
    control = Control()
    ticking = SelfObservation(Recorder(0, "a"), Network(), control)._tick()
    woken = ticking.send(None)
    control.beat = frozen = time.monotonic() - 2 * control.standstill
    woken.set_result(None)
    again = ticking.send(None)
    assert control.beat == frozen
    again.set_result(None)
    ticking.send(None)
    assert control.beat > frozen
    ticking.close()


@pytest.mark.parametrize(
    ("steps", "count", "said"),
    [
        ([0.0] * 5, 0, []),
        ([0.9, -0.9, 0.5], 0, []),  # slewed, or read a little apart
        ([0.0, 5.0, 0.0], 1, ["set forward by 5.0 s"]),
        ([-3600.0, 0.0, 7200.0], 2, ["set back by 3600.0 s"]),
    ],
)
async def test_steps_of_the_clock_are_counted_and_told_once(
    steps: list[float], count: int, said: list[str]
) -> None:
    clocks = Clocks()
    notes: list[Any] = []
    watch, recorder, network = await observation(clocks, notes)
    for step in steps:
        clocks.pass_by(1.0, step=step)
        watch.read()
    assert Measured().take(recorder.measure(0)).count("clock_steps") == count
    assert [event for _, event, _ in notes] == ["ClockStepped"] * len(said)
    assert all(words in message for words, (_, _, message) in zip(said, notes, strict=True))
    await network.close()


async def test_the_use_of_the_cpu_is_that_of_what_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    monkeypatch.setattr(machine, "allowed_cores", lambda _: 0.5)
    readings = iter([(10.0, 100.0), (13.0, 104.0)])
    monkeypatch.setattr(machine, "busy_seconds", lambda: next(readings))
    used = iter([1.0, 1.25])
    monkeypatch.setattr("squall_runner.engine.observe.time.process_time", lambda: next(used))
    watch, recorder, network = await observation(clocks, [])
    clocks.pass_by(1.0)
    watch.read()
    measured = Measured().take(recorder.measure(0))
    assert measured.gauge("cpu_usage")[0] == pytest.approx(0.5)  # a quarter of a core, of half a core
    assert measured.gauge("cores_busy")[0] == pytest.approx(0.75)
    await network.close()


async def test_throttling_and_waiting_count_from_the_beginning_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited, throttled = iter([40.0, 40.5, 42.0]), iter([7.0, 7.0, 9.0])
    monkeypatch.setattr(machine, "waited_seconds", lambda: next(waited))
    monkeypatch.setattr(machine.Cgroup, "throttled", lambda _: next(throttled))
    watch, recorder, network = await observation(Clocks(), [])
    watch.read()
    measured = Measured().take(recorder.measure(0))
    assert measured.count("cpu_wait") == 0.5
    watch.read()
    measured.take(recorder.measure(1))
    assert (measured.count("cpu_wait"), measured.count("cpu_throttled")) == (2.0, 2.0)
    await network.close()


async def test_without_a_free_descriptor_counters_and_gauges_stay_true() -> None:
    watch, recorder, network = await observation(Clocks(), [])
    watch.read()
    measured = Measured().take(recorder.measure(0))
    before = measured.count("cpu_wait")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (machine.open_files() + 20, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        watch.read()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert taken
    measured.take(recorder.measure(1))
    assert measured.count("cpu_wait") >= before
    assert measured.gauge("memory_resident")[0] > 1_000_000
    assert measured.gauge("files_used")[-1] == 1.0
    await network.close()


async def test_a_reading_that_cannot_be_taken_leaves_a_counter_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited, throttled = iter([40.0, 42.0, 0.0]), iter([7.0, 9.0, 0.0])
    monkeypatch.setattr(machine, "waited_seconds", lambda: next(waited))
    monkeypatch.setattr(machine.Cgroup, "throttled", lambda _: next(throttled))
    watch, recorder, network = await observation(Clocks(), [])
    for _ in range(2):
        watch.read()
    measured = Measured().take(recorder.measure(0))
    assert (measured.count("cpu_wait"), measured.count("cpu_throttled")) == (2.0, 2.0)
    await network.close()


async def test_ports_are_those_towards_the_destination_with_most_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "local_ports", lambda: 20)
    monkeypatch.setattr(machine, "closing_ports", lambda: 4)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    one, two = asyncio.start_server(serve, "127.0.0.1", 0), asyncio.start_server(serve, "127.0.0.1", 0)
    async with await one as first, await two as second:
        watch, recorder, network = await observation(Clocks(), [])
        ports = [server.sockets[0].getsockname()[1] for server in (first, second)]
        clients = [HttpClient(network) for _ in range(8)]
        for number, client in enumerate(clients):
            port = ports[0] if number < 6 else ports[1]
            assert (await client.send(build("GET", f"http://127.0.0.1:{port}/"))).status == 204
        watch.read()
        measured = Measured().take(recorder.measure(0))
        assert measured.gauge("connections_open")[0] == 8
        assert measured.gauge("ports_used")[0] == pytest.approx((6 + 4) / 20)
        assert 0 < measured.gauge("files_used")[0] < 1
        await network.close()


async def test_a_peer_that_does_not_read_shows_as_a_stall() -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await reader.readexactly(30_000_000)
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        watch, recorder, network = await observation(Clocks(), [])
        port = server.sockets[0].getsockname()[1]
        request = build("POST", f"http://127.0.0.1:{port}/", body=bytes(30_000_000))
        sending = asyncio.create_task(HttpClient(network).send(request))
        await asyncio.sleep(0.3)
        watch.read()
        assert Measured().take(recorder.measure(0)).trend("send_stall").count == 0, "it has not ended yet"
        gate.set()
        assert (await sending).status == 204
        watch.read()
        stalls = Measured().take(recorder.measure(1)).trend("send_stall")
        assert stalls.max >= 0.25
        await network.close()


async def test_a_stall_ends_with_its_connection() -> None:
    gate = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        watch, recorder, network = await observation(Clocks(), [])
        port = server.sockets[0].getsockname()[1]
        request = build("POST", f"http://127.0.0.1:{port}/", body=bytes(30_000_000))
        response = await HttpClient(network).send(request, timeout=0.3)
        assert response.error == "timeout"
        while network.stats.open_sockets:
            await asyncio.sleep(0.01)
        watch.read()
        assert Measured().take(recorder.measure(0)).trend("send_stall").count == 1
        await network.close()
        gate.set()
