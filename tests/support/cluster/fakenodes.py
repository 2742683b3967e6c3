"""A node that runs nothing, for tests of scale: kwok says of its pods what a kubelet would say.

A thousand pods need a cluster; what the operator sees of them needs none. A fake node takes whatever is scheduled to it, its pods are
created, get ready and go after a second or some, and `support.fakefleet` speaks for the runners in them. A control plane with fake
nodes has no others: nothing keeps pods that should really run away from these.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cluster.access import Access
from support.cluster.controllers import running_controllers
from support.controlplane import ControlPlane, running_control_plane, write_kubeconfig
from support.kubebin import PACKAGES, binaries
from support.kubeclient import ApiError
from support.processes import Process

NAME = "squall-fake-node"
_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/general/pod-create.yaml",
    "pod/general/pod-ready.yaml",
    "pod/general/pod-delete.yaml",
)
"""How nodes and pods come and go, as kwok's own module has it; without any, kwok exits."""
_MARK = ("kwok.x-k8s.io/node", "fake")
_READY_SECONDS = 60.0


def _stages() -> list[Path]:
    """The stages' files; Go's module cache has them since kwok was built, or fetches them."""
    module = PACKAGES["kwok"].replace("/cmd/kwok", "")
    done = subprocess.run(
        ["go", "mod", "download", "-json", module], capture_output=True, check=True, text=True
    )
    return [Path(json.loads(done.stdout)["Dir"]) / "kustomize" / "stage" / name for name in _STAGES]


@contextmanager
def running_fake_node(plane: ControlPlane) -> Iterator[None]:
    """Have a fake node until the end of the block.

    Raises:
        KubeBinariesError: kwok is not there and cannot be built.
        ProcessError: The node did not come up.
    """
    binary = binaries(["kwok"])["kwok"]
    identity = plane.authority.issue("kwok", name="kwok", organization="system:masters")
    access = write_kubeconfig(plane.folder / "kwok.kubeconfig", plane.url, plane.authority, identity)
    key, value = _MARK
    command = [str(binary), f"--kubeconfig={access}", "--manage-all-nodes=false"]
    command += [f"--manage-nodes-with-annotation-selector={key}={value}"]
    command += [f"--config={stage}" for stage in _stages()]
    metadata = {"name": NAME, "annotations": {key: value}, "labels": {"kubernetes.io/hostname": NAME}}
    plane.client.apply(f"/api/v1/nodes/{NAME}", {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    process = Process(command, log=plane.folder / "kwok.log")
    try:
        process.wait_until(lambda: _is_ready(plane), timeout=_READY_SECONDS)
        yield
    finally:
        process.stop()


def _is_ready(plane: ControlPlane) -> bool:
    try:
        node = plane.client.get(f"/api/v1/nodes/{NAME}")
    except (ApiError, OSError):
        return False
    ready = [each for each in node.get("status", {}).get("conditions", ()) if each["type"] == "Ready"]
    return bool(ready) and ready[0]["status"] == "True" and not node["spec"].get("taints")


@contextmanager
def running_fake_cluster(*options: str) -> Iterator[tuple[ControlPlane, Access]]:
    """A control plane with controllers and a fake node, and a way into it as a user of its own, `squall-operator`.

    Args:
        options: More options for the API server.

    Raises:
        KubeBinariesError: A binary is not there and cannot be built.
        ProcessError: A part did not come up.
    """
    with (
        running_control_plane(options=options) as plane,
        running_controllers(plane),
        running_fake_node(plane),
    ):
        user = plane.authority.issue("operator", name=OPERATOR, organization="system:masters")
        config = write_kubeconfig(plane.folder / "operator.kubeconfig", plane.url, plane.authority, user)
        yield plane, Access(plane.client, config, plane.address, load=None, node_here=False)


OPERATOR = "squall-operator"
"""Who calls the API server with the kubeconfig that `running_fake_cluster` gives."""
