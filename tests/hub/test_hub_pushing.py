"""A hub that pushes metrics: over its own restart, with a receiver that is away, and by the options that it is given."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from support.agents import AgentProcess, HubProcess
from support.fakerunner import FakeRunner, manifest
from support.receiver import Played, serving

from squall.errors import UsageError
from squall.export.model import Receiver, RemoteWrite
from squall.export.wire import read
from squall.hub import receiver
from squall.hub.hub import Hub
from squall.hub.model import RunSpec


def series(played: Played, name: str) -> dict[str, list[tuple[int, float]]]:
    """The samples of each series of a name, by its labels."""
    found: dict[str, list[tuple[int, float]]] = {}
    for data in played.taken:
        for each in read(data).timeseries:
            labels = {label.name: label.value for label in each.labels}
            if labels.pop("__name__") == name:
                key = ",".join(f"{label}={text}" for label, text in labels.items())
                found.setdefault(key, []).extend((one.timestamp, one.value) for one in each.samples)
    return found


async def test_a_hub_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async with serving() as played:
        hub = HubProcess(
            tmp_path / "state", "--remote-write-url", played.url, "--remote-write-labels", "site=a"
        )
        agents = [AgentProcess(tmp_path, index) for index in range(2)]
        made = manifest(shards=2)
        made["spec"]["scenarios"][0]["duration"] = "7s"
        try:
            await hub.start()
            spec = RunSpec(run="r1", manifest=made, runners=((0,), (1,)))
            assert (await hub.ask("PUT", "/v1/runs/r1", spec))[0] == 201
            for agent in agents:
                await agent.start(hub.url, "r1", made, (agent.index,))
            while (
                len(series(played, "squall_run_elapsed_seconds").get("loadtest=test,run=r1,site=a", ())) < 3
            ):
                await asyncio.sleep(0.05)
            await hub.kill()
            await hub.start()
            await asyncio.wait_for(hub.wait_for_phase("r1", "finished"), 40)
            _, summary = await hub.ask("GET", "/v1/runs/r1/summary")
        finally:
            for agent in agents:
                await agent.end()
            await hub.end()
        count = next(
            row["values"]["count"]
            for row in summary["metrics"]
            if row["metric"] == "http_reqs" and not row["tags"]
        )
        found = series(played, "squall_http_reqs_total")
        last = 0.0
        for samples in found.values():
            times, values = [at for at, _ in samples[:-1]], [value for _, value in samples[:-1]]
            assert times == sorted(set(times))
            assert values == sorted(values)
            assert values.count(0) == 1
            last += values[-1]
        assert last == count
        assert len(series(played, "squall_run_start_time_seconds")) == 1


async def drive(hub: Hub, url: str, slots: int) -> Any:
    """A short run of a runner that is played; returns its outcome."""
    run = hub.add_run(RunSpec(run="r1", manifest=manifest(), runners=((0,),)))
    made = FakeRunner(url, "r1", hub.token("r1"))
    await made.live(slots)
    await run.finished()
    await made.close()
    return run


async def test_a_receiver_that_is_away_costs_seconds_at_the_end_and_no_verdict() -> None:
    hub = Hub(b"k", remote_write=RemoteWrite(receiver=Receiver(url="http://127.0.0.1:1/write")))
    url = await hub.start("127.0.0.1", 0)
    began = time.monotonic()
    run = await drive(hub, url, 2)
    assert time.monotonic() - began < 2 + 5 + 3
    await hub.close()
    summary = run.outcome.summary
    assert summary.verdict.result == "Passed"
    assert any("metrics do not reach the receiver" in text for text in summary.warnings)
    (lost,) = [text for text in summary.warnings if "did not reach the receiver" in text]
    assert int(lost.split()[0]) > 20
    assert run.live.phase == "finished"


async def test_nobody_sees_the_run_finished_before_its_metrics_are_sent() -> None:
    async with serving() as played:
        played.delay = 0.5
        hub = Hub(b"k", remote_write=RemoteWrite(receiver=Receiver(url=played.url)))
        url = await hub.start("127.0.0.1", 0)
        run = await drive(hub, url, 1)
        assert run.live.phase == "finished"
        verdicts = series(played, "squall_run_verdict")
        assert [values[0][1] for key, values in verdicts.items() if "result=Passed" in key] == [1]
        assert run.outcome.summary.warnings == ()
        await hub.close()


async def test_files_that_are_gone_cost_no_run(tmp_path: Path) -> None:
    gone = Receiver(url="https://127.0.0.1:1/write", ca_file=str(tmp_path / "gone.pem"))
    hub = Hub(b"k", remote_write=RemoteWrite(receiver=gone))
    url = await hub.start("127.0.0.1", 0)
    run = await drive(hub, url, 1)
    await hub.close()
    assert run.outcome.summary.verdict.result == "Passed"
    assert any("no metrics are pushed" in text for text in run.outcome.summary.warnings)


# -- options ------------------------------------------------------------------------------------------------------


def settings(*arguments: str, **environ: str) -> RemoteWrite | None:
    parser = argparse.ArgumentParser()
    receiver.add_options(parser)
    return receiver.settings_of(parser.parse_args(arguments), environ)


def test_without_options_nothing_is_pushed() -> None:
    assert settings() is None


def test_options_and_variables_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pw\n")
    made = settings(
        "--remote-write-username",
        "hub",
        "--remote-write-password-file",
        str(tmp_path / "password"),
        "--remote-write-buffer=1MiB",
        SQUALL_REMOTE_WRITE_URL="https://mimir.example/api/v1/push",
        SQUALL_REMOTE_WRITE_TENANT="shop",
        SQUALL_REMOTE_WRITE_LABELS="site=a, cluster=b",
        SQUALL_REMOTE_WRITE_HISTOGRAMS="classic",
        SQUALL_REMOTE_WRITE_HISTOGRAM_SCHEMA="3",
    )
    assert made is not None
    assert (made.receiver.url, made.receiver.tenant) == ("https://mimir.example/api/v1/push", "shop")
    assert made.receiver.authorization() == "Basic aHViOnB3"
    (tmp_path / "password").write_text("new")
    assert made.receiver.authorization() == "Basic aHViOm5ldw=="
    assert (made.form.histograms, made.form.schema, made.buffer_bytes) == ("classic", 3, 2**20)
    assert made.form.labels == (("cluster", "b"), ("site", "a"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--remote-write-tenant=x"], "--remote-write-url"),
        (["--remote-write-url=prometheus:9090"], "--remote-write-url"),
        (["--remote-write-url=http://a:b@h/"], "--remote-write-url"),
        (["--remote-write-url=http://h/", "--remote-write-histograms=some"], "--remote-write-histograms"),
        (["--remote-write-url=http://h/", "--remote-write-histogram-schema=7"], "0 to 6"),
        (["--remote-write-url=http://h/", "--remote-write-max-series=few"], "--remote-write-max-series"),
        (["--remote-write-url=http://h/", "--remote-write-buffer=much"], "--remote-write-buffer"),
        (["--remote-write-url=http://h/", "--remote-write-labels=run=x"], "--remote-write-labels"),
        (["--remote-write-url=http://h/", "--remote-write-username=x"], "belong together"),
        (["--remote-write-url=http://h/", "--remote-write-bearer-token-file=/nowhere"], "/nowhere"),
        (["--remote-write-url=https://h/", "--remote-write-ca-file=/nowhere"], "/nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        settings(*arguments)
    assert says in f"{error.value.message} {error.value.hint}"
