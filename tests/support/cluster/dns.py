"""Cluster DNS: CoreDNS as a process on the machine, behind the Service address that pods ask.

A name such as `squall-hub.squall-system.svc` is how the runners of a cluster find their hub, so it has to work here as it does there. The
binary is built from its Go module, once per machine.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from support.cluster.node import CLUSTER_DOMAIN, DNS_ADDRESS
from support.controlplane import ControlPlane, write_kubeconfig
from support.kubebin import binaries
from support.processes import Process, free_ports

_READY_SECONDS = 30.0


@contextmanager
def running_dns(plane: ControlPlane) -> Iterator[None]:
    """Answer pods' questions for names until the end of the block.

    Raises:
        ProcessError: CoreDNS did not come up.
    """
    binary = binaries(["coredns"])["coredns"]
    identity = plane.authority.issue("coredns", name="coredns", organization="system:masters")
    access = write_kubeconfig(plane.folder / "coredns.kubeconfig", plane.url, plane.authority, identity)
    port, ready = free_ports(2)
    config = plane.folder / "Corefile"
    config.write_text(
        f"""{CLUSTER_DOMAIN}:{port} in-addr.arpa:{port} ip6.arpa:{port} {{
    bind {plane.address}
    ready 127.0.0.1:{ready}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {access}
        ttl 1
    }}
}}
""",
        encoding="ascii",
    )
    process = Process([str(binary), f"-conf={config}"], log=plane.folder / "coredns.log")
    try:
        process.wait_until(lambda: _is_ready(ready), timeout=_READY_SECONDS)
        _publish(plane, port)
        yield
    finally:
        process.stop()


def _is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _publish(plane: ControlPlane, port: int) -> None:
    """Make the Service with the address that kubelets give to pods, and say where it leads."""
    protocols = ("UDP", "TCP")
    labels = {"k8s-app": "kube-dns"}
    plane.client.create(
        "/api/v1/namespaces/kube-system/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "labels": labels},
            "spec": {
                "clusterIP": DNS_ADDRESS,
                "ports": [{"name": each.lower(), "port": 53, "protocol": each} for each in protocols],
            },
        },
    )
    plane.client.create(
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "labels": {**labels, "kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "ports": [{"name": each.lower(), "port": port, "protocol": each} for each in protocols],
            "endpoints": [{"addresses": [plane.address], "conditions": {"ready": True}}],
        },
    )
