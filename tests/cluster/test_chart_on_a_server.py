"""A real API server takes whatever the chart makes, and keeps what must be kept when releases come, change and go.

There is no node here, so nothing runs; tests/cluster/test_installed_by_helm.py goes on where this ends.
"""

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster.operated import until
from support.controlplane import ControlPlane, running_control_plane
from support.gomodules import module_folder
from support.helm import CHART, RELEASE, Helm
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json, KubeClient
from support.kubectl import Kubectl
from support.leftout import missing, skip_if_left_out
from support.manifests import ROOT, committed_crds
from support.rights import allowed

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(180, func_only=True)]

VALUES = sorted((Path(__file__).parent / "chart_values").glob("*.yaml"))
CERT_MANAGER = "github.com/cert-manager/cert-manager@v1.21.2"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.79.2"
NAMESPACE = "squall-system"
TEAMS = ("squall-team-a", "squall-team-b")
NUMBERS = ("100", "200")
"""Namespaces whose names YAML takes for numbers."""
CORE = f"/api/v1/namespaces/{NAMESPACE}"
POLICY = "/apis/squall.dev/v1alpha1/loadtestpolicies/default"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/loadtests.squall.dev"
LOAD_TEST: Json = {
    "apiVersion": "squall.dev/v1alpha1",
    "kind": "LoadTest",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {
        "scenarios": [
            {
                "name": "s",
                "executor": "constant-vus",
                "vus": 1,
                "duration": "1s",
                "steps": [{"name": "t", "think": {"duration": "1s"}}],
            }
        ]
    },
}
KEPT = "/apis/squall.dev/v1alpha1/namespaces/default/loadtests/kept"
QUIET = ("--set", "webhook.enabled=false")
"""Nobody answers for the webhook here."""
BARE = (*QUIET, "--set", "crds.enabled=false")
"""CRDs are large, and most of this is not about them."""
POLICY_ON = ("--set", "defaultPolicy.enabled=true", "--set", "defaultPolicy.spec.maxVUs=7")


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    """They are there; building them the first time counts against no test's time limit."""
    skip_if_left_out("control-plane")
    try:
        binaries(["helm", "kubectl"])
    except KubeBinariesError as error:
        missing("control-plane", str(error))


# -- what it makes is taken ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Helm, Kubectl]]:
    """A server that knows all kinds that the chart may make."""
    with running_control_plane() as plane:
        kubectl = Kubectl(plane.kubeconfig)
        try:
            folders = [
                module_folder(CERT_MANAGER) / "deploy" / "crds",
                module_folder(PROMETHEUS_OPERATOR) / "example" / "prometheus-operator-crd",
            ]
        except KubeBinariesError as error:
            missing("control-plane", str(error))
        files = [
            *sorted((ROOT / "crds").glob("*.yaml")),
            *(folders[0] / f"cert-manager.io_{kind}.yaml" for kind in ("issuers", "certificates")),
            *(
                folders[1] / f"monitoring.coreos.com_{kind}.yaml"
                for kind in ("podmonitors", "servicemonitors", "prometheusrules")
            ),
        ]
        kubectl("apply", "--server-side", *(f"--filename={path}" for path in files))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        for name in (NAMESPACE, *TEAMS, *NUMBERS):
            kubectl("create", "namespace", name)
        yield Helm(tmp_path_factory.mktemp("helm"), plane.kubeconfig), kubectl


@pytest.mark.parametrize("values", VALUES, ids=[each.stem for each in VALUES])
def test_a_server_takes_what_it_makes(every_kind: tuple[Helm, Kubectl], values: Path) -> None:
    helm, kubectl = every_kind
    # The CRDs are the same each time, and large.
    options = () if values.stem == "default" else ("--set", "crds.enabled=false")
    namespace = TEAMS[0] if "namespace" in values.stem else NAMESPACE
    text = helm.render("--values", str(values), *options, namespace=namespace)
    kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", text=text)


# -- releases come and go --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A server that knows nothing of Squall."""
    with running_control_plane() as plane:
        for name in TEAMS:
            Kubectl(plane.kubeconfig)("create", "namespace", name)
        yield plane


