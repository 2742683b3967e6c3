"""A kubelet with a container runtime and a pod network: a real node of the test cluster."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from support.cluster.images import pause_archive
from support.cluster.machine import only_node
from support.cluster.network import remove_interfaces, remove_rules, running_proxy, write_cni_config
from support.cluster.runtime import PAUSE_IMAGE, Runtime, clear, running_runtime
from support.controlplane import ControlPlane, write_kubeconfig
from support.kubebin import binaries
from support.kubeclient import ApiError
from support.processes import Process, free_ports

NAME = "squall-test-node"
DNS_ADDRESS = "10.0.0.10"
CLUSTER_DOMAIN = "cluster.local"
FOLDER = Path("/run/squall-test-node")
"""One place, since there is one node, so that the next one can clear away what a killed one has left; short, for sockets."""
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Node:
    """A running node.

    Attributes:
        name: As in the API.
        kubelet: Its process: to be stopped and continued by tests of lost nodes.
    """

    name: str
    runtime: Runtime
    kubelet: Process


@contextmanager
def running_node(plane: ControlPlane) -> Iterator[Node]:
    """Run a node until the end of the block, and wait until it is ready.

    Raises:
        ProcessError: One of its parts did not come up.
    """
    with only_node(), ExitStack() as stack:
        _clear_away()
        FOLDER.mkdir(mode=0o700, parents=True)
        stack.callback(_clear_away)
        network = write_cni_config(FOLDER)
        runtime = stack.enter_context(running_runtime(FOLDER / "containerd", network))
        runtime.load(pause_archive(FOLDER, PAUSE_IMAGE))
        kubelet = _start_kubelet(plane, runtime)
        stack.callback(kubelet.stop)
        stack.enter_context(running_proxy(plane, NAME))  # waits until the kubelet has made its node known
        kubelet.wait_until(lambda: _is_ready(plane), timeout=_READY_SECONDS)
        yield Node(NAME, runtime, kubelet)


def _clear_away() -> None:
    if FOLDER.exists():
        clear(FOLDER / "containerd")
        remove_interfaces(FOLDER / "addresses")
        remove_rules()
        clear(FOLDER)


def _start_kubelet(plane: ControlPlane, runtime: Runtime) -> Process:
    binary = binaries(["kubelet"])["kubelet"]
    authority = plane.authority
    identity = authority.issue("kubelet", name=f"system:node:{NAME}", organization="system:nodes")
    serving = authority.issue("kubelet-serving", name=NAME, hosts=(NAME, plane.address))
    access = write_kubeconfig(FOLDER / "kubelet.kubeconfig", plane.url, authority, identity)
    port, health = free_ports(2)
    config = FOLDER / "kubelet.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": plane.address,
                "port": port,
                "healthzPort": health,
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"enabled": True},
                    "x509": {"clientCAFile": str(authority.certificate)},
                },
                "authorization": {"mode": "Webhook"},
                "tlsCertFile": str(serving.certificate),
                "tlsPrivateKeyFile": str(serving.key),
                "cgroupDriver": "cgroupfs",
                "failCgroupV1": False,
                "failSwapOn": False,
                "enforceNodeAllocatable": [],
                # Without CAP_SYS_RESOURCE a kubelet cannot set what it does not need to set here.
                "featureGates": {"KubeletInUserNamespace": True},
                "containerRuntimeEndpoint": f"unix://{runtime.socket}",
                "podLogsDir": str(FOLDER / "logs"),
                "clusterDNS": [DNS_ADDRESS],
                "clusterDomain": CLUSTER_DOMAIN,
                # The disk is the machine's, and others fill it: that must not evict the tests' pods.
                "evictionHard": {"memory.available": "100Mi"},
                "imageGCHighThresholdPercent": 100,
                "nodeStatusUpdateFrequency": "2s",
                "serializeImagePulls": False,
            }
        ),
        encoding="utf-8",
    )
    command = [
        str(binary),
        f"--config={config}",
        f"--kubeconfig={access}",
        f"--root-dir={FOLDER / 'kubelet'}",
        f"--hostname-override={NAME}",
        f"--node-ip={plane.address}",
    ]
    return Process(command, log=FOLDER / "kubelet.log")


def _is_ready(plane: ControlPlane) -> bool:
    try:
        node = plane.client.get(f"/api/v1/nodes/{NAME}")
    except (ApiError, OSError):
        return False
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def keep_logs(folder: Path) -> None:
    """Copy the logs of the node's parts to a folder, before they go."""
    for log in FOLDER.rglob("*.log"):
        if log.is_file() and "pods" not in log.parts:
            shutil.copy(log, folder / log.name)
