"""The control plane that other tests build on is a real one, and goes away without a trace."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.controlplane import running_control_plane
from support.kubebin import kubernetes_version
from support.kubeclient import ApiError, KubeClient

pytestmark = pytest.mark.control_plane

SCRIPT = """
import sys, time
from support.controlplane import running_control_plane
with running_control_plane() as plane:
    print(plane.etcd.pid, plane.apiserver.pid, plane.kubeconfig.parent, flush=True)
    time.sleep(600)
"""


def test_it_is_the_pinned_kubernetes(kube: KubeClient) -> None:
    assert kube.get("/version")["gitVersion"] == kubernetes_version()


def test_it_applies_on_the_server_side_and_says_why_it_refuses(kube: KubeClient) -> None:
    path = "/api/v1/namespaces/default/configmaps/control-plane-test"
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "control-plane-test"}}
    assert kube.apply(path, {**config_map, "data": {"a": "1"}})["data"] == {"a": "1"}
    with pytest.raises(ApiError, match="dta: field not declared in schema") as refused:
        kube.apply(path, {**config_map, "dta": {}})
    assert refused.value.status == 500  # what a typed patch answers, Strict or not
    kube.delete(path)
    assert not kube.exists(path)


def test_several_live_side_by_side_and_leave_nothing_behind(kube: KubeClient) -> None:
    with running_control_plane() as second:
        assert second.url != kube.url
        assert second.client.exists("/api/v1/namespaces/default")
        folder, pids = second.kubeconfig.parent, (second.etcd.pid, second.apiserver.pid)
    assert not folder.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_a_killed_test_process_takes_its_control_plane_along() -> None:
    tests = Path(__file__).resolve().parent.parent
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={"PYTHONPATH": str(tests), **_environment()},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    etcd, apiserver, folder = parent.stdout.readline().split()
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while any(_alive(int(pid)) for pid in (etcd, apiserver)):
        assert time.monotonic() < deadline, "etcd or kube-apiserver outlived the process that started it"
        time.sleep(0.05)
    _remove(Path(folder))


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def _alive(pid: int) -> bool:
    """Not gone, and not a zombie that only waits for its new parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _remove(folder: Path) -> None:
    assert folder.name.startswith("squall-control-plane-")
    shutil.rmtree(folder)
