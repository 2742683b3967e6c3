"""A real runner process with the real engine: frozen for too long, it sends nothing when it thaws."""

from __future__ import annotations

import asyncio
import signal
import time

from aiohttp import web
from support.agents import KEY, real_runner
from support.fakerunner import manifest

from squall.hub.hub import Hub
from squall.hub.model import RunSpec


class Target:
    """Counts when requests came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        app = web.Application()
        app.add_routes([web.get("/", self.answer)])
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.times.append(time.monotonic())
        return web.Response(text="ok")

    async def start(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"


async def test_after_a_freeze_beyond_lost_control_not_one_request_is_sent(tmp_path):
    target = Target()
    await target.start()
    step = {"name": "get", "http": {"url": f"{target.url}/"}}
    scenarios = [
        {
            "name": "open",
            "executor": "constant-arrival-rate",
            "rate": 200,
            "duration": "60s",
            "preAllocatedVUs": 50,
            "steps": [step],
        },
        {
            "name": "closed",
            "executor": "constant-vus",
            "vus": 5,
            "duration": "60s",
            "steps": [step, {"think": {"duration": "10ms"}}],
        },
    ]
    made = manifest(scenarios=scenarios, safety={"lostControl": "1500ms"})
    hub = Hub(KEY)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=made, runners=((0,),)))
    process = await real_runner(hub, url, made)
    try:
        assert process.stdin is not None
        async with asyncio.timeout(30):
            while len(target.times) < 100:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGSTOP)
            await run.finished()
            frozen = len(target.times)
            process.send_signal(signal.SIGCONT)
            assert await process.wait() == 70
        assert len(target.times) == frozen
        assert run.outcome is not None
        assert run.outcome.summary.verdict.reason == "RunnerLost"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()
        await hub.close()
        await target.runner.cleanup()
