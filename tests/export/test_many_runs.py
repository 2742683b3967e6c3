"""Many runs that one process pushes to one receiver: what they take together is bounded."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from support.receiver import serving, until

from squall.export.exporter import Exporter
from squall.export.model import Receiver, RemoteWrite
from squall.export.together import SHARE, SHARE_OF_ALL, Together
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN
from squall.metrics.series import Aggregate, Counter, SeriesKey

SECOND = 1_000_000_000
RUNS = 8
ALL = 40_000


async def test_many_runs_share_the_memory_for_what_waits(unused_tcp_port: int) -> None:
    settings = RemoteWrite(
        receiver=Receiver(url=f"http://127.0.0.1:{unused_tcp_port}/write"), together=Together(ALL)
    )
    said: list[tuple[str, str, str]] = []
    measured = [(SeriesKey.of("http_reqs", step=f"s{each}"), Counter(each)) for each in range(50)]
    async with AsyncExitStack() as stack:
        runs = []
        for number in range(RUNS):
            run = Exporter(
                settings,
                BUILT_IN,
                (("run", str(number)),),
                clock=time.time_ns,
                say=lambda *words: said.append(words),
            )
            run.start()
            stack.push_async_callback(run.close)
            runs.append(run)
        for second in range(1, 40):
            for run in runs:
                await until(lambda run=run, second=second: run.takes(second * SECOND))  # type: ignore[misc]
                run.push(second * SECOND, 0, list(measured))
        await until(lambda: all(run.takes(40 * SECOND) for run in runs))
        largest = 5_000  # what is on its way is not counted
        assert all(run.dropped for run in runs)
        assert sum(run.pending_bytes for run in runs) <= ALL + RUNS * largest
        async with serving(unused_tcp_port) as played:
            for run in runs:
                await run.finish(40 * SECOND, 0, list(measured))
            last = [value for at, value in played.values() if at == 40_000]
        assert len(last) == RUNS * len(measured)
    assert settings.together.running == 0


async def test_others_have_their_turn_while_a_large_request_is_made() -> None:
    turns: list[float] = []
    begun = asyncio.Event()

    async def tick() -> None:
        last = time.thread_time()
        begun.set()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.append(now - last)
            last = now

    values = [0.01 * 1.1**power for power in range(40)]
    many: list[tuple[SeriesKey, Aggregate]] = [
        (SeriesKey.of("http_req_total", step=f"s{each}"), Histogram.of(values)) for each in range(900)
    ]
    async with serving() as played:
        settings = RemoteWrite(receiver=Receiver(url=played.url))
        run = Exporter(settings, BUILT_IN, (), clock=time.time_ns, say=lambda *words: None)
        run.start()
        ticking = asyncio.create_task(tick())
        await begun.wait()
        try:
            run.push(SECOND, 0, many)
            await until(lambda: played.taken)
        finally:
            ticking.cancel()
            await run.close()
    assert max(turns) < sum(turns) / 3


@pytest.mark.parametrize(
    ("running", "share"), [(0, SHARE), (1, SHARE), (5, SHARE), (100, SHARE_OF_ALL / 100)]
)
def test_many_runs_share_the_loop_s_time(running: int, share: float) -> None:
    assert 0.002 / (0.002 + Together(running=running).pause(0.002)) == pytest.approx(share)
