"""A real etcd and kube-apiserver on free ports, for as long as a `with` block.

A CRD is a program for the API server: structural-schema rules, CEL cost budgets, pruning and server-side apply exist only
there. Several control planes can live side by side; each keeps its data in a folder of its own, which goes with it. One that
has nodes (`support.cluster`) has to be reachable from pods, so it listens on the machine's own address as well.
"""

import socket
import ssl
import tempfile
from collections.abc import Iterator, Sequence
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


LOOPBACK = "127.0.0.1"
SERVICE_NETWORK = "10.0.0.0/24"
API_SERVICE_ADDRESS = "10.0.0.1"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running control plane and an administrator's way into it.

    Attributes:
        address: The one it advertises.
        authority: Signs the certificates of everybody who takes part.
        accounts: The key that signs the tokens of service accounts.
    """

    url: str
    address: str
    folder: Path
    kubeconfig: Path
    authority: Authority
    accounts: KeyPair
    client: KubeClient
    etcd: Process
    apiserver: Process

    def restart_apiserver(self) -> None:
        """Start the API server again after its end, and wait until it is ready."""
        self.apiserver.start_again()
        self.apiserver.wait_until(lambda: _ready(self.client), timeout=READY_SECONDS)


@contextmanager
def running_control_plane(address: str = LOOPBACK, options: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """Start etcd and kube-apiserver, wait until the server is ready, and stop both at the end.

    Args:
        address: Where pods and kubelets reach the server; the loopback address when there are none.
        options: More options for the server.

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
            accounts = authority.issue("service-accounts", name="service-accounts")
            command = [
                *_apiserver_command(tools["kube-apiserver"], authority, accounts, etcd_port, api_port),
                *_reachable_at(address, authority),
                *options,
            ]
            apiserver = Process(command, log=folder / "kube-apiserver.log")
            try:
                with _administrator(authority, f"https://{address}:{api_port}") as client:
                    apiserver.wait_until(lambda: _ready(client), timeout=READY_SECONDS)
                    yield ControlPlane(
                        url=client.url,
                        address=address,
                        folder=folder,
                        kubeconfig=folder / "kubeconfig",
                        authority=authority,
                        accounts=accounts,
                        client=client,
                        etcd=etcd,
                        apiserver=apiserver,
                    )
            finally:
                apiserver.stop()
        finally:
            etcd.stop()


@contextmanager
def client_of_user(plane: ControlPlane, name: str, group: str | None = None) -> Iterator[KubeClient]:
    """The client of a user, who has the rights that somebody has given to this name or group."""
    pair = plane.authority.issue(name.replace(":", "-"), name=name, organization=group)
    with closing(KubeClient(plane.url, _context(plane.authority, pair))) as client:
        yield client


@contextmanager
def _administrator(authority: Authority, url: str) -> Iterator[KubeClient]:
    """An administrator's client, and the kubeconfig that gives others the same access."""
    admin = authority.issue("admin", name="squall-tests-admin", organization="system:masters")
    write_kubeconfig(authority.folder / "kubeconfig", url, authority, admin)
    with closing(KubeClient(url, _context(authority, admin))) as client:
        yield client


def _context(authority: Authority, pair: KeyPair) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(pair.certificate, pair.key)
    return context


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


def _apiserver_command(
    binary: Path, authority: Authority, accounts: KeyPair, etcd_port: int, port: int
) -> list[str]:
    return [
        str(binary),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--secure-port={port}",
        f"--client-ca-file={authority.certificate}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={accounts.certificate}",
        f"--service-account-signing-key-file={accounts.key}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
    ]


def _reachable_at(address: str, authority: Authority) -> list[str]:
    server = authority.issue(
        "apiserver",
        name="kube-apiserver",
        hosts=(LOOPBACK, address, API_SERVICE_ADDRESS, "localhost", "kubernetes.default.svc"),
    )
    flags = [
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--advertise-address={address}",
    ]
    if address == LOOPBACK:
        # A loopback address is refused as an endpoint of the `kubernetes` Service, which nobody needs without pods.
        return [*flags, f"--bind-address={LOOPBACK}", "--endpoint-reconciler-type=none"]
    kubelet = authority.issue("kubelet-client", name="kube-apiserver", organization="system:masters")
    return [
        *flags,
        "--bind-address=0.0.0.0",
        f"--kubelet-certificate-authority={authority.certificate}",
        f"--kubelet-client-certificate={kubelet.certificate}",
        f"--kubelet-client-key={kubelet.key}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def write_kubeconfig(path: Path, url: str, authority: Authority, client: KeyPair) -> Path:
    """Write what gives a client with this certificate access; returns the path."""
    cluster = {"server": url, "certificate-authority": str(authority.certificate)}
    user = {"client-certificate": str(client.certificate), "client-key": str(client.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "squall-tests", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "squall-tests", "context": {"cluster": "squall-tests", "user": "user"}}],
        "current-context": "squall-tests",
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    path.chmod(0o600)
    return path


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
