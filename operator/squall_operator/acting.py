"""Carries out what was decided: each action is one or a few calls that do no harm when they are repeated."""

from __future__ import annotations

import gzip
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.hub.assignment import pods
from squall.hub.model import RunSpec
from squall.hub.tokens import run_token
from squall.kube.api import KubeError
from squall.kube.paths import collection, named
from squall.kube.runs import DONE
from squall.spec.base import API_VERSION
from squall_operator.hubs import HubError
from squall_operator.manifests.egress import EgressError, build_egress
from squall_operator.manifests.inputs import RunInputs, build_inputs
from squall_operator.manifests.job import build_budget, build_job
from squall_operator.manifests.owned import REPORT, RUN, Owner
from squall_operator.model import (
    CleanUp,
    DropReports,
    KeepReport,
    Launch,
    Mark,
    StopRun,
    Tell,
    TellHub,
    TellLost,
    WriteStatus,
)
from squall_operator.status import write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.kube.api import Json, Kube
    from squall_operator.checked import Checked
    from squall_operator.events import Events
    from squall_operator.hubs import Hubs
    from squall_operator.model import Action
    from squall_operator.settings import Settings

RECONNECT_SECONDS: Final = 15.0
"""A runner whose connection broke may take this long to return: between nodes that takes longer than on one machine, and of a pod that is
really gone the cluster tells at once."""
REPORT_KEY: Final = "summary.json.gz"
MOST_REPORT_BYTES: Final = 1_000_000
"""An object holds 1 MiB, what describes it included."""


_PLURALS: Final = {"PodDisruptionBudget": "poddisruptionbudgets", "NetworkPolicy": "networkpolicies"}
_TAKEN_AS_THEY_ARE: Final = ("NetworkPolicy",)
"""Kinds to whose spec the API server adds nothing, if all of it is written."""


