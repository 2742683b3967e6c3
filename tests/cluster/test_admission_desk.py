"""What the webhook asks a real API server, and what it makes of answers that do not come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from support.controlplane import ControlPlane, write_kubeconfig
from support.hooked import Roles, load_test
from support.kubeclient import Json, KubeClient
from support.processes import free_ports

from squall.kube.api import Kube, KubeError
from squall_operator.admission.desk import Desk
from squall_operator.settings import RunnerDefaults, Settings

pytestmark = pytest.mark.control_plane

OPERATOR = "desk-operator"
SETTINGS = Settings(hubs=(), hub_key=b"k", runner=RunnerDefaults(image="runner"))
NEEDED = [
    {"apiGroups": ["squall.dev"], "resources": ["loadtestpolicies"], "verbs": ["list"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]
NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
LARGE = {"resources": {"requests": {"cpu": "99"}, "limits": {"cpu": "99"}}}


@pytest.fixture
def roles(kube: KubeClient, crds: dict[str, Json]) -> Iterator[Roles]:
    del crds
    given = Roles(kube)
    yield given
    given.close()


@pytest.fixture
def node(kube: KubeClient) -> Iterator[None]:
    status = {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]}
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "desk"}, "status": status}
    kube.create("/api/v1/nodes", made)
    kube.merge_patch("/api/v1/nodes/desk", {"spec": {"taints": None}})
    yield
    kube.delete("/api/v1/nodes/desk")


@asynccontextmanager
async def desk(plane: ControlPlane, folder: Path, *, url: str = "", **settings: Any) -> AsyncIterator[Desk]:
    """As the operator has it, with the rights of a user that is no administrator."""
    account = plane.authority.issue(OPERATOR, name=OPERATOR)
    config = write_kubeconfig(folder / "kubeconfig", url or plane.url, plane.authority, account)
    configuration = Configuration()
    await load_kube_config(config_file=str(config), client_configuration=configuration)
    kube = Kube(ApiClient(configuration), "squall-operator")
    found = Desk(kube, Settings(**{**_as_given(SETTINGS), **settings}), time.monotonic)
    try:
        yield found
    finally:
        found.close()
        await kube.close()


def _as_given(settings: Settings) -> dict[str, Any]:
    return {"hubs": settings.hubs, "hub_key": settings.hub_key, "runner": settings.runner}


def asked(body: Json, user: str = "jane") -> Json:
    request = {
        "uid": "u",
        "kind": {"kind": "LoadTest"},
        "namespace": "default",
        "userInfo": {"username": user, "groups": ["system:authenticated"], "extra": {"a": ["b"]}},
        "object": body,
        "oldObject": None,
    }
    return {"request": request}


async def test_what_the_operator_itself_writes_is_judged_when_it_runs(
    control_plane: ControlPlane, roles: Roles, tmp_path: Path
) -> None:
    roles.give(OPERATOR, "desk", NEEDED)
    wrong = load_test("made", shards=0)
    async with desk(control_plane, tmp_path) as found:
        assert (await found.answer(asked(wrong, OPERATOR)))["response"] == {"uid": "u", "allowed": True}
        assert not (await found.answer(asked(wrong)))["response"]["allowed"]


async def test_a_right_is_asked_for_once_however_often_a_thing_is_named(
    control_plane: ControlPlane, roles: Roles, tmp_path: Path
) -> None:
    roles.give(OPERATOR, "desk", NEEDED)
    variables = [
        {"name": f"v{number}", "secret": {"name": f"s{number % 40}", "key": "k"}} for number in range(80)
    ]
    async with desk(control_plane, tmp_path) as found:
        told = (await found.answer(asked(load_test("many", variables=variables))))["response"]["status"]
    assert told["message"].startswith("40 problems\n")
    assert "spec.variables[39].secret: jane may not get the Secret s39" in told["message"]
    assert "spec.variables[40]" not in told["message"]


async def test_nodes_are_seen_where_that_is_allowed_and_by_nobody_for_one_namespace(
    control_plane: ControlPlane, roles: Roles, node: None, tmp_path: Path
) -> None:
    del node
    large = asked(load_test("large", runner=LARGE))
    roles.give(OPERATOR, "desk", NEEDED)
    async with desk(control_plane, tmp_path) as found:
        assert (await found.answer(large))["response"] == {"uid": "u", "allowed": True}
    roles.give(OPERATOR, "desk", [*NEEDED, NODES])
    async with desk(control_plane, tmp_path) as found:
        (warning,) = (await found.answer(large))["response"]["warnings"]
        assert "a runner pod asks for 99 CPUs, and the largest node has" in warning
    async with desk(control_plane, tmp_path, namespaces=("default",)) as found:
        assert (await found.answer(large))["response"] == {"uid": "u", "allowed": True}


async def test_without_what_has_to_be_known_there_is_no_verdict(
    control_plane: ControlPlane, roles: Roles, tmp_path: Path
) -> None:
    for missing in range(2):
        roles.give(OPERATOR, "desk", [rule for number, rule in enumerate(NEEDED) if number != missing])
        secret = load_test("secret", variables=[{"name": "v", "secret": {"name": "s", "key": "k"}}])
        async with desk(control_plane, tmp_path) as found:
            with pytest.raises(KubeError, match=NEEDED[missing]["resources"][0]):
                await found.answer(asked(secret))
    (port,) = free_ports(1)
    async with desk(control_plane, tmp_path, url=f"https://127.0.0.1:{port}") as found:
        with pytest.raises(KubeError, match="does not answer"):
            await found.answer(asked(load_test("away")))
