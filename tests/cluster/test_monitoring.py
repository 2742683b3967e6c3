"""A real API server with the Prometheus Operator's kinds takes the objects of the components `monitoring` and `workload-alerts`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.controlplane import ControlPlane
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json
from support.kubectl import Kubectl
from support.leftout import missing, skip_if_left_out
from support.rights import DEPLOY

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(120, func_only=True)]

MODULE = "github.com/prometheus-operator/prometheus-operator@v0.79.2"
"""Where the Prometheus Operator's CRDs are; the Go module proxy has it, as it has all that the control plane is built of."""
KINDS = ("podmonitors", "prometheusrules")
COMPONENTS = ("monitoring", "workload-alerts")
NAMESPACE = "squall-monitored"


@pytest.fixture(scope="module")
def kubectl(control_plane: ControlPlane) -> Kubectl:
    skip_if_left_out("control-plane")
    try:
        binaries(["kubectl"])
    except KubeBinariesError as error:
        missing("control-plane", str(error))
    return Kubectl(control_plane.kubeconfig)


@pytest.fixture(scope="module")
def crds() -> list[Path]:
    """The files of the CRDs that are needed."""
    go = shutil.which("go")
    if go is None:
        missing("control-plane", "there is no `go` on the PATH to fetch the Prometheus Operator's CRDs with")
    done = subprocess.run(
        [go, "mod", "download", "-json", MODULE], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr + done.stdout
    folder = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in KINDS]


@pytest.fixture(scope="module")
def monitored(kubectl: Kubectl, crds: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kustomization of a user who takes both components, where the kinds are known."""
    overlay = tmp_path_factory.mktemp("overlay")
    written = {
        "namespace": NAMESPACE,
        "resources": [os.path.relpath(DEPLOY / "base", overlay)],
        "components": [os.path.relpath(DEPLOY / "components" / each, overlay) for each in COMPONENTS],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    for path in crds:
        kubectl("apply", "--server-side", "-f", str(path))
    for kind in KINDS:
        kubectl("wait", "--for=condition=Established", f"crd/{kind}.monitoring.coreos.com", "--timeout=60s")
    kubectl("create", "namespace", NAMESPACE)
    yield overlay
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    for path in crds:
        kubectl("delete", "-f", str(path), "--wait=false")


def objects(kubectl: Kubectl, overlay: Path, kind: str) -> list[Json]:
    built = yaml.safe_load_all(kubectl("kustomize", str(overlay)))
    return [each for each in built if each and each["kind"] == kind]


def test_the_server_takes_them_as_they_are(kubectl: Kubectl, monitored: Path) -> None:
    wanted = {
        (kind, each["metadata"]["name"]): each["spec"]
        for kind in ("PodMonitor", "PrometheusRule")
        for each in objects(kubectl, monitored, kind)
    }
    assert len(wanted) == 4
    kubectl("apply", "--server-side", "--validate=strict", "-k", str(monitored))
    kinds = ",".join(f"{kind}.monitoring.coreos.com" for kind in KINDS)
    taken = json.loads(kubectl("get", kinds, "-n", NAMESPACE, "-o", "json"))["items"]
    assert {(each["kind"], each["metadata"]["name"]): each["spec"] for each in taken} == wanted


def test_the_server_would_refuse_what_is_misspelt(kubectl: Kubectl, monitored: Path) -> None:
    (rules,) = (
        each for each in objects(kubectl, monitored, "PrometheusRule") if each["metadata"]["name"] == "squall"
    )
    rules["spec"]["groups"][0]["rules"][0]["annotation"] = {}
    refused = kubectl.attempt("apply", "--server-side", "-f", "-", text=yaml.safe_dump(rules))
    assert refused.returncode != 0
    assert re.search("annotation.*not declared|unknown field", refused.stderr)


def test_monitors_find_the_pods_and_their_ports(kubectl: Kubectl, monitored: Path) -> None:
    workloads = [
        *objects(kubectl, monitored, "Deployment"),
        *objects(kubectl, monitored, "StatefulSet"),
    ]
    monitors = objects(kubectl, monitored, "PodMonitor")
    assert len(monitors) == len(workloads) == 2
    for workload in workloads:
        template = workload["spec"]["template"]
        labels = template["metadata"]["labels"].items()
        (monitor,) = (each for each in monitors if each["spec"]["selector"]["matchLabels"].items() <= labels)
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        (container,) = template["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert endpoint["port"] in ports
        (job,) = endpoint["relabelings"]
        assert (job["targetLabel"], job["replacement"]) == ("job", workload["metadata"]["name"])
        if workload["kind"] == "StatefulSet":
            assert f"--metrics-listen=0.0.0.0:{ports['metrics']}" in container["args"]
