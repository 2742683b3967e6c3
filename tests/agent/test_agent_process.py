"""Real runner processes against a real hub: started, stopped, killed, frozen, orphaned."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.agents import KEY, AgentProcess
from support.fakerunner import manifest

from squall.hub.driver import Run
from squall.hub.hub import Hub
from squall.hub.model import RunSpec


class Bench:
    """A hub, one run, and its runner processes, which tell the hub when they end as a launcher does."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.hub = Hub(KEY, folder=folder / "hub")
        self.agents: list[AgentProcess] = []
        self.url = ""
        self.run: Run
        self.reapers: list[asyncio.Task[None]] = []

    async def start(
        self,
        count: int = 2,
        *,
        duration: str = "60s",
        annotations: dict[str, str] | None = None,
        **parts: Any,
    ) -> None:
        made = manifest(shards=count, **parts)
        made["metadata"]["annotations"] = annotations or {}
        made["spec"]["scenarios"][0]["duration"] = duration
        self.url = await self.hub.start("127.0.0.1", 0)
        shards = tuple((i,) for i in range(count))
        self.run = self.hub.add_run(RunSpec(run="r1", manifest=made, runners=shards, reconnect_seconds=3))
        for i in range(count):
            agent = AgentProcess(self.folder, i)
            self.agents.append(agent)
            await agent.start(self.url, "r1", made, (i,))
            self.reapers.append(asyncio.create_task(self._reap(agent)))

    async def _reap(self, agent: AgentProcess) -> None:
        code = await agent.exit_code()
        self.run.runner_exited(agent.index, code)

    async def verdict(self):
        await asyncio.wait_for(self.run.finished(), 40)
        return self.run.outcome.summary.verdict

    def count(self, metric: str = "http_reqs") -> float:
        rows = self.run.outcome.summary.metrics
        return next(row.values["count"] for row in rows if row.metric == metric and not row.tags)

    async def close(self) -> None:
        for agent in self.agents:
            await agent.end()
        await asyncio.gather(*self.reapers)
        await self.hub.close()


