"""The manifests below deploy/, as `kubectl` builds them and a real API server takes them, and the rights that they give and do not give."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.controlplane import ControlPlane
from support.documentation import blocks
from support.grafana import DASHBOARDS
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json, KubeClient
from support.kubectl import Kubectl
from support.leftout import missing, skip_if_left_out
from support.rights import DEPLOY, Right, allowed, every, rights, rules_of

from squall_operator.admission.server import PATH, SECONDS

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(300, func_only=True)]

OPERATOR = "system:serviceaccount:{}:squall-operator"
READS = ("get", "list", "watch")
WRITES = ("create", "update", "patch", "delete", "deletecollection")
FORBIDDEN: list[Right] = [
    *every((*READS, "update", "patch", "deletecollection"), "secrets"),
    *every(WRITES, "pods"),
    *every(("create", "get"), "pods/exec", "pods/log", "pods/portforward", "pods/attach"),
    *every(("create",), "serviceaccounts", "serviceaccounts/token"),
    *every((*READS, *WRITES), "namespaces", "persistentvolumeclaims", "services"),
    *every(("get", "watch", *WRITES), "nodes"),
    *every(("list", "watch", "update"), "configmaps"),
    *every(WRITES, "loadtestpolicies.squall.dev", "loadtestschedules.squall.dev"),
    *every((*READS, *WRITES), "customresourcedefinitions.apiextensions.k8s.io"),
    *every((*READS, *WRITES, "bind", "escalate"), "roles.rbac.authorization.k8s.io"),
    *every((*READS, *WRITES, "bind", "escalate"), "clusterroles.rbac.authorization.k8s.io"),
    *every((*READS, *WRITES), "deployments.apps", "statefulsets.apps"),
    *every(("impersonate",), "users", "groups", "serviceaccounts"),
    *every((*READS, *WRITES), "networkpolicies.networking.k8s.io"),
    *every((*READS, *WRITES), "validatingwebhookconfigurations.admissionregistration.k8s.io"),
    *every((*READS, *WRITES), "mutatingwebhookconfigurations.admissionregistration.k8s.io"),
    *every(("*",), "*.*"),
]
ASKED_BY_WEBHOOK: list[Right] = [
    ("nodes", "", "list"),
    ("subjectaccessreviews.authorization.k8s.io", "", "create"),
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


def test_the_webhook_has_one_secret_one_configuration_and_two_questions(installed: KubeClient) -> None:
    user = OPERATOR.format("squall-system")
    for verb in ("get", "update"):
        assert allowed(installed, user, ("secrets", "squall-webhook", verb), "squall-system")
        assert not allowed(installed, user, ("secrets", "squall-webhook", verb), "default")
        assert not allowed(installed, user, ("secrets", "squall-key", verb), "squall-system")
    configurations = "validatingwebhookconfigurations.admissionregistration.k8s.io"
    for verb in ("get", "patch"):
        assert allowed(installed, user, (configurations, "squall", verb))
        assert not allowed(installed, user, (configurations, "another", verb))
    for right in ASKED_BY_WEBHOOK:
        assert allowed(installed, user, right)
        assert not allowed(installed, OPERATOR.format("squall-team"), right)
        assert not allowed(installed, OPERATOR.format("squall-team"), right, "squall-team")


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
    for verb in ("list", "watch"):
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
    "everywhere": ["hub-tls", "hub-remote-write", "webhook-cert-manager", "run-egress"],
    "namespaced": ["hub-tls", "hub-without-volume", "run-egress"],
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


@pytest.mark.parametrize("folder", ["everywhere", "namespaced"])
def test_networks_of_runs_are_a_choice(folder: str, tmp_path: Path) -> None:
    overlay(tmp_path, folder, components=["run-egress"])
    made = built(str(tmp_path))
    (role,) = (
        each
        for each in made
        if each["kind"].endswith("Role") and each["metadata"]["name"] == "squall-operator"
    )
    more = rights(role["rules"]) - rights(rules_of(DEPLOY / folder / "operator-role.yaml", "squall-operator"))
    assert more == set(every(("get", "create", "delete"), "networkpolicies.networking.k8s.io"))
    (operator,) = (each for each in made if each["kind"] == "Deployment")
    variables = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SQUALL_RUN_EGRESS", "value": "true"} in variables


def test_where_cert_manager_keeps_the_certificate_no_secret_may_be_read(tmp_path: Path) -> None:
    overlay(tmp_path, "", components=["webhook-cert-manager"])
    made = built(str(tmp_path))
    given = {
        right
        for each in made
        if each["kind"].endswith("Role") and each["metadata"]["name"].startswith("squall-")
        for right in rights(each["rules"])
    }
    assert {verb for resource, _, verb in given if resource == "secrets"} == {"create", "delete"}
    assert not any(resource.startswith("validatingwebhook") for resource, _, _ in given)
    (configuration,) = (each for each in made if each["kind"] == "ValidatingWebhookConfiguration")
    source = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    (certificate,) = (
        each
        for each in made
        if each["kind"] == "Certificate" and f"squall-system/{each['metadata']['name']}" == source
    )
    (service,) = (
        each for each in made if each["metadata"]["name"] == "squall-webhook" and each["kind"] == "Service"
    )
    assert certificate["spec"]["dnsNames"] == [f"{service['metadata']['name']}.squall-system.svc"]
    (operator,) = (each for each in made if each["kind"] == "Deployment")
    volumes = {each["name"]: each for each in operator["spec"]["template"]["spec"]["volumes"]}
    assert volumes["webhook"]["secret"]["secretName"] == certificate["spec"]["secretName"]


def test_the_webhook_is_found_where_it_is_served(tmp_path: Path) -> None:
    overlay(tmp_path, "", namespace="elsewhere")
    made = {(each["kind"], each["metadata"]["name"]): each for each in built(str(tmp_path))}
    service, operator = made["Service", "squall-webhook"], made["Deployment", "squall-operator"]
    pod = operator["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    ports = {each["name"]: each["containerPort"] for each in pod["spec"]["containers"][0]["ports"]}
    variables = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert variables["SQUALL_WEBHOOK_LISTEN"] == f"0.0.0.0:{ports[service['spec']['ports'][0]['targetPort']]}"
    assert variables["SQUALL_WEBHOOK_HOST"] == "squall-webhook.$(SQUALL_LEASE_NAMESPACE).svc"
    for each in made["ValidatingWebhookConfiguration", "squall"]["webhooks"]:
        expected = {"name": "squall-webhook", "namespace": "elsewhere", "port": 443, "path": PATH}
        assert each["clientConfig"]["service"] == expected
        assert each["timeoutSeconds"] > SECONDS


def test_what_the_page_on_admission_changes_is_changed(tmp_path: Path) -> None:
    changed = []
    for number, block in enumerate(blocks("")):
        if block.page.name == "admission.md" and block.text.startswith("# squall/kustomization.yaml\n"):
            place = tmp_path / f"{number}"
            place.mkdir()
            text = block.text.replace("../deploy", os.path.relpath(DEPLOY, place))
            (place / "kustomization.yaml").write_text(text, encoding="utf-8")
            changed.append(built(str(place)))

    def webhooks(made: list[Json]) -> list[Json]:
        return [each for each in made if each["kind"] == "ValidatingWebhookConfiguration"]

    ignoring, by_cert_manager, without = changed
    assert {each["failurePolicy"] for each in webhooks(ignoring)[0]["webhooks"]} == {"Ignore"}
    assert [each["kind"] for each in by_cert_manager].count("Certificate") == 2
    assert webhooks(without) == []
    (operator,) = (each for each in without if each["kind"] == "Deployment")
    variables = {each["name"] for each in operator["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert "SQUALL_WEBHOOK_LISTEN" not in variables


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
