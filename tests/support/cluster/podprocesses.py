"""Processes of pods, as the machine that is their node sees them: to be frozen and killed where the kubelet does not expect it."""

from contextlib import suppress
from pathlib import Path

from support.kubeclient import Json


def runner_pids(pod: Json) -> list[int]:
    """The processes of a pod that run `squall-runner`, as this machine sees them."""
    uid = pod["metadata"]["uid"]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if b"squall-runner" in words and uid in (folder / "cgroup").read_text().replace("_", "-"):
                found.append(int(folder.name))
    return found
