"""kube-controller-manager and kube-scheduler: what turns a Job into pods and gives pods a node."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from support.controlplane import ControlPlane, write_kubeconfig
from support.kubebin import binaries
from support.kubeclient import ApiError
from support.processes import Process, free_ports

NAMES = ("kube-controller-manager", "kube-scheduler")
_READY_SECONDS = 60.0


@contextmanager
def running_controllers(plane: ControlPlane) -> Iterator[None]:
    """Run both beside a control plane that is ready; they exit when they come before its roles are there."""
    tools = binaries(NAMES)
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    with ExitStack() as stack:
        for name in NAMES:
            identity = plane.authority.issue(name, name=f"system:{name}")
            config = write_kubeconfig(
                plane.folder / f"{name}.kubeconfig", plane.url, plane.authority, identity
            )
            command = [
                str(tools[name]),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={ports[name]}",
            ]
            if name == "kube-controller-manager":
                command += [
                    "--use-service-account-credentials",
                    f"--root-ca-file={plane.authority.certificate}",
                    f"--service-account-private-key-file={plane.accounts.key}",
                ]
            process = Process(command, log=plane.folder / f"{name}.log")
            stack.callback(process.stop)
        process.wait_until(lambda: _has_default_account(plane), timeout=_READY_SECONDS)
        yield


def _has_default_account(plane: ControlPlane) -> bool:
    """Whether pods can be made: the controllers have given the default namespace its service account."""
    try:
        plane.client.get("/api/v1/namespaces/default/serviceaccounts/default")
    except (ApiError, OSError):
        return False
    return True
