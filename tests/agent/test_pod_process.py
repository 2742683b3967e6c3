"""Pods as processes: a hub of its own, and runners that have nothing but a folder and an index."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from support.agents import KEY, HubProcess, environment
from support.certificates import Authority
from support.countingtarget import CountingTarget, counting_target
from support.fakerunner import manifest
from support.podfolder import contents, lay_out

from squall.hub.assignment import Content, pods
from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall.hub.server import application
from squall.hub.tokens import run_token

SECONDS = 40
CALM = {"saturation": {"tolerated": "100%"}}
"""What a busy machine does to the verdict is not the matter here."""


@pytest.fixture
def target():
    with counting_target() as target:
        yield target


@pytest.fixture
async def hub(tmp_path) -> AsyncIterator[HubProcess]:
    hub = HubProcess(tmp_path / "hub")
    await hub.start()
    yield hub
    await hub.end()


class Pods:
    """The pods of one run."""

    def __init__(self, folder: Path, target: CountingTarget, *, duration: str, shards: int, **parts) -> None:
        headers = {"X-Name": "${var.name}", "X-Secret": "${var.password}"}
        step = {"name": "get", "http": {"url": "${var.url}/", "headers": headers}}
        scenario = {"name": "s", "executor": "constant-arrival-rate", "rate": 40, "duration": duration}
        scenario |= {"preAllocatedVUs": 10, "steps": [step]}
        variables = [
            {"name": "url", "value": target.url},
            {"name": "name", "value": "squall"},
            {"name": "password", "secret": {"name": "s", "key": "k"}},
        ]
        self.manifest = manifest(scenarios=[scenario], variables=variables, shards=shards, **parts)
        self.shards = shards
        self.folder = folder
        self.target = target
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, hub: str, *, processes: int = 2, **parts) -> None:
        """Start as many as the run has, of up to two shards each."""
        made = contents(
            self.manifest,
            hub=hub,
            token=run_token(KEY, "r1"),
            shards=self.shards,
            shards_per_pod=2,
            processes_per_pod=processes,
            variables={"url": self.target.url, "name": "squall"},
            secrets={"password": "hunter2"},
            **parts,
        )
        folder = lay_out(self.folder / "mounted", made)
        for index in range(-(-self.shards // 2)):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "squall_runner", "--pod", str(folder)),
                env=environment() | {"JOB_COMPLETION_INDEX": str(index)},
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self.running.append(process)

    async def codes(self) -> list[int]:
        async with asyncio.timeout(SECONDS):
            return [await process.wait() for process in self.running]

    async def said(self, index: int = 0) -> str:
        stream = self.running[index].stderr
        assert stream is not None
        return (await stream.read()).decode()

    async def until_load(self, requests: int = 10) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.target.seen) < requests:
                await asyncio.sleep(0.02)

    async def end(self) -> None:
        for process in self.running:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def pods_of(
    folder: Path, target: CountingTarget, duration: str = "60s", *, shards: int = 3, **parts
) -> AsyncIterator[Pods]:
    made = Pods(folder, target, duration=duration, shards=shards, **parts)
    try:
        yield made
    finally:
        await made.end()


async def add_run(hub: HubProcess, made: Pods, *, processes: int = 2) -> None:
    runners = tuple(process for pod in pods(made.shards, 2, processes) for process in pod)
    spec = RunSpec(run="r1", manifest=made.manifest, runners=runners, reconnect_seconds=1)
    status, answer = await hub.ask("PUT", "/v1/runs/r1", spec)
    assert status == 201, answer


async def summary(hub: HubProcess) -> dict:
    async with asyncio.timeout(SECONDS):
        while True:
            status, answer = await hub.ask("GET", "/v1/runs/r1/summary")
            if status == 200:
                return answer
            await asyncio.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("processes", [1, 2])
async def test_pods_carry_a_run_through(tmp_path, hub, target, processes):
    async with pods_of(tmp_path, target, duration="2s", safety=CALM) as made:
        await add_run(hub, made, processes=processes)
        await made.start(hub.url, processes=processes)
        assert (await summary(hub))["verdict"]["result"] == "Passed"
        assert await made.codes() == [0, 0]
        assert len(target.seen) == 80
        assert all(
            b"X-Name: squall" in each.head and b"X-Secret: hunter2" in each.head for each in target.seen
        )
        for index in (0, 1):
            said = await made.said(index)
            logged = [json.loads(line) for line in said.splitlines()]
            assert "hunter2" not in said
            assert {(line["process"], line["loadtest"], line["run"]) for line in logged} == {
                ("runner", "test", "r1")
            }
            seen = [line["event"] for line in logged]
            carried = processes if index == 0 else 1  # three shards
            assert sorted(seen) == sorted(["RunnerReady", "RunnerStarted", "RunnerFinished"] * carried)


async def test_a_large_file_is_put_together_before_the_load(tmp_path, hub, target):
    rows = [f"{number}-{random.Random(number).randbytes(30).hex()}" for number in range(20_000)]
    content = "\n".join(["name", *rows]).encode()
    parts = {"files": [{"name": "people.csv", "configMap": {"name": "n", "key": "k"}}]}
    parts |= {"data": [{"name": "people", "csv": "people.csv"}]}
    async with pods_of(tmp_path, target, duration="1s", safety=CALM, **parts) as made:
        (step,) = made.manifest["spec"]["scenarios"][0]["steps"]
        step["http"]["headers"]["X-Name"] = "${data.people.name}"
        await add_run(hub, made)
        scratch = str(tmp_path / "scratch")
        await made.start(hub.url, packed={"people.csv": content}, piece_bytes=100_000, scratch=scratch)
        assert await made.codes() == [0, 0], [await made.said(index) for index in (0, 1)]
        assert (await summary(hub))["verdict"]["result"] == "Passed"
        names = {re.search(rb"X-Name: (\S+)", each.head)[1].decode() for each in target.seen}
        assert len(names) == 40, "each request has a row of its own"
        assert names < set(rows)
        assert len(list((tmp_path / "mounted").glob("files/people.csv.gz.*"))) > 5
        assert (tmp_path / "scratch/files/people.csv").read_bytes() == content


async def test_a_pod_that_lacks_a_piece_says_which(tmp_path, target):
    async with pods_of(tmp_path, target, shards=2) as made:
        place = Content(path="packed/people.csv", pieces=3, size=10)
        await made.start("http://127.0.0.1:1", places={"people.csv": place}, scratch=str(tmp_path))
        assert await made.codes() == [104]
        assert "packed/people.csv.0 cannot be read: No such file" in await made.said()


async def test_a_pod_that_is_told_to_end_tells_its_processes(tmp_path, hub, target):
    async with pods_of(tmp_path, target) as made:
        await add_run(hub, made)
        await made.start(hub.url)
        await made.until_load()
        made.running[0].send_signal(signal.SIGTERM)
        verdict = (await summary(hub))["verdict"]
        assert (verdict["result"], verdict["cause"]) == ("Aborted", "user")
        assert await made.codes() == [143, 0], (
            "a Job makes another pod for one that ends like this, where it may"
        )


async def test_a_process_that_is_killed_gives_its_pod_an_exit_code(tmp_path, hub, target):
    async with pods_of(tmp_path, target) as made:
        await add_run(hub, made)
        await made.start(hub.url)
        await made.until_load()
        os.kill(children(made.running[0].pid)[1], signal.SIGKILL)
        verdict = (await summary(hub))["verdict"]
        assert (verdict["result"], verdict["reason"]) == ("Error", "RunnerLost")
        assert await made.codes() == [137, 0]
        assert "runner 1 ended with code 137" in await made.said()


async def test_no_process_outlives_its_pod(tmp_path, hub, target):
    async with pods_of(tmp_path, target) as made:
        await add_run(hub, made)
        await made.start(hub.url)
        await made.until_load()
        left = children(made.running[0].pid)
        made.running[0].kill()
        async with asyncio.timeout(SECONDS):
            while any(Path(f"/proc/{pid}").exists() for pid in left):
                await asyncio.sleep(0.02)
        assert (await summary(hub))["verdict"]["reason"] == "RunnerLost"


async def test_a_pod_that_is_told_to_end_before_there_is_a_hub_ends_at_once(tmp_path, target):
    async with pods_of(tmp_path, target, shards=2) as made:
        await made.start("http://127.0.0.1:1")
        async with asyncio.timeout(SECONDS):
            while len(children(made.running[0].pid)) < 2:
                await asyncio.sleep(0.01)
        made.running[0].send_signal(signal.SIGTERM)
        assert await made.codes() == [143]


async def test_a_pod_that_lacks_something_says_what(tmp_path, target):
    async with pods_of(tmp_path, target) as made:
        await made.start("nonsense")
        assert await made.codes() == [104, 104]
        assert "no http or https URL" in await made.said()


@asynccontextmanager
async def hub_with_tls(folder: Path) -> AsyncIterator[tuple[Hub, str, Path]]:
    """A hub behind TLS: itself, its URL, and the certificate that vouches for it."""
    authority = Authority(folder)
    identity = authority.issue("hub", name="hub", hosts=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)
    hub = Hub(KEY)
    runner = web.AppRunner(application(hub), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield hub, f"https://127.0.0.1:{runner.addresses[0][1]}", authority.certificate
    finally:
        await hub.close()
        await runner.cleanup()


def add_to(hub: Hub, made: Pods) -> None:
    runners = tuple(process for pod in pods(made.shards, 2, 1) for process in pod)
    made.run = hub.add_run(RunSpec(run="r1", manifest=made.manifest, runners=runners))


async def test_a_hub_is_believed_that_the_given_certificates_vouch_for(tmp_path, target):
    async with (
        hub_with_tls(tmp_path) as (hub, url, certificate),
        pods_of(tmp_path, target, "1s", shards=2, safety=CALM) as made,
    ):
        add_to(hub, made)
        await made.start(url, processes=1, hub_ca=str(certificate))
        assert await made.codes() == [0]
        await made.run.finished()
        assert made.run.outcome.summary.verdict.result == "Passed"


@pytest.mark.parametrize("other", [True, False])
async def test_a_hub_that_nobody_vouches_for_is_told_nothing(tmp_path, target, other):
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    certificates = {"hub_ca": str(Authority(stranger).certificate)} if other else {}
    safety = {"lostControl": "1s"}
    async with (
        hub_with_tls(tmp_path) as (hub, url, _),
        pods_of(tmp_path, target, shards=2, safety=safety) as made,
    ):
        add_to(hub, made)
        await made.start(url, processes=1, **certificates)
        assert await made.codes() == [70]
        assert "certificate verify failed" in await made.said()
        assert [each.phase for each in made.run.live.runners] == ["connecting"]
        assert not target.seen
