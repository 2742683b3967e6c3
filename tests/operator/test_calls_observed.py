"""Every call of the API server is told of, with what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from squall.kube.api import Kube, KubeError

Calls = list[tuple[str, int]]


async def answer(request: web.Request) -> web.StreamResponse:
    if request.path == "/broken":
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response
    return web.json_response({}, status=int(request.path.strip("/")))


@pytest.fixture
async def observed() -> AsyncIterator[tuple[Kube, Calls, web.AppRunner]]:
    calls: Calls = []

    def told(method: str, status: int, seconds: float) -> None:
        assert seconds > 0
        calls.append((method, status))

    app = web.Application()
    app.router.add_route("*", "/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    kube = Kube(ApiClient(Configuration(host=host)), "test", observe=told)
    yield kube, calls, runner
    await kube.close()
    await runner.cleanup()


async def test_calls_are_told_with_their_status(observed: tuple[Kube, Calls, web.AppRunner]) -> None:
    kube, calls, _ = observed
    await kube.get("/200")
    assert not await kube.delete("/404")
    for path in ("/403", "/500"):
        with pytest.raises(KubeError):
            await kube.create(path, {})
    assert calls == [("GET", 200), ("DELETE", 404), ("POST", 403), ("POST", 500)]


async def test_no_answer_or_half_of_one_is_status_zero(observed: tuple[Kube, Calls, web.AppRunner]) -> None:
    kube, calls, runner = observed
    with pytest.raises(KubeError, match="does not answer"):
        await kube.get("/broken")
    await runner.cleanup()
    with pytest.raises(KubeError, match="does not answer"):
        await kube.get("/200")
    assert calls == [("GET", 0), ("GET", 0)]
