"""A whole cluster: control plane, controllers, one real node with pod network, Services and DNS.

It is made for the tests and for whoever wants to try something on a real Kubernetes without having one, and it is gone afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.cluster.controllers import running_controllers
from support.cluster.dns import running_dns
from support.cluster.machine import own_address, require_node_tools
from support.cluster.node import Node, running_node
from support.controlplane import ControlPlane, running_control_plane
from support.kubebin import CONTROL_PLANE, binaries

BINARIES = (*CONTROL_PLANE, "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster with one node."""

    plane: ControlPlane
    node: Node


def prepare_cluster() -> None:
    """Install and build what a cluster needs, which takes minutes the first time.

    Raises:
        MachineError: This machine cannot be a node.
        KubeBinariesError: A binary cannot be built.
    """
    require_node_tools()
    binaries(BINARIES)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster until the end of the block; everything is gone afterwards, interrupted or not.

    Raises:
        MachineError: This machine cannot be a node.
        KubeBinariesError: A binary cannot be built.
        ProcessError: A part did not come up.
    """
    prepare_cluster()
    with (
        running_control_plane(own_address()) as plane,
        running_controllers(plane),
        running_dns(plane),
        running_node(plane) as node,
    ):
        yield Cluster(plane, node)
