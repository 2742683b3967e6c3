"""An operator that comes up before its CRDs or its rights waits for them, says so, and goes on by itself; on a real API server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from support.controlplane import ControlPlane
from support.kubeclient import Json, KubeClient
from support.kubes import client_of
from support.rights import DEPLOY, rules_of

from squall.kube import paths
from squall.kube.api import Kube
from squall_operator import kinds

pytestmark = pytest.mark.control_plane
SECONDS = 20
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "EVERY", 0.1)


@asynccontextmanager
async def account(plane: ControlPlane, namespace: str) -> AsyncIterator[Kube]:
    """A client of somebody who has no rights yet: the operator's service account of a new namespace."""
    client = plane.client
    client.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    core = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    client.create(core, {"metadata": {"name": "squall-operator"}})
    made = client.create(f"{core}/squall-operator/token", {"spec": {"audiences": []}})
    configuration = Configuration(host=plane.url)
    configuration.ssl_ca_cert = str(plane.authority.certificate)
    configuration.api_key["BearerToken"] = f"Bearer {made['status']['token']}"
    kube = Kube(ApiClient(configuration), "squall-operator")
    try:
        yield kube
    finally:
        await kube.close()


def grant(client: KubeClient, namespace: str, rules: list[Json], *, everywhere: bool = False) -> None:
    kind = "ClusterRole" if everywhere else "Role"
    where = RBAC if everywhere else f"{RBAC}/namespaces/{namespace}"
    subject = {"kind": "ServiceAccount", "name": "squall-operator", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": namespace}
    client.create(f"{where}/{kind.lower()}s", {"metadata": {"name": namespace}, "rules": rules})
    binding = {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]}
    client.create(f"{where}/{kind.lower()}bindings", binding)


async def until_told(told: list[str], text: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not any(text in each for each in told):
            await asyncio.sleep(0.02)


async def test_rights_that_are_missing_are_told_one_after_the_other(
    control_plane: ControlPlane, crds: dict[str, Json]
) -> None:
    del crds
    namespace, told = f"squall-{secrets.token_hex(3)}", list[str]()
    async with account(control_plane, namespace) as kube:
        waiting = asyncio.create_task(kinds.wait_for_kinds(kube, [namespace], told.append))
        await until_told(told, "may not list loadtests;")
        grant(
            control_plane.client,
            namespace,
            rules_of(DEPLOY / "namespaced" / "operator-role.yaml", "squall-operator"),
        )
        await until_told(told, "may not list loadtestpolicies;")
        assert not waiting.done()
        policies = rules_of(DEPLOY / "shared" / "policies.yaml", "squall-policies")
        grant(control_plane.client, namespace, policies, everywhere=True)
        await asyncio.wait_for(waiting, SECONDS)
        # For all namespaces the same rights are not enough.
        more: list[str] = []
        everywhere = asyncio.create_task(kinds.wait_for_kinds(kube, [], more.append))
        await until_told(more, "may not list loadtests;")
        assert not everywhere.done()
        everywhere.cancel()
        await asyncio.gather(everywhere, return_exceptions=True)
    assert len(told) <= 3, "what is known is not told again"
    for path in ("clusterroles", "clusterrolebindings"):
        control_plane.client.delete(f"{RBAC}/{path}/{namespace}")


async def test_kinds_that_are_missing_are_waited_for(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = f"{secrets.token_hex(3)}.example.com"
    monkeypatch.setitem(paths.GROUPS, "somethings", f"apis/{group}/v1")
    monkeypatch.setattr(kinds, "WATCHED", ("somethings",))
    told: list[str] = []
    async with client_of(control_plane) as kube:
        waiting = asyncio.create_task(kinds.wait_for_kinds(kube, [], told.append))
        await until_told(told, "does not know somethings; apply the CRDs")
        names = {"kind": "Something", "plural": "somethings"}
        schema = {"openAPIV3Schema": {"type": "object"}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        crd = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/somethings.{group}"
        control_plane.client.apply(
            crd,
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"somethings.{group}"},
                "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
            },
        )
        await asyncio.wait_for(waiting, SECONDS)
        control_plane.client.delete(crd)
    assert told[0].startswith("the API server does not know")
