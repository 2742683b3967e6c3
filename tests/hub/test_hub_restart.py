"""A hub that is killed and started again: nothing begins twice, nothing is forgotten, the verdict covers all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.agents import AgentProcess, HubProcess
from support.fakerunner import manifest

from squall.hub.model import RunSpec


class Bench:
    def __init__(self, folder) -> None:
        self.hub = HubProcess(folder / "state")
        self.agents = [AgentProcess(folder, i) for i in range(2)]

    async def start(self, duration: str, **parts: Any) -> None:
        made = manifest(shards=2, **parts)
        made["spec"]["scenarios"][0]["duration"] = duration
        await self.hub.start()
        spec = RunSpec(run="r1", manifest=made, runners=((0,), (1,)))
        status, _ = await self.hub.ask("PUT", "/v1/runs/r1", spec)
        assert status == 201
        for agent in self.agents:
            await agent.start(self.hub.url, "r1", made, (agent.index,))

    async def summary(self) -> dict[str, Any]:
        await asyncio.wait_for(self.hub.wait_for_phase("r1", "finished"), 40)
        status, summary = await self.hub.ask("GET", "/v1/runs/r1/summary")
        assert status == 200
        return summary

    def sent(self) -> int:
        return sum(len(agent.requests()) for agent in self.agents)


def count(summary: dict[str, Any], metric: str = "http_reqs") -> float:
    return next(r["values"]["count"] for r in summary["metrics"] if r["metric"] == metric and not r["tags"])


@pytest.fixture
async def bench(tmp_path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for agent in bench.agents:
        await agent.end()
    await bench.hub.end()


async def test_the_verdict_covers_what_was_before_and_after_a_hub_was_killed(bench):
    await bench.start("6s", thresholds=[{"metric": "http_reqs", "expression": "count>10"}])
    await bench.agents[0].wait_for_requests(100)
    await bench.hub.kill()
    before = len(bench.agents[0].requests())
    await bench.agents[0].wait_for_requests(before + 50)
    await bench.hub.start()
    summary = await bench.summary()
    assert summary["verdict"]["result"] == "Passed"
    assert count(summary) == bench.sent()
    assert summary["lostRunners"] == []
    assert [await agent.exit_code() for agent in bench.agents] == [0, 0]


async def test_a_breach_while_there_is_no_hub_stops_the_run_when_it_is_back(bench):
    limit = {"metric": "http_reqs", "expression": "count<240", "abortOnFail": True}
    await bench.start("60s", thresholds=[limit])
    await bench.agents[0].wait_for_requests(60)
    await bench.hub.kill()
    while bench.sent() < 260:
        await asyncio.sleep(0.05)
    await bench.hub.start()
    summary = await bench.summary()
    assert (summary["verdict"]["result"], summary["verdict"]["cause"]) == ("Aborted", "threshold")
    assert count(summary) == bench.sent()


async def test_a_hub_killed_before_the_start_begins_the_run_once(bench):
    steps = {"steps": [{"name": "login", "http": {"url": "/login"}}]}
    made = manifest(shards=2, setup=steps)
    made["spec"]["scenarios"][0]["duration"] = "1s"
    await bench.hub.start()
    await bench.hub.ask("PUT", "/v1/runs/r1", RunSpec(run="r1", manifest=made, runners=((0,), (1,))))
    await bench.agents[0].start(bench.hub.url, "r1", made, (0,))
    while (await bench.hub.ask("GET", "/v1/runs/r1"))[1]["runners"][0]["phase"] != "ready":
        await asyncio.sleep(0.02)
    await bench.hub.kill()
    await bench.hub.start()
    await bench.agents[1].start(bench.hub.url, "r1", made, (1,))
    summary = await bench.summary()
    assert summary["verdict"]["result"] == "Passed"
    assert bench.agents[0].lines().count("setup") == 1
    assert count(summary) == bench.sent()


async def test_a_stop_is_not_forgotten(bench):
    await bench.start("60s")
    await bench.agents[0].wait_for_requests(20)
    await bench.hub.ask("POST", "/v1/runs/r1/stop", {"reason": "Tired", "message": "enough"})
    await bench.hub.kill()
    await bench.hub.start()
    verdict = (await bench.summary())["verdict"]
    assert (verdict["result"], verdict["cause"], verdict["reason"]) == ("Aborted", "user", "Tired")


async def test_a_finished_run_is_still_known(bench):
    await bench.start("1s")
    first = await bench.summary()
    await bench.hub.kill()
    await bench.hub.start()
    assert await bench.summary() == first
