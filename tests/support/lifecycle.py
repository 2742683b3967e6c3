"""A LoadTest on a real API server, taken from state to state by the operator's own decision and written by its own hand.

Only what would need nodes and a hub is played: how the pods are and what the hub says is told to `decide`, as a test wants it. So each state has
the very object that a GitOps controller meets in a cluster, with conditions, generations and field managers as the server keeps them.
"""

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from support.controlplane import ControlPlane

from squall.kube.api import Kube
from squall.kube.paths import named
from squall.report.model import LiveState, RunnerState, Summary, VerdictSummary
from squall_operator.acting import Actor
from squall_operator.decide import decide
from squall_operator.events import FIELD_MANAGER
from squall_operator.model import (
    Allowance,
    Deadlines,
    HubView,
    Mark,
    Observed,
    Plan,
    Pods,
    Trouble,
    WriteStatus,
)
from squall_operator.status import read

Json = dict[str, Any]

GITOPS = "argocd-controller"
"""In whose name manifests are applied, as Argo CD does; Flux calls itself `kustomize-controller`."""
PLAN = Plan(shards=2, pods=1, max_seconds=60, stop_seconds=10, lost_control_seconds=60)
SPEC: Json = {
    "variables": [{"name": "baseUrl", "value": "http://shop.test.example"}],
    "http": {"baseUrl": "${var.baseUrl}"},
    "shards": 2,
    "scenarios": [
        {
            "name": "look",
            "executor": "constant-vus",
            "vus": 2,
            "duration": "1m",
            "steps": [{"name": "home", "http": {"url": "/"}}],
        }
    ],
}
_numbers = itertools.count(1)


class Life:
    """One LoadTest and who looks after it.

    Args:
        controller: Applies its manifest.
        operator: Writes its status.
        manifest: As it stands in Git.
    """

    def __init__(self, controller: Kube, operator: Kube, manifest: Json) -> None:
        self.manifest = manifest
        self._controller = controller
        self._operator = operator
        # Neither a hub nor Events have a part in what is carried out here.
        self._actor = Actor(operator, None, None, None)  # type: ignore[arg-type]
        self._around: Json = {"hubs": ("http://hub-0:4180",), "plan": PLAN}
        self._run = ""

    @property
    def path(self) -> str:
        metadata = self.manifest["metadata"]
        return named("loadtests", metadata["namespace"], metadata["name"])

    async def apply(self, *, spec: Json | None = None, annotations: Json | None = None) -> Json:
        """Apply the manifest, with what is changed in Git, by server-side apply as GitOps controllers do: with force."""
        metadata = self.manifest["metadata"] | ({"annotations": annotations} if annotations else {})
        self.manifest = self.manifest | {
            "metadata": metadata,
            "spec": self.manifest["spec"] | (spec or {}),
        }
        return await self._controller.apply(self.path, self.manifest)

    async def get(self) -> Json:
        """The object, as the server has it."""
        return await self._operator.get(self.path)

    async def delete(self) -> None:
        await self._operator.delete(self.path)

    async def empty_status(self) -> None:
        """What somebody can do who may write the status."""
        await self._operator.merge(f"{self.path}/status", {"status": None})

    async def look(self, **around: Any) -> Json:
        """Have the operator look once, and write what it decides.

        Args:
            around: What is seen around the LoadTest from now on: fields of `Observed`.
        """
        self._around |= around
        body = await self.get()
        for action in decide(self._observed(body), Deadlines()).actions:
            if isinstance(action, WriteStatus | Mark):
                body = await self._actor.act(body, None, action) or body  # type: ignore[arg-type]
        self._run = body.get("status", {}).get("run", {}).get("id", "")
        return await self.get()

    def _observed(self, body: Json) -> Observed:
        metadata = body["metadata"]
        return replace(
            Observed(
                namespace=metadata["namespace"],
                name=metadata["name"],
                uid=metadata["uid"],
                generation=metadata["generation"],
                spec=body["spec"],
                annotations=metadata.get("annotations", {}),
                status=read(body.get("status")),
                now=time.time(),
            ),
            **self._around,
        )

    # -- ways into a state ------------------------------------------------------------------------------------

    async def start(self) -> Json:
        """To the moment in which the runners are coming."""
        await self.look()
        return await self.look(pods=Pods(job=True, pods=1), hub=self.hub_says("connecting"))

    async def run(self) -> Json:
        """To the load."""
        await self.start()
        return await self.look(hub=self.hub_says("running"))

    async def end(self, result: Any, **verdict: Any) -> Json:
        """To an outcome of the hub, after the load was on."""
        await self.run()
        return await self.look(hub=self.hub_ends(result, **verdict))

    def hub_says(self, phase: Any) -> HubView:
        """The hub knows the run, and it is in this phase."""
        runner = RunnerState(index=0, shards=(0, 1), phase="running", slot=3)
        state = LiveState(
            run=self._run,
            name=self.manifest["metadata"]["name"],
            phase=phase,
            elapsed_seconds=4.2,
            planned_seconds=60,
            runners=(runner,),
            requests=10,
        )
        return HubView(reachable=True, live=state)

    def hub_ends(self, result: Any, **verdict: Any) -> HubView:
        """The hub has this outcome of the run."""
        summary = Summary(
            squall_version="1",
            run=self._run,
            name=self.manifest["metadata"]["name"],
            started_at="",
            ended_at="",
            planned_seconds=60,
            shards=2,
            runners=1,
            manifest_hash="",
            verdict=VerdictSummary(result=result, **verdict),
        )
        return HubView(reachable=True, summary=summary)


@asynccontextmanager
async def life(control_plane: ControlPlane, *, spec: Json | None = None) -> AsyncIterator[Life]:
    """A LoadTest that has just been applied, until the end of the block."""
    manifest = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": f"life-{next(_numbers)}", "namespace": "default"},
        "spec": SPEC | (spec or {}),
    }
    async with client(control_plane, GITOPS) as controller, client(control_plane, FIELD_MANAGER) as operator:
        one = Life(controller, operator, manifest)
        await one.apply()
        try:
            yield one
        finally:
            await one.delete()


@asynccontextmanager
async def client(control_plane: ControlPlane, manager: str) -> AsyncIterator[Kube]:
    """The product's own client, in the name of a field manager."""
    configuration = Configuration()
    await load_kube_config(
        config_file=str(control_plane.kubeconfig), client_configuration=configuration, persist_config=False
    )
    kube = Kube(ApiClient(configuration), manager)
    try:
        yield kube
    finally:
        await kube.close()


def troubled(reason: str, message: str) -> Pods:
    """Pods that cannot start, without any hope."""
    return Pods(job=True, pods=1, troubles=(Trouble(reason=reason, message=message),))


def forbidden(*violations: str) -> Allowance:
    """Policies that forbid it."""
    return Allowance(violations=violations)
