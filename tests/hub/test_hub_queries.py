"""Thresholds on the system under test, asked of a real Prometheus while a run goes on."""

from __future__ import annotations

import pytest
from support.fakerunner import FakeRunner, manifest
from support.prometheus import running_prometheus

from squall.hub.hub import Hub
from squall.hub.model import RunSpec


async def drive(hub: Hub, url: str, run, slots: int) -> None:
    made = FakeRunner(url, "r1", hub.token("r1"))
    await made.live(slots)
    await run.finished()
    await made.close()


@pytest.mark.prometheus
async def test_a_query_that_breaks_its_limit_stops_the_run_and_one_that_fails_is_said():
    thresholds = [
        {"name": "good", "query": "vector(6) * 7", "expression": "value<50"},
        {"name": "bad", "query": "vector(60)", "expression": "value<50", "abortOnFail": True, "after": "2s"},
        {"name": "wrong", "query": "rate(", "expression": "value<1", "noData": "pass"},
    ]
    hub = Hub(b"k")
    url = await hub.start("127.0.0.1", 0)
    with running_prometheus() as prometheus:
        made = manifest(thresholds=thresholds)
        run = hub.add_run(RunSpec(run="r1", manifest=made, runners=((0,),), prometheus_url=prometheus.url))
        await drive(hub, url, run, 8)
    await hub.close()
    summary = run.outcome.summary
    assert (summary.verdict.cause, summary.verdict.observed) == ("threshold", 60)
    states = {each.name: (each.state, each.value) for each in summary.thresholds}
    assert states["good"] == ("pass", 42)
    assert states["wrong"][0] == "noData"
    assert any("rate(" in warning for warning in summary.warnings)


async def test_a_prometheus_that_is_not_there_is_no_data():
    hub = Hub(b"k")
    url = await hub.start("127.0.0.1", 0)
    made = manifest(thresholds=[{"query": "up", "expression": "value>0"}])
    run = hub.add_run(RunSpec(run="r1", manifest=made, runners=((0,),), prometheus_url="http://127.0.0.1:1"))
    await drive(hub, url, run, 2)
    await hub.close()
    verdict = run.outcome.summary.verdict
    assert (verdict.result, verdict.reason) == ("Failed", "NoData")
    assert any("Prometheus gave no answer" in warning for warning in run.outcome.summary.warnings)
