"""The manifests below deploy/, as `kubectl` builds them and a real API server takes them, and the rights that they give and do not give."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.controlplane import ControlPlane
from support.grafana import DASHBOARDS
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json, KubeClient
from support.kubectl import Kubectl
from support.leftout import missing, skip_if_left_out
from support.rights import DEPLOY, Right, allowed, every, rights, rules_of

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(300, func_only=True)]

OPERATOR = "system:serviceaccount:{}:squall-operator"
READS = ("get", "list", "watch")
WRITES = ("create", "update", "patch", "delete", "deletecollection")
FORBIDDEN: list[Right] = [
    *every((*READS, "update", "patch", "deletecollection"), "secrets"),
    *every(WRITES, "pods"),
    *every(("create", "get"), "pods/exec", "pods/log", "pods/portforward", "pods/attach"),
    *every(("create",), "serviceaccounts", "serviceaccounts/token"),
    *every((*READS, *WRITES), "namespaces", "nodes", "persistentvolumeclaims", "services"),
    *every(("list", "watch", "update"), "configmaps"),
    *every(WRITES, "loadtestpolicies.squall.dev", "loadtestschedules.squall.dev"),
    *every((*READS, *WRITES), "customresourcedefinitions.apiextensions.k8s.io"),
    *every((*READS, *WRITES, "bind", "escalate"), "roles.rbac.authorization.k8s.io"),
    *every((*READS, *WRITES, "bind", "escalate"), "clusterroles.rbac.authorization.k8s.io"),
    *every((*READS, *WRITES), "deployments.apps", "statefulsets.apps"),
    *every(("impersonate",), "users", "groups", "serviceaccounts"),
    *every(("*",), "*.*"),
]


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    """`kubectl` is there; building it the first time is part of setting up, and counts against no test's time limit."""
    skip_if_left_out("control-plane")
    try:
        binaries(["kubectl"])
    except KubeBinariesError as error:
        missing("control-plane", str(error))


@pytest.fixture(scope="module")
def kubectl(control_plane: ControlPlane) -> Kubectl:
    return Kubectl(control_plane.kubeconfig)


@pytest.fixture(scope="module")
def installed(kubectl: Kubectl, kube: KubeClient) -> Iterator[KubeClient]:
    """An API server with both kinds of installation; nothing runs there, and nothing needs to."""
    kube.create("/api/v1/namespaces", namespace("squall-team"))
    for folder in ("", "namespaced"):
        kubectl("apply", "-k", str(DEPLOY / folder))
    binding = ("create", "clusterrolebinding", "squall-policies-squall-team")
    kubectl(*binding, "--clusterrole=squall-policies", "--serviceaccount=squall-team:squall-operator")
    yield kube
    kubectl("delete", "clusterrolebinding", "squall-policies-squall-team")
    kubectl("delete", "-k", str(DEPLOY / "namespaced"))
    kubectl("delete", "-k", str(DEPLOY / "everywhere"), "--wait=false")


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def built(*arguments: str) -> list[Json]:
    return [each for each in yaml.safe_load_all(Kubectl()("kustomize", *arguments)) if each]


def test_it_applies_twice_and_the_second_time_changes_nothing(
    installed: KubeClient, kubectl: Kubectl
) -> None:
    def state() -> dict[str, str]:
        found = json.loads(kubectl("get", "-k", str(DEPLOY), "-o", "json"))["items"]
        return {
            f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"]
            for each in found
        }

    before = state()
    kubectl("apply", "-k", str(DEPLOY))
    assert state() == before


def test_the_operator_may_do_what_its_role_says_and_no_more(installed: KubeClient) -> None:
    user = OPERATOR.format("squall-system")
    for right in rights(rules_of(DEPLOY / "everywhere" / "operator-role.yaml", "squall-operator")):
        assert allowed(installed, user, right, "squall-team"), right
    for where in ("", "default", "squall-system", "kube-system"):
        for right in FORBIDDEN:
            assert not allowed(installed, user, right, where), (right, where)


def test_a_lease_may_be_held_at_home_only(installed: KubeClient) -> None:
    user = OPERATOR.format("squall-system")
    own = ("leases.coordination.k8s.io", "squall-operator")
    for verb in ("get", "update", "create"):
        assert allowed(installed, user, (*own, verb), "squall-system")
        assert not allowed(installed, user, (*own, verb), "default")
    assert not allowed(installed, user, ("leases.coordination.k8s.io", "another", "update"), "squall-system")


