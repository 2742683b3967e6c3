"""Requests that a real Prometheus has taken, but whose answers are lost: they come again, and nothing is counted as refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.prometheus import Prometheus, running_prometheus

from squall.export.exporter import Exporter
from squall.export.model import Form, Receiver, RemoteWrite
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN
from squall.metrics.series import Aggregate, Counter, Rate, SeriesKey

pytestmark = pytest.mark.prometheus
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with running_prometheus() as running:
        yield running


@asynccontextmanager
async def forgetful(prometheus: Prometheus) -> AsyncIterator[tuple[str, list[int]]]:
    """Passes requests on, but loses the answer to each that comes for the first time; also gives what Prometheus has answered."""
    seen: set[bytes] = set()
    answers: list[int] = []

    async def take(request: web.Request) -> web.Response:
        data = await request.read()
        headers = {
            name: request.headers[name] for name in request.headers if name.startswith(("Content-", "X-"))
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(prometheus.remote_write_url, data=data, headers=headers) as answer,
        ):
            answers.append(answer.status)
            text = await answer.text()
        lost = data not in seen
        seen.add(data)
        return web.Response(status=504 if lost else answer.status, text=text)

    app = web.Application()
    app.router.add_post("/write", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/write", answers
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("histograms", ["native", "classic"])
async def test_a_request_whose_answer_is_lost_can_be_repeated(
    prometheus: Prometheus, histograms: Any
) -> None:
    said: list[tuple[str, str, str]] = []
    run = (("run", histograms),)
    start = (time.time_ns() // SECOND - 60) * SECOND
    async with forgetful(prometheus) as (url, answers):
        exporter = Exporter(
            RemoteWrite(receiver=Receiver(url=url), form=Form(histograms=histograms)),
            BUILT_IN,
            run,
            clock=time.time_ns,
            say=lambda *words: said.append(words),
        )
        exporter.start()
        measured: list[tuple[SeriesKey, Aggregate]] = [
            (SeriesKey.of("http_reqs", scenario="a"), Counter(3)),
            (SeriesKey.of("checks", check="ok"), Rate(2, 3)),
            (SeriesKey.of("http_req_total", scenario="a"), Histogram.of([0.1, 0.2, 0.3])),
        ]
        for second, requests in (1, 2), (2, 3):
            assert exporter.push(start + second * SECOND, start, measured)
            async with asyncio.timeout(20):
                while len(answers) < 2 * requests or exporter.pending:
                    await asyncio.sleep(0.01)
        await exporter.close()
    assert answers == [204] * 6
    assert [event for _, event, _ in said] == ["RemoteWriteFails", "RemoteWriteWorks"]
    assert (exporter.counts.retries, exporter.counts.refused, exporter.dropped) == (3, 0, 0)
    (series,) = prometheus.query(
        f'squall_http_reqs_total{{run="{histograms}"}}[5m]', time=start / SECOND + 60
    )
    assert [(float(at) - start / SECOND, text) for at, text in series["values"]] == [
        (0, "0"),
        (1, "3"),
        (2, "3"),
    ]