@pytest.fixture
def helm(plane: ControlPlane, tmp_path: Path) -> Iterator[Helm]:
    """`helm` for that server; what a test has installed, kept or not, is gone afterwards."""
    helm = Helm(tmp_path, plane.kubeconfig)
    yield helm
    for release in json.loads(helm("list", "--all-namespaces", "--output", "json")):
        helm("uninstall", release["name"], "--namespace", release["namespace"])
    names = [each["metadata"]["name"] for each in committed_crds()]
    Kubectl(plane.kubeconfig)("delete", "crd", "--ignore-not-found", *names)


def install(helm: Helm, *options: str, namespace: str = NAMESPACE) -> None:
    helm("install", RELEASE, str(CHART), "--namespace", namespace, "--create-namespace", *options)


def upgrade(helm: Helm, *options: str) -> None:
    helm("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, *options)


def secret(client: KubeClient, name: str) -> dict[str, bytes]:
    data = client.get(f"{CORE}/secrets/{name}")["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def log_level(client: KubeClient) -> str:
    return str(client.get(f"{CORE}/configmaps/squall-options")["data"]["SQUALL_LOG_LEVEL"])


def test_what_is_secret_is_made_once(plane: ControlPlane, helm: Helm) -> None:
    options = (*BARE, "--set", "hub.tls.enabled=true")
    install(helm, *options)
    key, tls = secret(plane.client, "squall-key"), secret(plane.client, "squall-hub-tls")
    assert len(key["key"]) == 64
    upgrade(helm, *options, "--set", "operator.logLevel=debug")
    assert secret(plane.client, "squall-key") == key
    assert secret(plane.client, "squall-hub-tls") == tls
    helm("rollback", RELEASE, "1", "--namespace", NAMESPACE)
    assert secret(plane.client, "squall-key") == key
    assert secret(plane.client, "squall-hub-tls") == tls
    # Other names take another certificate, and no other key.
    upgrade(helm, *options, "--set", "hub.replicas=2")
    assert secret(plane.client, "squall-key") == key
    assert secret(plane.client, "squall-hub-tls") != tls


def test_the_certificate_that_it_makes_is_one(plane: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    install(helm, *BARE, "--set", "hub.tls.enabled=true,hub.replicas=2")
    tls = secret(plane.client, "squall-hub-tls")
    for name, content in tls.items():
        (tmp_path / name).write_bytes(content)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    for name in ("squall-hub", "squall-hub-1"):
        shake_hands(
            server, ssl.create_default_context(cafile=str(tmp_path / "ca.crt")), f"{name}.{NAMESPACE}.svc"
        )
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, ssl.create_default_context(cafile=str(tmp_path / "ca.crt")), "another.svc")


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Let a client and a server of TLS talk in memory until both are content."""
    pipes = (ssl.MemoryBIO(), ssl.MemoryBIO())
    ends = [
        client.wrap_bio(pipes[0], pipes[1], server_hostname=name),
        server.wrap_bio(pipes[1], pipes[0], server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def test_a_policy_is_there_from_the_first_moment_and_through_all_that_follows(
    plane: ControlPlane, helm: Helm
) -> None:
    install(helm, *QUIET, *POLICY_ON)
    first = plane.client.get(POLICY)
    assert first["spec"] == {"maxVUs": 7}
    upgrade(helm, *QUIET, *POLICY_ON, "--set", "operator.logLevel=debug")
    assert plane.client.get(POLICY)["metadata"]["uid"] == first["metadata"]["uid"], "it was away for a moment"
    upgrade(helm, *QUIET, *POLICY_ON, "--set", "defaultPolicy.spec.maxVUs=8")
    changed = plane.client.get(POLICY)
    assert (changed["spec"], changed["metadata"]["uid"]) == ({"maxVUs": 8}, first["metadata"]["uid"])
    upgrade(helm, *QUIET)
    assert not plane.client.exists(POLICY)
    helm("rollback", RELEASE, "1", "--namespace", NAMESPACE)
    assert plane.client.get(POLICY)["spec"] == {"maxVUs": 7}
    helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    assert plane.client.exists(POLICY), "what came as a hook stays with the CRDs"


def test_load_tests_outlive_upgrade_rollback_and_uninstalling(plane: ControlPlane, helm: Helm) -> None:
    client = plane.client
    install(helm, *QUIET)
    Kubectl(plane.kubeconfig)("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    client.apply(KEPT, LOAD_TEST)
    uid = client.get(KEPT)["metadata"]["uid"]
    upgrade(helm, *QUIET, "--set", "operator.logLevel=debug")
    assert log_level(client) == "debug"
    helm("rollback", RELEASE, "--namespace", NAMESPACE)
    assert log_level(client) == "info"
    assert client.get(KEPT)["metadata"]["uid"] == uid
    helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    assert not client.exists(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/squall-operator")
    assert not client.exists(f"{CORE}/secrets/squall-key")
    assert client.get(KEPT)["metadata"]["uid"] == uid
    install(helm, *QUIET, "--set", "crds.keep=false")
    assert client.get(KEPT)["metadata"]["uid"] == uid
    helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    until(lambda: not client.exists(CRD), 60, lambda: str(client.get(CRD)["status"]))


def test_what_the_operator_writes_into_the_webhook_stays(plane: ControlPlane, helm: Helm) -> None:
    """Its certificate, and what vouches for it: objects of the release that the operator fills."""
    client = plane.client
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/squall"
    install(helm, "--set", "crds.enabled=false")
    names = [each["name"] for each in client.get(path)["webhooks"]]
    bundle = base64.b64encode((plane.authority.certificate).read_bytes()).decode()
    for number in range(len(names)):
        patch = [{"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": bundle}]
        client.request("PATCH", path, patch, content_type="application/json-patch+json")  # type: ignore[arg-type]
    client.merge_patch(f"{CORE}/secrets/squall-webhook", {"data": {"tls.crt": bundle}})
    upgrade(helm, "--set", "crds.enabled=false,webhook.timeoutSeconds=5")
    assert [each["timeoutSeconds"] for each in client.get(path)["webhooks"]] == [5] * len(names)
    helm("rollback", RELEASE, "1", "--namespace", NAMESPACE)
    webhooks = client.get(path)["webhooks"]
    assert [each["clientConfig"].get("caBundle") for each in webhooks] == [bundle] * len(names)
    assert client.get(f"{CORE}/secrets/squall-webhook")["data"] == {"tls.crt": bundle}
    assert {each["timeoutSeconds"] for each in webhooks} == {10}


def test_a_namespace_has_one_and_a_cluster_many(plane: ControlPlane, helm: Helm) -> None:
    install(helm, *BARE)
    second = helm.attempt("install", "another", str(CHART), "--namespace", NAMESPACE, *BARE)
    assert second.returncode != 0
    assert "cannot be imported into the current release" in second.stderr
    helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    for number, team in enumerate(TEAMS):
        shared = ("--set", "rbac.shared=false") if number else ()
        options = ("--set", f"crds.enabled=false,watchNamespaces={{{team}}}")
        install(helm, *options, *shared, namespace=team)
    user = f"system:serviceaccount:{TEAMS[0]}:squall-operator"
    assert allowed(plane.client, user, ("loadtests.squall.dev", "", "list"), TEAMS[0])
    assert not allowed(plane.client, user, ("loadtests.squall.dev", "", "list"), TEAMS[1])
    assert allowed(plane.client, user, ("loadtestpolicies.squall.dev", "", "list"))


def test_the_longest_names_are_taken_twice_in_one_cluster(
    plane: ControlPlane, helm: Helm, tmp_path: Path
) -> None:
    """Of a release and of its namespace, with all that is named after them."""
    switches = "crds.enabled=false,hub.tls.enabled=true,hub.replicas=2,networkPolicy.enabled=true,networkPolicy.runs=true"
    for number in range(2):
        release, namespace = f"{'r' * 52}{number}", f"squall-{'n' * 55}{number}"
        options = f"{switches},watchNamespaces={{{namespace}}},rbac.shared={json.dumps(not number)}"
        helm("install", release, str(CHART), "--namespace", namespace, "--create-namespace", "--set", options)
        data = plane.client.get(f"/api/v1/namespaces/{namespace}/secrets/squall-hub-tls")["data"]
        for name, content in data.items():
            (tmp_path / name).write_bytes(base64.b64decode(content))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
        client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        shake_hands(server, client, f"squall-hub-1.{namespace}.svc")


def test_a_release_is_small_enough_to_be_kept(plane: ControlPlane, helm: Helm) -> None:
    """Helm keeps the chart and all that was made of it in a Secret, which holds 1 MiB."""
    install(helm, *QUIET, "--set", "monitoring.dashboards=true")
    kept = plane.client.get(f"{CORE}/secrets/sh.helm.release.v1.{RELEASE}.v1")
    assert len(base64.b64decode(kept["data"]["release"])) < 600 * 1024
