"""A run over TLS from end to end, each part a process of its own or the operator's own code: hub, operator's client, pods of runners.

Certificates are renewed while the run is on, and the hub is started again, so that everybody has to find it once more.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.agents import KEY, environment
from support.certificates import Authority
from support.countingtarget import CountingTarget, counting_target
from support.fakerunner import manifest
from support.mountedcertificate import Mounted
from support.podfolder import contents, lay_out

from squall.hub.model import RunSpec
from squall.hub.tokens import run_token
from squall.report.model import Summary
from squall_operator.hubs import HubError, Hubs

SECONDS = 60
SHARDS = 2


class TlsHub:
    """A hub's process behind TLS, always at the same address."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        authority = folder / "authority"
        authority.mkdir()
        self.authority = Authority(authority)
        shown = folder / "shown"
        shown.mkdir()
        self.mounted = Mounted(shown, self.authority)
        self.url = f"https://127.0.0.1:{port}"
        self._state = folder / "state"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "squall.hub", "--listen", self.url.removeprefix("https://")),
            *("--tls-cert-file", str(self.mounted.certificate), "--tls-key-file", str(self.mounted.key)),
            *("--state-dir", str(self._state)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), SECONDS)
        assert json.loads(line)["url"] == self.url

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
async def hub(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[TlsHub]:
    hub = TlsHub(tmp_path / "hub", unused_tcp_port)
    await hub.start()
    yield hub
    await hub.end()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.05)


def the_test(target: CountingTarget) -> dict:
    scenario = {
        "name": "s",
        "executor": "constant-arrival-rate",
        "rate": 20,
        "duration": "8s",
        "preAllocatedVUs": 5,
        "steps": [{"http": {"url": f"{target.url}/"}}],
    }
    # What a busy machine does to the verdict is not the matter here.
    safety = {"saturation": {"tolerated": "100%"}}
    return manifest(scenarios=[scenario], shards=SHARDS, safety=safety)


async def start_pods(folder: Path, hub: TlsHub, test: dict) -> list[asyncio.subprocess.Process]:
    authority = hub.authority.certificate.read_bytes()
    made = contents(test, hub=hub.url, hub_ca="hub-ca.pem", token=run_token(KEY, "r1"), shards=SHARDS) | {
        "hub-ca.pem": authority
    }
    place = lay_out(folder, made)
    return [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "squall_runner", "--pod", str(place)),
            env=environment() | {"JOB_COMPLETION_INDEX": str(index)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for index in range(SHARDS)
    ]


async def test_a_run_goes_on_over_renewals_and_a_restart(tmp_path: Path, hub: TlsHub) -> None:
    hubs = Hubs((hub.url,), KEY, hub.authority.certificate.read_text())
    hubs.start(lambda _: None)
    processes: list[asyncio.subprocess.Process] = []
    with counting_target() as target:
        try:
            test = the_test(target)
            await until(lambda: hub.url in hubs.runs)
            await hubs.add(hub.url, RunSpec(run="r1", manifest=test, runners=((0,), (1,))))
            processes = await start_pods(tmp_path / "pod", hub, test)
            await until(lambda: len(target.seen) > 20)
            hub.mounted.renew()
            await hub.end()
            await hub.start()
            hub.mounted.renew()
            await until(lambda: hubs.view(hub.url, "r1").summary)
            summary = hubs.view(hub.url, "r1").summary
            assert isinstance(summary, Summary)
            assert summary.verdict.result == "Passed", summary.verdict
            counted = next(row for row in summary.metrics if row.metric == "http_reqs" and not row.tags)
            assert counted.values["count"] == len(target.seen) == 160
            assert [await asyncio.wait_for(each.wait(), SECONDS) for each in processes] == [0, 0]
        finally:
            await hubs.close()
            for each in processes:
                if each.returncode is None:
                    os.kill(each.pid, 9)
                    await each.wait()


@pytest.mark.parametrize("other", [True, False])
async def test_an_operator_tells_nothing_to_a_hub_that_nobody_vouches_for(
    tmp_path: Path, hub: TlsHub, other: bool
) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    hubs = Hubs((hub.url,), KEY, Authority(stranger).certificate.read_text() if other else "")
    hubs.start(lambda _: None)
    try:
        with pytest.raises(HubError, match="certificate verify failed"):
            await hubs.forget(hub.url, "r1")
        assert hubs.runs == {}
    finally:
        await hubs.close()
