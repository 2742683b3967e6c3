"""A receiver of remote write that answers as a test tells it, and keeps what it took.

What a real Prometheus makes of the samples is asked of a real one; this is for the answers that it does not give when it is told to.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from squall.export.wire import read


class Played:
    """A receiver that answers as it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.delay = 0.0
        self.requests: list[web.Request] = []
        self.taken: list[bytes] = []
        self.answered = 0

    async def take(self, request: web.Request) -> web.Response:
        data = await request.read()
        self.requests.append(request)
        await asyncio.sleep(self.delay)
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        self.answered += 1
        if status < 300:
            self.taken.append(data)
        return web.Response(status=status, headers=headers, text="" if status == 204 else "no, thanks")

    def values(self, name: str = "squall_http_reqs_total") -> list[tuple[int, float]]:
        """All samples of the series of that name."""
        return [
            (sample.timestamp, sample.value)
            for data in self.taken
            for series in read(data).timeseries
            if any(label.value == name for label in series.labels)
            for sample in series.samples
        ]


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that other tasks of the loop bring about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(port: int = 0, context: ssl.SSLContext | None = None) -> AsyncIterator[Played]:
    played = Played()
    app = web.Application()
    app.router.add_post("/write", played.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    played.url = f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}/write"
    try:
        yield played
    finally:
        await runner.cleanup()