@pytest.fixture
async def bench(tmp_path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


async def test_two_processes_carry_a_run_through(bench):
    await bench.start(duration="2s")
    assert (await bench.verdict()).result == "Passed"
    assert [await agent.exit_code() for agent in bench.agents] == [0, 0]
    assert bench.count() == sum(len(agent.requests()) for agent in bench.agents)
    timings = bench.run.outcome.summary.timings
    # How small it is belongs into `make bench-local`: here other tests have the cores as well.
    assert timings.start_skew_seconds is not None
    assert 0 <= timings.start_skew_seconds < timings.load_seconds


async def test_setup_and_teardown_run_once_and_setup_reaches_everybody(bench):
    steps = {"steps": [{"name": "login", "http": {"url": "/login"}}]}
    await bench.start(duration="1s", setup=steps, teardown=steps)
    assert (await bench.verdict()).result == "Passed"
    lines = [agent.lines() for agent in bench.agents]
    assert [each.count("setup") for each in lines] == [1, 0]
    assert [each.count("teardown") for each in lines] == [1, 0]
    assert all("values {'token': 't1'}" in each for each in lines)


async def test_a_failing_setup_ends_the_run_before_any_load(bench):
    steps = {"steps": [{"name": "login", "http": {"url": "/login"}}]}
    await bench.start(setup=steps, teardown=steps, annotations={"fail-setup": "yes"})
    verdict = await bench.verdict()
    assert (verdict.result, verdict.reason) == ("Error", "SetupFailed")
    assert "the login was refused" in verdict.message
    assert not any(agent.requests() for agent in bench.agents)
    assert bench.agents[0].lines() == ["setup", "teardown"]


async def test_an_unreachable_target_is_told_before_any_load(bench):
    await bench.start(annotations={"fail-prepare": "yes"})
    verdict = await bench.verdict()
    assert (verdict.result, verdict.reason) == ("Error", "TargetUnreachable")
    assert "start the target" in verdict.message
    assert [await agent.exit_code() for agent in bench.agents] == [0, 0]


async def test_a_crash_of_the_load_is_an_error_with_its_cause(bench):
    await bench.start(annotations={"crash": "yes"})
    verdict = await bench.verdict()
    assert (verdict.result, verdict.reason) == ("Error", "RunnerCrashed")
    assert "a defect" in verdict.message
    assert 1 in [await agent.exit_code() for agent in bench.agents]


async def test_a_broken_threshold_stops_all_load_within_a_second_and_a_half(bench):
    limit = {"metric": "http_reqs", "expression": "count<60", "abortOnFail": True}
    await bench.start(thresholds=[limit])
    verdict = await bench.verdict()
    assert (verdict.result, verdict.cause, verdict.exit_code) == ("Aborted", "threshold", 99)
    assert verdict.expression == "count<60"
    assert bench.run.outcome.summary.timings.stop_to_last_request_seconds < 1.5
    assert bench.count() == sum(len(agent.requests()) for agent in bench.agents)


async def test_a_user_stops_with_teardown(bench):
    await bench.start(teardown={"steps": [{"name": "out", "http": {"url": "/out"}}]})
    await bench.agents[0].wait_for_requests(10)
    bench.run.stop()
    verdict = await bench.verdict()
    assert (verdict.result, verdict.cause, verdict.exit_code) == ("Aborted", "user", 105)
    assert "teardown" in bench.agents[0].lines()
    assert [await agent.exit_code() for agent in bench.agents] == [0, 0]


async def test_kill_ends_at_once_and_still_reports_what_was_measured(bench):
    await bench.start(teardown={"steps": [{"name": "out", "http": {"url": "/out"}}]})
    await bench.agents[0].wait_for_requests(60)
    bench.run.kill()
    assert (await bench.verdict()).cause == "user"
    assert [await agent.exit_code() for agent in bench.agents] == [0, 0]
    assert bench.count() == sum(len(agent.requests()) for agent in bench.agents)
    assert not any("teardown" in agent.lines() for agent in bench.agents)


async def test_a_scenario_may_abort_the_run(bench):
    await bench.start(annotations={"abort-at-request": "20"})
    verdict = await bench.verdict()
    assert (verdict.result, verdict.cause, verdict.reason) == ("Aborted", "scenario", "StepAborted")


async def test_sigterm_to_a_runner_stops_the_run_as_a_user_does(bench):
    await bench.start()
    await bench.agents[1].wait_for_requests(5)
    bench.agents[1].signal(signal.SIGTERM)
    verdict = await bench.verdict()
    assert (verdict.result, verdict.cause) == ("Aborted", "user")
    assert [await agent.exit_code() for agent in bench.agents] == [0, 143]


async def test_max_duration_ends_the_run(bench):
    await bench.start(safety={"maxDuration": "1s"})
    verdict = await bench.verdict()
    assert (verdict.result, verdict.cause, verdict.exit_code) == ("Aborted", "deadline", 102)


async def test_a_killed_runner_is_noticed_at_once_and_ends_the_run(bench):
    await bench.start()
    await bench.agents[0].wait_for_requests(5)
    bench.agents[0].signal(signal.SIGKILL)
    await bench.agents[0].exit_code()
    killed = time.monotonic_ns()
    verdict = await bench.verdict()
    assert (verdict.result, verdict.reason) == ("Error", "RunnerLost")
    assert "killed by signal 9" in verdict.message
    assert bench.run.outcome.summary.lost_runners == (0,)
    assert bench.agents[1].requests()[-1] - killed < 2_000_000_000


async def test_without_a_killed_runner_the_run_may_go_on(bench):
    await bench.start(duration="3s", safety={"onRunnerLoss": "continue"})
    await bench.agents[0].wait_for_requests(60)
    bench.agents[0].signal(signal.SIGKILL)
    assert (await bench.verdict()).result == "Passed"
    assert bench.run.outcome.summary.lost_runners == (0,)
    assert bench.count() > len(bench.agents[1].requests())


async def test_a_short_freeze_is_survived(bench):
    await bench.start(duration="6s", safety={"lostControl": "30s"})
    await bench.agents[0].wait_for_requests(5)
    bench.agents[0].signal(signal.SIGSTOP)
    await asyncio.sleep(3)  # the length of the freeze is what is tested
    bench.agents[0].signal(signal.SIGCONT)
    assert (await bench.verdict()).result == "Passed"
    assert bench.count() == sum(len(agent.requests()) for agent in bench.agents)
    assert bench.run.outcome.summary.lost_runners == ()


async def test_a_runner_frozen_beyond_lost_control_sends_nothing_when_it_thaws(bench):
    await bench.start(safety={"lostControl": "2s"})
    await bench.agents[0].wait_for_requests(5)
    bench.agents[0].signal(signal.SIGSTOP)
    verdict = await bench.verdict()
    assert (verdict.result, verdict.reason) == ("Error", "RunnerLost")
    sent = len(bench.agents[0].requests())
    bench.agents[0].signal(signal.SIGCONT)
    assert await bench.agents[0].exit_code() == 70
    assert len(bench.agents[0].requests()) == sent


async def test_runners_whose_hub_is_gone_stop_by_themselves(bench):
    await bench.start(safety={"lostControl": "2s"})
    await bench.agents[0].wait_for_requests(5)
    await bench.hub.close()
    gone = time.monotonic_ns()
    assert [await agent.exit_code() for agent in bench.agents] == [70, 70]
    assert max(agent.requests()[-1] for agent in bench.agents) - gone < 2_500_000_000


async def test_a_runner_whose_parent_is_gone_stops_at_once(bench):
    await bench.start(count=1)
    await bench.agents[0].wait_for_requests(5)
    bench.agents[0].close_stdin()
    assert await bench.agents[0].exit_code() == 70
    verdict = await bench.verdict()
    assert (verdict.result, verdict.reason) == ("Error", "RunnerLost")


async def test_a_process_whose_place_another_has_taken_stops_its_load_and_leaves(bench):
    """As when a node that was thought gone comes back with its pod."""
    await bench.start(1, duration="8s")
    old = bench.agents[0]
    await old.wait_for_requests(20)
    bench.reapers.pop().cancel()  # whoever runs pods has another pod in this place, and says nothing of the old one
    (bench.folder / "new").mkdir()
    new = AgentProcess(bench.folder / "new", 0)
    bench.agents.append(new)
    await new.start(bench.url, "r1", bench.run.spec.manifest, (0,))
    assert await asyncio.wait_for(old.exit_code(), 20) == 70
    left = len(old.requests())
    await new.wait_for_requests(20)
    assert (await bench.verdict()).result == "Passed"
    assert await new.exit_code() == 0
    assert len(old.requests()) == left
    notes = [event.message for event in bench.run.outcome.summary.events]
    assert notes.count("runner 0 was replaced by a new process") == 1
