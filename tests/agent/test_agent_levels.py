"""The levels of a search on their way from the hub to the load of a real runner process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.agents import AgentProcess, HubProcess
from support.fakerunner import manifest

from squall.hub.model import RunSpec

SEARCH = {
    "by": "vus",
    "start": 2,
    "max": 8,
    "settle": "0s",
    "hold": "1s",
    "confirmations": 0,
    "thresholds": [{"metric": "vus_max", "expression": "value<0"}],
}


def told(agent: AgentProcess) -> list[tuple[int, int]]:
    """Number and target of each level that the load was told of."""
    lines = [line.split() for line in agent.lines() if line.startswith("level ")]
    return [(int(number), int(target)) for _, number, target in lines]


async def test_a_runner_is_told_each_level_also_by_a_hub_that_was_restarted(tmp_path: Path) -> None:
    made: dict[str, Any] = manifest(shards=1)
    (scenario,) = made["spec"]["scenarios"]
    # The load of these runners is a counter: no level ever holds, as nothing has the metric that it asks for.
    scenario.update(executor="capacity", search=SEARCH)
    del scenario["vus"], scenario["duration"]
    made["metadata"]["annotations"] = {"seconds": "5"}
    hub, agent = HubProcess(tmp_path / "state"), AgentProcess(tmp_path, 0)
    try:
        await hub.start()
        await hub.ask("PUT", "/v1/runs/r1", RunSpec(run="r1", manifest=made, runners=((0,),)))
        await agent.start(hub.url, "r1", made, (0,))
        await agent.wait_for_requests(20)
        await hub.kill()
        await hub.start()
        await hub.wait_for_phase("r1", "finished")
        numbers = [number for number, _ in told(agent)]
        assert numbers[0] == 0
        assert told(agent)[0] == (0, 2)
        assert sorted(set(numbers)) == list(range(max(numbers) + 1))
        assert len(numbers) > len(set(numbers)), "a hub that was restarted tells it again"
        _, summary = await hub.ask("GET", "/v1/runs/r1/summary")
        assert summary["capacity"][0]["knee"] == 0
    finally:
        await agent.end()
        await hub.end()
