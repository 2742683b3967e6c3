"""One real control plane for all tests of this folder, and the binaries it needs before any of them runs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from support.ahead import build_ahead
from support.cluster.access import IMAGES_THERE, Access, access_to, given_access, is_given
from support.cluster.built import INSTALLED, image_archive, prepare_images
from support.cluster.cluster import Cluster, prepare_cluster, running_cluster
from support.cluster.hosttarget import Target, running_target
from support.cluster.machine import MachineError
from support.cluster.operated import Installation, installation
from support.controlplane import ControlPlane, running_control_plane
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json, KubeClient
from support.leftout import left_out, missing, skip_if_left_out, skip_without_node
from support.longwork import LongWorkError
from support.manifests import committed_crds
from support.playedoperator import Stage

PART = "control-plane"
TEST_SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Waiting for another file's node to end is part of setting up, and counts against no test's time limit."""
    for item in items:
        if item.get_closest_marker("node") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


def pytest_collection_finish(session: pytest.Session) -> None:
    build_ahead(session, _preparations(session.items), (KubeBinariesError, MachineError, LongWorkError))


def _preparations(items: Sequence[pytest.Item]) -> Iterator[Callable[[], object]]:
    """What has to be done for these tests."""
    if not left_out(PART) and any(item.get_closest_marker("control_plane") for item in items):
        yield binaries
    if left_out("node") or (os.geteuid() != 0 and not is_given()):
        return
    if any("cluster" in getattr(item, "fixturenames", ()) for item in items) or (
        not is_given() and any(item.get_closest_marker("node") for item in items)
    ):
        yield prepare_cluster
    if any("images" in getattr(item, "fixturenames", ()) for item in items):
        yield prepare_images
    if any("evm_image" in getattr(item, "fixturenames", ()) for item in items):
        yield partial(prepare_images, ["runner-evm"])


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with a node, shared by the tests of one file.

    There is one node on a machine: kept for the whole session, it would keep the files of other xdist processes waiting.
    """
    skip_without_node()
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(running_cluster())
        except (MachineError, KubeBinariesError) as error:
            missing("node", str(error))
        yield cluster


def _shared(fixture_name: str, config: pytest.Config) -> Literal["session", "module"]:
    """A cluster that is given keeps nobody waiting, so what stands on it lives as long as the process."""
    del fixture_name, config
    return "session" if is_given() else "module"


@pytest.fixture(scope=_shared)
def access(request: pytest.FixtureRequest) -> Iterator[Access]:
    """The way into a cluster with nodes: the one that is given, or one of the tests' own."""
    if is_given():
        with given_access() as access:
            yield access
    else:
        yield access_to(request.getfixturevalue("cluster"))


@pytest.fixture(scope=_shared)
def images(access: Access) -> None:
    """The project's own images are known to the nodes, under their names in `support.cluster.built.IMAGES`."""
    if not os.environ.get(IMAGES_THERE):
        _load(access, INSTALLED)


@pytest.fixture(scope=_shared)
def evm_image(access: Access) -> None:
    """The image of runners with what EVM steps need is known to the nodes."""
    _load(access, ["runner-evm"])


def _load(access: Access, targets: Sequence[str]) -> None:
    if access.load is None:
        return
    try:
        for target in targets:
            access.load(image_archive(target))
    except LongWorkError as error:
        missing("node", str(error))


@pytest.fixture(scope=_shared)
def squall(access: Access, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A hub and an operator beside the node, for a namespace of their own."""
    del images
    with installation(access, tmp_path_factory.mktemp("squall")) as squall:
        yield squall


@pytest.fixture(scope=_shared)
def hasty(squall: Installation) -> Installation:
    """The same in another namespace, with an operator that waits for little."""
    return squall.beside("--schedule-deadline", "15", "--start-deadline", "30")


@pytest.fixture
def target(access: Access) -> Iterator[Target]:
    """A target on the node that knows when every request came."""
    if not access.node_here:
        pytest.skip("left out: the node is another machine, and load stays on loopback")
    with running_target() as target:
        yield target


@pytest.fixture
def on_node(squall: Installation, target: Target) -> Installation:
    """The hub and the operator, in their namespace for LoadTests with that target."""
    del target
    return squall.on_node


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


@pytest.fixture
def stage(control_plane: ControlPlane, crds: dict[str, Json], tmp_path: Path) -> Iterator[Stage]:
    """Whoever plays the operator and types commands, before the real API server alone."""
    del crds
    stage = Stage(control_plane.client, control_plane.kubeconfig, tmp_path)
    yield stage
    stage.close()
