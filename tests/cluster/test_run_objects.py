"""What the operator makes for a run is accepted by a real API server, in a namespace that allows restricted pods only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.controlplane import ControlPlane
from support.kubeclient import ApiError, Json, KubeClient
from support.kubes import client_of

from squall.kube.api import KubeError
from squall.kube.paths import collection
from squall.kube.runs import run_id
from squall_operator.acting import _PLURALS, Actor, _is_as_made
from squall_operator.checked import Checked, check
from squall_operator.manifests.egress import build_egress
from squall_operator.manifests.inputs import RunInputs, build_inputs
from squall_operator.manifests.job import build_budget, build_job
from squall_operator.manifests.owned import Owner
from squall_operator.settings import RunnerDefaults

pytestmark = pytest.mark.control_plane
NAMESPACE = "squall-restricted"
DEFAULTS = RunnerDefaults(image="registry.example/squall-runner:1", pull_secrets=("pull",))
STEPS = [{"http": {"url": "/"}}]
SCENARIO = {"name": "s", "executor": "constant-vus", "vus": 1, "duration": "10s", "steps": STEPS}
TEMPLATE = {
    "metadata": {"labels": {"team": "shop"}, "annotations": {"example.com/why": "load"}},
    "spec": {
        "nodeSelector": {"pool": "load"},
        "tolerations": [{"key": "load", "operator": "Exists"}],
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["shop.test"]}],
        "volumes": [{"name": "extra", "emptyDir": {}}],
        "containers": [
            {"name": "runner", "env": [{"name": "A", "value": "b"}]},
            {"name": "sidecar", "image": "registry.example/side:1", "securityContext": {"capabilities": {}}},
        ],
        "initContainers": [
            {"name": "first", "image": "a:1", "securityContext": {"allowPrivilegeEscalation": None}}
        ],
    },
}


@pytest.fixture(scope="module")
def restricted(kube: KubeClient) -> Iterator[KubeClient]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    path = f"/api/v1/namespaces/{NAMESPACE}"
    kube.apply(
        path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    )
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    kube.apply(f"{path}/serviceaccounts/default", account)
    yield kube
    kube.delete(path)


def body(name: str = "shop", **spec: Any) -> Json:
    base = {"http": {"baseUrl": "http://shop.test"}, "scenarios": [SCENARIO]}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": "0d9e0b7e-8f9b-4e63-a4d4-000000000001"},
        "spec": {**base, **spec},
    }


def objects(load_test: Json, run: str) -> list[Json]:
    """Everything that is made for a run, in order; the pod of its Job's template at the end."""
    checked: Checked = check(load_test, DEFAULTS)
    assert checked.problems == ()
    assert checked.test is not None
    assert checked.plan is not None
    metadata = load_test["metadata"]
    owner = Owner(namespace=NAMESPACE, name=metadata["name"], uid=metadata["uid"])
    given = RunInputs(
        run=run,
        hub="http://hub:4180",
        hub_ca="",
        token="t",
        manifest=checked.test.data,
        spec=checked.test.model.spec,
        variables=checked.test.variables,
        processes=checked.processes,
        allowed_hosts=(("*.test",),),
    )
    inputs = build_inputs(owner, given)
    job = build_job(
        owner,
        run,
        checked.test.model.spec,
        inputs,
        pods=checked.plan.pods,
        start_seconds=300,
        defaults=DEFAULTS,
    )
    template = job["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": f"{run}-0", "namespace": NAMESPACE},
        "spec": template["spec"],
    }
    budget = build_budget(owner, run, pods=checked.plan.pods)
    hub = "http://squall-hub.squall-system.svc:4180"
    egress = build_egress(owner, run, hub, [["10.0.0.0/8", "2001:db8::/32", "*.team-a.svc"]])
    return [*inputs.objects, inputs.token, budget, egress, job, pod]


def tried(kube: KubeClient, made: Json) -> Json:
    path = collection(_PLURALS.get(made["kind"], f"{made['kind'].lower()}s"), NAMESPACE)
    return kube.request("POST", f"{path}?fieldValidation=Strict&dryRun=All", made)


@pytest.mark.parametrize(
    "load_test",
    [
        body(),
        body("x" * 63, shards=8, runner={"shardsPerPod": 4}),
        body("a.b." + "c" * 59),
        body(runner={"template": TEMPLATE}),
        body(safety={"onRunnerLoss": "continue"}),
        body(
            files=[
                {"name": "a.csv", "inline": "a\n1\n"},
                {"name": "b", "configMap": {"name": "m", "key": "k"}},
                {"name": "c", "secret": {"name": "s", "key": "k"}},
                {"name": "d", "volumeClaim": {"claimName": "claim", "path": "d.csv"}},
                {"name": "e", "secret": {"name": "s", "key": "k", "pieces": 32, "sizeBytes": 1}},
            ],
            variables=[{"name": "token", "secret": {"name": "s", "key": "t"}}],
        ),
    ],
    ids=["plain", "63 characters", "dots", "template", "replaced", "files"],
)
def test_every_object_is_accepted(restricted: KubeClient, load_test: Json) -> None:
    run = run_id(load_test["metadata"]["name"], load_test["metadata"]["uid"], "0123456789abcdef")
    for made in objects(load_test, run):
        stored = tried(restricted, made)
        assert stored["metadata"]["name"].startswith(run)
        # Else the operator would take its own for a stranger's; what is in a Secret it never asks.
        assert made["kind"] == "Secret" or _is_as_made(stored, made)


def test_the_namespace_does_refuse_what_is_not_restricted(restricted: KubeClient) -> None:
    pod = objects(body(), "shop-00000000")[-1]
    del pod["spec"]["containers"][0]["securityContext"]
    with pytest.raises(ApiError, match="violates PodSecurity"):
        tried(restricted, pod)


async def test_an_old_status_and_a_status_of_a_former_one_are_refused(
    kube: KubeClient, crds: Json, control_plane: ControlPlane
) -> None:
    del crds
    path = "/apis/squall.dev/v1alpha1/namespaces/default/loadtests/status-versions"
    made = body("status-versions")
    del made["metadata"]["uid"]
    made["metadata"]["namespace"] = "default"
    first = kube.apply(path, made)
    kube.apply(path, {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}})
    async with client_of(control_plane) as client:
        actor = Actor(client, None, None, None)  # type: ignore[arg-type]
        with pytest.raises(KubeError) as old:
            await actor._write_status(first, {"phase": "Suspended"})
        assert old.value.status == 409
        written = await actor._write_status(kube.get(path), {"phase": "Suspended"})
        assert written["status"]["phase"] == "Suspended"
        kube.delete(path)
        with pytest.raises(KubeError) as gone:
            await actor._write_status(written, {"phase": "Suspended"})
        assert gone.value.status == 404
