"""One real control plane for all tests of this folder, and the binaries it needs before any of them runs."""

import os
import sys
import time
from collections.abc import Iterator

import pytest
from support.cluster.cluster import prepare_cluster
from support.cluster.machine import MachineError
from support.controlplane import ControlPlane, running_control_plane
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json, KubeClient
from support.leftout import left_out, missing, skip_if_left_out
from support.manifests import committed_crds

PART = "control-plane"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing now: later, the minutes it takes would count against some test's time limit."""
    if session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    for marker, part, prepare in (("control_plane", PART, binaries), ("node", "node", prepare_cluster)):
        if (
            left_out(part)
            or (part == "node" and os.geteuid() != 0)
            or not any(item.get_closest_marker(marker) for item in session.items)
        ):
            continue
        with capture.global_and_fixture_disabled():
            try:
                prepare()
            except (KubeBinariesError, MachineError) as error:
                sys.stderr.write(f"{error}\n")  # and each test that needs them fails with the same message


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane shared by the tests of this session (one per xdist process)."""
    skip_if_left_out(PART)
    try:
        binaries()
    except KubeBinariesError as error:
        missing(PART, str(error))
    with running_control_plane() as plane:
        yield plane


@pytest.fixture(scope="session")
def kube(control_plane: ControlPlane) -> KubeClient:
    """The administrator's client of the shared control plane."""
    return control_plane.client


@pytest.fixture(scope="session")
def crds(kube: KubeClient) -> dict[str, Json]:
    """The committed CRDs, applied and established; as the server has them, by kind."""
    return {manifest["spec"]["names"]["kind"]: _established(kube, manifest) for manifest in committed_crds()}


def _established(kube: KubeClient, manifest: Json) -> Json:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{manifest['metadata']['name']}"
    kube.apply(path, manifest)
    deadline = time.monotonic() + 30
    while True:
        crd = kube.get(path)
        conditions = {
            each["type"]: each["status"] for each in (crd.get("status", {}).get("conditions") or [])
        }
        # Established says the names are taken; the list below answers once the handler serves them.
        served = f"/apis/{manifest['spec']['group']}/v1alpha1/{manifest['spec']['names']['plural']}"
        if conditions.get("Established") == "True" and kube.exists(served):
            return crd
        assert time.monotonic() < deadline, f"{path} is not established: {conditions}"
        time.sleep(0.1)