class Actor:
    """Carries out actions.

    Args:
        kube: The API server.
        hubs: The hubs.
        events: Tells people.
        settings: Of the installation.
    """

    def __init__(self, kube: Kube, hubs: Hubs, events: Events, settings: Settings) -> None:
        self._kube = kube
        self._hubs = hubs
        self._events = events
        self._settings = settings

    async def act(self, body: Mapping[str, Any], checked: Checked, action: Action) -> Json | None:
        """Carry out one action for a LoadTest; returns the LoadTest as it is then, when that has changed.

        Raises:
            KubeError: The API server refused, or is not there.
            HubError: Neither of that for a hub.
        """
        namespace = str(body["metadata"]["namespace"])
        match action:
            case WriteStatus(status):
                return await self._write_status(body, write(status))
            case Mark(text):
                path = named("loadtests", namespace, body["metadata"]["name"])
                return await self._kube.merge(path, {"metadata": {"annotations": {DONE: text}}})
            case Launch():
                if action.anew:
                    await self._hubs.forget(action.hub, action.run)
                await self._launch(body, checked, action)
            case TellHub(run, hub):
                await self._hubs.add(hub, self._run_spec(checked, run))
            case TellLost(run, hub, runner, lost):
                await self._hubs.lost(hub, run, runner, lost)
            case StopRun(run, hub, stop, now):
                await self._stop(run, hub, stop, now=now)
            case KeepReport(run, summary):
                await self._keep_report(_owner(body), run, msgspec.json.encode(summary))
            case CleanUp(run, hub):
                await self._clean_up(namespace, run, hub)
            case DropReports(reports):
                for name in reports:
                    await self._kube.delete(named("configmaps", namespace, name))
            case Tell(kind, reason, message):
                await self._events.tell(body, kind, reason, message)
        return None

    async def _write_status(self, body: Mapping[str, Any], status: Json) -> Json:
        metadata = body["metadata"]
        path = named("loadtests", metadata["namespace"], metadata["name"], "status")
        whole = {
            "apiVersion": API_VERSION,
            "kind": "LoadTest",
            # With the UID, a LoadTest that was deleted and made anew meanwhile does not get the status of the old one. With the
            # version, nobody writes what was decided from an older state: neither a watch that is behind, nor a former leader.
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "status": status,
        }
        return await self._kube.apply(path, whole)

    # -- making and unmaking runs -----------------------------------------------------------------------------

    async def _launch(self, body: Mapping[str, Any], checked: Checked, launch: Launch) -> None:
        """Make everything that pods need, then the pods: none may come before what it waits for."""
        assert checked.test is not None, "only what is right is launched"
        assert checked.plan is not None, "only what is right is launched"
        owner, test, run, hub = _owner(body), checked.test, launch.run, launch.hub
        given = RunInputs(
            run=run,
            hub=hub,
            hub_ca=self._settings.hub_ca,
            token=run_token(self._settings.hub_key, run),
            manifest=test.data,
            spec=test.model.spec,
            variables=test.variables,
            processes=checked.processes,
            allowed_hosts=launch.hosts,
        )
        inputs = build_inputs(owner, given)
        job = build_job(
            owner,
            run,
            test.model.spec,
            inputs,
            pods=checked.plan.pods,
            start_seconds=self._settings.deadlines.start,
            defaults=self._settings.runner,
        )
        if self._settings.egress:
            await self._keep_in(body, owner, launch)
        for made in (*inputs.objects, build_budget(owner, run, pods=checked.plan.pods)):
            await self._make(owner.namespace, made)
        # The token comes after the hub's word: nobody gets one for a run that the hub has refused.
        await self._hubs.add(hub, self._run_spec(checked, run))
        await self._make(owner.namespace, inputs.token)
        await self._make(owner.namespace, job)

    async def _keep_in(self, body: Mapping[str, Any], owner: Owner, launch: Launch) -> None:
        """Keep the pods to where load may go, or say why the network cannot."""
        try:
            made = build_egress(owner, launch.run, launch.hub, launch.hosts)
        except EgressError as error:
            text = f"run {launch.run} has no NetworkPolicy: {error.message}"
            await self._events.tell(body, "Warning", "NoEgressPolicy", text)
        else:
            await self._make(owner.namespace, made)

    async def _make(self, namespace: str, body: Json) -> None:
        """Create an object, or find the one that an earlier attempt has made.

        Whoever may make objects in the namespace can have made one of that name before, and what an earlier attempt wrote may no longer
        be true, such as where load may go. So what is not exactly what it should be goes, and the next attempt makes it.

        Raises:
            KubeError: It was refused, or another one of that name is still there.
        """
        plural = _PLURALS.get(body["kind"], f"{body['kind'].lower()}s")
        try:
            await self._kube.create(collection(plural, namespace), body)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            path = named(plural, namespace, body["metadata"]["name"])
            if plural == "secrets":  # nobody may read them here, so nobody knows what is in it
                await self._kube.delete(path)
                await self._kube.create(collection(plural, namespace), body)
                return
            there = await self._kube.get(path)
            if "deletionTimestamp" in there["metadata"]:
                raise
            if not _is_as_made(there, body):
                await self._make_way(namespace, path, there, body)
                raise

    async def _make_way(self, namespace: str, path: str, there: Json, body: Json) -> None:
        """Delete what has the name of an object of a run and is not that object, and the Job, whose pods may have read it."""
        if body["kind"] != "Job":
            job = named("jobs", namespace, body["metadata"]["labels"][RUN])
            await self._kube.delete(job, body={"propagationPolicy": "Background"})
        only = {"uid": there["metadata"]["uid"]}
        await self._kube.delete(path, body={"propagationPolicy": "Background", "preconditions": only})

    def _run_spec(self, checked: Checked, run: str) -> RunSpec:
        assert checked.test is not None, "only what is right is run"
        spec = checked.test.model.spec
        per_pod = int(spec.runner.shards_per_pod) if spec.runner else 1
        dealt = pods(int(spec.shards), per_pod, checked.processes)
        return RunSpec(
            run=run,
            manifest=checked.test.data,
            runners=tuple(runner for pod in dealt for runner in pod),
            prometheus_url=self._settings.prometheus_url,
            start_deadline_seconds=self._settings.deadlines.start,
            reconnect_seconds=RECONNECT_SECONDS,
            in_pods=True,
        )

    async def _stop(self, run: str, hub: str, stop: Any, *, now: bool) -> None:
        try:
            await self._hubs.stop(hub, run, stop, now=now)
        except HubError:
            # Whoever is not there cannot be told. What must stop at once stops by losing its pods.
            if not now:
                raise

    async def _clean_up(self, namespace: str, run: str, hub: str) -> None:
        egress = ("networkpolicies",) if self._settings.egress else ()
        for plural in ("jobs", "poddisruptionbudgets", "secrets", *egress):
            background = {"propagationPolicy": "Background"}
            await self._kube.delete(named(plural, namespace, run), body=background)
        maps = f"{collection('configmaps', namespace)}?labelSelector={RUN}%3D{run},!{REPORT}"
        await self._kube.delete(maps)
        try:
            await self._hubs.forget(hub, run)
        except HubError:
            return  # a hub that is not there; a day after the run's end it forgets by itself

    async def _keep_report(self, owner: Owner, run: str, summary: bytes) -> None:
        packed = b64encode(gzip.compress(summary, mtime=0))
        if len(packed) > MOST_REPORT_BYTES:
            raise KubeError(
                413, f"the report of {len(packed)} bytes is larger than an object may be", "TooLarge"
            )
        metadata = owner.metadata(run, f"{run}-report")
        metadata["labels"][REPORT] = "true"
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "binaryData": {REPORT_KEY: packed.decode()},
        }
        await self._kube.apply(named("configmaps", owner.namespace, f"{run}-report"), body)


def _is_as_made(there: Json, body: Json) -> bool:
    """Whether an object is one that this run has made: it has the same owner, and, where it has content, the same."""
    owners = [
        {each["uid"] for each in either["metadata"].get("ownerReferences") or ()} for either in (there, body)
    ]
    content = ("spec",) if body["kind"] in _TAKEN_AS_THEY_ARE else ("data", "binaryData", "immutable")
    return owners[0] == owners[1] and all(
        (there.get(key) or None) == (body.get(key) or None) for key in content
    )


def _owner(body: Mapping[str, Any]) -> Owner:
    metadata = body["metadata"]
    return Owner(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
