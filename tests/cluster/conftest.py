"""One real control plane for all tests of this folder, and the binaries it needs before any of them runs."""

import sys
from collections.abc import Iterator

import pytest
from support.controlplane import ControlPlane, running_control_plane
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import KubeClient
from support.leftout import left_out, missing, skip_if_left_out

PART = "control-plane"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing now: later, the minutes it takes would count against some test's time limit."""
    wanted = any(item.get_closest_marker("control_plane") for item in session.items)
    if not wanted or session.config.option.collectonly or left_out(PART):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            binaries()
        except KubeBinariesError as error:
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
