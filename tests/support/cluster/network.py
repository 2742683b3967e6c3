"""The pod network and Services: the `ptp` CNI plugin, kube-proxy, and the removal of what both leave behind.

`ptp` gives each pod a pair of interfaces and the machine routes between them. `bridge` would be usual, but where the kernel lacks
br_netfilter, replies between two pods of one node would pass by the translation of Services.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from support.controlplane import ControlPlane, write_kubeconfig
from support.kubebin import binaries
from support.processes import Process, free_ports

POD_NETWORK = "10.88.0.0/24"
_NAME = "squall-tests"
_READY_SECONDS = 30.0


def write_cni_config(folder: Path) -> Path:
    """Write the configuration of the pod network; returns its folder."""
    place = folder / "cni"
    place.mkdir()
    plugin = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "addresses"),
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    config = {"cniVersion": "0.4.0", "name": _NAME, "plugins": [plugin]}
    (place / "10-squall-tests.conflist").write_text(json.dumps(config), encoding="utf-8")
    return place


@contextmanager
def running_proxy(plane: ControlPlane, node: str) -> Iterator[None]:
    """Run kube-proxy for a node, and take its rules away at the end.

    Raises:
        ProcessError: It did not come up.
    """
    binary = binaries(["kube-proxy"])["kube-proxy"]
    identity = plane.authority.issue("kube-proxy", name="system:kube-proxy")
    access = write_kubeconfig(plane.folder / "kube-proxy.kubeconfig", plane.url, plane.authority, identity)
    health, metrics = free_ports(2)
    config = plane.folder / "kube-proxy.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "clientConnection": {"kubeconfig": str(access)},
                "mode": "iptables",
                "clusterCIDR": POD_NETWORK,
                "conntrack": {"maxPerCore": 0},
                "hostnameOverride": node,
                "healthzBindAddress": f"127.0.0.1:{health}",
                "metricsBindAddress": f"127.0.0.1:{metrics}",
                "iptables": {"minSyncPeriod": "0s"},
            }
        ),
        encoding="utf-8",
    )
    process = Process([str(binary), f"--config={config}"], log=plane.folder / "kube-proxy.log")
    try:
        process.wait_until(_has_service_rules, timeout=_READY_SECONDS)
        yield
    finally:
        process.stop()
        remove_rules()


def _has_service_rules() -> bool:
    return "KUBE-SERVICES" in _output("iptables-save", "--table", "nat")


def remove_rules() -> None:
    """Take all chains of kube-proxy and kubelet out of the packet filter, and what jumps to them."""
    for family in ("iptables", "ip6tables"):
        rules = _output(f"{family}-save")
        if "KUBE-" in rules:
            kept = [line for line in rules.splitlines() if "KUBE-" not in line]
            subprocess.run(
                [f"{family}-restore"],
                input="\n".join(kept) + "\n",
                text=True,
                capture_output=True,
                check=False,
            )


def remove_interfaces(addresses: Path) -> None:
    """Remove the network namespaces of pods, and with them their interfaces.

    Args:
        addresses: Where the pod network has noted which addresses are in use.
    """
    if not any(addresses.glob(f"{_NAME}/*.*.*.*")):
        return
    for line in _output("ip", "-json", "route", "show").splitlines():
        for route in json.loads(line):
            if str(route.get("dst", "")).startswith("10.88.0.") and str(route.get("dev", "")).startswith(
                "veth"
            ):
                subprocess.run(["ip", "link", "delete", route["dev"]], capture_output=True, check=False)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
