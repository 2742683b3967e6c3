"""What is there already when a run is launched: the operator takes nothing for its own that it would not make just so, and never asks
what is in a Secret: it has no right to.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from squall.kube.api import KubeError
from squall.kube.paths import named
from squall_operator.acting import Actor
from squall_operator.checked import check
from squall_operator.hubs import HubError
from squall_operator.manifests.owned import Owner
from squall_operator.model import Launch
from squall_operator.settings import RunnerDefaults, Settings

RUN = "shop-0123456789abcdef"
OWNER = Owner(namespace="team", name="shop", uid="u1")
STRANGER = Owner(namespace="team", name="shop", uid="u2")
PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets"}
LOAD_TEST: dict[str, Any] = {
    "apiVersion": "squall.dev/v1alpha1",
    "kind": "LoadTest",
    "metadata": {"name": "shop", "namespace": "team", "uid": "u1"},
    "spec": {
        "scenarios": [
            {
                "name": "s",
                "executor": "shared-iterations",
                "iterations": 1,
                "vus": 1,
                "steps": [{"http": {"url": "http://a/"}}],
            }
        ]
    },
}


def path_of(body: dict[str, Any]) -> str:
    plural = PLURALS.get(body["kind"], f"{body['kind'].lower()}s")
    return named(plural, "team", body["metadata"]["name"])


class Server:
    """An API server; `there` is what it has, by path."""

    def __init__(self, *there: dict[str, Any]) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        for each in there:
            self._keep(each)

    def _keep(self, body: dict[str, Any]) -> dict[str, Any]:
        uid = {"uid": f"uid-of-{body['metadata']['name']}"}
        self.there[path_of(body)] = {**body, "metadata": {**uid, **body["metadata"]}}
        return body

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(f"POST {path}")
        if path_of(body) in self.there:
            raise KubeError(409, f"{body['metadata']['name']} exists", "AlreadyExists")
        return self._keep(body)

    async def get(self, path: str) -> dict[str, Any]:
        self.asked.append(f"GET {path}")
        return self.there[path]

    async def delete(self, path: str, *, body: dict[str, Any] | None = None) -> bool:
        self.asked.append(f"DELETE {path}")
        wanted = (body or {}).get("preconditions", {}).get("uid")
        if path in self.there and wanted not in (None, self.there[path]["metadata"]["uid"]):
            raise KubeError(409, "another one", "Conflict")
        return self.there.pop(path, None) is not None


class Hub:
    """Takes runs, or refuses them."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes

    async def add(self, _hub: str, _spec: object) -> None:
        if not self.takes:
            raise HubError("the hub refuses it")


def actor(server: Server, hub: Hub | None = None) -> Actor:
    settings = Settings(hubs=("http://hub",), hub_key=b"k", runner=RunnerDefaults(image="r"))
    return Actor(server, hub, SimpleNamespace(), settings)  # type: ignore[arg-type]


def made(kind: str, name: str = RUN, owner: Owner = OWNER, **content: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": owner.metadata(RUN, name), **content}


async def launch(server: Server, *hosts: str, hub: Hub | None = None) -> None:
    checked = check(LOAD_TEST, RunnerDefaults(image="r"))
    assert checked.problems == ()
    allowed = (hosts,) if hosts else ()
    await actor(server, hub or Hub()).act(LOAD_TEST, checked, Launch(RUN, "http://hub", allowed))


async def test_a_secret_that_is_there_is_made_anew_and_never_read() -> None:
    server = Server(made("Secret", stringData={"token": "a stranger's"}))
    await actor(server)._make("team", made("Secret", stringData={"token": "the run's"}))
    path = named("secrets", "team", RUN)
    assert server.there[path]["stringData"] == {"token": "the run's"}
    assert f"GET {path}" not in server.asked


@pytest.mark.parametrize("kind", ["Job", "ConfigMap", "PodDisruptionBudget"])
async def test_another_object_that_is_going_is_waited_for(kind: str) -> None:
    going = made(kind)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    server = Server(going)
    with pytest.raises(KubeError, match="exists"):
        await actor(server)._make("team", made(kind))
    assert not any(each.startswith("DELETE") for each in server.asked)


@pytest.mark.parametrize("kind", ["Job", "ConfigMap", "PodDisruptionBudget"])
async def test_what_an_earlier_attempt_has_made_stays(kind: str) -> None:
    server = Server(made(kind, binaryData={"a": "YQ=="}, status={}))
    await actor(server)._make("team", made(kind, binaryData={"a": "YQ=="}))
    assert not any(each.startswith("DELETE") for each in server.asked)


@pytest.mark.parametrize(
    "there",
    [
        made("Job", owner=STRANGER),
        {"kind": "Job", "metadata": {"name": RUN}},
        made("PodDisruptionBudget", owner=STRANGER),
        made("ConfigMap", owner=STRANGER, binaryData={"a": "YQ=="}, immutable=True),
        made("ConfigMap", binaryData={"a": "Yg=="}, immutable=True),
        made("ConfigMap", binaryData={"a": "YQ=="}, data={"b": "more"}, immutable=True),
        made("ConfigMap", binaryData={"a": "YQ=="}),
    ],
    ids=["job of another", "job of nobody", "budget", "map of another", "other content", "more", "mutable"],
)
async def test_what_is_not_as_the_run_needs_it_is_made_anew(there: dict[str, Any]) -> None:
    """Somebody may have made it before the run began, so that pods read what the operator never wrote."""
    content = {"binaryData": {"a": "YQ=="}, "immutable": True} if there["kind"] == "ConfigMap" else {}
    wanted = made(there["kind"], **content)
    server = Server(there)
    with pytest.raises(KubeError, match="exists"):
        await actor(server)._make("team", wanted)
    await actor(server)._make("team", wanted)
    assert server.there[path_of(wanted)]["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert server.there[path_of(wanted)].items() >= content.items()


async def test_a_launch_that_is_tried_again_writes_what_is_true_then() -> None:
    """A policy has changed between two attempts: pods that were made by what it said before do not stay."""
    server = Server()
    await launch(server, "*.old")
    before = server.there[named("configmaps", "team", f"{RUN}-0")]
    with pytest.raises(KubeError, match="exists"):
        await launch(server, "*.new")
    assert named("jobs", "team", RUN) not in server.there
    await launch(server, "*.new")
    assert server.there[named("configmaps", "team", f"{RUN}-0")]["binaryData"] != before["binaryData"]
    assert named("jobs", "team", RUN) in server.there


async def test_a_launch_that_is_tried_again_with_the_same_leaves_its_pods_alone() -> None:
    server = Server()
    await launch(server, "*.old")
    job = server.there[named("jobs", "team", RUN)]
    await launch(server, "*.old")
    assert server.there[named("jobs", "team", RUN)] is job


async def test_a_run_that_the_hub_refuses_gets_no_token() -> None:
    server = Server()
    with pytest.raises(HubError):
        await launch(server, hub=Hub(takes=False))
    assert named("secrets", "team", RUN) not in server.there
