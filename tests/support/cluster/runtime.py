"""containerd with its data, state and socket in a folder of its own, and its end without remains.

Debian's containerd needs no service: started with a private configuration it disturbs no other. What it starts is
harder to be rid of: shims and containers outlive it by design, and file systems stay mounted.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.cluster.machine import CNI_PROGRAMS
from support.processes import Process

NAMESPACE = "k8s.io"
"""containerd's namespace for all that kubelets have to do with."""
PAUSE_IMAGE = "localhost/pause:1"
_READY_SECONDS = 30.0
_UNMOUNT_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running containerd.

    Attributes:
        socket: Where it answers.
    """

    folder: Path
    socket: Path
    process: Process

    def ctr(self, *arguments: str) -> str:
        """Run containerd's own client; returns what it printed.

        Raises:
            RuntimeError: It failed; the message holds what it said.
        """
        command = ["ctr", "--address", str(self.socket), "--namespace", NAMESPACE, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        return done.stdout

    def load(self, archive: Path) -> None:
        """Make an image known, from an OCI archive that names it."""
        self.ctr("images", "import", "--no-unpack", str(archive))


@contextmanager
def running_runtime(folder: Path, network: Path) -> Iterator[Runtime]:
    """Run containerd in a folder with a short path, since a socket's is limited.

    Args:
        folder: Its own, made here.
        network: The folder with the CNI configuration.

    Raises:
        ProcessError: It did not come up.
    """
    folder.mkdir()
    socket = folder / "containerd.sock"
    config = folder / "containerd.toml"
    config.write_text(_config(folder, socket, network), encoding="utf-8")
    process = Process(["containerd", "--config", str(config)], log=folder / "containerd.log")
    runtime = Runtime(folder, socket, process)
    try:
        process.wait_until(lambda: _answers(runtime), timeout=_READY_SECONDS)
        yield runtime
    finally:
        _end_containers(runtime)
        process.stop()
        clear(folder)


def _config(folder: Path, socket: Path, network: Path) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{socket}"
[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
disable_hugetlb_controller = true
[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
[{cri}.cni]
bin_dir = "{CNI_PROGRAMS}"
conf_dir = "{network}"
"""


def _answers(runtime: Runtime) -> bool:
    try:
        runtime.ctr("version")
    except RuntimeError:
        return False
    return True


def _end_containers(runtime: Runtime) -> None:
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        for name in runtime.ctr("tasks", "list", "--quiet").split():
            with suppress(RuntimeError):
                runtime.ctr("tasks", "delete", "--force", name)


def clear(folder: Path) -> None:
    """End what containerd and a kubelet have left running below a folder, unmount what they have mounted, remove it.

    Nothing else than what names the folder is touched. Also for what a killed process has left.
    """
    for pid in shims(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for _ in range(_UNMOUNT_ROUNDS):
        mounted = _mounts_below(folder)
        if not mounted:
            break
        for place in mounted:
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def shims(folder: Path) -> list[int]:
    """The process ids of shims whose containerd has its socket below the folder, and of the containers below them."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if b"containerd-shim" in command and str(folder).encode() in command:
                pid = int(entry.name)
                found += [*_children(pid), pid]
    return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    own = [int(each) for each in text.split()]
    return [below for child in own for below in (*_children(child), child)]


def _mounts_below(folder: Path) -> list[Path]:
    """Mount points below the folder, the innermost first."""
    places = []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        place = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[1])
        if place.startswith(f"{folder}/"):
            places.append(Path(place))
    return sorted(places, key=lambda place: -len(place.parts))
