"""`kubectl squall`: kubectl finds the command as its plugin, and what it prints speaks of it by that name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.controlplane import ControlPlane
from support.kubebin import binaries
from support.kubeclient import Json

pytestmark = pytest.mark.control_plane


def kubectl(plane: ControlPlane, *arguments: str) -> str:
    """What kubectl prints, with the plugin on its path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [binaries(["kubectl"])["kubectl"], *arguments],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(plane.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kubectl_has_squall_as_a_command(control_plane: ControlPlane, crds: dict[str, Json]) -> None:
    del crds
    assert "kubectl-squall" in kubectl(control_plane, "plugin", "list")
    assert kubectl(control_plane, "squall", "run", "--help").startswith("Usage: kubectl squall run ")
    kubectl(control_plane, "squall", "get", "--all-namespaces")