def test_the_operator_of_a_namespace_may_do_the_same_there_and_nothing_elsewhere(
    installed: KubeClient,
) -> None:
    user = OPERATOR.format("squall-team")
    own = rights(rules_of(DEPLOY / "namespaced" / "operator-role.yaml", "squall-operator"))
    assert own == rights(rules_of(DEPLOY / "everywhere" / "operator-role.yaml", "squall-operator"))
    for right in own:
        assert allowed(installed, user, right, "squall-team"), right
        assert not allowed(installed, user, right, "default"), right
        assert not allowed(installed, user, right, ""), right
    for verb in READS:
        assert allowed(installed, user, ("loadtestpolicies.squall.dev", "", verb))
    for right in FORBIDDEN:
        assert not allowed(installed, user, right, "squall-team"), right


def test_the_hub_may_do_nothing(installed: KubeClient) -> None:
    for where in ("squall-system", "squall-team"):
        user = f"system:serviceaccount:{where}:squall-hub"
        for right in every((*READS, *WRITES), "secrets", "pods", "loadtests.squall.dev", "configmaps"):
            assert not allowed(installed, user, right, where), right


FOLDERS = {
    "": [],
    "everywhere": ["hub-tls", "hub-remote-write"],
    "namespaced": ["hub-tls", "hub-without-volume"],
    "base": [],
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pod_is_as_restricted_as_can_be(folder: str, tmp_path: Path) -> None:
    for workload in workloads(folder, tmp_path):
        pod = workload["spec"]["template"]["spec"]
        context = pod["securityContext"]
        assert context["runAsNonRoot"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is (workload["kind"] == "Deployment")
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            mounts = {each["name"] for each in container["volumeMounts"]}
            claims = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
            assert mounts == {each["name"] for each in pod["volumes"]} | claims


@pytest.mark.parametrize("folder", FOLDERS)
def test_variables_are_made_of_those_before_them(folder: str, tmp_path: Path) -> None:
    """Kubernetes leaves `$(NAME)` as it is where NAME comes later, and patches change the order."""
    for workload in workloads(folder, tmp_path):
        known: set[str] = set()
        for variable in workload["spec"]["template"]["spec"]["containers"][0].get("env", []):
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= known, variable
            known.add(variable["name"])


def test_names_are_those_that_the_operator_asks_for(tmp_path: Path) -> None:
    """Kustomize changes names that it takes for references, and what it makes is what counts."""
    lease = next(each for each in built(str(DEPLOY)) if each["metadata"]["name"] == "squall-leader")
    assert ("leases.coordination.k8s.io", "squall-operator", "update") in rights(lease["rules"])
    overlay(tmp_path, "", namespace="elsewhere")
    for each in built(str(tmp_path)):
        text = json.dumps(each)
        assert "squall-system" not in text, each["kind"]
        if each["kind"].endswith("Binding"):
            assert {subject["namespace"] for subject in each["subjects"]} == {"elsewhere"}


def workloads(folder: str, place: Path) -> list[Json]:
    overlay(place, folder, components=FOLDERS[folder])
    found = [each for each in built(str(place)) if each["kind"] in ("Deployment", "StatefulSet")]
    assert len(found) == 2
    return found


def overlay(place: Path, folder: str, *, components: tuple[str, ...] | list[str] = (), **parts: str) -> None:
    """A user's own kustomization."""
    written = {
        "resources": [os.path.relpath(DEPLOY / folder, place)],
        "components": [os.path.relpath(DEPLOY / "components" / each, place) for each in components],
        **parts,
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")


def test_dashboards_are_applied_for_grafanas_sidecar(kubectl: Kubectl, kube: KubeClient) -> None:
    kube.create("/api/v1/namespaces", namespace("monitoring"))
    for _ in range(2):
        # The client's apply keeps a copy of each in an annotation, and 256 KiB of annotations is all that an object may have.
        kubectl("apply", "-n", "monitoring", "-k", str(DASHBOARDS))
    found = json.loads(
        kubectl("get", "-n", "monitoring", "configmaps", "-l", "grafana_dashboard=1", "-o", "json")
    )
    shown = {}
    for each in found["items"]:
        annotations = each["metadata"]["annotations"]
        assert annotations["grafana_folder"] == "Squall"
        assert "kubectl.kubernetes.io/last-applied-configuration" in annotations
        ((file, text),) = each["data"].items()
        shown[file] = text
    assert shown == {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")}
    assert max(map(len, shown.values())) < 200_000, (
        "an annotation holds 256 KiB, with every quote of the text escaped"
    )
    kubectl("delete", "namespace", "monitoring", "--wait=false")


def test_dashboards_may_stand_beside_squall_in_a_kustomization(tmp_path: Path) -> None:
    overlay(tmp_path, "", components=["../../dashboards"])
    found = [
        each for each in built(str(tmp_path)) if "grafana_dashboard" in each["metadata"].get("labels", {})
    ]
    assert len(found) == len(list(DASHBOARDS.glob("*.json")))
    assert {each["kind"] for each in found} == {"ConfigMap"}
