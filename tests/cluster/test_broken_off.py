"""Whoever acts is broken off in the middle, on a real API server and with a real hub: what was made and not written down is not lost sight of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from support.controlplane import ControlPlane
from support.fakerunner import FakeRunner, manifest
from support.kubeclient import Json, KubeClient
from support.kubes import client_of

from squall.hub import protocol
from squall.hub.hub import Hub
from squall.hub.members import PINGS
from squall.kube.api import Kube
from squall_operator import cache
from squall_operator.acting import Actor
from squall_operator.cache import Cache
from squall_operator.checked import Checked
from squall_operator.events import Events
from squall_operator.hubs import Hubs
from squall_operator.manifests.owned import RUN
from squall_operator.model import Action, Deadlines, Launch
from squall_operator.reconcile import Reconciler
from squall_operator.settings import RunnerDefaults, Settings
from squall_operator.telemetry import Telemetry

pytestmark = pytest.mark.control_plane

KEY = b"installation-key"
TESTS = "/apis/squall.dev/v1alpha1/namespaces/default/loadtests"
JOBS = "/apis/batch/v1/namespaces/default/jobs"


class Died(Exception):
    """Whoever acts is no more."""


class Interrupted(Actor):
    """Acts, and has something happen right after a launch, before anybody can write down that it was done."""

    launched: Callable[[], object]

    async def act(self, body: Any, checked: Checked, action: Action) -> Json | None:
        done = await super().act(body, checked, action)
        if isinstance(action, Launch):
            self.launched()
        return done


class Operator:
    """One life of an operator, for one LoadTest, whose cache a test fills as the watches would."""

    def __init__(self, kube: KubeClient, client: Kube, hubs: Hubs, hub: str) -> None:
        self.kube = kube
        self.away = 0.0
        """By how much longer than in truth nobody was there."""
        self._seen = Cache()
        settings = Settings(
            hubs=(hub,), hub_key=KEY, runner=RunnerDefaults(image="i"), deadlines=Deadlines(start=300)
        )
        self.actor = Interrupted(client, hubs, Events(client, time.time), settings)
        self.actor.launched = lambda: None
        self._reconciler = Reconciler(
            settings,
            kube=client,
            seen=self._seen,
            hubs=hubs,
            actor=self.actor,
            telemetry=Telemetry(structlog.get_logger()),
            clock=time.monotonic,
            wall=lambda: time.time() + self.away,
        )

    def status(self, name: str) -> Json:
        return dict(self.kube.get(f"{TESTS}/{name}").get("status") or {})

    async def look(self, name: str) -> Json:
        """Look at the LoadTest as it is on the server, once; returns its status."""
        self._reconciler.saw(cache.LOAD_TESTS, self.kube.get(f"{TESTS}/{name}"), gone=False)
        jobs = {job["metadata"]["name"]: job for job in self.kube.get(JOBS)["items"]}
        for job in jobs.values():
            self._reconciler.saw(cache.JOBS, job, gone=False)
        for job in self._seen.all(cache.JOBS):
            if job["metadata"]["name"] not in jobs:
                self._reconciler.saw(cache.JOBS, job, gone=True)
        await self._reconciler.look(("default", name))
        return self.status(name)

    async def until(self, name: str, *phases: str) -> Json:
        """Look until the LoadTest is in a phase."""
        async with asyncio.timeout(30):
            while (status := await self.look(name)).get("phase") not in phases:
                await asyncio.sleep(0.05)
        return status

    def jobs(self, name: str) -> list[str]:
        """The Jobs of a LoadTest that are not going."""
        return [
            job["metadata"]["labels"][RUN]
            for job in self.kube.get(JOBS)["items"]
            if job["metadata"]["ownerReferences"][0]["name"] == name
            and "deletionTimestamp" not in job["metadata"]
        ]


@asynccontextmanager
async def operating(control_plane: ControlPlane) -> AsyncIterator[tuple[Operator, Hub, str]]:
    hub = Hub(KEY)
    url = await hub.start("127.0.0.1", 0)
    hubs = Hubs((url,), KEY, "")
    hubs.start(lambda _run: None)
    try:
        async with client_of(control_plane) as client:
            yield Operator(control_plane.client, client, hubs, url), hub, url
    finally:
        await hubs.close()
        await hub.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the hub often: a second each time would only make the tests slow."""
    monkeypatch.setattr("squall_operator.hubs.EVERY", 0.05)


def apply(kube: KubeClient, name: str, **spec: Any) -> None:
    made = manifest(ttlSecondsAfterFinished=3600, **spec)
    kube.apply(f"{TESTS}/{name}", {**made, "metadata": {"name": name, "namespace": "default"}})


async def until_it_has(hubs: Hub, run: str, phase: str) -> None:
    async with asyncio.timeout(20):
        while hubs.runs[run].live.phase != phase:
            await asyncio.sleep(0.02)


async def test_a_stop_during_the_launch_leaves_no_job_and_no_load(
    control_plane: ControlPlane, crds: dict[str, Json]
) -> None:
    """The launch is done, but the LoadTest is another one by then, and the API server does not take what was decided before."""
    del crds
    kube, name = control_plane.client, "stopped-in-between"
    apply(kube, name)
    async with operating(control_plane) as (operator, hub, _):
        run = (await operator.until(name, "Launching"))["run"]["id"]
        operator.actor.launched = lambda: kube.merge_patch(f"{TESTS}/{name}", {"spec": {"suspend": True}})
        with pytest.raises(Exception, match="the object has been modified"):
            await operator.look(name)
        assert operator.jobs(name) == [run]
        status = await operator.until(name, "Aborted")
        assert status["verdict"]["reason"] == "Suspended"
        await operator.look(name)
        assert operator.jobs(name) == []
        assert run not in hub.runs or hub.runs[run].is_finished


async def test_a_load_that_began_before_the_launch_was_written_down_goes_on(
    control_plane: ControlPlane, crds: dict[str, Json]
) -> None:
    """The operator dies right after the launch, and nobody is there until long after every deadline of a start."""
    del crds
    kube, name = control_plane.client, "begun-unseen"
    apply(kube, name)
    async with operating(control_plane) as (operator, hub, url):
        run = (await operator.until(name, "Launching"))["run"]["id"]

        def die() -> None:
            raise Died

        operator.actor.launched = die
        with pytest.raises(Died):
            await operator.look(name)
        runner = FakeRunner(url, run, hub.token(run))
        await runner.connect()
        async with asyncio.timeout(20):
            while len([each for each in runner.heard if isinstance(each, protocol.Ping)]) < PINGS:
                await asyncio.sleep(0.02)
        await runner.send(protocol.Ready())
        await until_it_has(hub, run, "running")

        operator.actor.launched = lambda: None
        operator.away = 900.0
        assert (await operator.until(name, "Running", "Stopping", "Error"))["phase"] == "Running"
        assert not hub.runs[run].is_ending
        assert operator.jobs(name) == [run]
        hub.runs[run].kill()
        assert (await operator.until(name, "Aborted"))["verdict"]["reason"] == "Killed"
        await runner.close()
