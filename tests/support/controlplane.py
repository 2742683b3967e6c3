"""A real etcd and kube-apiserver on free loopback ports, for as long as a `with` block.

A CRD is a program for the API server: structural-schema rules, CEL cost budgets, pruning and server-side apply exist only
there. Several control planes can live side by side; each keeps its data in a folder of its own, which goes with it.
"""

import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from support.certificates import Authority, KeyPair
from support.kubebin import binaries
from support.kubeclient import ApiError, KubeClient
from support.processes import Process, free_ports

READY_SECONDS = 90.0
ETCD_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running control plane and an administrator's way into it."""

    url: str
    kubeconfig: Path
    client: KubeClient
    etcd: Process
    apiserver: Process


@contextmanager
def running_control_plane() -> Iterator[ControlPlane]:
    """Start etcd and kube-apiserver, wait until the server is ready, and stop both at the end.

    Raises:
        KubeBinariesError: The binaries are not there and cannot be built.
        ProcessError: One of the two did not come up; the message holds the end of its log.
    """
    tools = binaries()
    with tempfile.TemporaryDirectory(prefix="squall-control-plane-") as name:
        folder = Path(name)
        etcd_port, peer_port, api_port = free_ports(3)
        etcd = Process(_etcd_command(tools["etcd"], folder, etcd_port, peer_port), log=folder / "etcd.log")
        try:
            etcd.wait_until(lambda: _listens(etcd_port), timeout=ETCD_READY_SECONDS)
            authority = Authority(folder)
            command = _apiserver_command(tools["kube-apiserver"], authority, etcd_port, api_port)
            apiserver = Process(command, log=folder / "kube-apiserver.log")
            try:
                with _administrator(authority, f"https://127.0.0.1:{api_port}") as client:
                    apiserver.wait_until(lambda: _ready(client), timeout=READY_SECONDS)
                    yield ControlPlane(client.url, folder / "kubeconfig", client, etcd, apiserver)
            finally:
                apiserver.stop()
        finally:
            etcd.stop()


@contextmanager
def _administrator(authority: Authority, url: str) -> Iterator[KubeClient]:
    """An administrator's client, and the kubeconfig that gives others the same access."""
    admin = authority.issue("admin", name="squall-tests-admin", organization="system:masters")
    _write_kubeconfig(url, authority, admin)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(admin.certificate, admin.key)
    with closing(KubeClient(url, context)) as client:
        yield client


def _etcd_command(binary: Path, folder: Path, port: int, peer_port: int) -> list[str]:
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(binary),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver_command(binary: Path, authority: Authority, etcd_port: int, port: int) -> list[str]:
    server = authority.issue(
        "apiserver",
        name="kube-apiserver",
        hosts=("127.0.0.1", "10.0.0.1", "localhost", "kubernetes.default.svc"),
    )
    accounts = authority.issue("service-accounts", name="service-accounts")
    return [
        str(binary),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        # A loopback address is refused as an endpoint of the `kubernetes` Service, which nobody here needs.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--client-ca-file={authority.certificate}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={accounts.certificate}",
        f"--service-account-signing-key-file={accounts.key}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
    ]


def _write_kubeconfig(url: str, authority: Authority, admin: KeyPair) -> None:
    cluster = {"server": url, "certificate-authority": str(authority.certificate)}
    user = {"client-certificate": str(admin.certificate), "client-key": str(admin.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "squall-tests", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "squall-tests", "context": {"cluster": "squall-tests", "user": "admin"}}],
        "current-context": "squall-tests",
    }
    path = authority.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    path.chmod(0o600)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _ready(client: KubeClient) -> bool:
    try:
        client.get("/readyz")
        # The default namespace is made a moment after the server calls itself ready.
        client.get("/api/v1/namespaces/default")
    except (ApiError, OSError):
        return False
    return True
