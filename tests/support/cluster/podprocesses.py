"""Processes of pods, as the machine that is their node sees them: to be frozen and killed where the kubelet does not expect it."""

from contextlib import suppress
from pathlib import Path

from support.kubeclient import Json


def pod_pids(pod: Json, program: str) -> list[int]:
    """The processes of a pod whose command line has this word, as this machine sees them."""
    uid = pod["metadata"]["uid"]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if program.encode() in words and uid in (folder / "cgroup").read_text().replace("_", "-"):
                found.append(int(folder.name))
    return found


def runner_pids(pod: Json) -> list[int]:
    """The processes of a pod that run `squall-runner`."""
    return pod_pids(pod, "squall-runner")
