"""What the test node needs of the machine: Debian's container tools, kernel settings, one node at a time.

A node is real: containerd, kubelet and kube-proxy change mounts, interfaces and packet filters of the machine they run on. So it
needs root, and two of them at once would take each other's Services for their own.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.debianpackages import only_installer
from support.longwork import alone, say

PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "gcc": "gcc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
"""Programs and the Debian packages that hold them."""
CNI_PROGRAMS = Path("/usr/lib/cni")
CNI_PACKAGE = "containernetworking-plugins"
HELD = "SQUALL_TEST_NODE_HELD"
"""Environment variable, set where this process or whoever started it is the one test node already."""
_LOCK = Path("/run/lock/squall-test-node")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_INSTALL_SECONDS = 300


class MachineError(RuntimeError):
    """This machine cannot be a node; the message says why and what to do."""


def require_node_tools() -> None:
    """Make sure that the tools are there, installing Debian's packages where they are not.

    Raises:
        MachineError: Not root, no Debian, or the packages cannot be installed.
    """
    if os.geteuid() != 0:
        raise MachineError("a node needs root: it mounts file systems and makes network interfaces")
    # What another process is installing is there in part: which packages are wanted can be told only when it has ended.
    with only_installer():
        wanted = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
        if not (CNI_PROGRAMS / "ptp").is_file():
            wanted.add(CNI_PACKAGE)
        if wanted:
            _install(sorted(wanted))


def _install(packages: list[str]) -> None:
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise MachineError(f"there is no apt-get here to install {names}")
    say(f"installing from Debian: {names} (once per machine)")
    patient = (
        f"DPkg::Lock::Timeout={_INSTALL_SECONDS // 2}"  # whoever else looks after this machine's packages
    )
    command = ["apt-get", "install", "-o", patient, "-y", "-qq", "--no-install-recommends", *packages]
    if not _runs(command):
        _runs(["apt-get", "update", "-qq"])
        if not _runs(command):
            raise MachineError(f"`{' '.join(command)}` failed")


def _runs(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, capture_output=True, check=False, timeout=_INSTALL_SECONDS, text=True
    )
    if done.returncode != 0:
        say(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.returncode == 0


def own_address() -> str:
    """The address under which pods and the API server reach this machine; nothing is sent to find it.

    Raises:
        MachineError: It has none but loopback addresses.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # chooses a route and an address; a datagram socket sends nothing yet
        except OSError as error:
            raise MachineError(f"this machine has no address for pods to reach it: {error}") from error
        return str(probe.getsockname()[0])


@contextmanager
def only_node() -> Iterator[None]:
    """Be the one test node of this machine, waiting for another to end; packets may pass between pods meanwhile."""
    if os.environ.get(HELD):
        yield
        return
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with alone(_LOCK, "running a test node"):
        before = _FORWARDING.read_text(encoding="ascii")
        _FORWARDING.write_text("1", encoding="ascii")
        try:
            yield
        finally:
            _FORWARDING.write_text(before, encoding="ascii")
