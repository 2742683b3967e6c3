"""How answers of Prometheus come in: in pieces, too long, cut short."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from squall.hub.promql import MAX_BYTES, Prometheus, PrometheusError


def vector(count: int) -> bytes:
    rows = [{"metric": {"pod": f"p{row}"}, "value": [1, str(row)]} for row in range(count)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()


@contextlib.asynccontextmanager
async def answering(*pieces: bytes, length: int | None = None) -> AsyncIterator[Prometheus]:
    """A server that sends its answer in pieces, with pauses between them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = sum(map(len, pieces)) if length is None else length
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0.02)
        if length is not None and request.transport is not None:
            request.transport.abort()
        return response

    app = web.Application()
    app.router.add_post("/api/v1/query", answer)
    async with TestServer(app) as server:
        prometheus = Prometheus(str(server.make_url("/")))
        try:
            yield prometheus
        finally:
            await prometheus.close()


async def test_an_answer_may_come_in_pieces() -> None:
    body = vector(400)
    async with answering(body[:1400], body[1400:]) as prometheus:
        assert await prometheus.ask("up", 1.0) == 399


async def test_one_that_is_as_long_as_may_be_is_taken() -> None:
    body = vector(1)
    async with answering(body + b" " * (MAX_BYTES - len(body))) as prometheus:
        assert await prometheus.ask("up", 1.0) == 0


async def test_one_that_is_longer_is_refused_in_words() -> None:
    body = vector(1)
    async with answering(body + b" " * (MAX_BYTES - len(body) + 1)) as prometheus:
        with pytest.raises(PrometheusError, match=f"longer than {MAX_BYTES} bytes"):
            await prometheus.ask("up", 1.0)


async def test_one_that_is_nested_beyond_all_reason_is_no_answer() -> None:
    async with answering(b'{"data":' + b"[" * 100_000) as prometheus:
        with pytest.raises(PrometheusError, match="not JSON"):
            await prometheus.ask("up", 1.0)


async def test_one_that_leads_elsewhere_is_not_followed() -> None:
    asked: list[str] = []

    async def lead(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lead)
    async with TestServer(app) as server:
        prometheus = Prometheus(str(server.make_url("/")))
        try:
            with pytest.raises(PrometheusError, match="status 307: it is somewhere else"):
                await prometheus.ask("up", 1.0)
        finally:
            await prometheus.close()
    assert asked == ["POST /api/v1/query"]


async def test_one_that_is_cut_short_is_no_answer() -> None:
    body = vector(400)
    async with answering(body[:1400], length=len(body)) as prometheus:
        with pytest.raises(PrometheusError):
            await prometheus.ask("up", 1.0)
